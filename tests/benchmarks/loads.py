"""Loads by wrk, and series of them in turn.

Server and client have a core each (`pinned`), ours and what it is compared with the same: so a ratio says what
a request costs, not who got the second core. Where the machine has one core they share it, both alike.
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).with_name("load.lua")


class Load(NamedTuple):
    """What wrk saw. `refused` counts statuses above 399, `broken` errors of connections and timeouts.

    `cpu_s` is what the server's processes took meanwhile, where that was asked for (`costing`).
    """

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    bytes_each: float
    refused: int
    broken: int
    cpu_s: float = 0.0


def installed() -> bool:
    return shutil.which("wrk") is not None


ALL = os.sched_getaffinity(0)
SERVER, CLIENT = {min(ALL)}, {max(ALL)}


@contextlib.contextmanager
def pinned(where: set[int]) -> Iterator[None]:
    """Let what is started meanwhile run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, where)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def write_requests(path: Path, asks: Iterable[tuple[str, str]]) -> Path:
    """Write (path, ETag or nothing) as `load.lua` reads them."""
    path.write_text("".join(f'{ask} "{etag}"\n' if etag else f"{ask}\n" for ask, etag in asks))
    return path


def wrk(
    url: str, requests: Path, seconds: float, *, connections: int = 64, order: str = "random",
    pause_ms: int = 0, close: bool = False, where: set[int] | None = None,
) -> Load:  # fmt: skip
    """Send requests from a file for a while. One thread: it is faster than any Python server."""
    arguments = [str(requests), order, str(pause_ms), "close" if close else "keep"]
    got = _run(url, requests, seconds, connections, arguments, CLIENT if where is None else where)
    if seconds < 1 and not got["requests"]:  # a round that short can pass before wrk gets its turn
        got = _run(url, requests, 10, connections, arguments, ALL)
    assert got["requests"], f"nobody answered: {got}"
    return Load(
        got["requests"], got["requests"] / got["us"] * 1e6, got["p50_us"] / 1e3, got["p99_us"] / 1e3,
        got["bytes"] / got["requests"], got["refused"], got["broken"],
    )  # fmt: skip


def _run(
    url: str, requests: Path, seconds: float, connections: int, arguments: list[str], where: set[int]
) -> dict[str, int]:
    # wrk knows whole seconds only; a shorter round is ended by SIGINT, which it takes for the end of its time.
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
        "-s", str(SCRIPT), url, "--", *arguments,
    ]  # fmt: skip
    if seconds < 1:
        command = ["timeout", "--signal=INT", str(seconds), *command]
    with pinned(where):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = next((line[5:] for line in done.stdout.splitlines() if line.startswith("JSON ")), None)
    assert said, f"wrk failed: {done.stdout[-500:]} {done.stderr[-500:]}"
    found: dict[str, int] = json.loads(said)
    return found


def costing(pids: list[int], work: Callable[[float], Load]) -> Callable[[float], Load]:
    """Let a load say, too, what processor time these processes took for it."""

    def measured(seconds: float) -> Load:
        before = cpu(pids)
        return work(seconds)._replace(cpu_s=cpu(pids) - before)

    return measured


def cpu(pids: list[int]) -> float:
    """Return the processor time that processes have taken so far."""
    fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")


def in_turn(rounds: int, seconds: float, works: dict[str, Callable[[float], Load]]) -> dict[str, list[Load]]:
    """Run loads in turn, each in every round; rounds worth measuring follow a second to warm up."""
    for work in works.values() if seconds >= 1 else ():
        work(1.0)
    found: dict[str, list[Load]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(work(seconds))
    return found
