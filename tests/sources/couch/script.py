"""A byte-scripted HTTP server inside the test's own loop: what goes over the wire is written out here.

Whoever answers gets a `Wire`: whole answers, chunked ones piece by piece, cuts, silence, or any bytes at all.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

REASONS = {200: "OK", 201: "Created", 302: "Found", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    """Decoded: ``/account/ab/cd/ef…/_changes``."""
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float
    """Loop time."""

    @property
    def what(self) -> str:
        """The last part of the path; ``db`` for a database itself."""
        if self.path == "/":
            return "/"
        last = self.path.rpartition("/")[2]
        return last if last.startswith("_") else "db"

    @property
    def db(self) -> str:
        path = self.path.strip("/")
        return path.rpartition("/")[0] if self.what.startswith("_") else path

    @property
    def continuous(self) -> bool:
        return self.query.get("feed") == "continuous"


class Wire:
    """The connection's other end, for one answer."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.keep = True
        """Whether the connection can be used for another request."""

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(
        self, status: int, body: bytes, kind: str = "application/json", headers: tuple[str, ...] = ()
    ) -> None:
        """Send a whole answer."""
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"Content-Type: {kind}", *headers]
        head = "\r\n".join([*lines, f"Content-Length: {len(body)}"])
        await self.raw(head.encode() + b"\r\n\r\n" + body)

    async def json(self, value: Any, status: int = 200, headers: tuple[str, ...] = ()) -> None:
        await self.answer(status, json.dumps(value).encode() + b"\n", headers=headers)

    async def missing(self) -> None:
        """CouchDB's own 404."""
        await self.json({"error": "not_found", "reason": "Database does not exist."}, 404)

    async def html(self, status: int) -> None:
        """What a proxy says."""
        await self.answer(status, b"<html><body>Status</body></html>", "text/html")

    async def head(self, *, chunked: bool = True) -> None:
        """Begin an answer that comes in pieces; not chunked: it ends with the connection."""
        self.keep = chunked
        mode = b"Transfer-Encoding: chunked" if chunked else b"Connection: close"
        await self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + mode + b"\r\n\r\n")

    async def piece(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self.keep else data)

    async def end(self) -> None:
        if self.keep:
            await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """Close the connection, whatever was under way."""
        self.keep = False
        self._writer.close()

    async def silence(self) -> None:
        """Say nothing until the other side goes away."""
        await asyncio.Event().wait()


Handler = Callable[[Request, Wire], Awaitable[None]]


@dataclass
class Rule:
    """An answer instead of the usual one."""

    match: Callable[[Request], bool]
    handler: Handler
    hits: list[Request] = field(default_factory=list)
    left: int | None = None
    """How many more times; None: always."""

    def off(self) -> None:
        self.left = 0

    def on(self) -> None:
        self.left = None


class Script:
    """The server."""

    def __init__(self, usual: Handler, budget: int = 3000) -> None:
        self.usual = usual
        self.log: list[Request] = []
        self.budget = budget
        """Requests after which nothing is answered any more: a busy loop would never let time go on."""
        self.rules: list[Rule] = []
        self.frozen = False
        """Connections are made, requests are read, nothing is answered."""
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def flooded(self) -> bool:
        return len(self.log) >= self.budget

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop as a killed server does: every connection is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.hang_up()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def hang_up(self) -> None:
        """Cut all connections."""
        for task, writer in self._connections.items():
            writer.close()
            task.cancel()

    def instead(
        self, handler: Handler, what: str | None = None, *, times: int | None = None, **like: Any
    ) -> Rule:
        """Answer requests of one kind otherwise; `like`: attributes of the request."""

        def match(request: Request) -> bool:
            wanted = like if what is None else {"what": what, **like}
            return all(getattr(request, name) == value for name, value in wanted.items())

        rule = Rule(match, handler, left=times)
        self.rules.insert(0, rule)
        return rule

    def count(self, what: str | None = None, since: float = 0, **like: Any) -> int:
        wanted = like if what is None else {"what": what, **like}
        return sum(
            r.at >= since and all(getattr(r, name) == value for name, value in wanted.items())
            for r in self.log
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            while (request := await self._request(reader)) is not None:
                wire = Wire(writer)
                self.log.append(request)
                if not await self._until_gone(self._answer(request, wire), reader) or not wire.keep:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # hung up; the callback of asyncio's streams would log it
        finally:
            self._connections.pop(task, None)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except asyncio.IncompleteReadError:
            return None
        method, target, _ = head[0].split(" ")
        headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path, _, query = target.partition("?")
        now = asyncio.get_running_loop().time()
        return Request(method, unquote(path), dict(parse_qsl(query)), headers, body, now)

    async def _answer(self, request: Request, wire: Wire) -> None:
        if self.frozen or self.flooded:
            await wire.silence()
        for rule in self.rules:
            if rule.left != 0 and rule.match(request):
                rule.hits.append(request)
                if rule.left is not None:
                    rule.left -= 1
                await rule.handler(request, wire)
                return
        await self.usual(request, wire)

    async def _until_gone(self, answer: Any, reader: asyncio.StreamReader) -> bool:
        """Answer, unless the other side closes the connection first."""
        answering = asyncio.ensure_future(answer)
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait([answering, gone], return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
                return True
            return False
        finally:
            answering.cancel()
            gone.cancel()
            await asyncio.gather(answering, gone, return_exceptions=True)
