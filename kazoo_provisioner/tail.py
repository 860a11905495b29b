"""The log for people: the last lines that match, then what comes, in columns."""

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from kazoo_provisioner.columns import printable, row
from kazoo_provisioner.model.ids import account_of_db
from kazoo_provisioner.settings import LogSettings
from kazoo_provisioner.yamlfile import SettingsError

BLOCK = 64 * 1024
LINE_LIMIT = 1024 * 1024
"""Bytes of a line that is none of ours; the rest counts as another line."""
LOOK = 0.2
"""Seconds between two looks at a file that has nothing new."""

_BEFORE = 512
"""Bytes by which a file is known again: more than a line, mostly, so a time is in it."""

_WRONG = ("warning", "error", "critical")
_ORDINARY = "no_such_file"
"""Phones ask for files that need not be there."""


class Filter:
    """Which lines are wanted; all that is given must hold."""

    def __init__(self, account: str = "", mac: str = "", *, errors: bool = False) -> None:
        self._account = account
        self._mac = mac
        self._errors = errors
        self._phones: set[str] = set()
        """Account and device of the phone, from lines that have its MAC address too."""

    def wants(self, line: dict[str, Any] | None) -> bool:
        """Whether a line is wanted; None is a line of unknown shape."""
        if line is None:
            return self._errors or not (self._account or self._mac)
        if self._errors and not _is_wrong(line):
            return False
        if not self._account and not self._mac:
            return True
        accounts, phones = _accounts(line), _phones(line)
        if not accounts and not phones and not line.get("mac"):
            return self._errors and line.get("level") in _WRONG
        return (not self._account or self._account in accounts) and (
            not self._mac or self._is_phone(line, phones)
        )

    def _is_phone(self, line: dict[str, Any], phones: set[str]) -> bool:
        if line.get("mac") == self._mac:
            self._phones |= phones
            return True
        return not line.get("mac") and not self._phones.isdisjoint(phones)


def _is_wrong(line: dict[str, Any]) -> bool:
    status = line.get("status")
    refused = isinstance(status, int) and status >= 400 and line.get("reason") != _ORDINARY
    return line.get("level") in _WRONG or refused


def _accounts(line: dict[str, Any]) -> set[str]:
    """Return the accounts that a line is about."""
    found = {_of(line, name) for name in ("account", "owner_account", "scope")}
    found |= {account_of_db(_of(line, "db")) or ""}
    found |= {_of(line, name).partition("/")[0] for name in ("phone", "subject")}
    return found - {""}


def _phones(line: dict[str, Any]) -> set[str]:
    """Return the devices that a line is about, each as account and device."""
    found = {_of(line, "phone"), _of(line, "subject")}
    account = account_of_db(_of(line, "db"))
    if account and _of(line, "doc"):
        found.add(f"{account}/{_of(line, 'doc')}")
    if _of(line, "account") and _of(line, "device"):
        found.add(f"{line['account']}/{line['device']}")
    return found - {""}


def _of(line: dict[str, Any], name: str) -> str:
    value = line.get(name)
    return value if isinstance(value, str) else ""


def parse(line: bytes) -> dict[str, Any] | None:
    """Return an event of ours, or None for anything else."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("event"), str) else None


def backwards(stream: IO[bytes], end: int) -> Iterator[bytes]:
    """Yield the whole lines of a file that end before a place, the last first."""
    rest = b""
    while end > 0:
        start = max(0, end - BLOCK)
        stream.seek(start)
        parts = (stream.read(end - start) + rest).split(b"\n")
        rest = parts[0]
        yield from (part for part in reversed(parts[1:]) if part)
        if len(rest) > LINE_LIMIT:
            yield rest
            rest = b""
        end = start
    if rest:
        yield rest


def last_line_end(stream: IO[bytes]) -> int:
    """Return where the last whole line of a file ends."""
    end = stream.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK)
        stream.seek(start)
        at = stream.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def follow(path: Path, stream: IO[bytes], wait: Callable[[], None]) -> Iterator[bytes]:
    """Yield whole lines as they come, for ever; `wait` is called when there is nothing new.

    The file may be moved away and made again, or truncated, at any time.
    """
    rest, left = b"", False
    before = _before(stream)
    while True:
        if _before(stream, len(before)) != before:  # truncated, and perhaps as long again already
            stream.seek(0)
            rest = before = b""
        more = stream.read(BLOCK)
        if more:
            left = False
            before = (before + more)[-_BEFORE:]
            *lines, rest = (rest + more).split(b"\n")
            yield from (line for line in lines if line)
            if len(rest) > LINE_LIMIT:
                yield rest
                rest = b""
            continue
        here = os.fstat(stream.fileno())
        try:
            there = path.stat()
            moved = (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
            if moved and left:
                new = path.open("rb", buffering=0)
                stream.close()
                yield from [rest] if rest else []
                stream, rest, before, left = new, b"", b"", False
                continue
            left = moved  # another look: who writes may not have noticed yet
        except OSError:  # moved away, and not made again yet
            pass
        wait()


def _before(stream: IO[bytes], count: int = _BEFORE) -> bytes:
    """Return the bytes before the place where we are."""
    at = stream.tell()
    return os.pread(stream.fileno(), min(count, at), at - min(count, at))


class Tail:
    """Reads a log and shows it."""

    def __init__(self, wanted: Filter, count: int, *, follow: bool, as_json: bool, out: IO[bytes]) -> None:
        self._wanted = wanted
        self._count = count
        self._follow = follow
        self._json = as_json
        self._out = out
        self._terminal = out.isatty()
        self._colours = self._terminal and not os.environ.get("NO_COLOR")

    def file(self, path: Path) -> None:
        """Show the end of a file, then follow it.

        Raises:
            OSError: it cannot be read.
        """
        stream = path.open("rb", buffering=0)
        end = last_line_end(stream) if self._follow else stream.seek(0, os.SEEK_END)
        found: list[bytes] = []
        for line in backwards(stream, end) if self._count else ():
            if (shown := self._shown(line)) is not None:
                found.append(shown)
                if len(found) >= self._count:
                    break
        self._show(reversed(found))
        if self._follow:
            stream.seek(end)
            self._show(self._each(follow(path, stream, self._wait)))

    def stream(self, stream: IO[bytes]) -> None:
        """Show what comes; without following, the end of it when it has ended."""
        lines = self._each(line.rstrip(b"\n") for line in iter(lambda: stream.readline(LINE_LIMIT), b""))
        if self._follow:
            for line in lines:
                self._show([line])
        else:
            self._show(deque(lines, self._count))

    def _each(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        return (shown for line in lines if (shown := self._shown(line)) is not None)

    def _shown(self, line: bytes) -> bytes | None:
        """Return a line as it is shown, None if it is not."""
        event = parse(line)
        if not line.strip() or not self._wanted.wants(event) or (self._json and event is None):
            return None
        text = line.decode(errors="backslashreplace").rstrip()
        if self._json or event is None:
            return printable(text.expandtabs()).encode()
        width = shutil.get_terminal_size().columns if self._terminal else None
        return row(event, colours=self._colours, width=width).encode()

    def _show(self, lines: Any) -> None:
        for line in lines:
            self._out.write(line + b"\n")
        self._out.flush()

    def _wait(self) -> None:
        self._out.flush()
        time.sleep(LOOK)


def where(file: Path | None, settings: Callable[[], LogSettings]) -> Path | None:
    """Return the file to read: the given one, else that of the settings; None is standard input.

    Raises:
        SettingsError: there is neither, and nobody sends us anything.
    """
    piped = not sys.stdin.isatty()
    if file is None:
        try:
            file = settings().file
        except (SettingsError, OSError):
            if not piped:  # else the settings were but a guess
                raise
        if file is None and not piped:
            raise SettingsError(
                "log.file is not set: name a file, or read the journal with"
                " journalctl -u kazoo-provisioner -o cat -f | kazoo-provisioner tail"
            )
    return None if file is None or str(file) == "-" else file


def run(path: Path | None, wanted: Filter, count: int, *, follow: bool, as_json: bool) -> None:
    """Show a log, standard input without a path, until its end, Ctrl-C, or nobody reads on.

    Raises:
        OSError: it cannot be read.
    """
    tail = Tail(wanted, count, follow=follow, as_json=as_json, out=sys.stdout.buffer)
    try:
        if path is None:
            tail.stream(sys.stdin.buffer)
        else:
            tail.file(path)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Or the interpreter tries again at its end, and complains.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
