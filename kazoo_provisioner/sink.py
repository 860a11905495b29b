"""Where log lines go: a bounded buffer, and a thread that writes whole lines. It never holds up who logs.

A reader that is slow or gone, a full disk, a file that was moved away: the buffer fills, what does not fit is
counted, and said when there is room again.
"""

import contextlib
import os
import select
import stat
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

log = structlog.get_logger()

LIMIT = 4 * 1024 * 1024
"""Bytes that wait at most."""
SOON = 64 * 1024
"""Bytes that are written without waiting for more."""
EVERY = 0.05
"""Seconds between two writes while fewer bytes wait."""
RETRY = 1.0
"""Seconds between two tries to write what could not be written, or to open the file."""
STDERR = 2

LINE_LIMIT = select.PIPE_BUF
"""Bytes of a line at most: so much goes into a pipe as one piece, whoever else writes there."""
_FILE_PIECE = 256 * 1024
_LATER, _NOW = False, True


class Output:
    """A descriptor that is there already, or a file at a path, with standard error in place of it."""

    def __init__(self, descriptor: int = 1, path: Path | None = None) -> None:
        self._path = path
        self._given = descriptor
        self._file = -1
        self.lost = False
        self._regular = False
        self._torn = False

    def open(self) -> None:
        """Open the file; made for its owner alone where there is none.

        Raises:
            OSError: it cannot be opened.
        """
        if self._path is not None:
            # Not blocking: the path can be a pipe without a reader.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
            self._file = os.open(self._path, flags, 0o600)
            self.lost, self._torn = False, False
        with contextlib.suppress(OSError):  # closed: writing will say so
            out = self._given if self._path is None else self._file
            self._regular = stat.S_ISREG(os.fstat(out).st_mode)

    def follow(self) -> None:
        """Open the file again if its path leads elsewhere now; while that fails, lines go to standard error."""
        if self._path is None or (not self.lost and self._is_there()):
            return
        was_lost = self.lost
        self.close()
        try:
            self.open()
        except OSError as error:
            self.lost = True
            if not was_lost:
                problem = error.strerror or type(error).__name__
                log.error("log_file_lost", path=str(self._path), problem=problem)
            return
        if was_lost:
            log.info("log_file_back", path=str(self._path))

    def _is_there(self) -> bool:
        try:
            there, here = Path(self._path or "").stat(), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._file = -1

    def write(self, lines: list[bytes]) -> int:
        """Write some of the lines, whole ones; return how many. Waits for who takes them.

        Raises:
            OSError: none can be written.
        """
        out = STDERR if self.lost else self._given if self._path is None else self._file
        regular = self._regular and not self.lost
        count = _fitting(lines, _FILE_PIECE if regular else LINE_LIMIT)
        data = b"".join(lines[:count])
        if regular:
            return self._append(out, data, lines, count)
        while data:
            try:
                data = data[os.write(out, data) :]
            except BlockingIOError:  # somebody made it so; else the system waits
                poll = select.poll()
                poll.register(out, select.POLLOUT)
                poll.poll()
        return count

    def _append(self, out: int, data: bytes, lines: list[bytes], count: int) -> int:
        """Write to a file; a line that a full disk tore is written again as a whole, on a line of its own."""
        lead = b"\n" if self._torn else b""
        try:
            done = os.write(out, lead + data) - len(lead)
        except OSError:
            self._torn = True  # another process may have got a part of its line in
            raise
        if done < 0:
            return 0
        self._torn = False
        if done == len(data):
            return count
        whole = 0
        while done >= len(lines[whole]):
            done -= len(lines[whole])
            whole += 1
        self._torn = done > 0
        return whole


def _fitting(lines: list[bytes], limit: int) -> int:
    """Return how many lines go into one piece: one at least."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line)
        if size > limit:
            return count or 1
    return len(lines)


class Sink:
    """The buffer and its thread. Lines end with a line feed."""

    def __init__(self) -> None:
        # Re-entrant, like the queue: whoever holds it can be interrupted by a finalizer that logs.
        self._lock = threading.RLock()
        self._bell: SimpleQueue[threading.Event | bool] = SimpleQueue()
        self._lines: list[bytes] = []
        self._under_way: list[bytes] = []
        self._size = 0
        self._dropped = 0
        self._hurried = False
        self._output = Output()
        self._thread: threading.Thread | None = None

    def start(self, output: Output) -> None:
        """Write to this from now on."""
        if self._thread is None:
            self._output = output
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()
            return
        written = self.flush(RETRY)
        before, self._output = self._output, output
        if written:
            before.close()

    def append(self, line: bytes) -> None:
        """Take a line, to be written soon."""
        with self._lock:
            size = self._size + len(line)
            if size > LIMIT:
                self._dropped += 1
                return
            self._size = size
            self._lines.append(line)
            if len(self._lines) == 1:
                self._bell.put(_LATER)
            if size >= SOON and not self._hurried:
                self._hurried = True
                self._bell.put(_NOW)

    def append_now(self, line: bytes) -> None:
        """Take a line, to be written at once."""
        self.append(line)
        if not self._hurried:
            self._hurried = True
            self._bell.put(_NOW)

    def flush(self, timeout: float) -> bool:
        """Wait until what was taken before is written, or cannot be; return whether that came in time (seconds)."""
        if self._thread is None:
            return True
        done = threading.Event()
        self._bell.put(done)
        return done.wait(timeout)

    def _run(self) -> None:
        last, pause = 0.0, 0.0
        while True:
            asked = self._wait(last, pause)
            pause = RETRY
            with contextlib.suppress(Exception):  # whatever it is, the next lines are worth another try
                pause = self._write()
            last = time.monotonic()
            for one in asked:
                one.set()

    def _wait(self, last: float, pause: float) -> list[threading.Event]:
        """Wait for something to do; return who wants to know when it is done."""
        until: float | None = None
        if self._under_way or self._output.lost:
            until = time.monotonic() + pause
        while True:
            try:
                rung = self._bell.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                return []
            if isinstance(rung, threading.Event):
                return [rung]
            if self._under_way:
                continue  # more to write is no reason to try again sooner
            if rung:
                return []
            until = last + EVERY

    def _write(self) -> float:
        """Write what is there, not what comes meanwhile; return the seconds to wait before it is tried again."""
        fresh = False
        while not fresh:
            self._output.follow()
            if not self._under_way:
                fresh = True
                self._take()
            try:
                while self._under_way:
                    count = self._output.write(self._under_way)
                    size = sum(map(len, self._under_way[:count]))
                    del self._under_way[:count]
                    with self._lock:
                        self._size -= size
            except OSError:
                return RETRY
            if self._say_dropped():
                fresh = False
        return RETRY

    def _take(self) -> None:
        with self._lock:
            self._under_way, self._lines = self._lines, []
            self._hurried = False
            self._size = sum(map(len, self._under_way))

    def _say_dropped(self) -> bool:
        """Say how many lines were dropped, if there is room for that line."""
        with self._lock:
            if not self._dropped or self._size + LINE_LIMIT > LIMIT:
                return False
            lines, self._dropped = self._dropped, 0
            log.warning("log_dropped", lines=lines)  # before anybody else takes the room
        return True
