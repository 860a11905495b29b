"""Children of the supervisor: started, watched, restarted, ended with it."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

log = structlog.get_logger()

_BACK_OFF = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STEADY = 60.0
"""Seconds of life after which a death starts the back-off anew."""
_BEAT = 1.0
"""Seconds between two signs of life."""
SILENT = 30.0
"""Seconds without one after which a process hangs."""


class Child:
    """One child process, kept alive until `stop`. `role` says what it is, `name` which one.

    `beats`: it gives signs of life, and is killed where it gives none any more.
    """

    def __init__(
        self,
        role: str,
        name: str,
        arguments: Sequence[str],
        descriptors: Sequence[int],
        *,
        beats: bool = False,
    ) -> None:
        self._beats = beats
        self.role = role
        self.name = name
        self.restarts = 0
        self._began: float | None = None
        self._arguments = arguments
        self._descriptors = descriptors
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and alive else None

    @property
    def up_s(self) -> float:
        """Seconds that the process has lived, 0 while there is none."""
        return time.monotonic() - self._began if self._began is not None and self.pid else 0.0

    async def keep(self) -> None:
        """Start the process, and again whenever it ends, with growing pauses."""
        deaths = 0
        while not self._stopping:
            began = time.monotonic()
            code: int | None = None
            problem = ""
            try:
                code = await self._run()
            except OSError as error:  # no memory, no process to be had, the interpreter is being replaced
                problem = error.strerror or type(error).__name__
            if self._stopping:
                return
            deaths = 1 if time.monotonic() - began > _STEADY else deaths + 1
            pause = _BACK_OFF[min(deaths, len(_BACK_OFF)) - 1]
            if problem:
                log.error("child_not_started", role=self.name, problem=problem, restart_s=pause)
            else:
                log.error("process_died", role=self.name, code=code, restart_s=pause)
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _run(self) -> int:
        # The write end stays with us alone: when we are gone, however we went, the child reads the end of it.
        alive, ours = os.pipe()
        beats, beat = os.pipe()
        given = [alive, *([beat] if self._beats else [])]
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "kazoo_provisioner", "child", self.role, "--alive", str(alive),
                *(["--beat", str(beat)] if self._beats else []), *self._arguments,
                pass_fds=(*given, *self._descriptors),
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            os.close(beats)
            raise
        finally:
            os.close(alive)
            os.close(beat)
        self._began = time.monotonic()
        log.info("process_started", role=self.name, pid=self._process.pid)
        try:
            return await self._watched(self._process, beats)
        finally:
            os.close(ours)
            os.close(beats)

    async def _watched(self, process: asyncio.subprocess.Process, beats: int) -> int:
        """Wait for a process's end; bring it about where it hangs. One that never gave a sign is still starting."""
        os.set_blocking(beats, False)
        ended = asyncio.ensure_future(process.wait())
        last: float | None = None
        while True:
            done, _ = await asyncio.wait((ended,), timeout=_BEAT)
            if done:
                return ended.result()
            with contextlib.suppress(BlockingIOError):
                if os.read(beats, 4096):
                    last = time.monotonic()
            if last is not None and time.monotonic() - last > SILENT:
                log.error("process_hangs", role=self.name, silent_s=round(time.monotonic() - last))
                last = None
                self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it is there."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def stop(self, seconds: float) -> None:
        """End the process: SIGTERM, and after so many seconds SIGKILL."""
        self._stopping = True
        self.signal(signal.SIGTERM)
        if self._process:
            try:
                await asyncio.wait_for(self._process.wait(), seconds)
            except TimeoutError:
                log.error("process_killed", role=self.name)
                self.signal(signal.SIGKILL)
                await self._process.wait()


_hung_up = threading.Event()


def keep_hangups() -> None:
    """From now on a SIGHUP is kept until there is something to reload: to load templates takes a second."""
    signal.signal(signal.SIGHUP, lambda *_: _hung_up.set())


def on_hangups(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Call this on SIGHUP; at once, where one was kept."""
    loop.add_signal_handler(signal.SIGHUP, call)
    if _hung_up.is_set():
        _hung_up.clear()
        loop.call_soon(call)


async def run_child(
    alive: int,
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    on_hangup: Callable[[], None],
    beat: int = -1,
) -> None:
    """Run a child's one task until SIGTERM, SIGINT or the supervisor's end sets the event that it is given.

    `on_hangup` is called on SIGHUP. `beat`: where signs of life go, if anywhere. What the task raises, this raises.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def supervisor_gone() -> None:
        loop.remove_reader(alive)
        stop.set()

    def live() -> None:
        with contextlib.suppress(OSError):  # nobody listens, or not just now
            os.write(beat, b".")
        loop.call_later(_BEAT, live)

    os.set_blocking(alive, False)
    loop.add_reader(alive, supervisor_gone)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    on_hangups(loop, on_hangup)
    if beat >= 0:
        os.set_blocking(beat, False)
        live()
    await work(stop)
