"""A scripted server, a source that follows it, and what the writer would hold: one test's whole world."""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Self

from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.settings import CouchSettings, SourceSettings
from kazoo_provisioner.sources.base import CaughtUp, Event, Inbox, Position, Stored
from kazoo_provisioner.sources.couch.source import CouchSource
from tests.sources.couch.model import Couch
from tests.sources.couch.script import Script
from tests.support import kazoo

EPOCH = 1_700_000_000


def name(number: int) -> str:
    return db_of_account(kazoo.account_id(number))


class Held:
    """What the writer holds: `Memory`."""

    def __init__(self) -> None:
        self.docs: dict[tuple[str, str], tuple[str, Any]] = {}
        self.at: dict[str, Stored] = {}
        self.deleted: list[tuple[str, str]] = []
        self.caught_up = 0

    def apply(self, event: Event) -> None:
        if isinstance(event, CaughtUp):
            self.caught_up += 1
        elif isinstance(event, Position):
            self.at[event.db] = Stored(event.seq, event.identity, stale=False)
        elif event.kept is not None:
            self.docs[event.db, event.id] = (event.rev, event.kept)
        elif self.docs.pop((event.db, event.id), None) is not None:
            self.deleted.append((event.db, event.id))

    def held(self, db: str) -> dict[str, str]:
        return {i: rev for (name_, i), (rev, _) in self.docs.items() if name_ == db}

    def databases(self) -> list[str]:
        return sorted({db for db, _ in self.docs})

    def positions(self) -> dict[str, Stored]:
        return dict(self.at)


class World:
    """Databases `accounts` and those of `accounts` accounts, a user and a device in each."""

    def __init__(self, accounts: int = 2, couch: Couch | None = None, budget: int = 3000, **settings: Any):
        self.couch = couch or Couch()
        self.server = Script(self.couch, budget)
        self.memory = Held()
        self.settings = settings
        self.max_document = settings.pop("max_document", 1_000_000)
        self.inbox = Inbox()
        self.taking = 200
        """Events that the writer takes at once; 0: it stands still."""
        self.left: int | None = None
        """How many more events the writer takes; None: all."""
        self.task: asyncio.Task[None] | None = None
        self.source: CouchSource | None = None
        self._drain: asyncio.Task[None] | None = None
        self._before: set[asyncio.Task[Any]] = set()
        self.couch.create("accounts")
        for number in range(1, accounts + 1):
            self.add(number)

    def add(self, number: int) -> str:
        """Make an account with its database."""
        account = kazoo.account(kazoo.account_id(number))
        db = name(number)
        self.couch.create(db)
        self.couch.put(db, account)
        self.couch.put(db, kazoo.user("u1"))
        self.couch.put(db, kazoo.device("d1", kazoo.mac(number), owner_id="u1"))
        self.couch.put("accounts", account)
        return db

    def device(self, number: int, device: str = "d1", **fields: Any) -> str:
        """Write a device; return its revision."""
        return self.couch.put(name(number), kazoo.device(device, kazoo.mac(number), **fields))

    async def __aenter__(self) -> Self:
        random.seed(1)
        self._before = asyncio.all_tasks()
        await self.server.start()
        self.settings.setdefault("urls", (self.url,))
        self.start()
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def start(self) -> None:
        """Start our side, with what is held."""
        loop = asyncio.get_running_loop()
        couch = CouchSettings(**self.settings)
        settings = SourceSettings(type="couch", couch=couch, max_document=self.max_document)
        self.inbox = Inbox()
        self.source = CouchSource(settings, clock=lambda: EPOCH + loop.time())
        self.task = asyncio.create_task(self.source.run(self.inbox, self.memory))
        self._drain = asyncio.create_task(self._take(self.inbox))

    async def _take(self, inbox: Inbox) -> None:
        while True:
            await inbox.wait(None)
            if not self.taking or self.left == 0:
                await asyncio.sleep(0.5)
                continue
            events = inbox.take(self.taking if self.left is None else 1)
            if self.left is not None:
                self.left -= len(events)
            for event in events:
                self.memory.apply(event)
            inbox.stored(len(events))
            await asyncio.sleep(0)

    async def crash(self) -> None:
        """End our side; what was in the inbox is lost."""
        assert self.task
        assert self._drain
        ran = self.task
        self._drain.cancel()
        self.task.cancel()
        await asyncio.gather(self._drain, self.task, return_exceptions=True)
        if ran.done() and not ran.cancelled():
            ran.result()

    async def restart(self) -> None:
        await self.crash()
        self.start()

    async def until(self, true: Callable[[], Any], what: str, seconds: float = 60) -> None:
        """Wait for something, in fake time."""
        end = self.now + seconds
        while not true():
            if self.task is not None and self.task.done():
                self.task.result()
            assert not self.server.flooded, f"a flood of requests, waiting for: {what}: {self.tail()}"
            assert self.now < end, f"after {seconds} s not: {what}\n{self.source and self.source.status()}"
            await asyncio.sleep(max(0.05, seconds / 2000))

    def tail(self) -> list[str]:
        return [f"{r.at:.1f} {r.what} {r.query.get('feed', '')} {r.db}" for r in self.server.log[-10:]]

    async def caught_up(self, seconds: float = 60) -> None:
        before = self.memory.caught_up
        await self.until(lambda: self.memory.caught_up > before, "caught up", seconds)

    async def agrees(self, seconds: float = 60) -> None:
        """What is held is what the server has."""
        try:
            await self.until(lambda: self.memory.docs == self.couch.truth(), "what the server has", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.difference()}") from None

    def difference(self) -> str:
        held, there = self.memory.docs, self.couch.truth()
        return (
            f"too much: {sorted(held.keys() - there)[:5]}, missing: {sorted(there.keys() - held)[:5]}, "
            f"other: {[k for k in held.keys() & there.keys() if held[k] != there[k]][:5]}"
        )

    async def following(self) -> None:
        """Caught up, with ``_db_updates`` open and a sweep done."""
        await self.caught_up()
        await self.agrees()
        await self.until(lambda: self.couch.listeners, "_db_updates is open")

    async def feed(self, number: int) -> None:
        """Have a continuous feed open on an account's database."""
        self.device(number, label=f"feed {self.now}")
        await self.until(lambda: self.couch.bases[name(number)].changed, "a feed is open")
        await self.agrees()

    async def quiet(self, seconds: float) -> int:
        """Let time go by; return how many requests came."""
        before = len(self.server.log)
        end = self.now + seconds
        while (left := end - self.now) > 0.001:
            await asyncio.sleep(min(max(1.0, seconds / 500), left))
            if self.task is not None and self.task.done():
                self.task.result()
            if self.server.flooded:
                raise AssertionError(f"a flood of requests: {self.tail()}")
        return len(self.server.log) - before

    async def stopped(self, seconds: float) -> None:
        """Let time go by while our side is stopped."""
        await asyncio.sleep(seconds)

    async def step(self, seconds: float = 0.01) -> None:
        """Let a moment go by; 0: the next turn of the loop."""
        await asyncio.sleep(seconds)

    async def __aexit__(self, kind: object, *_: object) -> None:
        try:
            await self.crash()
            await asyncio.sleep(0.1)
            assert kind or not self.server.connections, f"open: {self.tail()}"
        finally:
            await self.server.stop()
            await asyncio.sleep(0.1)
        left = asyncio.all_tasks() - self._before
        for task in left:
            task.cancel()
        assert kind or not left, left
