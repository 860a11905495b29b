"""The benchmarks of serving, with tiny fleets and short rounds: they still run, and say what they promise.

No figure is looked at but those that do not depend on time. In CI wrk must be there (`tests.run`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import loads, power_cut, rerender, serve, starts
from tests.benchmarks.client import Ask, wrong
from tests.benchmarks.fleets import SIZE, Bench, Scale
from tests.benchmarks.table import Row, as_json, at_least, at_most, machine, median_ratio, show

TINY = Scale(phones=28, few=7, files=20, rounds=1, seconds=0.3, starts=1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    assert loads.installed(), "the tests need wrk: make test-deps installs it on Debian"
    before = os.sched_getaffinity(0)
    yield Bench(tmp_path_factory.mktemp("bench"), TINY)
    assert os.sched_getaffinity(0) == before


def test_serving(bench: Bench) -> None:
    one, unchanged, line, *all_readers = serve.figures(bench)
    rates = {"ratio", "ours_per_s", "against_per_s", "ours_p99_ms"}
    assert rates <= set(one.figures) <= rates | {"cpu_ratio"}
    assert rates <= set(unchanged.figures) <= rates | {"cpu_ratio"}
    assert one.met in {"goal", "yes", "no"}
    assert set(line.figures) == {"share", "ours_per_s", "silent_per_s"}
    assert len(all_readers) == 2
    assert all(row.note and (set(row.figures) == rates or serve.NGINX is None) for row in all_readers)
    assert bench.even.files[f"{bench.even.phones[0][0]}/{bench.even.phones[0][1]}.cfg"].size == SIZE


def test_power_cut(bench: Bench) -> None:
    (row,) = power_cut.figures(bench)
    assert (row.met, row.figures["wrong"]) == ("yes", 0)
    statuses = {name: count for name, count in row.figures.items() if name.startswith("status_")}
    assert set(statuses) == {"status_200", "status_304", "status_404"}
    assert sum(statuses.values()) == 4 * TINY.phones
    assert row.figures["ratio"] > 0


def test_while_everything_is_rendered_anew(bench: Bench) -> None:
    (row,) = rerender.figures(bench)
    assert row.figures["ratio"] >= row.figures["ratio_before"]
    assert row.figures["rest_p99_ms"] > 0
    assert "still_to_render" in row.figures


def test_starts_and_memory(bench: Bench) -> None:
    warm, memory = starts.figures(bench)
    assert set(warm.figures) == {"ratio", "many_s", "few_s"}
    assert memory.figures["many_mib"] > 1
    assert {"bytes", "bytes_after_restart"} < set(memory.figures)


def test_the_client_sees_what_is_wrong() -> None:
    """A benchmark that finds nothing wrong must be able to."""
    etag = "2cf24dba5fb0a30e26e83b2ac5b9e29e"  # of "hello"
    head = f'HTTP/1.1 200 OK\r\nETag: "{etag}"\r\nContent-Length: 5\r\n\r\n'
    ask = Ask("/p/x.cfg", etag, 5, has_it=False)
    assert list(wrong(ask, 200, head, b"hello")) == []
    assert list(wrong(ask, 200, head, b"hallo")) == ["another body"]
    assert list(wrong(ask, 200, head.replace("2cf", "3cf"), b"hello")) == ["another ETag"]
    assert list(wrong(ask, 503, head, b"")) == ["status 503 instead of 200"]
    assert list(wrong(ask._replace(has_it=True), 200, head, b"hello")) == ["status 200 instead of 304"]
    assert list(wrong(ask._replace(etag=""), 200, head, b"hello")) == ["status 200 instead of 404"]


def test_the_table() -> None:
    rows = [
        Row("one", "other", {"ratio": 0.5, "per_s": 12345.6}, "0.45, goal 0.55", at_least(0.5, 0.45, 0.55)),
        Row("long " * 20, note="not installed"),
    ]
    text = show(rows)
    assert "ratio 0.5, per_s 12,346" in text
    assert "not installed" in text
    assert [row["met"] for row in as_json(rows)] == ["yes", ""]
    assert (at_least(0.6, 0.45, 0.55), at_least(0.4, 0.45, 0.55)) == ("goal", "no")
    assert (at_most(3, 3), at_most(3.1, 3)) == ("yes", "no")
    assert median_ratio([1, 2, 30], [2, 2, 2]) == 1
    assert {"cpu", "cores", "python", "aiohttp"} < set(machine())


def test_requests_are_written_as_wrk_reads_them(tmp_path: Path) -> None:
    path = loads.write_requests(tmp_path / "asks", [("/p/a", ""), ("/p/b", "abc")])
    assert path.read_text() == '/p/a\n/p/b "abc"\n'
