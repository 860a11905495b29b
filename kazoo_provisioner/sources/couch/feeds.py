"""Feeds that stay open on the databases that moved lately: 1 ms instead of the 300 of ``_db_updates``."""

import asyncio
import functools

from kazoo_provisioner.settings import CouchSettings
from kazoo_provisioner.sources.couch.database import Database
from kazoo_provisioner.sources.couch.errors import CouchError
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.read import Reader
from kazoo_provisioner.sources.couch.visits import Visits

SETTLED = 60.0
"""Seconds without a row after which a feed makes room for another database's."""
SHORT = 5.0
"""Seconds that a feed must hold; one that does not is not opened again for a while."""


class Feeds:
    """Opens and closes them. However one ends, its database is visited: something may have come unread."""

    def __init__(self, reader: Reader, known: Known, visits: Visits, settings: CouchSettings) -> None:
        self._reader = reader
        self._known = known
        self._visits = visits
        self._settings = settings
        self._group: asyncio.TaskGroup | None = None

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Let feeds be opened in a group of tasks; close those on which nothing comes any more."""
        self._group = group
        while True:
            await asyncio.sleep(min(10.0, self._settings.feed_idle / 4))
            now = asyncio.get_running_loop().time()
            for db in self._known.databases.values():
                if db.feed is not None and now - db.moved > self._settings.feed_idle:
                    db.feed.cancel()

    def open(self, db: Database, *, had: bool) -> None:
        """Open a feed on a database that was just visited, if it moved lately. `had`: it had one before."""
        now = asyncio.get_running_loop().time()
        quiet = now - db.moved
        lately = db.moved and quiet < self._settings.feed_idle and (had or quiet < SETTLED)
        if not lately or now < db.feedless or self._group is None:
            return
        feeds = [other for other in self._known.databases.values() if other.feed is not None]
        if len(feeds) >= self._settings.feeds:
            oldest = min(feeds, key=lambda other: other.moved, default=None)
            if oldest is None or oldest.feed is None or now - oldest.moved < SETTLED:
                return
            oldest.feed.cancel()
        db.feed = self._group.create_task(self._feed(db), name=f"feed of {db.name}")
        db.feed.add_done_callback(functools.partial(self._ended, db, now))

    async def _feed(self, db: Database) -> None:
        try:
            async with db.lock:
                await self._reader.follow(db)
        except CouchError:
            return  # the visit finds out what it was
        if db.whole is None and self._known.clock() >= db.deaf:
            # With heartbeats a feed ends in order only when its database is deleted. It may be another by now.
            db.whole = "rewound"

    def _ended(self, db: Database, opened: float, feed: asyncio.Task[None]) -> None:
        if db.feed is not feed:
            return  # a visit ended it
        db.feed = None
        now = asyncio.get_running_loop().time()
        if now - opened < SHORT:
            db.feedless = now + SETTLED
        self._visits.want(db.name)

    async def end(self, db: Database) -> bool:
        """Close a database's feed, for a visit; return whether there was one."""
        feed, db.feed = db.feed, None
        if feed is None:
            return False
        feed.cancel()
        await asyncio.gather(feed, return_exceptions=True)
        return True
