"""The store as those see it who answer phones: two point reads, nothing computed."""

from pathlib import Path
from typing import Any

import msgspec

from kazoo_provisioner.store import schema

SOURCE = "status/source"
"""The note in which the writer leaves how its source does."""


class Served(msgspec.Struct, frozen=True):
    """A name that is served."""

    etag: str
    ctype: str
    model: str
    blob: int
    sensitive: bool
    """Made for one phone, so it may hold its secrets."""


class Reader:
    """Read-only look-ups. Every one is a single statement, so no read transaction stays open.

    Raises:
        StoreError: there is no store, or it has another schema.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._db = schema.open_reader(folder)

    def find(self, scope: str, name: str) -> Served | None:
        """Return what is served under a lower-case name; scope is an account id or empty."""
        with schema.translated(self._folder):
            row = self._db.execute(
                "SELECT etag, ctype, model, blob, sensitive FROM served WHERE account=? AND name=?",
                (scope, name),
            ).fetchone()
        return Served(row[0], row[1], row[2], row[3], bool(row[4])) if row else None

    def content(self, blob: int) -> bytes | None:
        """Return a blob's content, or None when it was replaced since the name was found."""
        with schema.translated(self._folder):
            row = self._db.execute("SELECT data FROM blob WHERE id=?", (blob,)).fetchone()
        return row[0] if row else None

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

    def status(self) -> dict[str, Any]:
        """Return how the service does: what the writer said last, and counts."""
        with schema.translated(self._folder):
            notes = dict(
                self._db.execute("SELECT key, value FROM meta WHERE key IN ('synced', ?)", (SOURCE,))
            )
            problems = dict(
                self._db.execute(
                    "SELECT problem, count(*) FROM phone WHERE problem IS NOT NULL GROUP BY problem"
                )
            )
            phones = self._db.execute(
                "SELECT count(*) FROM phone WHERE family IS NOT NULL AND device<>''"
            ).fetchone()[0]
            waiting = self._db.execute("SELECT count(*) FROM dirty").fetchone()[0]
        said: dict[str, Any] = msgspec.json.decode(notes[SOURCE]) if SOURCE in notes else {}
        return {
            "synced": "synced" in notes,
            "phones": phones,
            "problems": problems,
            "waiting_to_render": waiting,
            "source": said,
        }

    def close(self) -> None:
        """Close the file."""
        self._db.close()
