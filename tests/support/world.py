"""The writer's parts on a store of their own, driven by hand: what the tests of sync do things to."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.sources.base import Change, Position, changed
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.ingest import Ingest
from kazoo_provisioner.sync.reconcile import Reconciler
from kazoo_provisioner.sync.versions import mark_what_is_new

Key = tuple[str, str]
Files = dict[tuple[str, str], bytes]


class Harness:
    """A store with ingest and reconcile, and a clock that stands until it is moved."""

    def __init__(self, folder: Path, renderer: Renderer, phones: PhonesSettings | None = None) -> None:
        self.folder, self.renderer, self.phones = folder, renderer, phones or PhonesSettings()
        self.now = 1_000_000_000_000
        self.open()

    def open(self) -> None:
        self.store = Store(self.folder, history=3)
        self.ingest = Ingest(self.store, "test")
        self.reconciler = Reconciler(self.store, self.renderer, self.phones)
        mark_what_is_new(self.store, self.renderer.catalogue, self.phones, self.now)

    def reopen(self) -> None:
        """As after a crash: what was not committed is gone."""
        self.store.close()
        self.open()

    def deliver(self, documents: Iterable[tuple[Key, Doc | None]]) -> None:
        changes = [_change(key, doc) for key, doc in documents]
        positions = [Position(db, "seq", f"identity of {db}") for db in {change.db for change in changes}]
        if changes:
            self.ingest.apply([*changes, *positions], self.now)

    def settle(self) -> None:
        """Let time pass until nothing is left to do."""
        for _ in range(1000):
            self.now += 3_000
            if not self.reconciler.run_due(self.now, limit=1000):
                return
        raise AssertionError("it never comes to rest")

    def served(self) -> Files:
        rows = self.store._db.execute(
            "SELECT s.account, s.name, b.data FROM served s JOIN blob b ON b.id=s.blob"
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def states(self) -> dict[str, Any]:
        rows = self.store._db.execute("SELECT subject, mac, family, model, problem FROM phone")
        # Whether an account's document was deleted or never there is history; the end is the same.
        same = {"account_gone": "account_unknown"}
        return {row[0]: (*row[1:4], same.get(row[4], row[4])) for row in rows}

    def close(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


def _change(key: Key, doc: Doc | None) -> Change:
    return changed(*key, _rev(doc), doc, 0) if doc is not None else Change(*key, _rev(doc), None)


def _rev(doc: Doc | None) -> str:
    return str(doc.get("_rev", "1-x")) if doc else "9-gone"


def fresh(
    folder: Path,
    renderer: Renderer,
    phones: PhonesSettings,
    claims: Iterable[tuple[str, str, str, str]],
    documents: dict[Key, Doc],
) -> Harness:
    """A fresh start from final documents, seeded with claims."""
    harness = Harness(folder, renderer, phones)
    with harness.store.transaction():
        for scope, mac, account, device in claims:
            harness.store.claims.set(scope, mac, account, device, harness.now)
    harness.deliver(sorted(documents.items()))
    harness.settle()
    return harness
