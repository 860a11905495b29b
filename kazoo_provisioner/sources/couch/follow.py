"""Following a cluster for as long as one of its nodes answers.

``_db_updates`` says which databases moved, a pool of workers reads them, those that moved lately keep a feed
open. A sweep over all databases after each start and reconnect, and paced ever after, finds what was missed.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

import structlog

from kazoo_provisioner.model.ids import ACCOUNTS_DB, account_of_db, is_followed
from kazoo_provisioner.settings import CouchSettings
from kazoo_provisioner.sources.base import CaughtUp, Change, Position
from kazoo_provisioner.sources.couch.cluster import BATCH, Cluster
from kazoo_provisioner.sources.couch.database import BACKGROUND, HINTS, Database
from kazoo_provisioner.sources.couch.errors import CouchError, RefusedError, UnreachableError, single
from kazoo_provisioner.sources.couch.feeds import Feeds
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.read import Reader
from kazoo_provisioner.sources.couch.server import Server
from kazoo_provisioner.sources.couch.updates import Updates
from kazoo_provisioner.sources.couch.visits import Visits

log = structlog.get_logger()

EMPTY = "holds no account database; the phones keep what they have"
QUIET = 2.0
"""Seconds without a row after which we do not rely on a feed alone when an event says that its database moved."""
TRIES = 3
"""Failures of a database after which the first pass does not wait for it any more."""
LONGEST_PAUSE = 300.0
"""Most seconds between two visits to a database that cannot be read."""


class Following:
    """One connection's worth of following: from a first sweep to the loss of the server."""

    def __init__(
        self, cluster: Cluster, server: Server, reader: Reader, known: Known, settings: CouchSettings
    ) -> None:
        self._cluster = cluster
        self._server = server
        self._reader = reader
        self._known = known
        self._settings = settings
        self.visits = Visits()
        self._hurry = asyncio.Event()
        """A sweep without pauses is due: something may have been missed."""
        self.swept = False
        """Whether every database was asked for since we connected."""
        self._feeds = Feeds(reader, known, self.visits, settings)
        self._updates = Updates(cluster, known, settings, self._moved, self._hurry)
        self._connected: Callable[[], None] = lambda: None

    async def run(self, connected: Callable[[], None]) -> NoReturn:
        """Follow; call `connected` when every database was asked for.

        Raises:
            CouchError: the server is lost.
        """
        known = self._known
        known.discovered = self.visits.want
        self._connected = connected
        try:
            with single():
                await self._run()
        finally:
            self.visits.close()
            for db in known.databases.values():
                db.feed = None
        raise AssertionError("its tasks never end")

    @property
    def updates(self) -> bool:
        """Whether ``_db_updates`` is open."""
        return self._updates.open

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(self._settings.readers):
                group.create_task(self._work(background=False), name=f"couch reader {number}")
            group.create_task(self._work(background=True), name="couch audits")
            group.create_task(self._sweep_forever(), name="couch sweep")
            group.create_task(self._feeds.run(group), name="couch feeds")
            if self._server.old:
                log.warning("source_updates_missing", url=self._server.url, problem=self._server.updates)
                self._hurry.set()
            else:
                group.create_task(self._updates.run(), name="couch updates")

    # Visits.

    async def _work(self, *, background: bool) -> None:
        """Visit databases; in the background paced, to read them as a whole because it is time to."""
        while True:
            name = await self.visits.next(background=background)
            try:
                await self._visit(name, background=background)
            finally:
                self.visits.done(name)
            if background:
                await asyncio.sleep(1 / self._settings.audit_rate)

    async def _visit(self, name: str, *, background: bool) -> None:
        """Look at a database: read what is new, or all of it."""
        db = self._known.get(name)
        had_feed = await self._feeds.end(db)
        try:
            async with db.lock:
                there = await self._read(db, background=background)
        except CouchError as error:
            await self._failed(db, error)
            return
        if db.problem is not None:
            log.info("database_readable", db=db.name)
        db.failures, db.problem = 0, None
        await self._seen(name)
        if db.absent:
            self.visits.later(name, self._settings.confirm + 0.1)
        if there:
            self._feeds.open(db, had=had_feed)

    async def _read(self, db: Database, *, background: bool) -> bool:
        """Read a database; return whether it is there. What may wait is read as a whole in the background.

        Raises:
            CouchError: it could not be read to the end.
        """
        if db.since is None and db.whole is None:
            db.whole = "new"
        try:
            if db.since is not None and (db.whole is None or (db.whole in BACKGROUND and not background)):
                await self._read_news(db)
                if db.whole in BACKGROUND:
                    self.visits.want(db.name, background=True)
                    return True
            if db.whole is not None:
                return await self._read_whole(db)
        except RefusedError as error:
            if not error.missing:
                raise
            await self._missing(db)
            return False
        return True

    async def _read_news(self, db: Database) -> None:
        info = db.info
        rows = await self._reader.news(db)
        self._ignore(db)
        if not rows and info is None:
            # Somebody said that it moved. A restored database hides it, but not in its information.
            _, at = db.asked()
            mark = await self._cluster.info(db.name)
            if mark is not None:
                db.doubt(mark, at)
                self._ignore(db)
        if info is not None:
            if db.whole is None and db.is_silent(info[0]) and self._known.clock() >= db.deaf:
                db.whole = "silent"
            elif db.whole is None or db.whole in BACKGROUND:
                db.accept(*info, covered=True)
            if db.info is info:
                db.info = None
        if rows or info is not None:
            await self._reader.note(db)

    def _ignore(self, db: Database) -> None:
        """Do without a hint, where the last ones led to nothing."""
        if db.whole in HINTS and self._known.clock() < db.deaf:
            db.whole = None

    async def _read_whole(self, db: Database) -> bool:
        reason = db.whole
        mark = db.info[0] if db.info is not None else await self._cluster.info(db.name)
        db.info = None
        if mark is None:
            await self._missing(db)
            return False
        sent, missed = await self._reader.whole(db, mark)
        gone = db.miss(missed, asyncio.get_running_loop().time(), self._settings.confirm)
        await self._delete(db, gone)
        db.whole = "absent" if db.absent else None
        if reason == "rewound":
            db.at = 0  # what looked odd was looked into; on some clusters it always looks so
        await self._reader.note(db)
        self._known.audits += reason != "new"
        if reason in HINTS:
            # Where it always looks so, it is looked into less and less, at last as seldom as everything is.
            db.vain = 0 if sent or missed else db.vain + 1
            db.deaf = self._known.clock() + min(
                self._settings.audit, self._settings.sweep * (2 ** min(db.vain, 20) - 1)
            )
        tell = log.debug if reason in ("new", "daily", "version") else log.info
        tell(
            "database_read", db=db.name, reason=reason, changed=sent, deleted=len(gone), absent=len(db.absent)
        )
        return True

    async def _missing(self, db: Database) -> None:
        """Delete the documents of a database that is not there, when it was not there before either."""
        await self._known.inbox.settled()
        held = set(self._known.memory.held(db.name))
        if held:
            await self._somebody_else(db.name)
        known = bool(db.absent)
        gone = db.miss(held, asyncio.get_running_loop().time(), self._settings.confirm)
        await self._delete(db, gone)
        if db.absent:
            if not known:
                log.warning(
                    "database_missing", db=db.name, documents=len(held), deleted_in_s=self._settings.confirm
                )
            db.whole = "absent"
            return
        if gone or db.since is not None:
            await self._known.inbox.put(Position(db.name, "", ""))
            log.warning("database_gone", db=db.name, deleted=len(gone))
        self._known.forget(db)

    async def _somebody_else(self, name: str) -> None:
        """Make sure that a database which is not there is not just the first of all of them.

        Raises:
            CouchError: there is no account database any more. That is an empty disk, or another server, and
                must not take every phone with it.
        """
        others = sorted(other for other in self._known.databases if account_of_db(other) and other != name)
        for start in range(0, len(others), BATCH):
            marks = await self._cluster.infos(others[start : start + BATCH])
            if any(mark is not None for mark in marks.values()):
                return
        raise CouchError(EMPTY)

    async def _delete(self, db: Database, ids: set[str]) -> None:
        for doc_id in sorted(ids):
            await self._known.inbox.put(Change(db.name, doc_id, "absent", None))

    async def _failed(self, db: Database, error: CouchError) -> None:
        """Wait before the next visit to a database that cannot be read.

        Raises:
            CouchError: it is not the database, the server is lost.
        """
        if isinstance(error, UnreachableError) or (isinstance(error, RefusedError) and error.status == 401):
            await self._cluster.alive()
        db.failures += 1
        pause = min(LONGEST_PAUSE, 2.0 ** min(db.failures, 10)) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        problem = str(error)
        if problem != db.problem:
            db.problem = problem
            log.warning("database_unreadable", db=db.name, problem=problem, retry_s=round(pause, 1))
        if db.failures >= TRIES:
            await self._seen(db.name)
        self.visits.later(db.name, pause)

    # What moved.

    def _moved(self, name: str, kind: str) -> None:
        db = self._known.get(name)
        now = asyncio.get_running_loop().time()
        if db.feed is not None and kind == "updated" and now - db.moved < QUIET:
            return  # its feed told us 300 ms ago
        if kind != "updated" and db.since is not None and db.whole is None:
            db.whole = "recreated"  # it may be another one by now
        self.visits.want(name)

    # Sweeps.

    async def _sweep_forever(self) -> None:
        listed = 0.0
        while True:
            hurried = not self.swept or self._hurry.is_set()
            if hurried:
                await self._hurry.wait()
                self._hurry.clear()
            now = asyncio.get_running_loop().time()
            if hurried or now - listed >= self._settings.listing:
                await self._list()
                listed = now
            if await self._sweep(hurried=hurried):
                if not self.swept:
                    self.swept = True
                    self._connected()
                await self._tell()

    async def _list(self) -> None:
        """Find out which databases there are.

        Raises:
            CouchError: there is none of an account, or the list cannot be had.
        """
        known = self._known
        names = known.of_accounts()
        if self._server.lists:
            there = {name for name in await self._cluster.names() if is_followed(name)}
            if not any(account_of_db(name) for name in there):
                # An empty disk, or another server. It must not take every phone with it.
                raise CouchError(EMPTY)
            held = {name for name in known.memory.databases() if account_of_db(name)}
            if held and not held & there:
                raise CouchError(
                    f"holds none of the {len(held)} account databases that we know; the phones keep what they have"
                )
            for name in known.databases.keys() - there - {ACCOUNTS_DB}:
                self.visits.want(name)
            names |= there
        for name in names:
            known.get(name)
        if not known.told:
            known.unseen |= names

    async def _sweep(self, *, hurried: bool) -> bool:
        """Ask every database whether it moved; return False when something else is more urgent now."""
        names = sorted(self._known.databases)
        period = self._settings.sweep if self.updates else self._settings.sweep_alone
        rate = self._settings.sweep_rate if self._server.dbs_info else self._settings.sweep_rate_single
        for start in range(0, len(names), BATCH):
            batch = names[start : start + BATCH]
            await self._ask(batch)
            if hurried:
                continue
            pause = max(period * len(batch) / len(names), len(batch) / rate)
            if await self._hurried_within(pause):
                return False
        return bool(names) or not await self._hurried_within(period)

    async def _hurried_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return False
        return True

    async def _ask(self, names: list[str]) -> None:
        known = self._known
        asked = {name: known.databases[name].asked() for name in names if name in known.databases}
        marks = await self._cluster.infos(list(asked))
        known.heard()
        for name, mark in marks.items():
            db = known.databases.get(name)
            if db is None:
                continue
            if isinstance(mark, CouchError):
                await self._failed(db, mark)
                continue
            moved = mark is None or db.judge(mark, asked[name])
            self._ignore(db)
            if not moved and db.whole is None and known.is_due(db, self._settings.audit):
                db.whole = "daily"
            if moved or (db.whole is not None and db.whole not in BACKGROUND):
                self.visits.want(name)
            else:
                await self._seen(name)
            if db.whole in BACKGROUND:
                self.visits.want(name, background=True)

    async def _seen(self, name: str) -> None:
        self._known.unseen.discard(name)
        await self._tell()

    async def _tell(self) -> None:
        """Say that everything which was there at the start was sent, once."""
        if self.swept and not self._known.unseen and not self._known.told:
            self._known.told = True
            await self._known.inbox.put(CaughtUp())
