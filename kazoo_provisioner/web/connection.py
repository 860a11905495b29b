"""Connections: how many, how slow, and what is no HTTP. Slow clients hold nothing up.

aiohttp parses and keeps alive. Ours are the bounds that it has not: a request that never becomes whole, an
answer that is never taken, more connections than there may be, the PROXY protocol before the first byte.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.web import proxy_protocol
from kazoo_provisioner.web.remote import Proxies, plain
from kazoo_provisioner.web.reply import Reply
from kazoo_provisioner.web.reply import plain as plain_reply

LINE = 8190
"""Bytes of a request line, and of a header, at most."""
HEADERS = 100
"""Headers of a request at most."""
HEAD = 32 * 1024
"""Bytes of a request that is not whole yet, at most."""
LINGER = 2.0
"""Seconds in which a body that nobody reads may still arrive, before the connection is closed."""

Refusal = Callable[[str, int, str], None]
"""Told of what was no request: address, status (0: none was sent) and reason."""
_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n"
    b"Server: kazoo-provisioner\r\n\r\n"
)


class Connection(RequestHandler):
    """One client. `remote` is who that is, as far as the connection says; `trusted`: it is a proxy of ours."""

    __slots__ = (
        "_begun",
        "_half_closed",
        "_header",
        "_since",
        "_taken_since",
        "manager",
        "remote",
        "trusted",
    )

    def __init__(self, manager: "Connections", **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self.manager = manager
        self.remote = ""
        self.trusted = False
        self._half_closed = False  # the client has said all that it wants
        self._header: bytearray | None = None
        self._since = 0.0  # when the request that is not whole began
        self._begun = 0  # bytes of it
        self._taken_since = 0.0  # since when there is something that the client has not taken

    @property
    def ending(self) -> bool:
        """Whether no further request is answered on it."""
        return bool(self._close or self._force_close or (self._half_closed and not self._messages))

    async def drained(self) -> None:
        """Wait until the client has taken most of what it was sent."""
        await self._drain_helper()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know who it is, and take part in the count."""
        peer = transport.get_extra_info("peername")
        self.remote = plain(str(peer[0])) if peer else ""
        self.trusted = self.manager.proxies.trusts(self.remote)
        if self.trusted and self.manager.settings.proxy_protocol:
            self._header = bytearray()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Read; note when a request that is not whole began."""
        if self._header is not None:
            self._since = self._since or self._loop.time()
            self._header += data
            data = self._read_header(self._header)
            if not data:
                return
        before = self._request_count
        self._begun += len(data)
        if self._begun > HEAD and self._waiter is not None and self._since:
            self.manager.refused(self.remote, 0, "too_long")
            self.abort()
            return
        super().data_received(data)
        if self._request_count != before:
            self._since, self._begun = 0.0, 0
            self.manager.active(self)
        elif not self._since and self._waiter is not None:
            self._since = self._loop.time()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio asks; aiohttp says nothing
        """Keep a connection on which nothing more is asked until what was asked is answered."""
        self._half_closed = True
        return bool(self._messages) or (self._request_count > 0 and not self._waits())

    def _waits(self) -> bool:
        """Whether everything that was asked is answered."""
        return self._waiter is not None and not self._waiter.done()

    def _read_header(self, begun: bytearray) -> bytes:
        """Read what the proxy says of its client; return what stands behind it."""
        try:
            found = proxy_protocol.read(bytes(begun))
        except proxy_protocol.ProxyProtocolError:
            self.manager.refused(self.remote, 0, "proxy_protocol")
            self._header = bytearray()
            self.abort()
            return b""
        if found is None:
            return b""
        self._header = None
        self._since = 0.0
        self.remote = plain(found.address) or self.remote
        # Who it is was said already: a header that says so too is the client's own word.
        self.trusted = False
        return bytes(begun[found.length :])

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request of HTTP, or what failed in us, without a word about how we are made."""
        del message, request
        if status >= 500:
            self.manager.refused(self.remote, 500, type(exc).__name__)
            return plain_reply(500, "Failed\n", close=True)
        reason = "too_long" if isinstance(exc, LineTooLong) else "malformed"
        self.manager.refused(self.remote, 400, "no_http" if isinstance(exc, BadHttpMethod) else reason)
        return plain_reply(400, "Bad request\n", close=True)

    def log_exception(self, *_args: Any, **_kw: Any) -> None:
        """Say nothing: what failed was said, and what the client sent belongs in no log."""

    def late(self, now: float, limit: float) -> str:
        """Return why this connection has taken too long, empty if it has not."""
        transport = self.manager.transport(self)
        if transport is None:
            return ""
        if self._half_closed and self._waits():
            transport.close()
        if not transport.get_write_buffer_size():
            self._taken_since = 0.0
        elif not self._taken_since:
            self._taken_since = now
        elif now - self._taken_since > limit:
            return "answer_not_taken"
        return "request_not_whole" if self._since and now - self._since > limit else ""

    def abort(self) -> None:
        """Close at once, whatever the client has not taken."""
        transport = self.manager.transport(self)
        self.force_close()
        if transport is not None:
            transport.abort()

    def expire(self, reason: str) -> None:
        """End a connection that took too long, with a word where one can be said."""
        self._since = self._taken_since = 0.0
        answered = 0
        transport = self.manager.transport(self)
        if reason == "request_not_whole" and transport is not None and self._header is None:
            transport.write(_LATE)
            answered = 408
        self.manager.refused(self.remote, answered, reason)
        self.abort()


class Connections(web.Server):
    """All of a process's connections: at most so many, none for ever."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[Reply | web.StreamResponse]],
        settings: WebSettings,
        refused: Refusal,
        most: int,
    ) -> None:
        super().__init__(
            handler, access_log=None, keepalive_timeout=settings.idle, lingering_time=LINGER,
            max_line_size=LINE, max_field_size=LINE, max_headers=HEADERS, auto_decompress=False,
        )  # fmt: skip
        self.settings = settings
        self.refused = refused
        self.proxies = Proxies(settings.trusted_proxies)
        self._most = most
        self._by_age: OrderedDict[Connection, asyncio.Transport] = OrderedDict()
        self._sweeping: asyncio.Task[None] | None = None
        self._none = asyncio.Event()
        self._ending = False

    def __call__(self) -> RequestHandler:
        """Make the protocol of one connection."""
        if self._sweeping is None:
            self._sweeping = self._loop.create_task(self._sweep(), name="connections")
        return Connection(self, loop=self._loop, **self._kwargs)

    def __len__(self) -> int:
        """Return how many connections there are."""
        return len(self._by_age)

    def transport(self, connection: Connection) -> asyncio.Transport | None:
        """Return a connection's transport while it lives, also where aiohttp has let go of it."""
        return self._by_age.get(connection)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Count it; where there are too many, the one that is idle longest goes."""
        super().connection_made(handler, transport)
        if self._ending:
            transport.abort()  # accepted before we stopped, told of it only now
            return
        self._by_age[cast("Connection", handler)] = transport
        while len(self._by_age) > self._most:
            oldest = next(iter(self._by_age))
            oldest.abort()
            del self._by_age[oldest]

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Count it out."""
        self._by_age.pop(cast("Connection", handler), None)
        if not self._by_age:
            self._none.set()
        super().connection_lost(handler, exc)

    def active(self, connection: Connection) -> None:
        """Note that a connection has asked something."""
        if connection in self._by_age:
            self._by_age.move_to_end(connection)

    async def _sweep(self) -> None:
        """Once a second: end what takes too long."""
        limit = self.settings.timeout
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            now = self._loop.time()
            for connection in list(self._by_age):
                try:
                    reason = connection.late(now, limit)
                    if reason:
                        connection.expire(reason)
                except Exception as error:  # noqa: BLE001 - one connection's trouble is not the others'
                    self.refused(connection.remote, 500, type(error).__name__)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's own
        """Finish what is under way, at most so many seconds; then close, taken or not."""
        self._ending = True
        if self._sweeping:
            self._sweeping.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):  # aiohttp's own may take twice as long
                await super().shutdown(timeout)
                for transport in list(self._by_age.values()):
                    transport.close()  # who came meanwhile, too
                while self._by_age:  # what was answered is still on its way
                    self._none.clear()
                    await self._none.wait()
        for transport in list(self._by_age.values()):
            transport.abort()
