"""What the operator's pages show, looked up beside the loop: in threads, on connections of their own, and kept.

However often a page is asked for, each kind of look is under way once at most, and takes 1/`SHARE` of a core at most.
"""

import asyncio
import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from kazoo_provisioner.store import schema
from kazoo_provisioner.store.access import FILE as ACCESS
from kazoo_provisioner.store.access import Access
from kazoo_provisioner.store.counts import Counts, count, count_models, is_synced
from kazoo_provisioner.web.agents import firmware_of_agent

FRESH = 1.0
"""Seconds for which what was found is shown again."""
SHARE = 20
"""It is shown for so many times as long as it took to find, where that is longer."""
PATIENCE = 5.0
"""Seconds after which a page is made without what has not been found by then."""
VERSIONS = 20
"""Versions of firmware that are told apart for each model. Anybody can send any User-Agent."""
OTHERS = "other"

T = TypeVar("T")


class Process(NamedTuple):
    """A process that the supervisor keeps. `role`: ``reader-1``, ``writer``; `pid`: None while it is not there."""

    role: str
    pid: int | None
    restarts: int
    up_s: float


class Unread(NamedTuple):
    """What could not be found, and why."""

    problem: str


class Asked(NamedTuple):
    """What readers counted, and how many addresses are limited."""

    tallies: dict[str, float]
    limited: int


class Fleet(NamedTuple):
    """What phones said of themselves when they asked last.

    `firmware`: model, version and how many; `old`: how many asked by an old URL, of `seen`.
    """

    firmware: dict[str, dict[str, int]]
    old: int
    seen: int


class Files(NamedTuple):
    """Bytes of the store's files, and bytes that are free where they are."""

    store: int
    wal: int
    access: int
    free: int


class Usage(NamedTuple):
    """What a process uses; None: may not be read."""

    rss_kb: int | None
    fds: int | None


class Kept(Generic[T]):
    """A look that is not taken anew while it is fresh or under way.

    `patient`: while a new one is being taken, what the last one found is shown.
    """

    def __init__(self, look: Callable[[], T], *, patient: bool = False) -> None:
        self._look = look
        self._patient = patient
        self._task: asyncio.Task[T | Unread] | None = None
        self._last: T | Unread | None = None
        self._until = self._found = 0.0

    async def get(self) -> T | Unread:
        """Return what was found."""
        if self._task is None or (self._task.done() and time.monotonic() >= self._until):
            self._task = asyncio.create_task(self._take(), name="figures")
        fresh = self._last is not None and time.monotonic() - self._found < PATIENCE
        if self._patient and self._last is not None and fresh and not self._task.done():
            return self._last
        try:
            async with asyncio.timeout(PATIENCE):
                # Who asked may go; the thread cannot, and must stay the only one.
                return await asyncio.shield(self._task)
        except TimeoutError:
            if self._patient and self._last is not None:
                return self._last
            return Unread(f"not read within {PATIENCE:g} s")

    async def _take(self) -> T | Unread:
        began = time.monotonic()
        found: T | Unread
        try:
            found = await asyncio.to_thread(self._look)
        except schema.StoreError as error:
            found = Unread(str(error))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a file, the page says so
            found = Unread(type(error).__name__)
        now = time.monotonic()
        self._until = now + (FRESH if isinstance(found, Unread) else max(FRESH, (now - began) * SHARE))
        self._last, self._found = found, now
        return found

    def close(self) -> None:
        """Wait for nothing more."""
        if self._task:
            self._task.cancel()


class Found(NamedTuple):
    """All that pages are made of."""

    processes: list[Process]
    counts: Counts | Unread
    models: list[tuple[str, str, int]] | Unread
    """Family (``brand/family``), model, and how many such phones have files that are served."""
    asked: Asked | Unread
    fleet: Fleet | Unread
    files: Files | Unread
    usage: dict[int, Usage]


class Figures:
    """The looks of a store's folder. `processes` says which there are."""

    def __init__(self, folder: Path, processes: Callable[[], list[Process]]) -> None:
        self._processes = processes
        self._pids: list[int] = []
        self._began = time.monotonic()
        self._synced = Kept(lambda: is_synced(folder))
        self._counts = Kept(lambda: count(folder))
        self._models = Kept(lambda: count_models(folder), patient=True)
        self._asked = Kept(lambda: _asked(folder))
        self._fleet = Kept(lambda: _fleet(folder), patient=True)
        self._files = Kept(lambda: _files(folder))
        self._usage = Kept(lambda: {pid: usage(pid) for pid in self._pids})

    def processes(self) -> list[Process]:
        """Return the processes as they are now."""
        return self._processes()

    async def synced(self) -> bool | Unread:
        """Whether the first full pass of the store ended, ever."""
        return await self._synced.get()

    async def all(self) -> Found:
        """Return everything."""
        itself = Process("supervisor", os.getpid(), 0, time.monotonic() - self._began)
        processes = [itself, *self._processes()]
        self._pids = [one.pid for one in processes if one.pid is not None]
        looks: list[Coroutine[Any, Any, Any]] = [
            self._counts.get(), self._models.get(), self._asked.get(), self._fleet.get(), self._files.get(),
            self._usage.get(),
        ]  # fmt: skip
        counts, models, asked, fleet, files, used = await asyncio.gather(*looks)
        return Found(processes, counts, models, asked, fleet, files, {} if isinstance(used, Unread) else used)

    def close(self) -> None:
        """Wait for nothing more."""
        for one in vars(self).values():
            if isinstance(one, Kept):
                one.close()


def _asked(folder: Path) -> Asked:
    with contextlib.closing(Access(folder, read_only=True)) as access:
        return Asked(access.tallies(), len(access.limited(time.time())))


def _fleet(folder: Path) -> Fleet:
    with contextlib.closing(Access(folder, read_only=True)) as access:
        found: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        for model, agent, phones in access.agents():
            found[model][firmware_of_agent(agent)] += phones
        return Fleet({model: _most(found[model]) for model in sorted(found)}, *access.old_urls())


def _most(versions: dict[str, int]) -> dict[str, int]:
    """Return the versions that most phones have, and the rest as one."""
    ranked = sorted(versions.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(phones for _, phones in ranked[VERSIONS:])
    return dict(ranked[:VERSIONS]) | ({OTHERS: rest} if rest else {})


def _files(folder: Path) -> Files:
    free = os.statvfs(folder)
    store, wal, access = (_size(folder / name) for name in (schema.FILE, f"{schema.FILE}-wal", ACCESS))
    return Files(store, wal, access, free.f_bavail * free.f_frsize)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def usage(pid: int) -> Usage:
    """Return what a process uses, as the system tells."""
    rss_kb, fds = None, None
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                rss_kb = int(line.split()[1])
    with contextlib.suppress(OSError):
        fds = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Usage(rss_kb, fds)
