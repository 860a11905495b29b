"""Kazoo's CouchDB or BigCouch cluster as a source: connect, follow, and begin again when the server is lost."""

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

import structlog

from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import Inbox, Memory
from kazoo_provisioner.sources.couch.cluster import Cluster
from kazoo_provisioner.sources.couch.errors import CouchError
from kazoo_provisioner.sources.couch.follow import Following
from kazoo_provisioner.sources.couch.known import Known
from kazoo_provisioner.sources.couch.read import Reader
from kazoo_provisioner.sources.couch.server import Server
from kazoo_provisioner.yamlfile import SettingsError

log = structlog.get_logger()

LONGEST_PAUSE = 30.0
"""Most seconds between two attempts to reach a cluster."""


def tls_of(settings: SourceSettings) -> ssl.SSLContext | bool:
    """Return what a server's certificate is held against.

    Raises:
        SettingsError: the file of certificates cannot be used.
    """
    ca = settings.couch.ca
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca))
    except OSError as error:  # ssl.SSLError is one
        reason = "holds no certificate (PEM)" if isinstance(error, ssl.SSLError) else error.strerror
        raise SettingsError(f"source.couch.ca: {ca}: {reason}") from None


class CouchSource:
    """Follows a cluster.

    Raises:
        SettingsError: the certificates cannot be read.
    """

    name = "couch"

    def __init__(self, settings: SourceSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._tls = tls_of(settings)
        self._clock = clock
        self._known: Known | None = None
        self._following: Following | None = None
        self._server: Server | None = None
        self._problem: str | None = None

    async def run(self, inbox: Inbox, memory: Memory) -> None:
        """Follow the cluster for ever."""
        known = self._known = Known(inbox, memory, self._clock)
        failures = 0
        async with Cluster(self._settings.couch, self._tls) as cluster:
            while True:
                try:
                    server = self._server = await cluster.connect()
                    known.heard()
                    await known.meet(server)
                    reader = Reader(cluster, known, self._settings)
                    self._following = Following(cluster, server, reader, known, self._settings.couch)
                    await self._following.run(self._connected)
                except CouchError as error:
                    problem = str(error)
                if self._following and self._following.swept:
                    failures = 0
                self._following = None
                pause = min(LONGEST_PAUSE, 0.5 * 2.0**failures) * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
                failures = min(failures + 1, 10)
                if problem != self._problem:
                    self._problem = problem
                    log.error("source_lost", url=cluster.url, problem=problem, retry_s=round(pause, 1))
                cluster.next_node()
                await asyncio.sleep(pause)

    def _connected(self) -> None:
        """Every database was asked for: nothing that happened before is missed any more."""
        server, self._problem = self._server, None
        assert server  # noqa: S101 - for the type checker
        log.info(
            "source_connected", url=server.url, version=server.version, bigcouch=server.bigcouch,
            dbs_info=server.dbs_info, lists=server.lists,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """Say how it goes."""
        following, known, server = self._following, self._known, self._server
        visits = following.visits if following else None
        databases = known.databases if known else {}
        return {
            "type": self.name,
            "url": server.url if server else None,
            "version": server.version if server else None,
            "connected": following is not None and following.swept,
            "problem": self._problem,
            "last_contact": round(known.contact, 1) if known and known.contact else None,
            "lag_s": round(visits.lag(), 1) if visits else None,
            "databases": len(databases),
            "waiting": visits.waiting if visits else 0,
            "reading": visits.busy[:10] if visits else [],
            "feeds": sum(db.feed is not None for db in databases.values()),
            "updates": bool(following and following.updates),
            "audits_waiting": visits.audits if visits else 0,
            "audits_done": known.audits if known else 0,
            "absent": sum(len(db.absent) for db in databases.values()),
            "unreadable": sorted(db.name for db in databases.values() if db.problem is not None)[:10],
        }
