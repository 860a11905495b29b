"""Convergence over a CouchDB: people work, the feeds lose and repeat, servers and writers crash.

The end must be, byte for byte, what a fresh start from the final documents gives: in every mode of the
tests' server, or on the real one that COUCHDB_URL names.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kazoo_provisioner import crashpoints
from kazoo_provisioner.model import wire
from kazoo_provisioner.model.ids import db_of_account, is_followed
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import CouchSettings, SourceSettings
from kazoo_provisioner.sources.couch.source import CouchSource
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.run import Writer
from kazoo_provisioner.yamlfile import Secret
from tests.support import kazoo, tiny
from tests.support.clusters import MODES, Cluster
from tests.support.world import Files, fresh
from tests.sync.test_convergence import ACCOUNTS, PHONES, Convergence, CrashError
from tests.sync.test_dense import OPERATIONS

PATIENCE = 90.0
DAYS = 6
"""Days in each mode; with --soak=N so many more."""


class People(Convergence):
    """Those who work in Kazoo: what they do goes to a CouchDB at once."""

    def __init__(self, cluster: Cluster) -> None:
        self.couch = cluster.couch
        self.documents: dict[tuple[str, str], kazoo.Doc] = {}
        self.pending: set[tuple[str, str]] = set()
        self.revision = 0
        self.kept_databases = {db_of_account(account) for account in ACCOUNTS}
        """Those that were never deleted: what was kept of others is gone with them."""

    def _put(self, db: str, doc: kazoo.Doc) -> None:
        self.couch.put(db, doc)
        self.documents[db, doc["_id"]] = doc

    def _remove(self, key: tuple[str, str], soft: bool) -> None:
        if key not in self.documents:
            return
        if soft:
            self._put(key[0], self.documents[key] | {"pvt_deleted": True})
        else:
            self.couch.delete(*key)
            del self.documents[key]

    def work(self, chance: random.Random) -> None:
        self._anybody(chance, chance.choice(OPERATIONS))

    def begin(self, chance: random.Random) -> None:
        for account in ACCOUNTS:
            self._anybody(chance, "account", account)
            self.couch.create(db_of_account(account))
        for what in ["user"] * 6 + ["device"] * 10:
            self._anybody(chance, what)

    def drop_database(self, chance: random.Random, *, again: bool) -> None:
        """Delete an account's database, never the last; perhaps make it anew at once."""
        there = sorted({db for db, _ in self.documents if db != kazoo.ACCOUNTS})
        if len(there) < 2:
            return
        db = chance.choice(there)
        self.kept_databases.discard(db)
        old = {key: doc for key, doc in self.documents.items() if key[0] == db}
        self.couch.delete_database(db)
        for key in old:
            del self.documents[key]
        if again:
            for doc in old.values():
                if chance.random() < 0.5:
                    self._put(db, doc)
            self.couch.create(db)


class Day:
    """One day of one cluster, with a writer that follows it."""

    def __init__(self, cluster: Cluster, folder: Path, renderer: Renderer, seed: int) -> None:
        self.cluster, self.folder, self.renderer = cluster, folder, renderer
        self.chance = random.Random(seed)
        self.people = People(cluster)
        self.snapshots: dict[str, dict[tuple[str, str], kazoo.Doc]] = {}

    def settings(self) -> SourceSettings:
        couch = CouchSettings(
            urls=(self.cluster.couch.url,), user=self.cluster.couch.user, password=Secret(self.cluster.couch.password),
            heartbeat=1, timeout=3, sweep=0.5, sweep_alone=0.3, sweep_rate=10_000, listing=0.5,
            confirm=0.3, audit=2.0, audit_rate=100, feeds=2, feed_idle=1,
        )  # fmt: skip
        return SourceSettings(type="couch", couch=couch)

    async def live(self) -> None:
        self.open()
        try:
            await self.do(self.people.begin, self.chance)
            for _ in range(self.chance.randrange(20, 50)):
                await self.something()
                await self.alive()
            await self.mend()
            await self.converged()
        finally:
            crashpoints.hook = None
            await self.shut()

    @staticmethod
    async def do(what: Callable[..., Any], *arguments: Any, **named: Any) -> None:
        await asyncio.to_thread(lambda: what(*arguments, **named))

    async def something(self) -> None:
        what = self.chance.random()
        if what < 0.70:
            await self.do(self.people.work, self.chance)
        elif what < 0.74:
            await self.do(self.people.drop_database, self.chance, again=self.chance.random() < 0.7)
            self.snapshots = {
                db: kept for db, kept in self.snapshots.items() if db in self.people.kept_databases
            }
        elif what < 0.78:
            await self.crash()
        elif what < 0.86:
            await asyncio.sleep(self.chance.choice([0.01, 0.2, 0.7]))
        elif self.cluster.server is not None:
            await self.trouble(
                self.chance.choice(
                    ["late", "fail", "snapshot", "restore", "restore", "replay", "restart", "kill"]
                )
            )

    async def trouble(self, what: str) -> None:
        server, chance = self.cluster.server, self.chance
        assert server
        if what == "late":
            order = {
                "delay_ms": chance.choice([5, 300]),
                "drop": chance.choice([0, 0.5, 1]),
                "reorder": True,
                "coalesce": True,
            }
            await self.do(server.control, db_updates=order)
        elif what == "fail":
            how = chance.choice(
                [
                    {"status": 500},
                    {"status": 404},
                    {"status": 401},
                    {"garbage": True},
                    {"garbage": "half_line"},
                    {"garbage": "hang"},
                ]
            )
            match = chance.choice(["_changes", "_dbs_info", "_db_updates", "_all_dbs", "^/$"])
            await self.do(server.control, fail=how | {"match": match, "times": chance.randrange(1, 4)})
        elif what in ("restart", "kill"):
            await self.do(server.stop if what == "restart" else server.kill)
            await asyncio.sleep(chance.choice([0, 0.3]))
            await self.do(server.start)
        else:
            await self.rewind(what)

    async def rewind(self, what: str) -> None:
        """Keep a copy of a database, put an older state back, or have its feed begin anew."""
        server, documents = self.cluster.server, self.people.documents
        assert server
        there = sorted({db for db, _ in documents if db != kazoo.ACCOUNTS})
        there = [
            db for db in there if db in (self.snapshots if what == "restore" else self.people.kept_databases)
        ]
        if not there or (what == "replay" and self.cluster.mode == "couch1"):
            return
        db = self.chance.choice(there)
        await self.do(server.control, **{what: db})
        if what == "snapshot":
            self.snapshots[db] = {key: doc for key, doc in documents.items() if key[0] == db}
        elif what == "restore":
            self.people.couch._revisions.clear()
            for key in [key for key in documents if key[0] == db]:
                del documents[key]
            documents.update(self.snapshots[db])

    # The writer.

    def open(self) -> None:
        self.store = Store(self.folder / "store", history=3)
        self.writer = Writer(self.store, CouchSource(self.settings()), self.renderer, PHONES)
        self.running = asyncio.create_task(self.writer.run())

    async def shut(self) -> None:
        self.writer.stop()
        await asyncio.gather(self.running, return_exceptions=True)
        self.store.close()

    async def alive(self) -> None:
        """Go on after a crash; whatever else ends the writer is a fault."""
        if self.running.done():
            error = self.running.exception()
            if not isinstance(error, CrashError):
                raise AssertionError("the writer ended") from error
            crashpoints.hook = None
            self.store.close()
            self.open()

    async def crash(self) -> None:
        """A power cut at a named point, if it is passed soon; else between two steps."""
        left, point = self.chance.randrange(1, 5), self.chance.choice(crashpoints.POINTS)

        def hook(name: str) -> None:
            nonlocal left
            if name == point:
                left -= 1
                if left == 0:
                    raise CrashError

        crashpoints.hook = hook
        await self.do(self.people.work, self.chance)
        await asyncio.wait((self.running,), timeout=0.3)
        crashpoints.hook = None
        if not self.running.done():
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
            self.store.close()
            self.open()

    # The end.

    async def mend(self) -> None:
        if self.cluster.server is not None:
            await self.do(self.cluster.server.control, fail=None)

    async def converged(self) -> None:
        final = {key: doc for key, doc in self.people.couch.documents().items() if is_followed(key[0])}
        wanted = {key: kept for key, doc in final.items() if (kept := wire.trim(*key, doc)) is not None}
        until = asyncio.get_running_loop().time() + PATIENCE
        while (missing := self.missing(wanted)) or not self.at_rest():
            await self.alive()
            assert asyncio.get_running_loop().time() < until, missing or "it never comes to rest"
            await asyncio.sleep(0.05)
        other = fresh(self.folder / "fresh", self.renderer, PHONES, self.store.claims.all(), final)
        try:
            assert self.served() == other.served()
            assert self.store.claims.all() == other.store.claims.all()
        finally:
            other.close()

    def missing(self, wanted: dict[tuple[str, str], tuple[str, Any]]) -> list[tuple[str, str]]:
        """Documents that we hold otherwise than they are."""
        rows = self.store._db.execute("SELECT db, id, kind, latest FROM document WHERE deleted=0")
        held = {(db, i): (kind, wire.decode(latest)) for db, i, kind, latest in rows}
        return sorted(key for key in wanted.keys() | held.keys() if wanted.get(key) != held.get(key))

    def at_rest(self) -> bool:
        return bool(self.store.meta("synced")) and self.store.queue.next_at() is None

    def served(self) -> Files:
        rows = self.store._db.execute(
            "SELECT s.account, s.name, b.data FROM served s JOIN blob b ON b.id=s.blob"
        )
        return {(account, name): data for account, name, data in rows}


@pytest.fixture(scope="module", params=MODES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(request.param, tmp_path_factory.mktemp("couch")) as made:
        yield made


async def test_convergence_over_couchdb(cluster: Cluster, soak: int, tmp_path: Path) -> None:
    renderer = Renderer(tiny.catalogue(tmp_path / "templates"))
    first = random.SystemRandom().randrange(2**32) if soak else 0
    for seed in range(first, first + (soak or DAYS)):
        cluster.clear()
        try:
            await Day(cluster, tmp_path / str(seed), renderer, seed).live()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
