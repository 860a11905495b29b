"""Reading one database: what is new since a position, all of it, or what comes from now on."""

import asyncio
import functools
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from kazoo_provisioner.model.ids import ACCOUNTS_DB
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import Change, Position, changed
from kazoo_provisioner.sources.couch.answers import chunks, path_of
from kazoo_provisioner.sources.couch.cluster import Cluster
from kazoo_provisioner.sources.couch.database import Database, Mark
from kazoo_provisioner.sources.couch.errors import UnreachableError
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.rows import Lines, Row, number, row, text

log = structlog.get_logger()

PAGE = 1000
"""Rows asked for at a time."""
LARGE = 256 * 1024
"""Bytes of a line from which on one is read at a time, over all databases: what bounds our memory."""

Take = Callable[[list[Row]], Awaitable[None]]


class Reader:
    """Puts what databases hold into the inbox. The caller has the database's lock."""

    def __init__(self, cluster: Cluster, known: Known, settings: SourceSettings) -> None:
        self._cluster = cluster
        self._known = known
        self._inbox = known.inbox
        self._max = settings.max_document
        self._settings = settings.couch
        self._large = asyncio.Lock()
        self._told: set[tuple[str, str, str]] = set()

    async def news(self, db: Database) -> int:
        """Read what came since the position; return how many rows.

        Raises:
            CouchError: it did not go to the end; what came until then counts.
        """
        before, full = db.rows, True
        while full:
            since, rows = db.since or "0", db.rows
            take = functools.partial(self._take_news, db, number(since) if since != "0" else None)
            last = await self._read(db, {"feed": "normal", "since": since, "limit": str(PAGE)}, take)
            if db.whole is None and (number(last) or 0) < db.at:
                db.whole = "rewound"  # it ends before what we have read
            db.reach(last)
            full = db.rows - rows >= PAGE
        return db.rows - before

    async def _take_news(self, db: Database, since: int | None, found: list[Row]) -> None:
        first = number(text(found[0].seq))
        if since is not None and first is not None and first <= since and db.whole is None:
            db.whole = "replayed"  # from the start; what is absent is never reported
        await self._take(db, found)

    async def follow(self, db: Database) -> None:
        """Read what comes, until the database is deleted.

        Raises:
            CouchError: the feed broke; what came until then counts.
        """

        async def take(found: list[Row]) -> None:
            await self._take(db, found)
            await self.note(db)

        heartbeat = self._settings.heartbeat
        params = {"feed": "continuous", "since": db.since or "0", "heartbeat": str(int(heartbeat * 1000))}
        await self._read(db, params, take, 2 * heartbeat + 5)

    async def whole(self, db: Database, mark: Mark) -> tuple[int, set[str]]:
        """Read all of a database, send what differs from what we hold; return (how many, ids we miss).

        `mark` must be older than this call.

        Raises:
            CouchError: it did not go to the end; nothing is known to be missing then.
        """
        held = self._known.memory.held(db.name)
        if held or db.rows:
            await self._inbox.settled()  # or what we hold is not what we sent
            held = self._known.memory.held(db.name)
        seen: set[str] = set()
        sent = 0

        async def take(found: list[Row]) -> None:
            nonlocal sent
            for one in found:
                name = one.id or ""
                db.rows += 1
                (seen.discard if one.deleted else seen.add)(name)
                if one.deleted and name not in held:
                    continue
                if one.deleted or held.get(name) != one.rev:
                    change = self._change(db, one)
                    if change and (change.kept or name in held):
                        sent += 1
                        await self._inbox.put(change)
                        held[name] = (
                            one.rev if change.kept else ""
                        )  # it may come once more, and as it was before

        since, full = "0", True
        while full:
            before = db.rows
            since = await self._read(db, {"feed": "normal", "since": since, "limit": str(PAGE)}, take)
            full = db.rows - before >= PAGE
        db.reach(since)
        db.read = self._known.clock()
        # All rows came, so they say nothing about hidden ones.
        db.mark, db.mark_rows = mark, -1
        return sent, set(held) - seen

    async def note(self, db: Database) -> None:
        """Put the position into the inbox, behind what led to it."""
        if db.since is not None:
            await self._inbox.put(Position(db.name, db.since, db.identity()))

    async def _take(self, db: Database, found: list[Row]) -> None:
        for one in found:
            change = self._change(db, one)
            if change:
                await self._inbox.put(change)
        db.rows += len(found)
        db.moved = asyncio.get_running_loop().time()
        db.reach(text(found[-1].seq))

    async def _read(
        self, db: Database, params: dict[str, str], take: Take, silence: float | None = None
    ) -> str:
        """Pass rows on as they come; return the sequence at the end."""
        lines, last, large = Lines(self._max), "", False
        path = path_of(db.name, "/_changes")
        try:
            async with self._cluster.stream(path, params | {"include_docs": "true"}, silence) as content:
                async for chunk in chunks(content):
                    self._known.heard()
                    found = [one for line, size in lines.feed(chunk) if (one := row(line, size))]
                    last = next((text(one.last_seq) for one in found if bytes(one.last_seq)), last)
                    rows = [one for one in found if one.id is not None]
                    if rows:
                        await take(rows)
                    if large and lines.pending <= LARGE:
                        self._large.release()
                        large = False
                    elif not large and lines.pending > LARGE:
                        await self._large.acquire()
                        large = True
                    await asyncio.sleep(0)
        finally:
            if large:
                self._large.release()
        if lines.pending or not (last or params["feed"] == "continuous"):
            raise UnreachableError("an answer that ended in its middle")
        return last

    def _change(self, db: Database, one: Row) -> Change | None:
        """Make a row a change; None for what cannot be read (reported) and what is never ours."""
        name = one.id or ""
        if name.startswith("_design/"):
            return None
        rev = one.rev[:100]
        if one.deleted:
            return Change(db.name, name, rev, None)
        if db.name == ACCOUNTS_DB:
            self._known.heard_of(name)
        problem = one.problem
        if "max_document" in problem:
            problem = f"is larger than source.max_document ({self._max} bytes)"
        if not problem:
            try:
                body = msgspec.json.decode(one.doc)
                if isinstance(body, dict):
                    return changed(db.name, name, rev, body, one.size)
                problem = "is no object"
            except msgspec.MsgspecError:
                problem = "is no JSON that can be read"
            except UnicodeDecodeError:
                problem = "is not UTF-8"
            except RecursionError:
                problem = "is nested too deeply"
            except ValueError as error:
                problem = str(error)
        if (db.name, name, rev) not in self._told:
            # Once for each revision: every whole read meets it again.
            if len(self._told) > 10_000:
                self._told.clear()
            self._told.add((db.name, name, rev))
            log.warning("document_unreadable", db=db.name, doc=name, problem=problem, bytes=one.size)
        return None
