"""A folder of Kazoo database dumps: ``<url-encoded database>/docs/<url-encoded id>.json``.

The layout of Kazoo's own fixtures (core/kazoo_fixturedb). The folder is looked at again and again rather
than watched: that works on every file system and cannot lose an event. A file is known by its content, so
an edit counts whether or not somebody remembered to change `_rev`.
"""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import structlog

from kazoo_provisioner.model.ids import is_followed
from kazoo_provisioner.model.wire import Doc
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import CaughtUp, Change, Databases, Held, Inbox

log = structlog.get_logger()

Signature = tuple[int, int, int]
"""(mtime in ns, size, inode): when it is the same, so is the file, unless it was written just now."""

YOUNG = 2_000_000_000
"""Nanoseconds after a write in which a second one can leave the signature as it is."""

CHUNK = 100
"""Files read at a time before the changes in them are passed on."""


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
        self._problem: str | None = None

    def identity(self, db: str) -> str:
        """Return the folder's path: a dump has no other identity."""
        return f"{self._root}/{db}"

    async def run(self, inbox: Inbox, held: Held, databases: Databases) -> None:
        """Look at the folder for ever; put what changed into the inbox."""
        for db in databases():
            for doc_id, rev in held(db).items():
                self._files[db, doc_id] = file = _File()
                file.rev = rev
        told = False
        while True:
            started = time.monotonic()
            seen = await asyncio.to_thread(self._look)
            if seen is not None:
                sent = await self._compare(seen, inbox)
                if sent or not told:
                    await inbox.put(CaughtUp())
                    told = True
            await asyncio.sleep(max(self._poll, 3 * (time.monotonic() - started)))

    def _look(self) -> dict[tuple[str, str], tuple[Path, Signature]] | None:
        """Return every document file, or None where the folder itself cannot be believed."""
        found: dict[tuple[str, str], tuple[Path, Signature]] = {}
        problem = None
        folders = 0
        try:
            for entry in sorted(os.scandir(self._root), key=lambda e: e.name):
                db = unquote(entry.name)
                if is_followed(db) and entry.is_dir():
                    folders += 1
                    self._look_at(db, Path(entry.path) / "docs", found)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        if not problem and not folders and self._files:
            # An unmounted disk is an empty folder. It must not take every phone with it.
            problem = "holds no account database any more; the phones keep what they have"
        if problem != self._problem:
            self._problem = problem
            if problem:
                log.error("source_unreadable", path=str(self._root), problem=problem)
            else:
                log.info("source_readable", path=str(self._root))
        return None if problem else found

    @staticmethod
    def _look_at(db: str, docs: Path, found: dict[tuple[str, str], tuple[Path, Signature]]) -> None:
        try:
            entries = list(os.scandir(docs))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.name.endswith(".json"):
                try:
                    stat = entry.stat()
                except FileNotFoundError:
                    continue
                key = (db, unquote(entry.name.removesuffix(".json")))
                found.setdefault(key, (Path(entry.path), (stat.st_mtime_ns, stat.st_size, stat.st_ino)))

    async def _compare(self, seen: dict[tuple[str, str], tuple[Path, Signature]], inbox: Inbox) -> bool:
        """Send what is new, changed or gone; return whether anything was sent."""
        self._looks += 1
        sent = False
        unread = []
        for key in sorted(seen, key=_order):
            file = self._files.get(key) or self._files.setdefault(key, _File())
            file.absent = 0
            if seen[key][1] != file.signature or file.young:
                unread.append(key)
        for start in range(0, len(unread), CHUNK):
            for change in await asyncio.to_thread(self._read_all, unread[start : start + CHUNK], seen):
                await inbox.put(change)
                sent = True
        for key in [key for key in self._files if key not in seen]:
            file = self._files[key]
            file.absent += 1
            # Editors replace a file by moving: gone is what is gone at two looks.
            if file.absent >= 2:
                del self._files[key]
                if file.rev is not None:
                    await inbox.put(Change(*key, f"{file.rev}-gone", str(self._looks), None))
                    sent = True
        return sent

    def _read_all(
        self, keys: list[tuple[str, str]], seen: dict[tuple[str, str], tuple[Path, Signature]]
    ) -> list[Change]:
        changes = (self._read(key, seen[key][0], self._files[key], seen[key][1]) for key in keys)
        return [change for change in changes if change is not None]

    def _read(self, key: tuple[str, str], path: Path, file: _File, signature: Signature) -> Change | None:
        """Read one file; None when its content is what we know, or is no document (reported once)."""
        file.young = time.time_ns() - signature[0] < YOUNG
        file.signature = signature
        try:
            body, data = self._document(path)
        except _UnreadableError as error:
            file.young = file.young or "cannot be read" in str(error)
            if file.problem != str(error):
                file.problem = str(error)
                log.warning("document_unreadable", db=key[0], doc=key[1], problem=file.problem)
            return None
        file.problem = None
        rev = f"{_rev(body)}+{hashlib.sha256(data).hexdigest()[:12]}"
        if rev == file.rev:
            return None
        file.rev = rev
        return Change(*key, rev, str(self._looks), body, len(data))

    def _document(self, path: Path) -> tuple[Doc, bytes]:
        try:
            with path.open("rb") as stream:
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
