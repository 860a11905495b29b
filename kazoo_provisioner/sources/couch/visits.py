"""Which databases to visit next: each once, in order, never two visits to one at a time."""

import asyncio


class Visits:
    """The queue between those who notice that a database moved and those who read it."""

    def __init__(self) -> None:
        self._waiting: dict[str, float] = {}
        self._background: dict[str, float] = {}
        self._busy: dict[str, float] = {}
        self._changed = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def want(self, name: str, *, background: bool = False) -> None:
        """Ask for a visit; in the background: when nobody is kept waiting by it."""
        queue = self._background if background else self._waiting
        if name in queue or (background and name in self._waiting):
            return
        if not background:
            self._background.pop(name, None)
            if name in self._timers:
                self._timers.pop(name).cancel()
        queue[name] = asyncio.get_running_loop().time()
        self._changed.set()

    def later(self, name: str, seconds: float) -> None:
        """Ask for a visit after a while, unless somebody asks for one before."""
        if name in self._waiting:
            return
        loop = asyncio.get_running_loop()
        if name in self._timers:
            if self._timers[name].when() <= loop.time() + seconds:
                return
            self._timers[name].cancel()
        self._timers[name] = loop.call_later(seconds, self._due, name)

    def _due(self, name: str) -> None:
        self._timers.pop(name, None)
        self.want(name)

    async def next(self, *, background: bool = False) -> str:
        """Wait for the next visit; `done` ends it."""
        queue = self._background if background else self._waiting
        while (name := next((n for n in queue if n not in self._busy), None)) is None:
            self._changed.clear()
            await self._changed.wait()
        since = queue.pop(name)
        self._busy[name] = asyncio.get_running_loop().time() if background else since
        return name

    def done(self, name: str) -> None:
        """End a visit."""
        del self._busy[name]
        self._changed.set()

    def close(self) -> None:
        """Forget what was to come later."""
        for timer in self._timers.values():
            timer.cancel()

    @property
    def waiting(self) -> int:
        """Databases that are known to have moved and wait."""
        return len(self._waiting)

    @property
    def audits(self) -> int:
        """Databases that wait in the background."""
        return len(self._background)

    @property
    def busy(self) -> list[str]:
        """Databases that are being read."""
        return list(self._busy)

    def lag(self) -> float:
        """Return for how many seconds the oldest visit has been waiting or going on."""
        times = [*self._waiting.values(), *self._busy.values()]
        return asyncio.get_running_loop().time() - min(times) if times else 0.0
