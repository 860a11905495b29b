"""Rendering ahead of the first pass, in processes beside the writer: the other cores have nothing to do yet.

Only a head start: what they make is kept under the hash of what it was made from, and the writer takes it
where it has found the same inputs itself. Late, lost or wrong guesses cost nothing but time.
"""

import contextlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

import msgspec
import structlog

from kazoo_provisioner.render.engine import File
from kazoo_provisioner.sync.reconcile import Reconciler

log = structlog.get_logger()

WINDOW = 200
"""Phones that are rendered ahead, or on their way, at most: what bounds our memory."""

_SIZE = struct.Struct("!I")


class Made(msgspec.Struct):
    """A phone's files, and the hash of what they were made from."""

    subject: str
    inputs: str
    files: list[File]


class Ahead:
    """The processes, seen from the writer."""

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._asked: set[str] = set()
        self._ready: dict[str, Made] = {}
        self._lock = threading.Lock()
        self._next = 0
        self._helpers: list[subprocess.Popen[bytes]] = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                # They end when we close their input, or are gone.
                helper = subprocess.Popen(  # noqa: S603 - our own program
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1 << 16
                )
                self._helpers.append(helper)
                threading.Thread(target=self._collect, args=(helper,), daemon=True).start()

    def ask(self, subjects: Sequence[str]) -> None:
        """Have phones rendered that will be due soon."""
        for subject in subjects:
            if len(self._asked) >= WINDOW:
                return
            if subject not in self._asked and subject.startswith("phone/") and self._helpers:
                helper = self._helpers[self._next % len(self._helpers)]
                self._next += 1
                try:
                    assert helper.stdin  # noqa: S101 - for the type checker
                    helper.stdin.write(subject.encode() + b"\n")
                    helper.stdin.flush()
                except OSError:
                    self._helpers.remove(helper)
                else:
                    self._asked.add(subject)

    def take(self, subject: str, inputs: str) -> list[File] | None:
        """Return a phone's files, if they are there and were made from the same."""
        with self._lock:
            made = self._ready.pop(subject, None)
        return made.files if made and made.inputs == inputs else None

    def drop(self, subject: str) -> None:
        """Forget a phone that was dealt with."""
        if subject in self._asked:
            with self._lock:
                self._asked.discard(subject)
                self._ready.pop(subject, None)

    def _collect(self, helper: subprocess.Popen[bytes]) -> None:
        decoder = msgspec.msgpack.Decoder(Made)
        assert helper.stdout  # noqa: S101 - for the type checker
        with contextlib.suppress(OSError, ValueError):
            while len(head := helper.stdout.read(_SIZE.size)) == _SIZE.size:
                made = decoder.decode(helper.stdout.read(_SIZE.unpack(head)[0]))
                with self._lock:
                    if made.subject in self._asked:
                        self._ready[made.subject] = made

    def close(self) -> None:
        """End the processes."""
        for helper in self._helpers:
            with contextlib.suppress(OSError):
                if helper.stdin:
                    helper.stdin.close()
            helper.terminate()
            helper.wait()
            if helper.stdout:
                helper.stdout.close()
        self._helpers = []


def render_ahead(reconciler: Reconciler, wanted: IO[bytes], made: IO[bytes]) -> None:
    """Be one of the processes: read subjects, write files, until the input ends."""
    for line in wanted:
        subject = line.decode().strip()
        try:
            inputs, files = reconciler.ahead(subject)
        except Exception:  # noqa: BLE001, S112 - the writer finds out what it is, and says so
            continue
        data = msgspec.msgpack.encode(Made(subject, inputs, files))
        made.write(_SIZE.pack(len(data)) + data)
        made.flush()


def helpers() -> int:
    """Return how many processes there should be: the writer has a core of its own."""
    return min(8, len(os.sched_getaffinity(0)) - 1) if sys.platform == "linux" else 0
