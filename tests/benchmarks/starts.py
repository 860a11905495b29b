"""Size: what a start takes with many phones, against few, and what a phone takes of memory.

Memory is anonymous memory (RssAnon) of all processes of the service: the store's mapped pages are the kernel's to take
back. It is measured after the first pass, when each phone was served once; and again after a restart.
"""

import statistics
import time

from tests.benchmarks.fleets import Bench, Fleet
from tests.benchmarks.table import Row, at_most, median_ratio


def figures(bench: Bench) -> list[Row]:
    scale = bench.scale
    few, many = bench.few, bench.many
    after = {fleet.folder: restarted(fleet) for fleet in (few, many)}  # warms up, too
    times: list[tuple[float, float]] = [(start(few), start(many)) for _ in range(scale.starts)]
    ratio = median_ratio([many_s for _, many_s in times], [few_s for few_s, _ in times])
    more = len(many.phones) - len(few.phones)
    each = (many.anonymous - few.anonymous) / more
    return [
        Row(
            f"warm start to the first 200, {scale.phones:,} phones", f"{scale.few:,} phones",
            {
                "ratio": ratio,
                "many_s": statistics.median(many_s for _, many_s in times),
                "few_s": statistics.median(few_s for few_s, _ in times),
            },
            "1.3 at most", at_most(ratio, 1.3),
        ),
        Row(
            "anonymous memory of each phone, all processes", f"growth from {scale.few:,} to {scale.phones:,} phones",
            {
                "bytes": each,
                "bytes_after_restart": (after[many.folder] - after[few.folder]) / more,
                "many_mib": many.anonymous / 2**20,
                "few_mib": few.anonymous / 2**20,
            },
            "4,096 bytes at most", at_most(each, 4096),
        ),
    ]  # fmt: skip


def start(fleet: Fleet) -> float:
    """Return the seconds from the start of the process to the first 200."""
    path = next(fleet.own_files).path
    one = fleet.service()
    began = time.perf_counter()
    with one:
        status = one.get(path).status
        took = time.perf_counter() - began
        assert status == 200
        one.stop()
    return took


def restarted(fleet: Fleet) -> int:
    """Return the anonymous memory of a service that found its store, when each phone was served once."""
    with fleet.service() as one:
        one.wait("caught_up")
        fleet.serve_each(one)
        time.sleep(0.5)
        found = one.anonymous()
        one.stop()
    return found
