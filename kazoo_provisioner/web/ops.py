"""The operator's own pages, on an address of their own: ``/status``. docs/operations.md describes every field."""

import socket
from typing import Any

import msgspec
from aiohttp import web

from kazoo_provisioner.store.reader import Reader


class Ops:
    """Serves the operator's pages until it is stopped."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        application = web.Application()
        application.router.add_get("/status", self._status)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)

    async def start(self, sockets: list[socket.socket]) -> None:
        """Begin to answer on sockets that listen."""
        await self._runner.setup()
        for one in sockets:
            await web.SockSite(self._runner, one).start()

    async def stop(self) -> None:
        """Stop answering."""
        await self._runner.cleanup()

    async def _status(self, _request: web.Request) -> web.Response:
        found: dict[str, Any] = self._reader.status()
        body = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
        return web.Response(body=body, content_type="application/json", charset="utf-8")
