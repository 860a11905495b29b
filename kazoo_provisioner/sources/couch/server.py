"""Who answers, and what may be asked of it."""

import asyncio
import re
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from kazoo_provisioner.model.ids import ACCOUNTS_DB
from kazoo_provisioner.sources.couch.errors import CouchError, GarbageError, RefusedError

if TYPE_CHECKING:
    from kazoo_provisioner.sources.couch.cluster import Cluster

OLD = "it is older than CouchDB 2"
PATIENCE = 10.0
"""Seconds for an answer that should come at once."""


class Server(Struct, frozen=True):
    """What a server can do."""

    url: str
    version: str
    uuid: str
    bigcouch: bool
    updates: str | None
    """What is missing for ``_db_updates``; None: nothing."""
    dbs_info: bool
    lists: bool
    """Whether we may list the databases."""

    @property
    def old(self) -> bool:
        """Whether it never has ``_db_updates``."""
        return self.bigcouch or self.major < 2

    @property
    def started(self) -> bool:
        """Whether a database's start time is that of its creation."""
        return not self.bigcouch and self.major >= 3

    @property
    def major(self) -> int:
        """Return the first number of the version; 0 where it says none."""
        found = re.match(r"[0-9]{1,6}", self.version)
        return int(found[0]) if found else 0


async def look(cluster: "Cluster", info: Any) -> Server:
    """Find out what a node can do; `info` is what it says of itself.

    Raises:
        CouchError: it is no CouchDB, or may not be read.
    """
    if not isinstance(info, dict) or "couchdb" not in info:
        raise CouchError("is no CouchDB")
    version = str(info.get("version", ""))
    if not re.fullmatch(r"[0-9A-Za-z.+\-]{1,40}", version):
        version = "0"
    await cluster.readable()
    old = Server(
        cluster.url, version, str(info.get("uuid", ""))[:64], "bigcouch" in info, OLD,
        dbs_info=False, lists=await _may_list(cluster),
    )  # fmt: skip
    if old.old:
        return old
    return Server(
        old.url, old.version, old.uuid, old.bigcouch, await _updates_missing(cluster),
        dbs_info=await _has_dbs_info(cluster), lists=old.lists,
    )  # fmt: skip


async def _may_list(cluster: "Cluster") -> bool:
    try:
        await cluster.names(limit=1)
    except RefusedError as error:
        if error.status in (401, 403):
            return False
        raise
    return True


async def _has_dbs_info(cluster: "Cluster") -> bool:
    try:
        await cluster.dbs_info([ACCOUNTS_DB])
    except (RefusedError, GarbageError):
        return False
    return True


async def _updates_missing(cluster: "Cluster") -> str | None:
    """Return what is missing for ``_db_updates``; what is wrong with it keeps us from nothing else."""
    try:
        async with asyncio.timeout(PATIENCE):
            await cluster.updates_seq()
    except TimeoutError:
        return "no answer in time"
    except CouchError as error:
        return updates_problem(error)
    return None


def updates_problem(error: CouchError) -> str:
    """Return what a failure of ``_db_updates`` means."""
    if isinstance(error, RefusedError) and error.missing:
        return "there is no database _global_changes"
    if isinstance(error, RefusedError) and error.status in (401, 403):
        return "the user is no server admin"
    return str(error)
