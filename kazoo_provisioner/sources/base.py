"""What every source of documents is to the rest: changes, positions, "caught up" marks."""

import asyncio
import contextlib
from collections import deque
from typing import Any, Protocol

from msgspec import Struct

from kazoo_provisioner.model.wire import Doc, trim


class Change(Struct, frozen=True):
    """A document moved. `kept` is (kind, the fields that we keep); None: it is gone, or concerns us no more.

    `size` is bytes on the wire, for back-pressure.
    """

    db: str
    id: str
    rev: str
    kept: tuple[str, Doc] | None
    size: int = 0


class Position(Struct, frozen=True):
    """Every change of a database up to `seq` was sent. Both texts are the source's own affair."""

    db: str
    seq: str
    identity: str


class CaughtUp(Struct, frozen=True):
    """Everything that was there when the source last looked has been sent."""


Event = Change | Position | CaughtUp


class Stored(Struct, frozen=True):
    """A position as it was stored. `stale`: documents were then cut down to other fields than now."""

    seq: str
    identity: str
    stale: bool


class Memory(Protocol):
    """What is stored of what a source has sent; what waits in the inbox is not in it yet."""

    def held(self, db: str) -> dict[str, str]:
        """Return the revision that we hold of each document of a database, by id.

        A revision that must be read again whatever it is (we keep other fields now) is the empty string.
        """

    def databases(self) -> list[str]:
        """Return the databases of which we hold documents."""

    def positions(self) -> dict[str, Stored]:
        """Return how far each database was read."""


class Source(Protocol):
    """A source of documents."""

    @property
    def name(self) -> str:
        """Name of this source in positions and logs."""

    async def run(self, inbox: "Inbox", memory: Memory) -> None:
        """Put changes and marks into the inbox, for ever. Nothing in the documents ends it."""

    def status(self) -> dict[str, Any]:
        """Say how it goes, as plain JSON without secrets: docs/operations.md describes every field."""


class Report(Struct):
    """What a look at a source told, in sentences for the operator."""

    facts: list[str] = []
    doubts: list[str] = []
    """What works less well than it could, and what to do."""
    problems: list[str] = []
    """What does not work, and what to do."""


def changed(db: str, doc_id: str, rev: str, body: Doc, size: int) -> Change:
    """Return the change of a document that is there.

    Raises:
        ValueError: nothing can be made of it; says why, without quoting it.
    """
    kept = trim(db, doc_id, body)
    return Change(db, doc_id, rev, kept, size if kept else 0)


class Inbox:
    """Between a source and ingest: bounded in bytes, in order."""

    def __init__(self, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._max = max_bytes
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._put = 0
        self._stored = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def put(self, event: Event) -> None:
        """Add an event; wait while too many bytes are waiting."""
        while not self._room.is_set():
            await self._room.wait()
        self._events.append(event)
        self._put += 1
        self._bytes += _size(event)
        self._filled.set()
        if self._bytes >= self._max:
            self._room.clear()

    def take(self, limit: int) -> list[Event]:
        """Return what is there, at most `limit` events; may be nothing. `stored` says that they are safe."""
        taken = [self._events.popleft() for _ in range(min(limit, len(self._events)))]
        self._bytes -= sum(map(_size, taken))
        if self._bytes < self._max:
            self._room.set()
        if not self._events:
            self._filled.clear()
        return taken

    def stored(self, count: int) -> None:
        """Note that so many more events that were taken are in the store."""
        self._stored += count
        while self._waiting and self._waiting[0][0] <= self._stored:
            waiter = self._waiting.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    async def settled(self) -> None:
        """Wait until everything that was put before is in the store."""
        if self._stored < self._put:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._put, waiter))
            await waiter

    def wake(self) -> None:
        """End a `wait` that is under way, though nothing came."""
        self._filled.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something is there, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._filled.wait()


def _size(event: Event) -> int:
    return event.size + 256 if isinstance(event, Change) else 256
