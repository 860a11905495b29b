"""``/metrics``: what Prometheus reads. docs/operations.md describes every metric; labels have few values each.

Readers add their counts up in ``access.db``, so that nothing is lost when a process ends.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Literal, NamedTuple

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from kazoo_provisioner.store.counts import Counts
from kazoo_provisioner.web.figures import Asked, Files, Fleet, Found, Unread, Usage
from kazoo_provisioner.web.notes import BUCKETS
from kazoo_provisioner.web.status import VERSION, waits

PREFIX = "kazoo_provisioner_"

Values = Iterable[tuple[tuple[str, ...], float]]
"""Values of a metric's labels, and its value."""


class Kind(NamedTuple):
    """A metric: its type, what it says, the names of its labels."""

    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS: dict[str, Kind] = {
    "ready": Kind("gauge", "1 where /readyz says 200, else 0"),
    "build_info": Kind("gauge", "1; the version is in the label", ("version",)),
    "synced": Kind("gauge", "1 once the first full pass of the store has ended"),
    "store_readable": Kind("gauge", "1 where store.db could be read just now, else 0"),
    "access_readable": Kind("gauge", "1 where access.db could be read just now, else 0"),
    "requests_total": Kind("counter", "Requests that were answered", ("kind", "status", "reason")),
    "request_seconds": Kind("histogram", "Seconds that answers took to be made"),
    "sent_bytes_total": Kind("counter", "Bytes of the bodies that were sent"),
    "refused_total": Kind("counter", "What came and was no whole request of HTTP", ("status", "reason")),
    "limited_addresses": Kind("gauge", "Addresses that asked for too many names in vain and are limited now"),
    "phones": Kind("gauge", "Phones whose files are served", ("brand",)),
    "phone_problems": Kind("gauge", "Phones with a problem", ("problem",)),
    "seen_phones": Kind("gauge", "Phones that got a file and are remembered"),
    "old_url_phones": Kind("gauge", "Those of seen_phones that asked last by an old URL"),
    "waiting_to_render": Kind("gauge", "Phones, phonebooks and families that wait to be rendered"),
    "failing": Kind("gauge", "Those of waiting_to_render that were tried in vain"),
    "oldest_waiting_seconds": Kind("gauge", "For how long the oldest that was not tried yet waits"),
    "writer_heartbeat_timestamp_seconds": Kind("gauge", "When the writer said last how it does"),
    "source_connected": Kind("gauge", "1 where the writer said last that it follows its source"),
    "source_lag_seconds": Kind("gauge", "For how long the oldest database waits to be read"),
    "source_last_contact_timestamp_seconds": Kind("gauge", "When something came from the source"),
    "store_bytes": Kind("gauge", "Bytes of store.db"),
    "store_wal_bytes": Kind("gauge", "Bytes of store.db-wal, the write-ahead log"),
    "access_bytes": Kind("gauge", "Bytes of access.db"),
    "store_free_bytes": Kind("gauge", "Bytes that are free on the disk of the store"),
    "process_up": Kind("gauge", "1 where the process is alive, else 0", ("role",)),
    "process_restarts_total": Kind("counter", "Times that the process was started again", ("role",)),
    "process_resident_bytes": Kind("gauge", "Memory that the process has", ("role",)),
    "process_open_fds": Kind("gauge", "Descriptors that the process has open", ("role",)),
}


class Page(Collector):
    """The metrics of one moment."""

    def __init__(self, found: Found, *, ready: bool) -> None:
        self._found = found
        self._ready = ready

    def collect(self) -> Iterator[Metric]:
        """Give every metric of which something is known."""
        values = self._values()
        for name, kind in METRICS.items():
            if kind.type == "histogram":
                if not isinstance(self._found.asked, Unread):
                    yield _histogram(name, kind, self._found.asked.tallies)
                continue
            made = CounterMetricFamily if kind.type == "counter" else GaugeMetricFamily
            family = made(PREFIX + name, kind.help, labels=kind.labels)
            for labels, value in values.get(name, ()):
                family.add_metric(labels, value)
            if family.samples:
                yield family

    def _values(self) -> dict[str, Values]:
        found = self._found
        made: dict[str, Values] = {
            "ready": _one(self._ready),
            "build_info": [((VERSION,), 1)],
            "store_readable": _one(not isinstance(found.counts, Unread)),
            "access_readable": _one(not isinstance(found.asked, Unread)),
        }
        made |= _processes(found)
        if not isinstance(found.counts, Unread):
            made |= _store(found.counts) | _source(found.counts)
        if not isinstance(found.models, Unread):
            brands: Counter[str] = Counter()
            for family, _, phones in found.models:
                brands[family.partition("/")[0]] += phones
            made["phones"] = [((brand,), phones) for brand, phones in brands.items()]
        if not isinstance(found.asked, Unread):
            made |= _requests(found.asked)
        if not isinstance(found.fleet, Unread):
            made |= _fleet(found.fleet)
        if not isinstance(found.files, Unread):
            made |= _files(found.files)
        return made

    def encode(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its type, as the one who asks can read it."""
        try:
            encoder, content_type = choose_encoder(accept if accept.isascii() else "")
        except TypeError:  # a version that is no number
            encoder, content_type = choose_encoder("")
        return encoder(self), content_type


def _one(value: float | None) -> Values:
    return () if value is None else [((), float(value))]


def _processes(found: Found) -> dict[str, Values]:
    unknown = Usage(None, None)
    used = {one.role: found.usage.get(one.pid or 0, unknown) for one in found.processes}
    return {
        "process_up": [((one.role,), float(one.pid is not None)) for one in found.processes],
        "process_restarts_total": [((one.role,), one.restarts) for one in found.processes],
        "process_resident_bytes": [
            ((role,), one.rss_kb * 1024) for role, one in used.items() if one.rss_kb is not None
        ],
        "process_open_fds": [((role,), one.fds) for role, one in used.items() if one.fds is not None],
    }


def _store(counts: Counts) -> dict[str, Values]:
    return {
        "synced": _one(counts.synced),
        "phone_problems": [((problem,), phones) for problem, phones in counts.problems.items()],
        "waiting_to_render": _one(counts.waiting),
        "failing": _one(counts.failing),
        "oldest_waiting_seconds": _one(waits(counts)),
    }


def _source(counts: Counts) -> dict[str, Values]:
    said = counts.source
    if not said:
        return {}
    return {
        "writer_heartbeat_timestamp_seconds": _one(said.get("at")),
        "source_connected": _one(bool(said.get("connected"))),
        "source_lag_seconds": _one(said.get("lag_s")),
        "source_last_contact_timestamp_seconds": _one(said.get("last_contact")),
    }


def _requests(asked: Asked) -> dict[str, Values]:
    tallies = asked.tallies
    return {
        "requests_total": _tallied(tallies, "requests"),
        "refused_total": _tallied(tallies, "refused"),
        "sent_bytes_total": _one(tallies.get("bytes", 0)),
        "limited_addresses": _one(asked.limited),
    }


def _tallied(tallies: Mapping[str, float], metric: str) -> Values:
    labels = len(METRICS[f"{metric}_total"].labels)
    for name, value in sorted(tallies.items()):
        first, *rest = name.split() or [""]
        if first == metric and len(rest) == labels:
            yield tuple(rest), value


def _histogram(name: str, kind: Kind, tallies: Mapping[str, float]) -> Metric:
    """Add up what was counted for each bound alone."""
    told = {name.removeprefix("seconds "): n for name, n in tallies.items() if name.startswith("seconds ")}
    total = told.pop("sum", 0.0)
    bounds = sorted({*told, *(str(bound) for bound in BUCKETS), "+Inf"}, key=float)
    numbers = accumulate(told.get(bound, 0.0) for bound in bounds)
    return HistogramMetricFamily(
        PREFIX + name, kind.help, buckets=list(zip(bounds, numbers, strict=True)), sum_value=total
    )


def _fleet(fleet: Fleet) -> dict[str, Values]:
    return {"seen_phones": _one(fleet.seen), "old_url_phones": _one(fleet.old)}


def _files(files: Files) -> dict[str, Values]:
    return {
        "store_bytes": _one(files.store),
        "store_wal_bytes": _one(files.wal),
        "access_bytes": _one(files.access),
        "store_free_bytes": _one(files.free),
    }
