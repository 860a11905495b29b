"""How long phones wait while everything is rendered anew: the 99th percentile, against that at rest.

A load that is the same all the time, far below what we could serve: a few connections of wrk that pause between
requests. A setting moves, SIGHUP, and everything is marked. Rest is measured twice: in turn with the rendering, by
stopping the writer process for a round (so both have the same store, half of it in the write-ahead log), and before
the rendering begins. The worse ratio counts.
"""

import os
import signal
import statistics
from functools import partial

from tests.benchmarks.fleets import Bench, Quiet
from tests.benchmarks.loads import ALL, Load, in_turn, write_requests, wrk
from tests.benchmarks.serve import serving
from tests.benchmarks.table import Row, at_most, median_ratio

CONNECTIONS, PAUSE_MS = 8, 10


def figures(bench: Bench) -> list[Row]:
    fleet, scale = bench.many, bench.scale
    requests = write_requests(bench.folder / "own", ((file.path, "") for file in fleet.own_files))
    store = fleet.copy("rerendered")
    one = fleet.service(store=store)
    waiting: list[int] = []
    with serving(one, ALL):
        load = partial(
            wrk, one.base, requests, connections=CONNECTIONS, pause_ms=PAUSE_MS, where=ALL
        )  # fmt: skip
        before = in_turn(scale.rounds, scale.seconds, {"rest": load})["rest"]
        one.config.write_text(one.config.read_text().replace("poll_interval: 3600", "poll_interval: 7200"))
        one.signal(signal.SIGHUP)
        one.wait("rerender_marked")

        def rendering(seconds: float) -> Load:
            found = load(seconds)
            waiting.append(one.status()["waiting_to_render"])
            return found

        found = in_turn(
            scale.rounds,
            scale.seconds,
            {"stopped": lambda seconds: stopped(one, load, seconds), "rendering": rendering},
        )
    assert not any(load.refused or load.broken for loads in (before, *found.values()) for load in loads)
    return [row(before, found["stopped"], found["rendering"], scale.phones, waiting)]


def stopped(one: Quiet, load: "partial[Load]", seconds: float) -> Load:
    """A round in which the writer process stands still."""
    writer = one.pids("writer")
    os.kill(writer, signal.SIGSTOP)
    try:
        return load(seconds)
    finally:
        os.kill(writer, signal.SIGCONT)


def row(before: list[Load], rest: list[Load], busy: list[Load], phones: int, waiting: list[int]) -> Row:
    p99 = [load.p99_ms for load in busy]
    in_turn_with = median_ratio(p99, [load.p99_ms for load in rest])
    since_before = statistics.median(p99) / statistics.median(load.p99_ms for load in before)
    worse = max(in_turn_with, since_before)
    return Row(
        f"p99 of 200s while {phones:,} phones are re-rendered",
        "p99 at rest, the same load",
        {
            "ratio": worse,
            "ratio_writer_stopped": in_turn_with,
            "ratio_before": since_before,
            "p99_ms": statistics.median(p99),
            "rest_p99_ms": statistics.median(load.p99_ms for load in rest),
            "before_p99_ms": statistics.median(load.p99_ms for load in before),
            "load_per_s": statistics.median(load.rate for load in busy),
            "rendered": float(waiting[0] - waiting[-1]),
            "still_to_render": float(min(waiting)),
        },
        "3 at most",
        at_most(worse, 3),
        "" if min(waiting) else "rendering ended before the measurement did",
    )
