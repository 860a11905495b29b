"""Rendering ahead of the first pass, in processes beside the writer: the other cores have nothing to do yet.

Only a head start. The writer takes what they made where no document moved since it asked, and where they use
the same templates, code and settings; else it renders the phone itself. Late or lost work costs but time.
"""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import IO

import msgspec

from kazoo_provisioner.sync.reconcile import Reconciler, Rendered

WINDOW = 400
"""Phones that are rendered ahead, or on their way, at most: what bounds our memory."""

SHARE = 5
"""With a single process the writer renders one phone in so many itself."""
_PIPE, _CHUNK = 1024 * 1024, 256 * 1024
LONGEST = 64 * 1024 * 1024
"""Bytes of an answer; a phone's files are some kilobytes."""
_SIZE = struct.Struct("!I")


class Answer(msgspec.Struct):
    """A phone that was rendered ahead, and by what."""

    subject: str
    basis: str
    version: int
    rendered: Rendered


class _Helper:
    """One of the processes. It ends when its input does, however we went."""

    def __init__(self, command: Sequence[str]) -> None:
        # Read when we have time, never by a thread: that would slow every statement of the store's down.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)  # noqa: S603 - our own program
        assert self._process.stdin  # noqa: S101 - for the type checker
        assert self._process.stdout  # noqa: S101 - for the type checker
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)  # whatever it does, the writer does not wait for it
        with contextlib.suppress(OSError):  # what a user may have of such is limited
            fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        self._data = bytearray()

    def ask(self, subject: str, version: int) -> bool:
        """Pass a subject on, unless it has too many already. So short a line goes as a whole or not at all."""
        return self._stdin.write(f"{version} {subject}\n".encode()) is not None

    def made(self) -> Iterator[Answer]:
        """Yield what has arrived."""
        while chunk := self._stdout.read(_CHUNK):
            self._data += chunk
        start = 0
        while len(self._data) >= start + _SIZE.size:
            size = _SIZE.unpack_from(self._data, start)[0]
            if size > LONGEST:
                raise OSError(0, "no frame of ours")
            end = start + _SIZE.size + size
            if len(self._data) < end:
                break
            yield _decoder.decode(memoryview(self._data)[start + _SIZE.size : end].tobytes())
            start = end
        if start:
            del self._data[:start]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        self._process.kill()
        self._process.wait()
        self._stdout.close()


class Ahead:
    """The processes, seen from the writer."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._asked: dict[str, int] = {}
        self._ready: dict[str, Rendered] = {}
        self.basis = ""
        """What the writer renders with; nothing is taken before this is set."""
        self._next = 0
        self._helpers: list[_Helper] = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                self._helpers.append(_Helper(command))

    def ask(self, subjects: Sequence[str], version: int) -> None:
        """Have phones rendered that will be due soon; `version` is that of the documents now."""
        self._collect()  # what nobody takes any more must not fill the pipes
        for subject in subjects:
            if len(self._asked) >= WINDOW or not self._helpers:
                return
            if subject in self._asked or not subject.startswith("phone/") or not self._theirs(subject):
                continue
            self._next += 1
            helper = self._helpers[self._next % len(self._helpers)]
            try:
                if not helper.ask(subject, version):
                    return
                self._asked[subject] = version
            except OSError:
                self._lose(helper)

    def _theirs(self, subject: str) -> bool:
        """Whether it is not left to the writer: one process cannot quite keep up, and late work is lost work."""
        return len(self._helpers) > 1 or zlib.crc32(subject.encode()) % SHARE != 0

    def take(self, subject: str, version: int) -> Rendered | None:
        """Return a phone, if it is there and no document moved since it was asked for."""
        if self._asked.get(subject) != version:
            return None
        if subject not in self._ready:
            self._collect()
        return self._ready.pop(subject, None)

    def drop(self, subject: str) -> None:
        """Forget a phone that was dealt with."""
        self._asked.pop(subject, None)
        self._ready.pop(subject, None)

    def _collect(self) -> None:
        for helper in list(self._helpers):
            try:
                for answer in helper.made():
                    if self._asked.get(answer.subject) == answer.version and answer.basis == self.basis:
                        self._ready[answer.subject] = answer.rendered
            except (OSError, msgspec.MsgspecError):
                self._lose(helper)

    def _lose(self, helper: _Helper) -> None:
        self._helpers.remove(helper)
        helper.close()

    def close(self) -> None:
        """End the processes."""
        while self._helpers:
            self._lose(self._helpers[0])


_decoder = msgspec.msgpack.Decoder(Answer)


def render_ahead(reconciler: Reconciler, wanted: IO[bytes], made: IO[bytes]) -> None:
    """Be one of the processes: read subjects, write files, until the input ends."""
    basis = reconciler.basis()
    for line in wanted:
        number, _, subject = line.decode().strip().partition(" ")
        try:
            rendered = reconciler.ahead(subject, int(number))
        except Exception:  # noqa: BLE001, S112 - the writer finds out what it is, and says so
            continue
        data = msgspec.msgpack.encode(Answer(subject, basis, int(number), rendered))
        made.write(_SIZE.pack(len(data)) + data)
        made.flush()


def helpers() -> int:
    """Return how many processes there should be: the writer has a core of its own."""
    return min(8, len(os.sched_getaffinity(0)) - 1) if sys.platform == "linux" else 0
