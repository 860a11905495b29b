"""What we know of one database: how far it was read, and what it looked like when we last asked.

A restored or recreated database hides changes: its feed says that nothing came since the position we hold.
So each database has a `Mark`, and what does not fit together leads to reading it as a whole.
"""

import asyncio
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kazoo_provisioner.sources.couch.rows import number

Reason = Literal[
    "new",
    "recreated",
    "restored",
    "rewound",
    "replayed",
    "silent",
    "absent",
    "server",
    "version",
    "unfinished",
    "daily",
]
"""Why a database is read as a whole. docs/operations.md says what each means."""

HINTS: frozenset[Reason | None] = frozenset(("restored", "rewound", "silent"))
"""Copies of a database on several nodes do not count alike, so these may mean nothing."""
BACKGROUND = HINTS | frozenset[Reason | None](("server", "version", "daily"))
"""Hints, and reasons that hold for many databases at once: such reads are paced."""


class Mark(Struct, frozen=True):
    """A database as ``_dbs_info`` showed it. `start` is empty where the server's says nothing."""

    start: str
    number: int
    documents: int
    """Live and deleted ones together: that falls only when an older state is put back."""
    update_seq: str

    def suspicion(self, now: "Mark") -> Reason | None:
        """Return what speaks for another database under this name, or an older state of this one."""
        if self.start and now.start and self.start != now.start:
            return "recreated"
        if now.documents < self.documents:
            return "restored"
        return "rewound" if now.number < self.number else None


class _Info(Struct):
    """The fields of a database's info that we ask for. Sizes, purges and the like are of no interest."""

    update_seq: msgspec.Raw
    doc_count: int = 0
    doc_del_count: int = 0
    instance_start_time: str | int = ""


def mark_of(info: Any, *, started: bool) -> Mark:
    """Return the mark in a database's info, as bytes or as decoded JSON.

    `started`: its start time says when the database was made (CouchDB 3), not when its file was opened (1.x).

    Raises:
        ValueError: it is no such info.
    """
    data = info if isinstance(info, bytes) else msgspec.json.encode(info)
    found = msgspec.json.decode(data, type=_Info)
    start = str(found.instance_start_time)
    seq = bytes(found.update_seq).decode()
    return Mark(
        start if started and start != "0" else "",
        number(seq) or 0,
        found.doc_count + found.doc_del_count,
        seq,
    )


class Identity(Struct, frozen=True, omit_defaults=True):
    """What is stored beside a position."""

    mark: Mark | None = None
    read: float = 0
    """When the database was last read as a whole, seconds since 1970."""
    whole: Reason | None = None
    """It must be read as a whole (again): that was noticed and is not done."""


class Database:
    """One database that we follow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.since: str | None = None
        """JSON of the sequence after which we read on; None: it was never read."""
        self.mark: Mark | None = None
        self.mark_rows = -1
        """`rows` when the mark was asked for; -1: more came, or may have come."""
        self.info: tuple[Mark, int] | None = None
        """A newer mark, with `rows` as it was then; becomes the mark when what it promises was read."""
        self.rows = 0
        """Rows that came, in this life."""
        self.at = 0
        """The number of the position, as the node in use counts; 0: another one gave it."""
        self.read = 0.0
        self.whole: Reason | None = None
        self.absent: dict[str, float] = {}
        """Documents that whole reads miss, and since when; loop time."""
        self.vain = 0
        """Hints in a row that led to nothing."""
        self.deaf = 0.0
        """Until then hints are not followed; seconds since 1970."""
        self.failures = 0
        self.problem: str | None = None
        self.feed: asyncio.Task[None] | None = None
        self.feedless = 0.0
        """Until then no feed is opened: the last one did not hold; loop time."""
        self.moved = 0.0
        """When the last row came; loop time."""
        self.lock = asyncio.Lock()
        """Held by whoever reads it: changes of one database stay in order."""

    def load(self, seq: str, identity: str, *, stale: bool) -> None:
        """Go on from what was stored."""
        try:
            known = msgspec.json.decode(identity, type=Identity)
        except ValueError:
            return  # another version wrote it: read everything
        self.reach(seq)
        self.mark, self.read, self.whole = known.mark, known.read, known.whole
        if stale:
            self.whole = "version"

    def identity(self) -> str:
        """Return what is to be stored beside the position."""
        whole: Reason | None = "unfinished" if self.absent else self.whole
        return msgspec.json.encode(Identity(self.mark, self.read, whole)).decode()

    def accept(self, mark: Mark, rows: int, *, covered: bool) -> None:
        """Take a newer mark, asked for when `rows` had come.

        `covered`: we have read everything that it promises. If not, its sequence is not kept: equal ones mean
        that there is nothing to read.
        """
        self.mark = mark if covered else msgspec.structs.replace(mark, update_seq="")
        self.mark_rows = rows

    def is_silent(self, newer: Mark) -> bool:
        """Whether the database says that it moved since the mark, and no row came."""
        old = self.mark
        return bool(
            old and old.update_seq and old.update_seq != newer.update_seq and self.mark_rows == self.rows
        )

    def reach(self, since: str) -> None:
        """Take the position that the node in use gave."""
        self.since, self.at = since, number(since) or 0

    def move(self) -> None:
        """Forget what only holds for the node that was asked until now: others count otherwise."""
        self.at = 0
        if self.mark is not None:
            self.mark = msgspec.structs.replace(self.mark, number=0, documents=0, update_seq="")

    def asked(self) -> tuple[int, int]:
        """Return what to hand to `judge` with a mark that is asked for now."""
        return self.rows, self.at

    def judge(self, newer: Mark, asked: tuple[int, int]) -> bool:
        """Take a newer mark, and note in `whole` what speaks for reading everything.

        Return whether there may be something to read.
        """
        rows, at = asked
        self.info = (newer, rows)
        if self.since is None or self.mark is None:
            return True
        self.doubt(newer, at)
        if self.mark.update_seq == newer.update_seq:
            self.accept(newer, rows, covered=True)
            return False
        if self.feed is not None and self.rows != self.mark_rows:
            self.accept(newer, rows, covered=False)  # its feed is at work
            return False
        return True

    def doubt(self, newer: Mark, at: int) -> None:
        """Note what a mark says against the old one, and against the position when it was asked for."""
        if self.whole is None and self.mark is not None:
            self.whole = self.mark.suspicion(newer)
        if self.whole is None and newer.number < at:
            self.whole = "rewound"

    def miss(self, ids: set[str], now: float, confirm: float) -> set[str]:
        """Note which documents a whole read missed; return those that were missed before, and long enough ago."""
        gone = {i for i in ids if i in self.absent and now - self.absent[i] >= confirm}
        self.absent = {i: self.absent.get(i, now) for i in ids - gone}
        return gone
