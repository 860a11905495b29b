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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
import structlog

from kazoo_provisioner.model.ids import ACCOUNTS_DB, is_followed
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import CaughtUp, Change, Inbox, Memory, changed

log = structlog.get_logger()

_T = TypeVar("_T")

Signature = int
"""Hash of (mtime in ns, size, inode): when it is the same, so is the file, unless it was written just now."""

YOUNG = 2_000_000_000
"""Nanoseconds after a write in which a second one can leave the signature as it is."""

CHUNK = 100
CHUNK_BYTES = 4 * 1024 * 1024
"""Files, and bytes of them, read at a time before the changes in them are passed on."""
FOLDERS = 50
"""Databases looked at before what is new in them is read: of a large folder only a part is in memory."""


class _UnreadableError(Exception):
    """A file holds no document (yet); says why."""


class _File:
    """What we know of one file. `found` is the number of the last look that found it."""

    __slots__ = ("found", "problem", "rev", "signature", "young")

    def __init__(self) -> None:
        self.signature: Signature | None = None
        self.rev: str | None = None
        self.young = True
        self.problem: str | None = None
        self.found = 0


class _News(NamedTuple):
    """A file to be read: it is new, was written, or may have been written again."""

    key: tuple[str, str]
    path: str
    signature: Signature
    young: bool
    size: int


class DirectorySource:
    """Follows a folder of dumps."""

    name = "directory"

    def __init__(self, settings: SourceSettings) -> None:
        self._root = settings.path
        self._poll = settings.poll
        self._max = settings.max_document
        self._files: dict[tuple[str, str], _File] = {}
        self._looks = 0
        self._took = 0.0  # seconds that the last look took
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
            sent = await self._look(inbox)
            if sent or (sent is not None and not told):
                await inbox.put(CaughtUp())
                told = True
            await asyncio.sleep(max(self._poll, 3 * self._took))

    async def _look(self, inbox: Inbox) -> bool | None:
        """Send what is new, changed or gone; return whether anything was sent, None where nothing is believed."""
        self._took = 0.0
        folders = await self._timed(self._folders)
        if folders is None:
            return None
        self._contact = round(time.time(), 1)
        self._looks += 1
        odd: set[str] = set()
        sent = False
        for first in range(0, len(folders), FOLDERS):
            news = await self._timed(self._look_at, folders[first : first + FOLDERS], odd)
            news.reverse()
            while news:
                for change in await asyncio.to_thread(self._read_some, news):
                    await inbox.put(change)
                    sent = True
        self._tell_odd(odd)
        return await self._withdraw(inbox) or sent

    async def _timed(self, work: Callable[..., _T], *given: Any) -> _T:
        """Do a part of a look in a thread; what looks take says how often there is one."""
        started = time.monotonic()
        try:
            return await asyncio.to_thread(work, *given)
        finally:
            self._took += time.monotonic() - started

    def _folders(self) -> list[tuple[str, Path]] | None:
        """Return databases and their folders, copies last, or None where the folder itself cannot be believed."""
        found: list[tuple[str, Path]] = []
        problem = None
        try:
            for entry in os.scandir(self._root):
                db = unquote(entry.name)
                if is_followed(db):
                    found.append((db, Path(entry.path) / "docs"))
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        if not problem and not any(db != ACCOUNTS_DB for db, _ in found):
            # An unmounted disk is an empty folder. It must not take every phone with it, nor be believed
            # to be all there is.
            problem = "holds no account database; the phones keep what they have"
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.error("source_unreadable", path=str(self._root), problem=problem)
            else:
                log.info("source_readable", path=str(self._root))
        return None if problem else sorted(found, key=_order)

    def _look_at(self, folders: list[tuple[str, Path]], odd: set[str]) -> list[_News]:
        """Return what is to be read. What cannot be looked at is neither news nor gone: we keep what we hold."""
        news: list[_News] = []
        for db, docs in folders:
            try:
                entries = sorted(os.scandir(docs), key=lambda entry: entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                odd.add(f"{docs}\0{error.strerror}")
                for key, file in self._files.items():
                    if key[0] == db:
                        file.found = self._looks
                continue
            for entry in entries:
                if entry.name.endswith(".json"):
                    self._look_at_file(db, entry, news, odd)
        return news

    def _look_at_file(self, db: str, entry: os.DirEntry[str], news: list[_News], odd: set[str]) -> None:
        key = (db, unquote(entry.name.removesuffix(".json")))
        file = self._files.get(key)
        try:
            key[1].encode()
            status = entry.stat()
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "is no file")
        except FileNotFoundError:
            return
        except (OSError, UnicodeEncodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "its name is not UTF-8"
            odd.add(f"{entry.path}\0{reason}")
            if file:
                file.found = self._looks
            return
        if file is None:
            file = self._files.setdefault(key, _File())
        elif file.found == self._looks:
            return  # two names of one document: the first counts
        file.found = self._looks
        signature = hash((status.st_mtime_ns, status.st_size, status.st_ino))
        if signature != file.signature or file.young:
            young = time.time_ns() - status.st_mtime_ns < YOUNG
            news.append(_News(key, entry.path, signature, young, status.st_size))

    def _tell_odd(self, odd: set[str]) -> None:
        """Report each entry that cannot be looked at once, for as long as it stays so."""
        for entry in sorted(odd - self._odd):
            path, _, problem = entry.partition("\0")
            log.warning("source_entry_unreadable", path=path, problem=problem)
        self._odd = odd

    async def _withdraw(self, inbox: Inbox) -> bool:
        """Send what is gone; return whether anything is."""
        sent = False
        # Editors replace a file by moving: gone is what is gone at two looks.
        for key in [key for key, file in self._files.items() if file.found < self._looks - 1]:
            file = self._files.pop(key)
            if file.rev is not None:
                await inbox.put(Change(*key, f"{file.rev}-gone", None))
                sent = True
        return sent

    def _read_some(self, news: list[_News]) -> list[Change]:
        """Read from the end of a list, until it is enough for once."""
        changes: list[Change] = []
        size = 0
        for _ in range(min(CHUNK, len(news))):
            one = news.pop()
            size += one.size
            change = self._read(one.key, one.path, self._files[one.key], one)
            if change is not None:
                changes.append(change)
            if size >= CHUNK_BYTES:
                break
        return changes

    def _read(self, key: tuple[str, str], path: str, file: _File, news: _News) -> Change | None:
        """Read one file; None when its content is what we know, or is no document (reported once)."""
        file.young, file.signature = news.young, news.signature
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

    def _document(self, path: str) -> tuple[Doc, bytes]:
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


def _order(folder: tuple[str, Path]) -> tuple[bool, str]:
    """Sort copies in `accounts` last: an account's own document is the truth."""
    return folder[0] == ACCOUNTS_DB, folder[0]


def _rev(body: Doc) -> str:
    rev = body.get("_rev")
    return rev[:48] if isinstance(rev, str) and rev.isascii() and rev.isprintable() else "0"
