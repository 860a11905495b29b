"""The HTTP server: phones and the UIs' API on the same sockets, one log line for each request."""

import re
import socket
import time
from collections.abc import Iterable

import structlog
from aiohttp import web

from kazoo_provisioner.web import api, phones

log = structlog.get_logger()

_ABSOLUTE = re.compile(r"^[a-z]+://[^/]*", re.IGNORECASE)
"""A request line may name the whole URL (RFC 9112, 3.2.2)."""

DRAIN = 10.0
"""Seconds that replies under way may take when we stop."""

_USER_AGENT = 256
_PATH = 256


class Server:
    """Serves until it is stopped. Replace `api` to serve another catalogue."""

    def __init__(self, handler: phones.Phones, ui: api.Api) -> None:
        self._phones = handler
        self.api = ui
        self._server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(self._server, handle_signals=False, shutdown_timeout=DRAIN)

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to answer on sockets that listen."""
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one).start()

    async def stop(self) -> None:
        """Accept no more, finish what is under way, at most `DRAIN` seconds long."""
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        raw = _ABSOLUTE.sub("", request.raw_path.partition("?")[0])
        asked, model = None, ""
        if raw.lower() == api.PREFIX or raw.lower().startswith(f"{api.PREFIX}/"):
            response, reason = self.api.answer(request.method, raw.lower())
            event = "api_request"
        else:
            answer = self._phones.answer(request.method, raw, request.headers.get("If-None-Match"))
            response, reason, asked, model = answer
            event = "phone_request"
        fields = (
            {"account": asked.account, "mac": asked.mac, "file": asked.file, "model": model}
            if asked
            else {"path": raw[:_PATH]}
        )
        response.headers["Server"] = "kazoo-provisioner"  # not which Python and which aiohttp
        log.info(
            event, method=request.method, status=response.status, reason=reason,
            **{name: value for name, value in fields.items() if value},
            bytes=len(response.body) if isinstance(response.body, bytes) and request.method != "HEAD" else 0,
            ms=round((time.perf_counter() - started) * 1000, 2),
            remote=request.remote, host=request.headers.get("Host", "")[:_PATH],
            agent=request.headers.get("User-Agent", "")[:_USER_AGENT],
        )  # fmt: skip
        return response
