"""Serving: requests a second of one reader, against bare aiohttp; of all readers, against nginx.

10,000 files of 16 KiB, a random one each time. With everything on: look-up, limits, and a log line for each
request, into a pipe that is read. All servers run at the same time, and only one of them is under load, in turn; the
writer's source looks at its folder once, so the writer is idle.
"""

import contextlib
import http.client
import os
import pwd
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks import bare
from tests.benchmarks.fleets import SIZE, Bench, File, Fleet, Quiet
from tests.benchmarks.loads import ALL, SERVER, Load, costing, in_turn, pinned, write_requests, wrk
from tests.benchmarks.table import Row, at_least, median_ratio

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
LIKEWISE = "bare aiohttp, one process, the same core"


def figures(bench: Bench) -> list[Row]:
    fleet = bench.even
    files = list(fleet.own_files)
    asks = write_requests(bench.folder / "files", ((file.path, "") for file in files))
    same = write_requests(bench.folder / "unchanged", ((file.path, file.etag) for file in files))
    return [*one_reader(bench, fleet, asks, same), *all_readers(bench, fleet, asks)]


@contextlib.contextmanager
def serving(one: Quiet, where: set[int]) -> Iterator[Quiet]:
    """Run a service on these cores."""
    try:
        with pinned(where):
            one.start()
        one.settle()
        yield one
        one.stop()
    finally:
        one.kill()


def check(base: str, file: File) -> None:
    """What is to be measured is really done: whole bodies, and 304 for whoever has the file."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"))
    for header, expected in (("", (200, file.size)), (f'"{file.etag}"', (304, 0))):
        connection.request("GET", file.path, headers={"If-None-Match": header} if header else {})
        answer = connection.getresponse()
        got = (answer.status, len(answer.read()))
        assert got == expected, f"{got} instead of {expected}"
    connection.close()


def one_reader(bench: Bench, fleet: Fleet, asks: Path, same: Path) -> list[Row]:
    """The rows of one reader on one core."""
    scale = bench.scale
    silent_store = fleet.copy("silent")
    with (
        serving(fleet.service(workers=1), SERVER) as ours,
        serving(fleet.service(workers=1, level="warning", store=silent_store), SERVER) as silent,
        bare.running("file", SIZE) as (plain, plain_pids),
        bare.running("unchanged") as (plain_same, same_pids),
    ):
        for one in (ours, silent):
            check(one.base, next(fleet.own_files))
        works: dict[str, Callable[[float], Load]] = {
            "bare": costing(plain_pids, partial(wrk, plain, asks)),
            "ours": costing(ours.processes(), partial(wrk, ours.base, asks)),
            "silent": costing(silent.processes(), partial(wrk, silent.base, asks)),
            "bare 304": costing(same_pids, partial(wrk, plain_same, same)),
            "ours 304": costing(ours.processes(), partial(wrk, ours.base, same)),
        }
        found = in_turn(scale.rounds, scale.seconds, works)
        ours.wait_logged(sum(one.requests for one in found["ours"]))
        assert not silent.logged
    shutil.rmtree(fleet.folder / silent_store)
    for name, loads in found.items():
        whole = not name.endswith("304")
        assert all((one.bytes_each > SIZE) == whole for one in loads), name
        assert not any(one.refused or one.broken for one in loads), name
    files, unchanged = compare(found, "ours", "bare"), compare(found, "ours 304", "bare 304")
    share = 1 - 1 / median_ratio(rates(found["silent"]), rates(found["ours"]))
    return [
        Row(
            f"200 of a 16 kB file, random of {scale.files:,}, one reader", LIKEWISE, files,
            "0.45, goal 0.55", at_least(worse(files), 0.45, 0.55),
        ),
        Row(
            "304, likewise", LIKEWISE, unchanged,
            "0.5, goal 0.6", at_least(worse(unchanged), 0.5, 0.6),
        ),
        Row(
            "share of the log line in a 200", "log.level warning",
            {"share": share, "ours_per_s": files["ours_per_s"], "silent_per_s": statistics.median(rates(found["silent"]))},
        ),
    ]  # fmt: skip


def rates(loads: list[Load]) -> list[float]:
    return [one.rate for one in loads]


def worse(figures: dict[str, float]) -> float:
    """The ratio that decides: a machine that others use must not flatter us."""
    return min(figures["ratio"], figures.get("cpu_ratio", figures["ratio"]))


def compare(found: dict[str, list[Load]], ours: str, theirs: str) -> dict[str, float]:
    """Return the ratio of rates; and that of requests by processor time, where it was measured.

    On an idle machine they agree. Where others use the machine the second is nearer the truth.
    """
    costs = [[one.cpu_s / one.requests for one in found[name]] for name in (theirs, ours)]
    by_cpu = {"cpu_ratio": median_ratio(*costs)} if all(map(all, costs)) else {}
    return {"ratio": median_ratio(rates(found[ours]), rates(found[theirs]))} | by_cpu | {
        "ours_per_s": statistics.median(rates(found[ours])),
        "against_per_s": statistics.median(rates(found[theirs])),
        "ours_p99_ms": statistics.median(one.p99_ms for one in found[ours]),
    }  # fmt: skip


def all_readers(bench: Bench, fleet: Fleet, asks: Path) -> list[Row]:
    """The rows of as many readers as there are cores; wrk has no core of its own here."""
    count = len(ALL)
    what = f"200 of a 16 kB file, readers: {count}"
    against = f"nginx, one static file, {count} workers, access log on"
    names = (what, f"{what}, a new connection each")
    if NGINX is None:
        return [Row(name, against, note="nginx is not installed (make bench-deps)") for name in names]
    one_file = write_requests(bench.folder / "one", [("/file.cfg", "")])
    with serving(fleet.service(workers=count), ALL) as ours, nginx(bench.folder / "nginx", count) as base:
        time.sleep(min(1.0, bench.scale.seconds))  # all readers, not only the first
        everywhere = partial(wrk, where=ALL)
        works = {
            "nginx": partial(everywhere, base, one_file),
            "ours": partial(everywhere, ours.base, asks),
            "nginx, new": partial(everywhere, base, one_file, close=True),
            "ours, new": partial(everywhere, ours.base, asks, close=True),
        }
        found = in_turn(bench.scale.rounds, min(2.0, bench.scale.seconds), works)
        note = f"{ours.readers()} of our readers"
    assert all(one.bytes_each > SIZE for loads in found.values() for one in loads)
    pairs = (("ours", "nginx"), ("ours, new", "nginx, new"))
    return [
        Row(name, against, compare(found, *pair), "printed", "", note)
        for name, pair in zip(names, pairs, strict=True)
    ]


CONFIG = """
daemon off; {user} worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/access.log; default_type text/plain; keepalive_requests 1000000000; sendfile on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/root; }}
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, workers: int) -> Iterator[str]:
    """Run nginx in a folder of its own; give its address. It needs no root."""
    assert NGINX
    (folder / "root").mkdir(parents=True)
    (folder / "root" / "file.cfg").write_bytes(b"x" * SIZE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user = (
        f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else ""
    )  # else root's workers cannot read it
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, workers=workers, port=port, user=user))
    log = folder / "error.log"
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(log)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
