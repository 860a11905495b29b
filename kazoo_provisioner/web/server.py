"""The HTTP server: phones and the UIs' API on the same sockets, one log line for each request."""

import re
import resource
import socket
import time
from collections.abc import Iterable
from typing import Any, cast

import structlog
from aiohttp import web

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store.access import Request
from kazoo_provisioner.web import api, phones
from kazoo_provisioner.web.agents import mac_of_agent
from kazoo_provisioner.web.connection import Connection, Connections
from kazoo_provisioner.web.notes import Notes
from kazoo_provisioner.web.paths import Asked
from kazoo_provisioner.web.reply import Reply, plain

log = structlog.get_logger()

_ABSOLUTE = re.compile(r"^[a-z]+://([^/?#]*)", re.IGNORECASE)
"""A request line may name the whole URL (RFC 9112, 3.2.2)."""

DRAIN = 10.0
"""Seconds that replies under way may take when we stop."""
ACCEPTED = 1
"""Connections that one process takes in a row: the others get theirs."""
BACKLOG = 4096
"""Connections that may wait for us; the system may allow fewer (``net.core.somaxconn``)."""
SPARE = 100
"""Descriptors of a process that are no connections."""

_GUESSES = {"unknown_mac", "wrong_account", "no_such_path"}
"""Reasons of a 404 that somebody collects who tries names."""
_LIMITED = plain(429, "Too many\n", "Retry-After: 600\r\n").parts
_NOTHING = Asked("", "", "")
_AGENT = 256
_PATH = 256
_NAME = 64


Asker = tuple[str, str, str]
"""Who asks: address, host by which, User-Agent."""


class Server:
    """Serves until it is stopped. Replace `api` to serve another catalogue."""

    def __init__(self, handler: phones.Phones, ui: api.Api, notes: Notes, settings: WebSettings) -> None:
        self._phones = handler
        self.api = ui
        self._notes = notes
        self._connections = Connections(self._handle, settings, self._refused, most_connections(settings))
        self._runner = web.ServerRunner(self._connections, handle_signals=False, shutdown_timeout=DRAIN)

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to answer on sockets that listen."""
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one, backlog=ACCEPTED).start()
            one.listen(BACKLOG)

    async def stop(self) -> None:
        """Accept no more, finish what is under way, at most `DRAIN` seconds long."""
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        headers = request.headers
        connection = cast("Connection", request.protocol)
        remote, host = connection.remote, _text(headers.get("Host", ""))
        if connection.trusted:
            remote = self._connections.proxies.client(remote, headers)
            host = _text(headers.get("X-Forwarded-Host", host)).partition(",")[0].strip()
        raw = _text(request.raw_path.partition("?")[0])
        if not raw.startswith("/"):
            absolute = _ABSOLUTE.match(raw)
            raw, host = (raw[absolute.end() :], absolute[1]) if absolute else (raw, host)
        asker = (remote, host[:_PATH], _text(headers.get("User-Agent", "")[:_AGENT]))
        if raw[:6].lower() == api.PREFIX and raw[6:7] in ("", "/"):
            return self._ask_api(request.method, raw, asker, started)
        return self._ask_phones(request.method, raw, asker, started, headers.get("If-None-Match"))

    def _ask_api(self, method: str, raw: str, asker: Asker, started: float) -> web.Response:
        response, reason = self.api.answer(method, raw.lower())
        response.headers["Server"] = "kazoo-provisioner"  # not which Python and which aiohttp
        sent = len(response.body) if isinstance(response.body, bytes) and method != "HEAD" else 0
        line = Request("", "", "", int(time.time()), response.status, reason, *asker, "", 0, 0)
        self._note("api", line, method, raw, sent, started)
        return response

    def _ask_phones(
        self, method: str, raw: str, asker: Asker, started: float, if_none_match: str | None
    ) -> Reply:
        notes = self._notes
        remote, host, agent = asker
        reply, reason, asked, model, public = self._phones.answer(method, host, raw, if_none_match)
        account, file, mac, legacy = asked or _NOTHING
        now = int(time.time())
        # A name without a MAC address, of a file that is not there, tells nobody anything.
        guess = mac or asked is None
        if notes.limited and guess and not public and notes.refuses(remote, mac):
            reply, reason, model = Reply(*_LIMITED), "limited", ""
        elif reason in _GUESSES:
            notes.missed(remote, f"{account}/{mac}" if asked else raw[:_NAME], now)
        line = Request(
            mac or mac_of_agent(agent), account, file, now, reply.status, reason, remote, host, agent,
            model, int(legacy), int(bool(model and not public and mac and mac in file)),
        )  # fmt: skip
        sent = len(reply.content) if method != "HEAD" else 0
        self._note("phone", line, method, "" if asked else raw, sent, started)
        return reply

    def _note(self, kind: str, line: Request, method: str, path: str, sent: int, started: float) -> None:
        """Write the one line of a request, and count it."""
        seconds = time.perf_counter() - started
        self._notes.request(line, kind, seconds, sent)
        # Who is limited was told once, and counts; the log is not theirs to fill.
        tell = log.debug if line.reason == "limited" else log.info
        fields: dict[str, Any] = {"method": method, "status": line.status, "reason": line.reason}
        if line.account:
            fields["account"] = line.account
        if line.mac:
            fields["mac"] = line.mac
        if line.file:
            fields["file"] = line.file
        if line.model:
            fields["model"] = line.model
        if path:
            fields["path"] = path[:_PATH]
        if line.legacy:
            fields["old_url"] = line.legacy
        tell(
            "phone_request" if kind == "phone" else "api_request", **fields, bytes=sent,
            ms=round(seconds * 1000, 2), remote=line.remote, host=line.host, agent=line.agent,
        )  # fmt: skip

    def _refused(self, remote: str, status: int, reason: str) -> None:
        """Say that something came that was no request, or that we failed on one."""
        self._notes.count(f"refused {status} {reason}")
        if status >= 500:
            log.error("request_failed", problem=reason, remote=remote)
        else:
            log.info("bad_request", status=status, reason=reason, remote=remote)


def _text(said: str) -> str:
    """Return what a client said as text that can be stored and logged, also where its bytes were none."""
    return said if said.isascii() else said.encode("utf-8", "replace").decode()


def most_connections(settings: WebSettings) -> int:
    """Return how many connections a process can have: as many as set, or as descriptors allow."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        settings.connections
        if allowed == resource.RLIM_INFINITY
        else min(settings.connections, max(16, allowed - SPARE))
    )
