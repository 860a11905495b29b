"""The store as those see it who answer phones: point reads, nothing computed."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kazoo_provisioner.store import schema

SOURCE = "status/source"
"""The note in which the writer leaves how its source does."""


_FIND = (
    "SELECT etag, ctype, model, sensitive, "
    "CASE WHEN etag=? THEN NULL ELSE (SELECT data FROM blob WHERE id=served.blob) END "
    "FROM served WHERE account=? AND name=?"
)


class Served(NamedTuple):
    """What is served under a name."""

    etag: str
    ctype: str
    model: str
    sensitive: int
    """Not 0: made for one phone, so it may hold its secrets."""
    data: bytes | None
    """None where the asker has it already."""


class Reader:
    """Read-only look-ups.

    `later` calls back at the end of a turn of the event loop. With it, the look-ups of a turn share a read
    transaction, since to begin and end one costs as much as the look-up; it is never open longer than that.
    Without it each look-up is a statement of its own.

    Raises:
        StoreError: there is no store, or it has another schema.
    """

    def __init__(self, folder: Path, later: Callable[[Callable[[], None]], object] | None = None) -> None:
        self._folder = folder
        self._db = schema.open_reader(folder)
        self._later = later

    def find(self, scope: str, name: str, held: str = "") -> Served | None:
        """Return what is served under a lower-case name, without the data where its etag is the one `held`.

        Scope is an account id or empty.
        """
        try:
            if self._later and not self._db.in_transaction:
                self._db.execute("BEGIN")
                self._later(self._end)
            row = self._db.execute(_FIND, (held, scope, name)).fetchone()
        except sqlite3.Error as error:
            raise schema.translation(error, self._folder) from error
        return Served._make(row) if row else None

    def _end(self) -> None:
        with contextlib.suppress(
            sqlite3.Error
        ):  # what failed was said by the look-up, or is said by the next
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def is_synced(self) -> bool:
        """Whether the first full pass ended, ever."""
        with schema.translated(self._folder):
            return self._db.execute("SELECT 1 FROM meta WHERE key='synced'").fetchone() is not None

    def why_not(self, account: str, mac: str) -> str:
        """Say in a word, for the log, why a phone's file is not served."""
        with schema.translated(self._folder):
            rows = self._db.execute("SELECT account, problem FROM phone WHERE mac=?", (mac,)).fetchall()
        if not rows:
            return "unknown_mac"
        here = [row[1] for row in rows if not account or row[0] == account]
        if not here:
            return "wrong_account"
        return "no_such_file" if None in here else str(here[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
