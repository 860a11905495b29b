"""What we know of a cluster, whichever of its nodes answers."""

import contextlib
import zlib
from collections.abc import Callable

import msgspec

from kazoo_provisioner.model.ids import ACCOUNTS_DB, db_of_account, is_followed, parse_account_id
from kazoo_provisioner.sources.base import Inbox, Memory, Position
from kazoo_provisioner.sources.couch.database import Database
from kazoo_provisioner.sources.couch.server import Server

_SERVERS = "/servers"
"""Where what we know of the servers is kept, among the positions of databases: no database has such a name."""


class _Servers(msgspec.Struct):
    """The node that was asked last, and every uuid that we met."""

    url: str = ""
    uuids: list[str] = []


class Known:
    """All databases that we follow, and what outlives a connection."""

    def __init__(self, inbox: Inbox, memory: Memory, clock: Callable[[], float]) -> None:
        self.inbox = inbox
        self.memory = memory
        self.clock = clock
        """Seconds since 1970."""
        self.databases: dict[str, Database] = {}
        self.unseen: set[str] = set()
        """Databases that were there at the start and were not read to their end yet."""
        self.told = False
        """Whether we said that we caught up."""
        self.audits = 0
        """Databases that were read as a whole though they were known, in this life."""
        self.contact: float | None = None
        """When something came from the cluster last; seconds since 1970."""
        self.discovered: Callable[[str], None] = lambda _: None
        self._servers = _Servers()
        self._load()

    def _load(self) -> None:
        for name, at in self.memory.positions().items():
            if name == _SERVERS:
                with contextlib.suppress(ValueError):  # another version wrote it
                    self._servers = msgspec.json.decode(at.identity, type=_Servers)
            elif is_followed(name):
                self.get(name).load(at.seq, at.identity, stale=at.stale)
        for name in self.memory.databases():
            if is_followed(name):
                self.get(name)

    def get(self, name: str) -> Database:
        """Return a database, one that we hear of for the first time too."""
        if name not in self.databases:
            self.databases[name] = Database(name)
            if not self.told:
                self.unseen.add(name)
        return self.databases[name]

    def forget(self, db: Database) -> None:
        """Forget a database that is gone."""
        if self.databases.get(db.name) is db:
            del self.databases[db.name]

    def of_accounts(self) -> set[str]:
        """Return the databases that there should be, by the account documents that we hold."""
        ids = filter(parse_account_id, self.memory.held(ACCOUNTS_DB))
        return {db_of_account(account) for account in ids} | {ACCOUNTS_DB} | set(self.databases)

    def heard_of(self, account: str) -> None:
        """Look at an account's database: its document came, and we did not know it."""
        name = db_of_account(account)
        if parse_account_id(account) and name not in self.databases:
            self.get(name)
            self.discovered(name)

    def heard(self) -> None:
        """Note a sign of life."""
        self.contact = self.clock()

    def is_due(self, db: Database, audit: float) -> bool:
        """Whether a database should be read as a whole, since that is long ago; not all on the same day."""
        share = zlib.crc32(db.name.encode()) / 2**32
        return self.clock() - db.read > audit * (0.75 + 0.5 * share)

    async def meet(self, server: Server) -> None:
        """Compare a server with those that we know: audit everything when it is of another cluster."""
        known = self._servers
        if known.url and known.url != server.url:
            for db in self.databases.values():
                db.move()
        if known.uuids and server.uuid not in known.uuids:
            for db in self.databases.values():
                db.whole = db.whole or "server"
        if (known.url, server.uuid in known.uuids) != (server.url, True):
            for db in self.databases.values():
                if (
                    db.since is not None
                ):  # what is to be done outlives us before the reason for it is forgotten
                    await self.inbox.put(Position(db.name, db.since, db.identity()))
            # Nodes of one cluster may have uuids of their own.
            uuids = [*[uuid for uuid in known.uuids if uuid != server.uuid], server.uuid][-32:]
            self._servers = _Servers(server.url, uuids)
            identity = msgspec.json.encode(self._servers).decode()
            await self.inbox.put(Position(_SERVERS, "-", identity))
