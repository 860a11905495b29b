"""The server as a reader process has it, in the test's own loop: a store with a few files, sockets on loopback."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import structlog.testing

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.releases import Made, PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.run import SYNCED
from kazoo_provisioner.web.api import Api
from kazoo_provisioner.web.connection import Connections
from kazoo_provisioner.web.notes import Notes
from kazoo_provisioner.web.paths import Paths
from kazoo_provisioner.web.phones import Phones
from kazoo_provisioner.web.server import Server
from tests.support import tiny
from tests.support.kazoo import account_id
from tests.support.raw import Response, get, responses
from tests.support.service import PATIENCE

HERE = account_id(1)
MAC = "001565aabbcc"
OTHER_MAC = "001565aabbdd"
OURS = f"/p/{HERE}/{MAC}.cfg"
OWN = b"own = 1\n"
COMMON = "/p/y000000000028.cfg"
BIG = f"/p/{HERE}/{MAC}-big.cfg"
LARGE = bytes(range(256)) * 32768
"""More than a kernel's buffers take of a client that reads nothing."""


def fill(folder: Path) -> None:
    """Make a store with files of two phones, and a common one."""
    store = Store(folder)
    with store.transaction():
        for mac in (MAC, OTHER_MAC):
            files = [Made(f"{mac}.cfg", "text/plain", True, OWN, "own")]
            if mac == MAC:
                files.append(Made(f"{mac}-big.cfg", "text/plain", True, LARGE, "big"))
            subject = f"phone/{HERE}/{mac}"
            store.releases.publish(subject, files, [HERE, ""], "t46", "i", [], 1)
            store.releases.set_state(PhoneState(subject, HERE, mac, mac, at=1))
        common = Made("y000000000028.cfg", "text/plain", False, b"common = 1\n", "common")
        store.releases.publish("common/yealink/t4x", [common], [""], "t46", "i", [], 1)
        store.set_meta(SYNCED, "1")
    store.close()


async def until(good: Callable[[], Any], told: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.005)


class Client:
    """One connection that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ask(self, data: bytes) -> Response:
        self.send(data)
        return await self.one()

    async def one(self) -> Response:
        """Read one response with a body or none."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            body = await self.reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
        return responses(head + body)[0]

    async def rest(self) -> bytes:
        """Everything until the other side closes or resets."""
        got = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                while piece := await self.reader.read(65536):
                    got += piece
        return got

    def close(self) -> None:
        self.writer.transport.abort()


class Serving:
    """A server with its notes; `logs` is what it logged."""

    def __init__(self, folder: Path, **web: Any) -> None:
        self.folder = folder
        if not (folder / "store").exists():
            fill(folder / "store")
            tiny.write(folder / "templates")
        self.settings = WebSettings(**web)
        self._clients: list[Client] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        settings = self.settings
        self.logs = self._stack.enter_context(structlog.testing.capture_logs())
        self.reader = Reader(self.folder / "store")
        self.notes = Notes(self.folder / "store", settings, first=True)
        phones = Phones(
            self.reader, Paths(settings.legacy_paths), serve_without_account=settings.serve_without_account
        )
        api = Api(tiny.load(self.folder / "templates"))
        self.server = Server(phones, api, self.notes, settings)
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        await self.server.start([listening])
        self.stopped = False
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        if not self.stopped:
            await self.server.stop()
        await self.notes.close()
        self.reader.close()
        await self._stack.aclose()

    @property
    def connections(self) -> Connections:
        return self.server._connections

    async def stop(self) -> None:
        self.stopped = True
        await self.server.stop()

    async def client(self, remote: str = "127.0.0.1", *, receive: int = 0) -> Client:
        """Connect from an address; `receive`: with a receive buffer of so many bytes, and nothing is read ahead."""
        one = socket.socket()
        one.setblocking(False)
        if receive:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        one.bind((remote, 0))
        try:
            await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", self.port))
        except OSError:
            one.close()
            raise
        reader, writer = await asyncio.open_connection(sock=one, limit=65536)
        made = Client(reader, writer)
        self._clients.append(made)
        if receive:
            writer.transport.pause_reading()
        return made

    async def get(self, path: str, *headers: str, remote: str = "127.0.0.1") -> Response:
        """Ask once on a connection of its own."""
        client = await self.client(remote)
        try:
            return await client.ask(get(path, *headers, "Connection: close"))
        finally:
            client.close()

    def said(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.logs if line["event"] == event]
