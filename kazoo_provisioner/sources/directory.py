"""A folder of Kazoo database dumps: ``<url-encoded database>/docs/<url-encoded id>.json``.

The layout of Kazoo's own fixtures (core/kazoo_fixturedb). The folder is looked at again and again rather
than watched: that works on every file system and cannot lose an event. A file is known by its content, so
an edit counts whether or not somebody remembered to change `_rev`.
"""

import asyncio
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from kazoo_provisioner.model.ids import ACCOUNTS_DB, is_followed
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import CaughtUp, Change, Inbox, Memory, changed

log = structlog.get_logger()

Signature = tuple[int, int, int]
"""(mtime in ns, size, inode): when it is the same, so is the file, unless it was written just now."""

YOUNG = 2_000_000_000
"""Nanoseconds after a write in which a second one can leave the signature as it is."""

CHUNK = 100
CHUNK_BYTES = 4 * 1024 * 1024
"""Files, and bytes of them, read at a time before the changes in them are passed on."""

_UNSEEN: Signature = (-1, 0, -1)
"""Of a file that is there but cannot be looked at."""


class _UnreadableError(Exception):
    """A file holds no document (yet); says why."""


class _File:
    """What we know of one file. `absent` counts looks that did not find it."""

    __slots__ = ("absent", "problem", "rev", "signature", "young")

    def __init__(self) -> None:
        self.signature: Signature | None = None
        self.rev: str | None = None
        self.young = True
        self.problem: str | None = None
        self.absent = 0


class DirectorySource:
    """Follows a folder of dumps."""

    name = "directory"

    def __init__(self, settings: SourceSettings) -> None:
        self._root = settings.path
        self._poll = settings.poll
        self._max = settings.max_document
        self._files: dict[tuple[str, str], _File] = {}
        self._looks = 0
        self._contact: float | None = None
        self._problem: str | None = None
        self._odd: set[str] = set()

    def status(self) -> dict[str, Any]:
        """Say how it goes."""
        return {
            "type": self.name,
            "path": str(self._root),
            "connected": self._looks > 0 and self._problem is None,
            "problem": self._problem,
            "last_contact": self._contact,
            "databases": len({db for db, _ in self._files}),
        }

    async def run(self, inbox: Inbox, memory: Memory) -> None:
        """Look at the folder for ever; put what changed into the inbox."""
        for db in memory.databases():
            for doc_id, rev in memory.held(db).items():
                self._files[db, doc_id] = file = _File()
                file.rev = rev
        told = False
        while True:
            started = time.monotonic()
            seen = await asyncio.to_thread(self._look)
            took = time.monotonic() - started
            if seen is not None:
                self._contact = round(time.time(), 1)
                sent = await self._compare(seen, inbox)
                if sent or not told:
                    await inbox.put(CaughtUp())
                    told = True
            await asyncio.sleep(max(self._poll, 3 * took))

    def _look(self) -> dict[tuple[str, str], tuple[Path, Signature]] | None:
        """Return every document file, or None where the folder itself cannot be believed."""
        found: dict[tuple[str, str], tuple[Path, Signature]] = {}
        problem = None
        folders = 0
        odd: set[str] = set()
        try:
            for entry in sorted(os.scandir(self._root), key=lambda e: e.name):
                db = unquote(entry.name)
                if is_followed(db):
                    folders += db != ACCOUNTS_DB
                    self._look_at(db, Path(entry.path) / "docs", found, odd)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        self._tell_odd(odd)
        if not problem and not folders:
            # An unmounted disk is an empty folder. It must not take every phone with it, nor be believed
            # to be all there is.
            problem = "holds no account database; the phones keep what they have"
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.error("source_unreadable", path=str(self._root), problem=problem)
            else:
                log.info("source_readable", path=str(self._root))
        return None if problem else found

    def _look_at(
        self, db: str, docs: Path, found: dict[tuple[str, str], tuple[Path, Signature]], odd: set[str]
    ) -> None:
        """Add a database's files. What cannot be looked at is neither news nor gone: we keep what we hold."""
        try:
            entries = list(os.scandir(docs))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            odd.add(f"{docs}\0{error.strerror}")
            for key in self._files:
                if key[0] == db:
                    found.setdefault(key, (docs, _UNSEEN))
            return
        for entry in entries:
            if not entry.name.endswith(".json"):
                continue
            key = (db, unquote(entry.name.removesuffix(".json")))
            try:
                key[1].encode()
                status = entry.stat()
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(0, "is no file")
            except FileNotFoundError:
                continue
            except (OSError, UnicodeEncodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "its name is not UTF-8"
                odd.add(f"{entry.path}\0{reason}")
                if key in self._files:
                    found.setdefault(key, (Path(entry.path), _UNSEEN))
                continue
            found.setdefault(key, (Path(entry.path), (status.st_mtime_ns, status.st_size, status.st_ino)))

    def _tell_odd(self, odd: set[str]) -> None:
        """Report each entry that cannot be looked at once, for as long as it stays so."""
        for entry in sorted(odd - self._odd):
            path, _, problem = entry.partition("\0")
            log.warning("source_entry_unreadable", path=path, problem=problem)
        self._odd = odd

    async def _compare(self, seen: dict[tuple[str, str], tuple[Path, Signature]], inbox: Inbox) -> bool:
        """Send what is new, changed or gone; return whether anything was sent."""
        self._looks += 1
        sent = False
        unread = []
        for key in sorted(seen, key=_order):
            file = self._files.get(key) or self._files.setdefault(key, _File())
            file.absent = 0
            if seen[key][1] is not _UNSEEN and (seen[key][1] != file.signature or file.young):
                unread.append(key)
        unread.reverse()
        while unread:
            for change in await asyncio.to_thread(self._read_some, unread, seen):
                await inbox.put(change)
                sent = True
        for key in [key for key in self._files if key not in seen]:
            file = self._files[key]
            file.absent += 1
            # Editors replace a file by moving: gone is what is gone at two looks.
            if file.absent >= 2:
                del self._files[key]
                if file.rev is not None:
                    await inbox.put(Change(*key, f"{file.rev}-gone", None))
                    sent = True
        return sent

    def _read_some(
        self, unread: list[tuple[str, str]], seen: dict[tuple[str, str], tuple[Path, Signature]]
    ) -> list[Change]:
        """Read from the end of a list, until it is enough for once."""
        changes: list[Change] = []
        size = 0
        for _ in range(min(CHUNK, len(unread))):
            key = unread.pop()
            size += seen[key][1][1]
            change = self._read(key, seen[key][0], self._files[key], seen[key][1])
            if change is not None:
                changes.append(change)
            if size >= CHUNK_BYTES:
                break
        return changes

    def _read(self, key: tuple[str, str], path: Path, file: _File, signature: Signature) -> Change | None:
        """Read one file; None when its content is what we know, or is no document (reported once)."""
        file.young = time.time_ns() - signature[0] < YOUNG
        file.signature = signature
        try:
            body, data = self._document(path)
        except _UnreadableError as error:
            file.young = file.young or "cannot be read" in str(error)
            self._tell(key, file, str(error))
            return None
        rev = f"{_rev(body)}+{hashlib.sha256(data).hexdigest()[:12]}"
        if rev == file.rev:
            file.problem = None
            return None
        try:
            change = changed(*key, rev, body, len(data))
        except ValueError as error:
            self._tell(key, file, str(error))
            return None
        file.rev, file.problem = rev, None
        return change

    @staticmethod
    def _tell(key: tuple[str, str], file: _File, problem: str) -> None:
        """Report what is wrong with a file, once for as long as it is that."""
        if file.problem != problem:
            file.problem = problem
            log.warning("document_unreadable", db=key[0], doc=key[1], problem=problem)

    def _document(self, path: Path) -> tuple[Doc, bytes]:
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
                data = stream.read(self._max + 1)
        except OSError as error:
            raise _UnreadableError(f"cannot be read: {error.strerror}") from error
        if len(data) > self._max:
            raise _UnreadableError(f"is larger than max_document ({self._max} bytes)")
        try:
            body: Any = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            raise _UnreadableError("is not JSON (half-written?)") from None
        if not isinstance(body, dict):
            raise _UnreadableError("is JSON, but no object")
        return body, data


def _order(key: tuple[str, str]) -> tuple[bool, str, str]:
    """Sort copies in `accounts` last: an account's own document is the truth."""
    return (key[0] == "accounts", *key)


def _rev(body: Doc) -> str:
    rev = body.get("_rev")
    return rev[:48] if isinstance(rev, str) and rev.isascii() and rev.isprintable() else "0"
