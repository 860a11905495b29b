"""``/metrics``: what Prometheus reads from a real page."""

import os
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from kazoo_provisioner.store.access import Access
from kazoo_provisioner.store.releases import PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.web.metrics import METRICS, PREFIX
from kazoo_provisioner.web.notes import BUCKETS
from kazoo_provisioner.web.ops import Process
from tests.web.pages import ACCOUNT, Pages, fill, remember

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
SCRAPER = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What a Prometheus of 2023 sends."""


def values(families: list[Metric]) -> dict[tuple[str, ...], float]:
    return {
        (s.name.removeprefix(PREFIX), *(v for _, v in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


async def test_every_metric_is_there_and_says_what_it_should(tmp_path: Path) -> None:
    fill(tmp_path)
    remember(tmp_path)
    async with Pages(tmp_path) as pages:
        pages.processes = [Process("reader-1", os.getpid(), 2, 61.2), Process("writer", None, 1, 0.0)]
        got = await pages.curl("/metrics")
    assert got.type == "text/plain; version=0.0.4; charset=utf-8"
    families = list(read_text(got.body))
    # The parser takes "_total" off a counter's name, as OpenMetrics does.
    named = {f"{f.name}_total" if f.type == "counter" else f.name: f.type for f in families}
    assert named == {PREFIX + name: kind.type for name, kind in METRICS.items()}
    for family in families:
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert labels == set(METRICS[name.removeprefix(PREFIX)].labels), name
    found = values(families)
    expected = {
        ("ready",): 1, ("synced",): 1, ("store_readable",): 1, ("access_readable",): 1,
        ("requests_total", "phone", "served", "200"): 5, ("requests_total", "phone", "unknown_mac", "404"): 60,
        ("requests_total", "api", "catalogue", "200"): 1, ("sent_bytes_total",): 1234,
        ("refused_total", "no_http", "400"): 2, ("refused_total", "answer_not_taken", "0"): 1,
        ("limited_addresses",): 1, ("phones", "yealink"): 3, ("phones", "polycom"): 1,
        ("phone_problems", "no_realm"): 1, ("phone_problems", "no_model"): 1,
        ("seen_phones",): 3, ("old_url_phones",): 1, ("waiting_to_render",): 3, ("failing",): 1,
        ("source_connected",): 1, ("source_lag_seconds",): 0.5,
        ("source_last_contact_timestamp_seconds",): 1e9,
        ("process_up", "reader-1"): 1, ("process_up", "writer"): 0, ("process_up", "supervisor"): 1,
        ("process_restarts_total", "reader-1"): 2, ("process_restarts_total", "writer"): 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    assert 60 <= found["oldest_waiting_seconds",] < 90
    assert found["process_resident_bytes", "reader-1"] > 10_000_000
    assert ("process_resident_bytes", "writer") not in found
    assert found["store_bytes",] == (tmp_path / "store.db").stat().st_size
    assert ACCOUNT not in got.body
    assert "0000000000" not in got.body.replace("0.0000000", "")


async def test_the_histogram_adds_up(tmp_path: Path) -> None:
    remember(tmp_path)
    async with Pages(tmp_path) as pages:
        found = values(list(read_text((await pages.curl("/metrics")).body)))
    buckets = [found["request_seconds_bucket", str(bound)] for bound in (*BUCKETS, "+Inf")]
    assert buckets == [1, 1, 1, 61, 61, 61, 61, 61, 61, 61, 66]
    assert (found["request_seconds_count",], found["request_seconds_sum",]) == (66, 11.5)


async def test_an_access_db_that_is_new_has_zeros(tmp_path: Path) -> None:
    Access(tmp_path).close()
    async with Pages(tmp_path) as pages:
        found = values(list(read_text((await pages.curl("/metrics")).body)))
    assert found["request_seconds_count",] == found["sent_bytes_total",] == found["limited_addresses",] == 0
    assert not any(name[0] == "requests_total" for name in found)


async def test_the_format_that_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path)
    remember(tmp_path)
    async with Pages(tmp_path) as pages:
        for accept in ("application/openmetrics-text", SCRAPER):
            got = await pages.curl("/metrics", "-H", f"Accept: {accept}")
            assert got.type.startswith(OPENMETRICS)
            assert got.body.endswith("# EOF\n")
            assert len(list(read_openmetrics(got.body))) == len(METRICS)
        for accept in (
            "*/*", "", "text/html", "application/openmetrics-text; version=x", "text/plain; version=1.x.0",
            "application/openmetrics-text; version=9.é", "application/openmetrics-text; version=" + "1" * 5000, "," * 5000,
        ):  # fmt: skip
            got = await pages.curl("/metrics", "-H", f"Accept: {accept}")
            assert got.status == 200, accept
            assert "kazoo_provisioner_ready 1.0\n" in got.body or got.body.endswith("# EOF\n")


async def test_hostile_texts_break_no_line(tmp_path: Path) -> None:
    hostile = 'x"} 1\nkazoo_provisioner_ready 7\n\\'
    store = Store(tmp_path)
    with store.transaction():
        store.releases.set_state(
            PhoneState("phone/a/b", "a", "b", family=f"{hostile}/t", model="t", problem=hostile)
        )
    store.close()
    access = Access(tmp_path)
    odd = {
        "requests": 1, "requests a b": 1, "requests a b c d": 1, "": 1, "refused": 1, 'requests phone 200 x"}': 1,
        "seconds sum": 1.0, "unknown x": 1,
    }  # fmt: skip
    access.write([], [], odd, 0, 1)
    access.close()
    async with Pages(tmp_path) as pages:
        families = list(read_text((await pages.curl("/metrics")).body))
        assert (await pages.curl("/status")).json["requests"]["phone"] == {"200": {'x"}': 1}}
    found = values(families)
    assert found["ready",] == 0
    assert found["phones", hostile] == found["phone_problems", hostile] == 1
    assert [name for name in found if name[0] == "requests_total"] == [
        ("requests_total", "phone", 'x"}', "200")
    ]
