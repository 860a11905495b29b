"""``_db_updates``: which databases moved. An event only means: go and look; some never come."""

import asyncio
import random
from collections.abc import Callable

import structlog

from kazoo_provisioner.model.ids import is_followed
from kazoo_provisioner.settings import CouchSettings
from kazoo_provisioner.sources.couch.answers import chunks
from kazoo_provisioner.sources.couch.cluster import Cluster
from kazoo_provisioner.sources.couch.errors import CouchError
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.rows import Lines, update
from kazoo_provisioner.sources.couch.server import updates_problem

log = structlog.get_logger()

STEADY = 60.0
"""Seconds that it must have been open for the pauses to begin anew."""
LONGEST_PAUSE = 60.0
"""Most seconds between two attempts to open it."""


class Updates:
    """Follows it for as long as the server is not lost; sets `hurry` when events may have been missed."""

    def __init__(
        self,
        cluster: Cluster,
        known: Known,
        settings: CouchSettings,
        moved: Callable[[str, str], None],
        hurry: asyncio.Event,
    ) -> None:
        self._cluster = cluster
        self._known = known
        self._settings = settings
        self._moved = moved
        self._hurry = hurry
        self.open = False

    async def run(self) -> None:
        """Follow it, and open it again when it ends.

        Raises:
            CouchError: the server is lost.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            opened = loop.time()
            try:
                since = await self._cluster.updates_seq()
                # What moves from here on is told by the feed; what moved before, the sweep finds.
                self._hurry.set()
                if failures:
                    log.info("source_updates_open", url=self._cluster.url)
                await self._follow(since)
                problem = "it was ended; it is when the database _global_changes is deleted"
            except CouchError as error:
                problem = updates_problem(error)
            self.open = False
            await self._cluster.alive()
            failures = 1 if loop.time() - opened > STEADY else failures + 1
            if failures == 1:
                log.warning("source_updates_missing", url=self._cluster.url, problem=problem)
                self._hurry.set()
            await asyncio.sleep(min(LONGEST_PAUSE, 2.0**failures / 2) * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def _follow(self, since: str) -> None:
        heartbeat = self._settings.heartbeat * random.uniform(0.9, 1.0)  # noqa: S311 - not all nodes at once
        params = {"feed": "continuous", "since": since, "heartbeat": str(int(heartbeat * 1000))}
        lines = Lines(64 * 1024)
        self.open = True
        async with self._cluster.stream("/_db_updates", params, 2 * heartbeat + 5) as content:
            async for chunk in chunks(content):
                self._known.heard()
                for line, _ in lines.feed(chunk):
                    event = update(line)
                    if event is not None and is_followed(event.db_name):
                        self._moved(event.db_name, event.type)
