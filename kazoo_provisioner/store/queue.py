"""Dirty marks: the queue of work, what caused each, and when it is due.

A subject is what is rendered as one: ``phone/<account>/<device>``, ``book/<account>/<brand>/<family>``
(the account's phonebook for a family) or ``common/<brand>/<family>`` (files that name no phone).
Times are milliseconds since 1970.
"""

import sqlite3
from collections.abc import Iterable

import msgspec

QUIET = 250
"""Further marks wait until nothing came for so long …"""
QUIET_AT_MOST = 2_000
"""… but never longer than this after the first; also how long a subject must have been clean to be due at once."""
LONGEST_DELAY = 600_000
"""No retry waits longer. A due time further off comes from a clock that jumped, and counts as now."""

SINGLE, ACCOUNT, BACKGROUND = 0, 1, 2
"""Priorities: one device or user; an account; templates, defaults and settings."""


class Due(msgspec.Struct, frozen=True):
    """A mark that is due."""

    subject: str
    gen: int
    attempts: int
    priority: int
    first_at: int


class Queue:
    """The tables cause, dirty and dirty_cause."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def cause(self, kind: str, ref: str, rev: str, now: int) -> int:
        """Return the id of a cause: `kind` "document", "template", "settings" …, what moved and to what."""
        self._db.execute(
            "INSERT INTO cause(kind, ref, rev, at) VALUES(?,?,?,?) ON CONFLICT(kind, ref, rev) DO NOTHING",
            (kind, ref, rev, now),
        )
        found: int = self._db.execute(
            "SELECT id FROM cause WHERE kind=? AND ref=? AND rev=?", (kind, ref, rev)
        ).fetchone()[0]
        return found

    def mark(self, subjects: Iterable[str], cause: int, priority: int, now: int) -> None:
        """Mark subjects dirty. A leading edge: one that was at rest is due at once."""
        subjects = list(subjects)
        self._db.executemany(
            "INSERT INTO dirty(subject, gen, first_at, last_at, not_before, priority) VALUES(?1, 1, ?2, ?2,"
            " CASE WHEN EXISTS(SELECT 1 FROM phone WHERE subject=?1 AND at BETWEEN ?2-?4 AND ?2) THEN ?2+?5 ELSE ?2 END, ?3)"
            " ON CONFLICT(subject) DO UPDATE SET gen=gen+1, last_at=?2, priority=min(priority, ?3), attempts=0,"
            " not_before=CASE WHEN attempts>0 OR not_before<=?2 OR not_before>?2+?4 THEN min(not_before, ?2)"
            " ELSE min(?2+?5, max(first_at+?4, ?2)) END",
            [(subject, now, priority, QUIET_AT_MOST, QUIET) for subject in subjects],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO dirty_cause(subject, cause) VALUES(?,?)", [(s, cause) for s in subjects]
        )

    def due(self, now: int, limit: int, priority: int = BACKGROUND) -> list[Due]:
        """Return marks that are due, the most urgent first; none less urgent than `priority`."""
        rows = self._db.execute(
            "SELECT subject, gen, attempts, priority, first_at FROM dirty"
            " WHERE priority<=? AND (not_before<=? OR not_before>?) ORDER BY priority, first_at LIMIT ?",
            (priority, now, now + LONGEST_DELAY, limit),
        )
        return [Due(*row) for row in rows]

    def mark_now(self, subject: str, cause: int, now: int) -> Due:
        """Mark a subject that is worked on at once, in the same transaction."""
        self.mark([subject], cause, SINGLE, now)
        row = self._db.execute(
            "SELECT subject, gen, attempts, priority, first_at FROM dirty WHERE subject=?", (subject,)
        ).fetchone()
        return Due(*row)

    def next_at(self) -> int | None:
        """Return when the next mark is due, or None when there is none."""
        found: int | None = self._db.execute("SELECT min(not_before) FROM dirty").fetchone()[0]
        return found

    def causes(self, subject: str) -> list[int]:
        """Return the causes of a subject's mark."""
        rows = self._db.execute("SELECT cause FROM dirty_cause WHERE subject=? ORDER BY cause", (subject,))
        return [row[0] for row in rows]

    def clear(self, due: Due) -> None:
        """Take a mark away, unless it was set again since it was read."""
        done = self._db.execute("DELETE FROM dirty WHERE subject=? AND gen=?", (due.subject, due.gen))
        if done.rowcount:
            self._db.execute("DELETE FROM dirty_cause WHERE subject=?", (due.subject,))

    def postpone(self, due: Due, now: int) -> int:
        """Leave a mark for later after a failure (1 s, 2 s, 4 s …); return the delay in milliseconds."""
        delay: int = min(1000 << min(due.attempts, 20), LONGEST_DELAY)
        self._db.execute(
            "UPDATE dirty SET attempts=attempts+1, not_before=? WHERE subject=? AND gen=?",
            (now + delay, due.subject, due.gen),
        )
        return delay

    def counts(self) -> tuple[int, int]:
        """Return how many marks there are, and how many of them were tried in vain."""
        row = self._db.execute(
            "SELECT count(*), count(CASE WHEN attempts>0 THEN 1 END) FROM dirty"
        ).fetchone()
        return row[0], row[1]

    def untried(self, until: int) -> bool:
        """Whether a mark that was first set at a time (ms), or before, was never tried."""
        row = self._db.execute(
            "SELECT 1 FROM dirty WHERE attempts=0 AND first_at<=? LIMIT 1", (until,)
        ).fetchone()
        return row is not None

    def is_dirty(self, subject: str) -> bool:
        """Whether a subject is marked."""
        return self._db.execute("SELECT 1 FROM dirty WHERE subject=?", (subject,)).fetchone() is not None

    def drop_unused_causes(self) -> None:
        """Forget causes that no mark and no release names any more."""
        self._db.execute(
            "DELETE FROM cause WHERE NOT EXISTS(SELECT 1 FROM dirty_cause c WHERE c.cause=cause.id)"
            " AND NOT EXISTS(SELECT 1 FROM release_cause c WHERE c.cause=cause.id)"
        )
