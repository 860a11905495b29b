"""The supervisor: opens the sockets and the lock, keeps readers and the writer, and answers the operator.

Any of its children can die without the others noticing.
"""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

from kazoo_provisioner import app
from kazoo_provisioner.processes import Child, on_hangups
from kazoo_provisioner.render.check import problems
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import Settings, WebSettings
from kazoo_provisioner.store import access
from kazoo_provisioner.store.schema import StoreError, lock
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.run import SYNCED
from kazoo_provisioner.web.ops import Ops, Process
from kazoo_provisioner.web.server import BACKLOG, DRAIN, SPARE
from kazoo_provisioner.yamlfile import SettingsError

log = structlog.get_logger()


def open_sockets(listen: tuple[str, ...], setting: str = "web.listen") -> list[socket.socket]:
    """Open the sockets that phones, or the operator, connect to.

    Raises:
        SettingsError: an address is none, or is taken.
    """
    sockets: list[socket.socket] = []
    for address in listen:
        host, colon, port = address.rpartition(":")
        host = host.strip("[]")
        is_name = host.isascii() and host.isprintable()
        if not colon or not is_name or not port.isdecimal() or int(port) > 65535:
            raise SettingsError(f"{setting}: {address!r} is not host:port")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            one = socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
        except OSError as error:
            for other in sockets:
                other.close()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise SettingsError(f"{setting}: cannot listen on {address}: {reason}") from error
        one.set_inheritable(True)
        sockets.append(one)
    return sockets


class Supervisor:
    """Holds lock and sockets, keeps readers and the writer alive."""

    def __init__(
        self, config: Path, settings: Settings, digests: dict[str, str],
        on_synced: Callable[[list[str]], None] | None = None,
    ) -> None:  # fmt: skip
        self._digests = digests
        """Of the templates in use."""
        self._config = config
        self._settings = settings
        self._on_synced = on_synced
        self._stop = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._children: tuple[Child, ...] = ()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            StoreError, SettingsError: we could not start; says why.
        """
        folder, web = self._settings.store.path, self._settings.web
        held = lock(folder)
        Store(folder).close()  # migrates, or says what is wrong
        try:
            broken = access.renew(folder)
        except StoreError as error:  # phones are answered without it
            log.error("access_unavailable", problem=str(error))
        else:
            if broken:
                log.error("access_renewed", problem=broken)
        sockets = open_sockets(web.listen)
        pages = open_sockets((web.status,) if web.status else (), "web.status")
        raise_descriptors(web)
        self._children = self._made(sockets, held)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        on_hangups(loop, lambda: self._hangup(loop))
        addresses = [_url(one) for one in sockets]
        log.info(
            "started", listen=addresses, readers=len(self._children) - 1, source=self._settings.source.type,
            store=str(folder), status=next((f"{_url(one)}/status" for one in pages), None),
        )  # fmt: skip
        ops = Ops(folder, self._processes, web)
        await ops.start(pages)
        try:
            await self._keep(addresses, sockets)
        finally:
            await ops.stop()
        log.info("stopped")

    def _made(self, sockets: list[socket.socket], held: int) -> tuple[Child, ...]:
        """Make the children; none is started yet."""
        # Children read the settings again, but the store is the one whose lock we hold.
        config = ["--config", str(self._config), "--store", str(self._settings.store.path)]
        fds = [one.fileno() for one in sockets]
        passed = ["--sockets", ",".join(map(str, fds))]
        count = self._settings.web.workers or os.cpu_count() or 1
        readers = [
            Child("reader", f"reader-{n}", ["--number", str(n), *config, *passed], fds, beats=True)
            for n in range(1, count + 1)
        ]
        return (*readers, Child("writer", "writer", config, [held]))

    async def _keep(self, addresses: list[str], sockets: list[socket.socket]) -> None:
        """Keep the children until we are told to stop; then stop them."""
        keepers = [asyncio.create_task(child.keep(), name=child.name) for child in self._children]
        watcher = asyncio.create_task(self._announce(addresses), name="announce")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        done, _ = await asyncio.wait((stopped, *keepers), return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for one in sockets:
            one.close()  # with the readers' the last ones: who comes now is refused, and asks elsewhere or later
        # Readers finish their replies while the writer finishes its transaction.
        await asyncio.gather(*(child.stop(DRAIN + 5) for child in self._children))
        for task in (*keepers, watcher, stopped):
            task.cancel()
        await asyncio.gather(*keepers, watcher, stopped, return_exceptions=True)
        for task in done - {stopped}:
            task.result()  # a keeper never ends by itself: what ended it ends us

    def _processes(self) -> list[Process]:
        return [Process(child.name, child.pid, child.restarts, child.up_s) for child in self._children]

    def _hangup(self, loop: asyncio.AbstractEventLoop) -> None:
        self._reloading = loop.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        """Pass SIGHUP on, if what is there now could be used: every template must make what it should."""
        async with self._one_at_a_time:
            await self._try_reload()

    async def _try_reload(self) -> None:
        try:
            settings = app.read_settings(self._config)
            digests, wrong = await asyncio.to_thread(self._tried, settings)
        except app.REFUSED as error:
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
        self._digests = digests
        log.info("reloading")
        for child in self._children:
            child.signal(signal.SIGHUP)

    def _tried(self, settings: Settings) -> tuple[dict[str, str], list[str]]:
        """Render the samples of what differs from the templates in use; return their digests, and what is wrong."""
        catalogue = app.catalogue_of(settings)
        changed = {name for name, digest in catalogue.digests.items() if self._digests.get(name) != digest}
        return catalogue.digests, problems(Renderer(catalogue, changed), changed)

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


def raise_descriptors(web: WebSettings) -> None:
    """Take as many descriptors as this process may, for its children; say so where they are too few."""
    wanted = web.connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most < SPARE + 16:
        raise SettingsError(
            f"the system allows this process {most} open files; {SPARE + 16} are needed, and {wanted} for "
            f"web.connections: {web.connections} (LimitNOFILE of the systemd unit, ulimit -Hn)"
        )
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning("few_descriptors", limit=most, connections=max(16, most - SPARE), wanted=web.connections)
