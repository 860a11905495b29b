"""The store as its one writer has it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from kazoo_provisioner.store import schema
from kazoo_provisioner.store.documents import Documents
from kazoo_provisioner.store.queue import Queue
from kazoo_provisioner.store.releases import Claims, Releases

EMPTIED = 20
"""Transactions of the first pass after which the write-ahead log is emptied."""


class Store:
    """All tables, and the transaction that moves them together.

    Raises:
        StoreError: the folder or the file cannot be used; says why.
    """

    def __init__(self, folder: Path, history: int = 10, *, read_only: bool = False) -> None:
        self.folder = folder
        self._hurried = False
        self._written = 0
        self._db = schema.open_reader(folder) if read_only else schema.open_writer(folder)
        self.documents = Documents(self._db)
        self.queue = Queue(self._db)
        self.releases = Releases(self._db, history)
        self.claims = Claims(self._db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Open a transaction: all of it or nothing.

        Raises:
            StoreUnavailableError: it could not be written now; nothing of it was.
            StoreError: the file is broken.
        """
        with schema.translated(self.folder):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def translated(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors about the file into ours, for what is read outside a transaction."""
        return schema.translated(self.folder)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Open a part of the transaction that can fail alone."""
        self._db.execute("SAVEPOINT one")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has taken the whole transaction back already
                self._db.execute("ROLLBACK TO one")
                self._db.execute("RELEASE one")
            raise
        self._db.execute("RELEASE one")

    def hurry(self, *, on: bool) -> None:
        """Write the file seldom, in large pieces: for the first pass, when nobody waits for a single change."""
        self._db.execute(f"PRAGMA wal_autocheckpoint={0 if on else 1000}")
        self._hurried = on

    def keep_small(self) -> None:
        """Between two transactions: while it hurries, empty the write-ahead log before it grows too long.

        SQLite's own way starts over and over again when others read all the time.
        """
        self._written += 1
        if self._hurried and self._written % EMPTIED == 0:
            with schema.translated(self.folder):
                self._db.execute("PRAGMA wal_checkpoint(RESTART)")

    def meta(self, key: str) -> str | None:
        """Return a note, or None."""
        row = self._db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, key: str, value: str) -> None:
        """Write a note."""
        self._db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?,?)", (key, value))

    def notes(self, prefix: str) -> dict[str, str]:
        """Return all notes whose key starts with a prefix."""
        rows = self._db.execute(
            "SELECT key, value FROM meta WHERE substr(key, 1, ?)=?", (len(prefix), prefix)
        )
        return dict(rows)

    def drop_meta(self, key: str) -> None:
        """Forget a note."""
        self._db.execute("DELETE FROM meta WHERE key=?", (key,))

    def close(self) -> None:
        """Close the file."""
        self._db.close()
