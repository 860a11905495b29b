"""What every source of documents is to the rest: changes, "caught up" marks, opaque positions."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from kazoo_provisioner.model.wire import Doc


class Change(Struct, frozen=True):
    """A document moved. `seq` is the feed's position after it; `body` is None when it was deleted.

    `size` is bytes on the wire, for back-pressure.
    """

    db: str
    id: str
    rev: str
    seq: str
    body: Doc | None
    size: int = 0


class CaughtUp(Struct, frozen=True):
    """Everything that was there when the source last looked has been sent."""


Event = Change | CaughtUp

Held = Callable[[str], dict[str, str]]
"""From a database to the revisions that we hold of it, by document id. A revision that must be read
again whatever it is (we keep other fields now) is the empty string."""

Databases = Callable[[], list[str]]
"""The databases of which we hold documents."""


class Source(Protocol):
    """A source of documents."""

    @property
    def name(self) -> str:
        """Name of this source in positions and logs."""

    def identity(self, db: str) -> str:
        """Return what tells a database from another one of the same name; opaque."""

    async def run(self, inbox: "Inbox", held: Held, databases: Databases) -> None:
        """Put changes and marks into the inbox, for ever. Nothing in the documents ends it."""


class Inbox:
    """Between a source and ingest: bounded in bytes, in order."""

    def __init__(self, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._max = max_bytes
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, event: Event) -> None:
        """Add an event; wait while too many bytes are waiting."""
        await self._room.wait()
        self._events.append(event)
        self._bytes += _size(event)
        self._filled.set()
        if self._bytes >= self._max:
            self._room.clear()

    def take(self, limit: int) -> list[Event]:
        """Return what is there, at most `limit` events; may be nothing."""
        taken = [self._events.popleft() for _ in range(min(limit, len(self._events)))]
        self._bytes -= sum(map(_size, taken))
        if self._bytes < self._max:
            self._room.set()
        if not self._events:
            self._filled.clear()
        return taken

    def wake(self) -> None:
        """End a `wait` that is under way, though nothing came."""
        self._filled.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something is there, at most so long."""
        try:
            await asyncio.wait_for(self._filled.wait(), seconds)
        except TimeoutError:
            return


def _size(event: Event) -> int:
    return event.size + 256 if isinstance(event, Change) else 256
