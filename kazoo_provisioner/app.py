"""The composition root: which rooms make up a reader and the writer.

Readers answer phones, the writer follows documents and renders. The supervisor keeps them.
"""

import asyncio
import contextlib
import gc
import socket
import sys
from pathlib import Path

import structlog
from msgspec.structs import replace

from kazoo_provisioner import logs
from kazoo_provisioner.catalogue.folders import BUNDLED, Folder
from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.catalogue.load import Catalogue, CatalogueError, load
from kazoo_provisioner.processes import keep_hangups, run_child
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.render.errors import RenderError
from kazoo_provisioner.settings import LogSettings, Settings
from kazoo_provisioner.settings import load as load_settings
from kazoo_provisioner.sources.base import Report, Source
from kazoo_provisioner.sources.couch.check import check
from kazoo_provisioner.sources.couch.source import CouchSource
from kazoo_provisioner.sources.directory import DirectorySource
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.schema import StoreError
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.ahead import Ahead, helpers, render_ahead
from kazoo_provisioner.sync.reconcile import Reconciler
from kazoo_provisioner.sync.run import SYNCED, Writer
from kazoo_provisioner.sync.versions import in_use
from kazoo_provisioner.web.api import Api
from kazoo_provisioner.web.notes import Notes
from kazoo_provisioner.web.paths import Paths
from kazoo_provisioner.web.phones import Phones
from kazoo_provisioner.web.server import Server
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
        SettingsError: a folder of templates is not there.
    """
    folders = [Folder(one.path, one.trusted) for one in settings.templates.folders]
    for one in folders:
        if not one.path.is_dir():
            raise SettingsError(f"templates.folders: {one.path}: no such folder")
    return load([*folders, *([Folder(BUNDLED)] if settings.templates.shipped else [])])


def check_templates(settings: Settings, catalogue: Catalogue) -> None:
    """Compile every template, unless the store says that these were used before: then they did compile.

    Raises:
        RenderError: one does not.
    """
    with contextlib.suppress(StoreError, OSError):
        store = Store(settings.store.path, read_only=True)
        try:
            if in_use(store, catalogue):
                return
        finally:
            store.close()
    Renderer(catalogue)


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


async def run_reader(
    config: Path, settings: Settings, sockets: list[int], number: int, alive: int, beat: int
) -> None:
    """Be a reader process."""
    web = settings.web
    catalogue = catalogue_of(settings)
    reader = Reader(settings.store.path, asyncio.get_running_loop().call_soon)
    notes = Notes(settings.store.path, web, first=number == 1, who=Identifier(catalogue))
    handler = Phones(reader, Paths(web.legacy_paths), serve_without_account=web.serve_without_account)
    server = Server(handler, Api(catalogue), notes, web)
    reloading: asyncio.Task[None] | None = None

    def reload() -> None:
        nonlocal reloading
        reloading = asyncio.create_task(asyncio.to_thread(_reload, config, server, notes), name="reload")

    async def work(stop: asyncio.Event) -> None:
        noting = asyncio.create_task(notes.run(), name="notes")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        await server.start([socket.socket(fileno=fd) for fd in sockets])
        # What was loaded stays, and requests leave no cycles: the collector need not look at either all the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000)
        log.info("serving")
        await asyncio.wait((noting, stopped), return_when=asyncio.FIRST_COMPLETED)
        await server.stop()
        if noting.done():
            noting.result()  # a task that ends ends the process: it is started again
        noting.cancel()
        await asyncio.gather(noting, return_exceptions=True)
        await notes.close()
        stopped.cancel()
        if reloading:
            await reloading
        reader.close()

    await run_child(alive, work, reload, beat)


def _reload(config: Path, server: Server, notes: Notes) -> None:
    """Load the catalogue anew, beside the loop that answers phones."""
    try:
        catalogue = catalogue_of(read_settings(config))
        server.api, notes.who = Api(catalogue), Identifier(catalogue)
    except REFUSED as error:
        log.error("reload_refused", problem=str(error))


async def run_writer(config: Path, settings: Settings, alive: int) -> None:
    """Be the writer process."""
    # The supervisor compiled all of them; here each is compiled when it is first used.
    renderer = Renderer(catalogue_of(settings), ())
    store = Store(settings.store.path, settings.store.history)
    ahead = None
    if store.meta(SYNCED) is None:
        here = ["--config", str(config), "--store", str(settings.store.path)]
        ahead = Ahead([sys.executable, "-m", "kazoo_provisioner", "child", "renderer", *here], helpers())
    writer = Writer(store, source_of(settings), renderer, settings.phones, ahead)

    def reload() -> None:
        try:
            new = read_settings(config)
            writer.reload(Renderer(catalogue_of(new), ()), new.phones)
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
    renderer = Renderer(catalogue_of(settings), ())
    store = Store(settings.store.path, read_only=True)
    render_ahead(Reconciler(store, renderer, settings.phones), sys.stdin.buffer, sys.stdout.buffer)


def child(
    role: str, number: int, config: Path, store: Path, alive: int, beat: int, sockets: list[int]
) -> int:
    """Run a child process; return its exit code. `number` says which reader it is, from 1."""
    keep_hangups()
    logs.configure(LogSettings(), role, quiet=role == "renderer")
    try:
        settings = read_settings(config)
        settings = replace(settings, store=replace(settings.store, path=store))
        name = f"{role}-{number}" if role == "reader" else role
        # What a renderer puts out is not for people.
        logs.configure(settings.log, name, quiet=role == "renderer", final=True)
        if role == "renderer":
            run_renderer(settings)
        elif role == "reader":
            asyncio.run(run_reader(config, settings, sockets, number, alive, beat))
        else:
            asyncio.run(run_writer(config, settings, alive))
    except (*REFUSED, StoreError) as error:
        log.error("process_failed", role=role, problem=str(error))
        return 3
    return 0
