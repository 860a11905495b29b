"""What a reader notes of requests, and shares with the other readers through ``access.db``.

Noting is a line in memory; once a second the lines are written, all of them, in a thread. What a phone gets
never waits for that, and is the same without the file.
"""

import asyncio
import contextlib
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import structlog

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store.access import Access, Miss, Request, counted_as
from kazoo_provisioner.store.schema import StoreError

log = structlog.get_logger()

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""Seconds: upper bounds of the histogram of how long answers took."""

_BOUNDS = (*(str(bound) for bound in BUCKETS), "+Inf")
_EVERY = 1.0
"""Seconds between two writes."""
_SOON = 0.05
"""Seconds after which something asked for in vain is written: limits hold in all readers."""
_MANY = 1_000
"""Requests that are written at once when a second is over; more wait up to `_LATEST`: their phones ask again."""
_LATEST = 5.0
_FULL = 10_000
"""Requests that are written without further waiting."""
_SHARE = 20
"""A write is followed by a pause of so many times its length."""
_MOST = 20_000
"""Lines in memory at most, of each kind; more are not noted."""
_HOUSE = 600.0
"""Seconds between two times that old lines are dropped."""


_T = TypeVar("_T")


async def _thread(work: Callable[..., _T], *given: Any) -> _T:
    """Do what may wait in a thread. Who is cancelled waits for its end: nobody else may use the file meanwhile."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *given))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait((doing,))
        doing.exception()  # or asyncio says that nobody looked at it
        raise


class Notes:
    """The notes of one reader. `first`: the reader that drops what is old."""

    def __init__(
        self, folder: Path, settings: WebSettings, *, first: bool, who: Identifier | None = None
    ) -> None:
        self.who = who
        """Who knows phones by what they call themselves."""
        self._told: dict[str, str] = {}
        self._folder = folder
        self._settings = settings
        self._first = first
        self._reads: Access | None = None
        self._writes: Access | None = None
        self._requests: dict[tuple[str, str, str], Request] = {}
        self._misses: dict[tuple[str, str], Miss] = {}
        self._unwritten: Counter[str] = Counter()
        self._answers: Counter[tuple[str, int, str]] = Counter()
        self._tallies: Counter[str] = Counter()
        self._sent = 0
        self._times = [0] * (len(BUCKETS) + 1)
        self._seconds = 0.0
        self.limited: dict[str, int] = {}
        self._version = -1
        self._wake = asyncio.Event()
        self._failing = False
        self._house = self._written = time.monotonic()

    def request(self, request: Request, kind: str, seconds: float, sent: int) -> None:
        """Note a request that was answered. `kind`: ``phone`` or ``api``; `sent`: bytes of the body."""
        self._answers[kind, request.status, request.reason] += 1
        self._sent += sent
        self._times[bisect_left(BUCKETS, seconds)] += 1
        self._seconds += seconds
        key = request[:3]
        # Who is limited asks for anything: that is counted, but remembered of nobody.
        if (
            request.mac
            and request.reason != "limited"
            and (len(self._requests) < _MOST or key in self._requests)
        ):
            self._requests[key] = request

    def count(self, name: str) -> None:
        """Count something else that happened."""
        self._tallies[name] += 1

    def missed(self, remote: str, name: str, at: int) -> None:
        """Note that an address asked for something in vain. What is not written yet counts here alone."""
        limit, address = self._settings.miss_limit, counted_as(remote)
        if (
            not limit
            or address in self.limited
            or (address, name) in self._misses
            or len(self._misses) >= _MOST
        ):
            return
        self._misses[address, name] = Miss(address, name, at)
        self._unwritten[address] += 1
        if self._unwritten[address] >= limit:
            self.limited[address] = at + int(self._settings.miss_window)
        self._wake.set()

    def refuses(self, remote: str, mac: str) -> bool:
        """Whether an address asked for too much in vain, and this phone got nothing there before."""
        address = counted_as(remote)
        until = self.limited.get(address)
        if until is None or until <= time.time():
            return False
        try:
            places = self._reads.places(mac) if mac and self._reads else ()
            return not any(counted_as(place) == address for place in places)
        except StoreError:
            return True

    async def run(self) -> None:
        """Write what was noted, for ever."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            self._wake.clear()
            waiting = len(self._requests)
            later = _MANY < waiting < _FULL and began - self._written < _LATEST
            await self.flush(requests_later=later)
            pause = max(_SOON, (time.monotonic() - began) * _SHARE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(
                    max(0.0, _EVERY - pause)
                ):  # wait_for of Python 3.11 can lose a cancel
                    await self._wake.wait()

    async def flush(self, *, requests_later: bool = False) -> None:
        """Write what was noted so far, and learn what the other readers wrote."""
        requests: dict[tuple[str, str, str], Request] = {}
        if not requests_later:
            requests, self._requests = self._requests, {}
            self._written = time.monotonic()
        misses, self._misses = self._misses, {}
        tallies = self._taken()
        try:
            if requests or misses or tallies:
                limited = await _thread(self._write, requests, misses, tallies)
                requests, misses, tallies = {}, {}, {}
                self._unwritten = Counter(address for address, _ in self._misses)
                for address in limited:
                    log.warning(
                        "address_limited", remote=address, limit=self._settings.miss_limit,
                        seconds=int(self._settings.miss_window),
                    )  # fmt: skip
            await self._learn()
            if self._first and time.monotonic() - self._house > _HOUSE:
                self._house = time.monotonic()
                await _thread(self._forget)
            if self._failing:
                log.info("access_available")
            self._failing = False
        except StoreError as error:
            self._keep(requests, misses, tallies)
            if not self._failing:
                log.error("access_unavailable", problem=str(error))
            self._failing = True

    def _taken(self) -> dict[str, float]:
        """Take the counts, the histogram's among them."""
        counts = self._tallies
        for (kind, status, why), number in self._answers.items():
            counts[f"requests {kind} {status} {why}"] += number
        if self._sent:
            counts["bytes"] += self._sent
        tallies: dict[str, float] = dict(counts)
        if any(self._times):
            tallies |= {f"seconds {bound}": n for bound, n in zip(_BOUNDS, self._times, strict=True) if n}
            tallies["seconds sum"] = self._seconds
        self._tallies, self._answers, self._sent = Counter(), Counter(), 0
        self._times, self._seconds = [0] * (len(BUCKETS) + 1), 0.0
        return tallies

    def _write(
        self, requests: dict[tuple[str, str, str], Request], misses: dict[tuple[str, str], Miss],
        tallies: dict[str, float],
    ) -> list[str]:  # fmt: skip
        self._compare(requests.values())
        if self._writes is None:
            self._writes = Access(self._folder)
        settings = self._settings
        return self._writes.write(
            requests.values(), misses.values(), tallies, settings.miss_limit, settings.miss_window
        )

    def _compare(self, requests: Iterable[Request]) -> None:
        """Say once of a phone that it calls itself another model than the one its document names."""
        for one in requests:
            if self.who and one.model and one.mac and self._told.get(one.mac) != one.agent:
                seen = self.who.mismatch(one.model, one.agent)
                if seen is not None:
                    if len(self._told) >= _MOST:
                        self._told.clear()
                    self._told[one.mac] = one.agent
                    log.warning(
                        "phone_mismatch", mac=one.mac, account=one.account, model=one.model,
                        says=f"{seen.brand} {seen.model or seen.said}".strip(), agent=one.agent,
                    )  # fmt: skip

    async def _learn(self) -> None:
        if self._reads is None:
            self._reads = Access(self._folder)
        version = self._reads.version()
        if version != self._version:
            limited = await _thread(self._limited)
            window, limit = int(self._settings.miss_window), self._settings.miss_limit
            ours = {a: int(time.time()) + window for a, count in self._unwritten.items() if count >= limit}
            self.limited = ours | limited
            self._version = version

    def _limited(self) -> dict[str, int]:
        if self._writes is None:
            self._writes = Access(self._folder)
        return self._writes.limited(time.time(), self._settings.miss_window)

    def _forget(self) -> None:
        if self._writes:
            self._writes.forget(time.time(), self._settings.miss_window)

    def _keep(
        self, requests: dict[tuple[str, str, str], Request], misses: dict[tuple[str, str], Miss],
        tallies: dict[str, float],
    ) -> None:  # fmt: skip
        """Put back what could not be written, as far as there is room; the file is opened anew next time."""
        self._requests = dict(list((requests | self._requests).items())[:_MOST])
        self._misses = dict(list((misses | self._misses).items())[:_MOST])
        self._seconds += tallies.pop("seconds sum", 0.0)
        for number, bound in enumerate(_BOUNDS):
            self._times[number] += int(tallies.pop(f"seconds {bound}", 0))
        self._tallies.update(tallies)
        for one in (self._reads, self._writes):
            if one:
                one.close()
        self._reads = self._writes = None
        self._version = -1

    async def close(self) -> None:
        """Write the last of it."""
        await self.flush()
        for one in (self._reads, self._writes):
            if one:
                one.close()
        self._reads = self._writes = None
