"""What `render` and `explain` look at: the running service's store, or one filled for the moment."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from kazoo_provisioner.app import catalogue_of, source_of
from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.model.ids import Mac, db_of_account
from kazoo_provisioner.model.merge import Cannot
from kazoo_provisioner.model.wire import get
from kazoo_provisioner.render.engine import File, Renderer
from kazoo_provisioner.render.errors import RenderError
from kazoo_provisioner.settings import LegacyPath, Settings
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.schema import StoreError
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.explain import Explainer
from kazoo_provisioner.sync.preview import free_settings, preview
from kazoo_provisioner.sync.reconcile import Reconciler
from kazoo_provisioner.sync.requests import last_requests
from kazoo_provisioner.sync.run import SYNCED, Writer
from kazoo_provisioner.web.paths import Paths
from kazoo_provisioner.web.phones import Phones


class Workshop:
    """What the commands look at: the running service's store, or one filled from the source for the moment.

    Raises:
        StoreError: neither can be read; says why.
    """

    PATIENCE = 60.0
    """Seconds without anything new from the source after which a store for the moment is given up."""

    def __init__(self, settings: Settings) -> None:
        self.catalogue = catalogue_of(settings)
        self._who = Identifier(self.catalogue)
        self._settings = settings
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.store = self._open() or self._made()
        reader = Reader(self.store.folder)
        self._reader = reader
        self._paths = Paths(settings.web.legacy_paths)
        self._phones = Phones(reader, self._paths, serve_without_account=settings.web.serve_without_account)
        self._explainer = Explainer(
            self.store, self.catalogue, settings.phones, self._answer, self._free, self._who
        )

    def _open(self) -> Store | None:
        """Open the service's store; None where there is none yet."""
        folder = self._settings.store.path
        try:
            if not (folder / "store.db").exists():
                return None
            return Store(folder, read_only=True)
        except (PermissionError, StoreError) as error:
            may = isinstance(error, StoreError) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)
            if may and os.access(folder / "store.db", os.R_OK):
                raise
            raise StoreError(
                f"{folder}: this user may not read the store; run this as the user who runs the service, "
                "such as with `sudo -u kazoo-provisioner`"
            ) from error

    def _made(self) -> Store:
        if self._settings.source.type != "directory":
            raise StoreError(
                f"{self._settings.store.path}: holds no store yet; the service makes it when it first runs"
            )
        source = self._settings.source.path
        if not os.access(source, os.R_OK | os.X_OK) or not source.is_dir():
            raise StoreError(
                f"{self._settings.store.path}: holds no store yet, and the source {source} cannot be read"
            )
        self._temporary = tempfile.TemporaryDirectory(prefix="kazoo-provisioner-")
        try:
            return asyncio.run(self._fill(Path(self._temporary.name)))
        except BaseException:
            self._temporary.cleanup()
            raise

    async def _fill(self, folder: Path) -> Store:
        store = Store(folder)
        quiet = replace(self._settings.source, poll=0.05)
        source = source_of(replace(self._settings, source=quiet))
        writer = Writer(store, source, Renderer(self.catalogue), self._settings.phones)
        running = asyncio.create_task(writer.run())
        began, seen = time.monotonic(), ((0, 0), 0)
        stuck = False
        while store.meta(SYNCED) is None and not running.done() and not stuck:
            await asyncio.sleep(0.05)
            if time.monotonic() - began > self.PATIENCE:
                now = (store.documents.count(), store.releases.count())
                stuck = now == seen
                began, seen = time.monotonic(), now
        writer.stop()
        await running
        if stuck:
            store.close()
            raise StoreError(
                f"{self._settings.store.path}: holds no store yet, and nothing came from the source "
                f"{self._settings.source.path} for {self.PATIENCE:g} s"
            )
        return store

    def _answer(self, host: str, path: str) -> tuple[int, str]:
        """Return status and reason of a phone's request, by what answers phones."""
        answer = self._phones.answer("GET", host, path, None)
        return answer.reply.status, answer.reason

    def explain(self, mac: str, account: str) -> tuple[list[str], bool]:
        """Explain what a phone gets; return lines, and whether we know it."""
        lines, known = self._explainer.mac(mac, account)
        return [*lines, *last_requests(self._settings.store.path, mac, self._who)], known

    def explain_path(self, host: str, path: str) -> tuple[list[str], bool] | None:
        """Explain what a path gives, asked for at a host; None where it names no file at all."""
        asked = self._paths.parse(host, path)
        if asked is None:
            asked = Paths([LegacyPath(prefix="*")]).parse("", path)
            if asked is None or not asked.mac:
                return None
            where = f"no URLs of {host or 'any host'} that begin like that are"
            lines, known = self.explain(asked.mac, asked.account)
            return [f"404: no_such_path: {where} in web.legacy_paths, and it is not below /p/", *lines], known
        lines, known = self._explainer.path(host, path, asked.account, asked.file, asked.mac)
        return [*lines, *self._asked(asked.mac)], known

    def _asked(self, mac: str) -> list[str]:
        return last_requests(self._settings.store.path, mac, self._who) if mac else []

    def render(self, account: str, device: str, mac: Mac) -> list[File]:
        """Render a device's files as they would be made now; nothing is stored.

        Raises:
            Cannot: its documents make no phone; says why.
            RenderError: a template failed.
        """
        return preview(self._reconciler(account, device), account, device, mac)

    def _free(self, account: str, device: str, mac: str) -> list[str]:
        """Say of a phone's free settings where they come from; nothing where its documents make no phone."""
        try:
            return free_settings(self._reconciler(account, device), account, device, Mac(mac))
        except (Cannot, RenderError):
            return []

    def _reconciler(self, account: str, device: str) -> Reconciler:
        """Make what renders one device: the templates of its family alone are compiled."""
        doc = (self.store.documents.get(db_of_account(account), device) or ("", {}))[1]
        model = self.catalogue.resolve(
            get(doc, "provision.endpoint_brand"), get(doc, "provision.endpoint_model")
        )
        only = (f"{model.brand}/{model.family}",) if model else ()
        return Reconciler(self.store, Renderer(self.catalogue, only), self._settings.phones)

    def close(self) -> None:
        """Close the store, and remove it if it was only for the moment."""
        self._reader.close()
        self.store.close()
        if self._temporary:
            self._temporary.cleanup()
