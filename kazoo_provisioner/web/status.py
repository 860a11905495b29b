"""``/status``: the shape of the page. docs/operations.md describes every field; they stay what they are."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from msgspec import Struct

from kazoo_provisioner.store.counts import Counts
from kazoo_provisioner.web.figures import Found, Process, Unread, Usage

VERSION = version("kazoo-provisioner")

Totals = dict[str, dict[str, int]]
"""Status, reason and how many."""


class WriterStatus(Struct):
    """How the writer does. Seconds; None: not known."""

    heartbeat_s: float | None = None
    waiting: int | None = None
    failing: int | None = None
    oldest_waiting_s: float | None = None


class ProcessStatus(Struct):
    """A process."""

    role: str
    pid: int | None
    restarts: int
    up_s: float
    rss_kb: int | None
    fds: int | None


class OldUrls(Struct):
    """Phones that asked last by an old URL, of how many."""

    phones: int
    of: int


class StoreStatus(Struct):
    """Bytes."""

    store_bytes: int
    wal_bytes: int
    access_bytes: int
    free_bytes: int


class Status(Struct):
    """The page. None: not known, and `errors` says why."""

    version: str
    errors: dict[str, str]
    synced: bool | None
    phones: int | None
    models: dict[str, dict[str, dict[str, int]]] | None
    problems: dict[str, int] | None
    waiting_to_render: int | None
    writer: WriterStatus
    source: dict[str, Any]
    processes: list[ProcessStatus]
    requests: dict[str, Totals] | None
    refused: Totals | None
    limited: int | None
    old_urls: OldUrls | None
    firmware: dict[str, dict[str, int]] | None
    store: StoreStatus | None


def page(found: Found) -> Status:
    """Make the page."""
    counts = None if isinstance(found.counts, Unread) else found.counts
    models = None if isinstance(found.models, Unread) else found.models
    asked = None if isinstance(found.asked, Unread) else found.asked
    fleet = None if isinstance(found.fleet, Unread) else found.fleet
    files = None if isinstance(found.files, Unread) else found.files
    return Status(
        version=VERSION,
        errors=errors(found),
        synced=counts and counts.synced,
        phones=None if models is None else sum(phones for _, _, phones in models),
        models=None if models is None else _by_brand(models),
        problems=counts and counts.problems,
        waiting_to_render=counts and counts.waiting,
        writer=_writer(counts) if counts else WriterStatus(),
        source=counts.source if counts else {},
        processes=[_process(found, one) for one in found.processes],
        requests=asked and _requests(asked.tallies),
        refused=asked and _totals(asked.tallies, "refused"),
        limited=asked and asked.limited,
        old_urls=fleet and OldUrls(fleet.old, fleet.seen),
        firmware=fleet and fleet.firmware,
        store=files and StoreStatus(*files),
    )


def errors(found: Found) -> dict[str, str]:
    """Return what could not be read, and why."""
    looks = {
        "store": found.counts, "models": found.models, "access": found.asked, "agents": found.fleet, "disk": found.files,
    }  # fmt: skip
    return {name: one.problem for name, one in looks.items() if isinstance(one, Unread)}


def waits(counts: Counts) -> float:
    """Return the seconds for which the oldest mark that was not tried yet waits, 0 for none."""
    return max(0.0, time.time() - counts.oldest / 1000) if counts.oldest is not None else 0.0


def _writer(counts: Counts) -> WriterStatus:
    at = counts.source.get("at")
    heard = None if at is None else round(max(0.0, time.time() - at), 1)
    return WriterStatus(heard, counts.waiting, counts.failing, round(waits(counts), 1))


def _process(found: Found, one: Process) -> ProcessStatus:
    used = found.usage.get(one.pid or 0, Usage(None, None))
    return ProcessStatus(one.role, one.pid, one.restarts, round(one.up_s, 1), used.rss_kb, used.fds)


def _by_brand(models: Iterable[tuple[str, str, int]]) -> dict[str, dict[str, dict[str, int]]]:
    made: dict[str, dict[str, dict[str, int]]] = {}
    for family, model, phones in models:
        brand, _, name = family.partition("/")
        made.setdefault(brand, {}).setdefault(name, {})[model] = phones
    return made


def _requests(tallies: Mapping[str, float]) -> dict[str, Totals]:
    return {kind: _totals(tallies, f"requests {kind}") for kind in ("phone", "api")}


def _totals(tallies: Mapping[str, float], what: str) -> Totals:
    made: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, number in sorted(tallies.items()):
        if name.startswith(f"{what} ") and len(parts := name[len(what) + 1 :].split()) == 2:
            made[parts[0]][parts[1]] = int(number)
    return dict(made)
