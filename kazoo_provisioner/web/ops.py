"""The operator's pages, on an address of their own. docs/operations.md describes what each says."""

import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.web import metrics, status
from kazoo_provisioner.web.connection import Connections
from kazoo_provisioner.web.figures import FRESH, Figures, Process, Unread
from kazoo_provisioner.web.reply import Reply, plain

__all__ = ["CONNECTIONS", "Ops", "Process"]

log = structlog.get_logger()

CONNECTIONS = 64
"""Open connections at most: these pages are for one operator and one Prometheus."""
QUESTIONS = 16
"""Answers that are kept for a second at most: /status, and /metrics for each Accept header."""
DRAIN = 1.0
"""Seconds in which answers that are under way may end when we stop."""


Parts = tuple[int, str, bytes]
"""Of a Reply: status, headers, body."""


class Ops:
    """Serves the operator's pages until it is stopped. `processes`: reader and writer processes as they are now."""

    def __init__(self, store: Path, processes: Callable[[], list[Process]], settings: WebSettings) -> None:
        # No proxy of ours stands in front of this address.
        here = msgspec.structs.replace(settings, proxy_protocol=False, trusted_proxies=())
        self._figures = Figures(store, processes)
        self._pages = {
            "/healthz": self._health, "/readyz": self._ready, "/status": self._status, "/metrics": self._metrics,
        }  # fmt: skip
        self._made: dict[str, tuple[Parts, float]] = {}
        connections = Connections(self._handle, here, _refused, CONNECTIONS)
        self._runner = web.ServerRunner(connections, handle_signals=False, shutdown_timeout=DRAIN)

    async def start(self, sockets: Iterable[socket.socket]) -> None:
        """Begin to answer on sockets that listen."""
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one).start()

    async def stop(self) -> None:
        """Stop answering."""
        await self._runner.cleanup()
        self._figures.close()

    async def _handle(self, request: web.BaseRequest) -> Reply:
        page = self._pages.get(request.raw_path.partition("?")[0])
        if page is None:
            return plain(404, "Not found\n")
        if request.method not in ("GET", "HEAD"):
            return plain(405, "Not allowed\n", "Allow: GET, HEAD\r\n")
        return await page(request)

    async def _health(self, _request: web.BaseRequest) -> Reply:
        processes = self._figures.processes()
        wrong = [f"{one.role}: not running, restarts: {one.restarts}" for one in processes if one.pid is None]
        wrong += [f"{role}: there is none" for role in ("reader", "writer") if not _any(processes, role)]
        return _verdict(wrong)

    async def _ready(self, _request: web.BaseRequest) -> Reply:
        return _verdict(await self._unready())

    async def _unready(self) -> list[str]:
        """Return why phones cannot be served."""
        wrong = []
        synced = await self._figures.synced()
        if isinstance(synced, Unread):
            wrong.append(f"store: {synced.problem}")
        elif not synced:
            wrong.append("not synced: the first full pass has not ended")
        alive = [one for one in self._figures.processes() if one.pid is not None]
        if not _any(alive, "reader"):
            wrong.append("no reader is running")
        return wrong

    async def _status(self, _request: web.BaseRequest) -> Reply:
        kept = self._kept("/status")
        if kept is None:
            page = status.page(await self._figures.all())
            body = msgspec.json.format(msgspec.json.encode(page), indent=2) + b"\n"
            kept = self._keep("/status", body, "application/json")
        return Reply(*kept)

    async def _metrics(self, request: web.BaseRequest) -> Reply:
        accept = request.headers.get("Accept", "")
        question = f"/metrics {accept}"
        kept = self._kept(question)
        if kept is None:
            ready = not await self._unready()
            page = metrics.Page(await self._figures.all(), ready=ready)
            kept = self._keep(question, *page.encode(accept))
        return Reply(*kept)

    def _kept(self, question: str) -> Parts | None:
        """Return what was answered within the last second."""
        parts, until = self._made.get(question, (None, 0.0))
        return parts if time.monotonic() < until else None

    def _keep(self, question: str, body: bytes, content_type: str) -> Parts:
        parts = (200, f"Content-Type: {content_type}\r\n{_NOW}", body)
        if len(self._made) >= QUESTIONS:
            self._made.clear()
        self._made[question] = (parts, time.monotonic() + FRESH)
        return parts


def _any(processes: list[Process], role: str) -> bool:
    return any(one.role.partition("-")[0] == role for one in processes)


def _verdict(wrong: list[str]) -> Reply:
    return plain(503, "\n".join(wrong) + "\n", _NOW) if wrong else plain(200, "ok\n", _NOW)


_NOW = "Cache-Control: no-store\r\n"


def _refused(remote: str, answered: int, reason: str) -> None:
    """Say that a page could not be made; that somebody spoke no HTTP is of no interest here."""
    if answered >= 500:
        log.error("request_failed", problem=reason, remote=remote)
