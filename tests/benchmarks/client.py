"""A client that looks at every answer: raw sockets, many phones at a time, a connection for each phone."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Ask(NamedTuple):
    """A request and what must come of it. `etag` is that of the file, empty where there is none."""

    path: str
    etag: str
    size: int
    has_it: bool
    """Whether the phone says that it has this file (If-None-Match)."""

    def status(self) -> int:
        if not self.etag:
            return 404
        return 304 if self.has_it else 200


class Seen(NamedTuple):
    """How often each status came, and what was wrong."""

    statuses: Counter[int]
    wrong: Counter[str]


def ask_all(base: str, phones: Iterable[list[Ask]], connections: int) -> Seen:
    """Ask for everything, so many phones at a time; look at every status, header and body."""
    host, _, port = base.removeprefix("http://").rpartition(":")
    seen = Seen(Counter(), Counter())
    waiting = iter(phones)

    async def one() -> None:
        for asks in waiting:
            try:
                async with asyncio.timeout(60):
                    await _phone(host, int(port), asks, seen)
            except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                seen.wrong[f"broken: {type(error).__name__}"] += 1

    async def everybody() -> None:
        await asyncio.gather(*(one() for _ in range(connections)))

    asyncio.run(everybody())
    return seen


async def _phone(host: str, port: int, asks: list[Ask], seen: Seen) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        for ask in asks:
            has = f'If-None-Match: "{ask.etag}"\r\n' if ask.has_it else ""
            writer.write(f"GET {ask.path} HTTP/1.1\r\nHost: {host}\r\n{has}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(head.split(" ", 2)[1])
            length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
            body = await reader.readexactly(int(length[1])) if length and status != 304 else b""
            seen.statuses[status] += 1
            seen.wrong.update(wrong(ask, status, head, body))
    finally:
        writer.close()


def wrong(ask: Ask, status: int, head: str, body: bytes) -> Iterator[str]:
    """Say what is wrong with an answer."""
    if status != ask.status():
        yield f"status {status} instead of {ask.status()}"
        return
    etag = re.search(r'(?i)^etag: *"([^"]*)"', head, re.MULTILINE)
    if ask.etag and (not etag or etag[1] != ask.etag):
        yield "another ETag"
    if status == 200 and hashlib.sha256(body).hexdigest()[:32] != ask.etag:
        yield "another body"
