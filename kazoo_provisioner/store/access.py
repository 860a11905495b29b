"""What those who answer phones remember, in a file of its own (``access.db``) that they share.

Who asked last for what, names asked for in vain, addresses that asked for too many of these, and counts. All
of it is memory: without the file phones are answered as with it. Noted as it happens, written in batches.
"""

import contextlib
import ipaddress
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kazoo_provisioner.store import schema
from kazoo_provisioner.store.schema import StoreError, StoreUnavailableError

FILE = "access.db"

V1 = """
CREATE TABLE request(
    mac TEXT NOT NULL, account TEXT NOT NULL, file TEXT NOT NULL, at INTEGER NOT NULL, status INTEGER NOT NULL,
    reason TEXT NOT NULL, remote TEXT NOT NULL, host TEXT NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL,
    legacy INTEGER NOT NULL, own INTEGER NOT NULL, PRIMARY KEY(mac, account, file)) WITHOUT ROWID;
CREATE TABLE miss(
    address TEXT NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(address, name)) WITHOUT ROWID;
CREATE TABLE limited(address TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tally(name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
MIGRATIONS: tuple[str, ...] = (V1,)

KEPT = 90 * 86400
"""Seconds for which the last request for a file is kept; `KEPT_UNKNOWN` where no phone was known by that MAC."""
KEPT_UNKNOWN = 7 * 86400
PER_PHONE = 12
"""Last requests of a phone that are kept."""
MOST = 2_000_000
"""Rows of requests at most; `MOST_UNKNOWN` of those that got nothing."""
MOST_UNKNOWN = 100_000


_TOO_MANY_OF_A_PHONE = (
    "DELETE FROM request WHERE (mac, account, file) IN (SELECT mac, account, file FROM (SELECT mac, account, file, "
    "row_number() OVER (PARTITION BY mac ORDER BY own DESC, at DESC) AS nth FROM request "
    "WHERE mac IN (SELECT mac FROM request GROUP BY mac HAVING count(*)>?)) WHERE nth>?)"
)
_TOO_MANY = (
    "DELETE FROM request WHERE (mac, account, file) IN "
    "(SELECT mac, account, file FROM request ORDER BY own DESC, at DESC LIMIT -1 OFFSET ?)"
)
_TOO_MANY_UNKNOWN = (
    "DELETE FROM request WHERE (mac, account, file) IN "
    "(SELECT mac, account, file FROM request WHERE model='' ORDER BY at DESC LIMIT -1 OFFSET ?)"
)


def counted_as(address: str) -> str:
    """Return what an address counts as where a limit is held: IPv6 by its network of 64 bits."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address}/64", strict=False))
    except ValueError:
        return address


class Request(NamedTuple):
    """The last request for a file by a phone. `at` in seconds since 1970.

    `legacy`: 1 by an old URL. `own`: 1 for a file made for this phone alone, which it got there by its name,
    then or before.
    """

    mac: str
    account: str
    file: str
    at: int
    status: int
    reason: str
    remote: str
    host: str
    agent: str
    model: str
    legacy: int
    own: int


class Miss(NamedTuple):
    """A name that an address asked for in vain."""

    address: str
    name: str
    at: int


class Access:
    """The file, open. `read_only`: for those who only look.

    Raises:
        StoreError: it cannot be opened, read or written; says why.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        path = folder / FILE
        if read_only and not path.exists():
            raise StoreError(f"{path}: is not there yet")
        try:
            if not read_only:
                schema.create(path)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
        self._db = schema.connect(path, "ro" if read_only else "rw")
        try:
            opened = path.stat()
            self._identity = (opened.st_dev, opened.st_ino)
            self._prepare(path, read_only=read_only)
        except BaseException:
            self._db.close()  # or its descriptor stays until somebody collects the error
            raise

    def _prepare(self, path: Path, *, read_only: bool) -> None:
        with self._translated():
            if read_only:
                self._db.execute("PRAGMA query_only=ON")
                version = self._db.execute("PRAGMA user_version").fetchone()[0]
                if version != len(MIGRATIONS):
                    raise StoreError(f"{path}: has schema {version}, this program reads {len(MIGRATIONS)}")
            else:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute(f"PRAGMA journal_size_limit={16 * 1024 * 1024}")
                schema.migrate(self._db, path, MIGRATIONS)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            known = schema.translation(error, self._folder, FILE)
            # Nothing depends on this file: whatever is wrong with it, it is tried again later.
            unknown = StoreUnavailableError(f"{self._folder / FILE}: {error}")
            raise (known if isinstance(known, StoreError) else unknown) from error

    def version(self) -> int:
        """Return a number that differs when another connection has written.

        Raises:
            StoreUnavailableError: the file's name leads to another file now, or to none.
        """
        try:
            there = (self._folder / FILE).stat()
        except OSError as error:
            raise StoreUnavailableError(f"{self._folder / FILE}: {error.strerror}") from error
        if (there.st_dev, there.st_ino) != self._identity:
            raise StoreUnavailableError(f"{self._folder / FILE}: is another file now")
        with self._translated():
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def write(
        self, requests: Iterable[Request], misses: Iterable[Miss], tallies: Mapping[str, float],
        limit: int, window: float,
    ) -> list[str]:  # fmt: skip
        """Store what was noted; return the addresses that are limited from now on.

        An address with `limit` names within `window` seconds is limited for as long; 0: none is.
        """
        with self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "INSERT INTO request VALUES(?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET at=excluded.at, "
                    "status=excluded.status, reason=excluded.reason, remote=excluded.remote, host=excluded.host, "
                    "agent=excluded.agent, model=excluded.model, legacy=excluded.legacy, "
                    "own=max(excluded.own, own*(remote=excluded.remote)) WHERE excluded.at>=at "
                    "AND (own=0 OR excluded.reason<>'limited')",
                    sorted(requests),
                )
                self._db.executemany(
                    "INSERT INTO tally VALUES(?,?) ON CONFLICT DO UPDATE SET value=value+excluded.value",
                    sorted(tallies.items()),
                )
                tripped = self._miss(misses, limit, window) if limit else []
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return tripped

    def _miss(self, misses: Iterable[Miss], limit: int, window: float) -> list[str]:
        tripped = []
        latest: dict[str, int] = {}
        for miss in misses:
            self._db.execute("INSERT OR REPLACE INTO miss VALUES(?,?,?)", miss)
            latest[miss.address] = max(miss.at, latest.get(miss.address, 0))
        for address, at in latest.items():
            (count,) = self._db.execute(
                "SELECT count(*) FROM miss WHERE address=? AND at>?", (address, at - window)
            ).fetchone()
            if count >= limit:
                done = self._db.execute(
                    "INSERT INTO limited VALUES(?,?) ON CONFLICT DO UPDATE SET until=excluded.until WHERE until<=?",
                    (address, int(at + window), at),
                )
                tripped += [address] * done.rowcount
        return tripped

    def limited(self, now: float, window: float = 86_400) -> dict[str, int]:
        """Return the addresses that are limited, and until when: later than a window is a clock that jumped.

        The default is the longest window that can be set.
        """
        with self._translated():
            return dict(
                self._db.execute(
                    "SELECT address, until FROM limited WHERE until>? AND until<=?", (now, now + window + 1)
                )
            )

    def forgive(self, address: str) -> bool:
        """Forget what an address asked for in vain; return whether there was anything."""
        with self._translated():
            done = [
                self._db.execute(f"DELETE FROM {table} WHERE address=?", (address,)).rowcount  # noqa: S608
                for table in ("limited", "miss")
            ]
        return any(done)

    def places(self, mac: str) -> list[str]:
        """Return the addresses at which a phone asked last for a file that it once got there as its own."""
        with self._translated():
            found = self._db.execute("SELECT DISTINCT remote FROM request WHERE mac=? AND own=1", (mac,))
            return [row[0] for row in found]

    def requests(self, mac: str) -> list[Request]:
        """Return the last requests that name a MAC address, the latest first."""
        with self._translated():
            found = self._db.execute(
                "SELECT * FROM request WHERE mac=? ORDER BY at DESC, file LIMIT ?", (mac, PER_PHONE)
            )
            return [Request(*row) for row in found]

    def agents(self) -> list[tuple[str, str, int]]:
        """Return model, User-Agent and number of phones, by the last file that each got."""
        with self._translated():
            found = self._db.execute(
                "SELECT model, agent, count(*) FROM (SELECT model, agent, max(at) FROM request "
                "WHERE model<>'' AND status IN (200, 304) AND mac<>'' GROUP BY mac) GROUP BY model, agent"
            )
            return found.fetchall()

    def old_urls(self) -> tuple[int, int]:
        """Return how many phones asked last by an old URL, and how many asked at all."""
        with self._translated():
            old, every = self._db.execute(
                "SELECT coalesce(sum(legacy), 0), count(*) FROM (SELECT legacy, max(at) FROM request "
                "WHERE status IN (200, 304) AND mac<>'' GROUP BY mac)"
            ).fetchone()
        return old, every

    def tallies(self) -> dict[str, float]:
        """Return all counts."""
        with self._translated():
            return dict(self._db.execute("SELECT name, value FROM tally"))

    def forget(self, now: float, window: float) -> None:
        """Drop what is too old, and what is too much."""
        with self._translated():
            for statement, values in (
                ("DELETE FROM limited WHERE until<=? OR until>?", (now, now + window)),
                ("DELETE FROM miss WHERE at<=?", (now - window,)),
                ("DELETE FROM request WHERE at<=?", (now - KEPT,)),
                ("DELETE FROM request WHERE at<=? AND model=''", (now - KEPT_UNKNOWN,)),
                (_TOO_MANY_OF_A_PHONE, (PER_PHONE, PER_PHONE)),
                (_TOO_MANY_UNKNOWN, (MOST_UNKNOWN,)),
                (_TOO_MANY, (MOST,)),
            ):
                self._db.execute(statement, values)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def renew(folder: Path) -> str | None:
    """See that the file can be used; one that is broken is moved aside. Return why, None where all is well.

    Raises:
        StoreError: it cannot be used now, but it is not broken; or it can be neither moved nor made anew.
    """
    try:
        Access(folder).close()
    except StoreUnavailableError:
        raise
    except StoreError as error:
        for end in ("-wal", "-shm", ""):
            path = folder / f"{FILE}{end}"
            try:
                path.replace(folder / f"{FILE}.broken{end}")
            except FileNotFoundError:
                continue
            except OSError as refused:
                raise StoreError(f"{path}: cannot be moved aside: {refused.strerror}") from error
        Access(folder).close()
        return str(error)
    return None
