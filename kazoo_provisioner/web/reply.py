"""Answers whose head is written by ourselves: what phones get, at a third of what aiohttp's Response costs."""

import time
from typing import TYPE_CHECKING, cast

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from kazoo_provisioner.web.connection import Connection

_PHRASES = {
    200: "OK", 304: "Not Modified", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
_date: tuple[int, str] = (0, "")


class Reply(web.StreamResponse):
    """A whole answer. `headers` are lines that each end with CRLF; they hold nothing that a client said."""

    def __init__(self, status: int, headers: str, body: bytes, *, close: bool = False) -> None:
        # Not StreamResponse's own: nothing of what it prepares is used.
        self._status = status
        self._lines = headers
        self.content = body
        self._closing = close
        self._keep_alive: bool | None = None
        self._eof_sent = False

    @property
    def parts(self) -> tuple[int, str, bytes]:
        """What to make the same answer of again: each answers one request."""
        return self._status, self._lines, self.content

    async def prepare(self, request: web.BaseRequest) -> "AbstractStreamWriter | None":
        """Write all of it; wait while the client does not take what it asked for before."""
        connection = cast("Connection", request.protocol)
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError
        keep = (
            not self._closing and request.keep_alive and not request.can_read_body and not connection.ending
        )
        self._keep_alive = keep
        told = ""
        if not keep:
            told = "Connection: close\r\n"
        elif request.version < HttpVersion11:
            told = "Connection: keep-alive\r\n"
        length = "" if self._status == 304 else f"Content-Length: {len(self.content)}\r\n"
        head = (
            f"HTTP/1.1 {self._status} {_PHRASES[self._status]}\r\n{self._lines}{length}{told}"
            f"Date: {_now()}\r\nServer: kazoo-provisioner\r\n\r\n"
        ).encode("latin-1")
        transport.write(head if request.method == hdrs.METH_HEAD else head + self.content)
        if connection.writing_paused:
            await connection.drained()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Everything was written already."""


def plain(status: int, text: str, headers: str = "", *, close: bool = False) -> Reply:
    """Make an answer of a line of text."""
    lines = f"Content-Type: text/plain; charset=utf-8\r\n{headers}"
    return Reply(status, lines, text.encode(), close=close)


def _now() -> str:
    """Return the time as HTTP writes it (RFC 9110, 5.6.7)."""
    global _date  # noqa: PLW0603 - made once a second
    second = int(time.time())
    if second != _date[0]:
        at = time.gmtime(second)
        day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[at.tm_wday]
        month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[
            at.tm_mon - 1
        ]
        _date = (second, time.strftime(f"{day}, %d {month} %Y %H:%M:%S GMT", at))
    return _date[1]
