"""What our serving is measured against: aiohttp's low-level server, and a handler that does next to nothing.

A process of its own: ``python -m tests.benchmarks.bare KIND ARGUMENT``. `KIND` is ``file`` (answers everything
with as many bytes), ``unchanged`` (answers everything 304), or ``mix`` (a file: path, status, ETag, bytes; it
gives what stands there, and 304 where If-None-Match fits). It prints its address and ends with its input.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from aiohttp import web

from tests.benchmarks.loads import SERVER, pinned

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
ETAG = '"0123456789abcdef0123456789abcdef"'


def file(size: str) -> Handler:
    body = b"x" * int(size)

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body)

    return handle


def unchanged(_nothing: str) -> Handler:
    headers = {"ETag": ETAG}

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=304, headers=headers)

    return handle


def mix(path: str) -> Handler:
    known: dict[str, tuple[int, str, bytes]] = {}
    for line in Path(path).read_text().splitlines():
        name, status, etag, size = line.split("\t")
        known[name] = int(status), f'"{etag}"', b"x" * int(size)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        status, etag, body = known[request.raw_path]
        if status != 200:
            return web.Response(status=status, body=b"Not found\n")
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        return web.Response(body=body, headers={"ETag": etag})

    return handle


async def serve(handler: Handler) -> None:
    runner = web.ServerRunner(web.Server(handler, access_log=None), handle_signals=False)
    await runner.setup()
    one = socket.create_server(("127.0.0.1", 0), backlog=1024)
    await web.SockSite(runner, one).start()
    print(f"http://127.0.0.1:{one.getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


@contextlib.contextmanager
def running(kind: str, argument: object = "") -> Iterator[tuple[str, list[int]]]:
    """Run one, on the servers' core; give its address and its process."""
    command = [sys.executable, "-m", "tests.benchmarks.bare", kind, str(argument)]
    with pinned(SERVER):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout
        assert process.stdin
        base = process.stdout.readline().strip()
        assert base, "the bare server did not start"
        try:
            yield base, [process.pid]
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve({"file": file, "unchanged": unchanged, "mix": mix}[sys.argv[1]](sys.argv[2])))
