"""The composition root: which rooms make up the supervisor, the reader and the writer.

One supervisor opens the sockets and the lock and keeps two children: the reader answers phones, the
writer follows documents and renders. Either can die without the other noticing.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
from msgspec.structs import replace

from kazoo_provisioner import logs
from kazoo_provisioner.catalogue.load import BUNDLED, Catalogue, CatalogueError, load
from kazoo_provisioner.processes import Child, run_child
from kazoo_provisioner.render.check import problems
from kazoo_provisioner.render.engine import Renderer, RenderError
from kazoo_provisioner.settings import LogSettings, Settings
from kazoo_provisioner.settings import load as load_settings
from kazoo_provisioner.sources.base import Report, Source
from kazoo_provisioner.sources.couch.check import check
from kazoo_provisioner.sources.couch.source import CouchSource
from kazoo_provisioner.sources.directory import DirectorySource
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.schema import StoreError, lock
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.ahead import Ahead, helpers, render_ahead
from kazoo_provisioner.sync.reconcile import Reconciler
from kazoo_provisioner.sync.run import SYNCED, Writer
from kazoo_provisioner.web.api import Api
from kazoo_provisioner.web.ops import Ops
from kazoo_provisioner.web.phones import Phones
from kazoo_provisioner.web.server import DRAIN, Server
from kazoo_provisioner.yamlfile import SettingsError

log = structlog.get_logger()

REFUSED = (SettingsError, CatalogueError, RenderError)
"""What makes settings or templates unusable; each says why."""


def read_settings(config: Path) -> Settings:
    """Read the settings of a service. It must know its own address: phones are told to come back to it.

    Raises:
        SettingsError: names the file, the setting and what is wrong with it.
    """
    settings = load_settings(config)
    if settings.phones.default.public_url is None:
        raise SettingsError(
            f"{config}: phones.default.public_url: say how phones reach us, such as http://prov.example.com/p; "
            "it stands in their files, and a wrong one loses them"
        )
    return settings


def catalogue_of(settings: Settings) -> Catalogue:
    """Load the catalogue that the settings name.

    Raises:
        CatalogueError: with everything that is wrong in it.
    """
    return load(settings.templates or BUNDLED)


def source_of(settings: Settings) -> Source:
    """Make the source that the settings name."""
    if settings.source.type == "couch":
        return CouchSource(settings.source)
    return DirectorySource(settings.source)


async def check_source(settings: Settings) -> Report:
    """Look at the source; nothing is stored, and nothing changed there.

    Raises:
        SettingsError: the settings alone are wrong.
    """
    if settings.source.type == "couch":
        held: list[str] = []
        with contextlib.suppress(StoreError):
            store = Store(settings.store.path, read_only=True)
            held = store.documents.databases()
            store.close()
        return await check(settings.source, held)
    return Report(facts=[f"{settings.source.path}: a folder, that is all there is to check"])


def open_sockets(listen: tuple[str, ...], setting: str = "web.listen") -> list[socket.socket]:
    """Open the sockets that phones, or the operator, connect to.

    Raises:
        SettingsError: an address is none, or is taken.
    """
    sockets = []
    for address in listen:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not port.isdecimal() or int(port) > 65535:
            raise SettingsError(f"{setting}: {address!r} is not host:port")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            one = socket.create_server((host, int(port)), family=family, backlog=1024)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SettingsError(f"{setting}: cannot listen on {address}: {reason}") from error
        one.set_inheritable(True)
        sockets.append(one)
    return sockets


class Supervisor:
    """Holds lock and sockets, keeps reader and writer alive."""

    def __init__(
        self, config: Path, settings: Settings, on_synced: Callable[[list[str]], None] | None = None
    ) -> None:
        self._config = config
        self._settings = settings
        self._on_synced = on_synced
        self._stop = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreError, SettingsError: we could not start; says why.
        """
        held = lock(self._settings.store.path)
        Store(self._settings.store.path).close()  # migrates, or says what is wrong
        sockets = open_sockets(self._settings.web.listen)
        status = self._settings.web.status
        pages = open_sockets((status,) if status else (), "web.status")
        # Children read the settings again, but the store is the one whose lock we hold.
        config = ["--config", str(self._config), "--store", str(self._settings.store.path)]
        fds, ops = [one.fileno() for one in sockets], [one.fileno() for one in pages]
        passed = ["--sockets", ",".join(map(str, fds)), "--status-sockets", ",".join(map(str, ops))]
        reader = Child("reader", [*config, *passed], [*fds, *ops])
        writer = Child("writer", config, [held])
        children = (reader, writer)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._hangup(children, loop))
        addresses = [_url(one) for one in sockets]
        log.info(
            "started",
            listen=addresses,
            source=self._settings.source.type,
            store=str(self._settings.store.path),
            status=next((f"{_url(one)}/status" for one in pages), None),
        )
        keepers = [asyncio.create_task(child.keep(), name=child.role) for child in children]
        watcher = asyncio.create_task(self._announce(addresses), name="announce")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        done, _ = await asyncio.wait((stopped, *keepers), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        # The reader first: it finishes its replies while the writer finishes its transaction.
        await asyncio.gather(*(child.stop(DRAIN + 5) for child in children))
        for task in (*keepers, watcher, stopped):
            task.cancel()
        await asyncio.gather(*keepers, watcher, stopped, return_exceptions=True)
        log.info("stopped")
        for task in done - {stopped}:
            task.result()  # a keeper never ends by itself: what ended it ends us

    def _hangup(self, children: tuple[Child, ...], loop: asyncio.AbstractEventLoop) -> None:
        self._reloading = loop.create_task(self._reload(children), name="reload")

    async def _reload(self, children: tuple[Child, ...]) -> None:
        """Pass SIGHUP on, if what is there now could be used: every template must make what it should."""
        try:
            settings = read_settings(self._config)
            wrong = await asyncio.to_thread(lambda: problems(Renderer(catalogue_of(settings))))
        except REFUSED as error:
            wrong = [str(error)]
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what is there now, the old stays
            wrong = [type(error).__name__]
        if wrong:
            log.error("reload_refused", problem="; ".join(wrong[:5]))
            return
        rooms = ("source", "store", "web", "log")
        moved = [room for room in rooms if getattr(settings, room) != getattr(self._settings, room)]
        if moved:
            log.warning("reload_needs_restart", settings=moved)
        log.info("reloading")
        for child in children:
            child.signal(signal.SIGHUP)

    async def _announce(self, addresses: list[str]) -> None:
        """Tell whoever started us, once, when the first full pass has ended."""
        if self._on_synced is None:
            return
        store = Store(self._settings.store.path, read_only=True)
        try:
            while store.meta(SYNCED) is None:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.1)
            self._on_synced([f"{addresses[0]}{path}" for path in store.releases.examples()])
        finally:
            store.close()


def _url(one: socket.socket) -> str:
    host, port = one.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def run_reader(
    config: Path, settings: Settings, sockets: list[int], pages: list[int], alive: int
) -> None:
    """Be the reader process."""
    catalogue = catalogue_of(settings)
    reader = Reader(settings.store.path)
    handler = Phones(reader, serve_without_account=settings.web.serve_without_account)
    server = Server(handler, Api(catalogue))
    ops = Ops(reader)
    reloading: asyncio.Task[None] | None = None

    def reload() -> None:
        nonlocal reloading
        reloading = asyncio.create_task(asyncio.to_thread(_new_api, config, server), name="reload")

    async def work(stop: asyncio.Event) -> None:
        await server.start([socket.socket(fileno=fd) for fd in sockets])
        await ops.start([socket.socket(fileno=fd) for fd in pages])
        log.info("serving")
        await stop.wait()
        await asyncio.gather(server.stop(), ops.stop())
        if reloading:
            await reloading
        reader.close()

    await run_child(alive, work, reload)


def _new_api(config: Path, server: Server) -> None:
    """Load the catalogue anew, beside the loop that answers phones."""
    try:
        server.api = Api(catalogue_of(read_settings(config)))
    except REFUSED as error:
        log.error("reload_refused", problem=str(error))


async def run_writer(config: Path, settings: Settings, alive: int) -> None:
    """Be the writer process."""
    renderer = Renderer(catalogue_of(settings))
    store = Store(settings.store.path, settings.store.history)
    ahead = None
    if store.meta(SYNCED) is None:
        here = ["--config", str(config), "--store", str(settings.store.path)]
        ahead = Ahead([sys.executable, "-m", "kazoo_provisioner", "child", "renderer", *here], helpers())
    writer = Writer(store, source_of(settings), renderer, settings.phones, ahead)

    def reload() -> None:
        try:
            new = read_settings(config)
            writer.reload(Renderer(catalogue_of(new)), new.phones)
        except REFUSED as error:
            log.error("reload_refused", problem=str(error))

    async def work(stop: asyncio.Event) -> None:
        running = asyncio.create_task(writer.run(), name="writer")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait((running, stopped), return_when=asyncio.FIRST_COMPLETED)
        writer.stop()
        stopped.cancel()
        await running
        store.close()

    log.info("following", source=settings.source.type)
    await run_child(alive, work, reload)


def run_renderer(settings: Settings) -> None:
    """Be one of the processes that render ahead of the first pass; ends with its input."""
    renderer = Renderer(catalogue_of(settings))
    store = Store(settings.store.path, read_only=True)
    render_ahead(Reconciler(store, renderer, settings.phones), sys.stdin.buffer, sys.stdout.buffer)


def child(role: str, config: Path, store: Path, alive: int, sockets: list[int], pages: list[int]) -> int:
    """Run a child process; return its exit code."""
    logs.configure(LogSettings(), role, quiet=role == "renderer")
    try:
        settings = read_settings(config)
        settings = replace(settings, store=replace(settings.store, path=store))
        logs.configure(settings.log, role, final=True)
        if role == "renderer":
            logs.configure(settings.log, role, quiet=True)  # its output is not for people
            run_renderer(settings)
        elif role == "reader":
            asyncio.run(run_reader(config, settings, sockets, pages, alive))
        else:
            asyncio.run(run_writer(config, settings, alive))
    except (*REFUSED, StoreError) as error:
        log.error("process_failed", role=role, problem=str(error))
        return 3
    return 0
