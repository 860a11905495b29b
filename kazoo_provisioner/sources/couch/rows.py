"""What CouchDB's feeds send, line by line: rows of ``_changes``, events of ``_db_updates``.

Both come as lines of JSON; a bare newline is a heartbeat. A line can be cut off anywhere, be anything, or
be far longer than we want to keep. Source of the formats: measured on CouchDB 3.5; for 1.x and BigCouch 0.4 their
source code (couch_httpd_db.erl, chttpd_db.erl).
"""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from kazoo_provisioner.sources.couch.errors import GarbageError

PREFIX = 64 * 1024
"""Bytes kept of a line that is too long: sequence, id and revision come first."""


class Revision(Struct):
    """One leaf revision in a row."""

    rev: str


class Row(Struct):
    """One line of ``_changes``. The last one has `last_seq` instead of `id`."""

    id: str | None = None
    seq: Raw = Raw(b"")
    changes: list[Revision] = []
    deleted: bool = False
    doc: Raw = Raw(b"")
    last_seq: Raw = Raw(b"")
    size: int = 0
    """Bytes of the line."""
    problem: str = ""
    """Why the document is not here."""

    @property
    def rev(self) -> str:
        """The winning revision."""
        return self.changes[0].rev if self.changes else ""


class Update(Struct):
    """One line of ``_db_updates``."""

    db_name: str = ""
    type: str = ""


_rows = msgspec.json.Decoder(Row)
_updates = msgspec.json.Decoder(Update)


class Lines:
    """Cuts what arrives into lines. Of one longer than `longest` only the beginning is kept."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._kept = min(PREFIX, longest)
        self._parts: list[bytes] = []
        self._size = 0
        self.heartbeats = 0

    @property
    def pending(self) -> int:
        """Bytes of the line that is not complete yet."""
        return self._size

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, int]]:
        """Take what arrived; yield (line, its whole size) for each that is complete and not empty."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._add(chunk[start:end])
            start = end + 1
            line, size = b"".join(self._parts), self._size
            self._parts, self._size = [], 0
            if line.strip():
                yield line, size
            else:
                self.heartbeats += 1
        if start < len(chunk):
            self._add(chunk[start:] if start else chunk)

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= self._longest:
            self._parts.append(part)
        elif len(self._parts) != 1 or len(self._parts[0]) != self._kept:
            self._parts = [b"".join((*self._parts, part))[: self._kept]]


def row(line: bytes, size: int) -> Row | None:
    """Read a line of ``_changes``; None for the brackets around the rows of a normal feed.

    Raises:
        GarbageError: it is no such line.
    """
    if size > len(line):
        return _without_document(line, size, "is larger than max_document")
    line = line.strip().rstrip(b",")
    if line.startswith(b'{"results":['):
        line = line[len(b'{"results":[') :]
        if not line:
            return None
    if line in (b"]", b"]}"):
        return None
    if line.startswith(b"],"):
        line = line[2:]
    if line.startswith(b'"last_seq"'):
        line = b"{" + line
    try:
        found = _rows.decode(line)
    except (ValueError, RecursionError):
        # The document alone may be what cannot be read, and must not hold up those after it. A line that
        # was cut off in its middle is none of that.
        if line.startswith(b"{") and line.endswith(b"}"):
            return _without_document(line, size, "is no JSON that can be read")
        raise GarbageError("a line that is no row of _changes") from None
    if found.id is None and not bytes(found.last_seq):
        raise GarbageError("a row of _changes without an id")
    found.size = size
    return found


_SEQ = re.compile(rb'"seq"\s*:\s*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|[0-9]+)')
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*")')
_REV = re.compile(rb'"rev"\s*:\s*("(?:[^"\\]|\\.)*")')


def _without_document(line: bytes, size: int, problem: str) -> Row:
    """Read what comes before the document in a row."""
    doc = re.search(rb'"doc"\s*:', line)
    head = line[: doc.start()] if doc else line
    seq, name, rev = _SEQ.search(head), _ID.search(head), _REV.search(head)
    if not (doc and seq and name and rev):
        raise GarbageError("a line that is no row of _changes")
    revisions = [Revision(_text(rev[1]))]
    deleted = re.search(rb'"deleted"\s*:\s*true', head) is not None
    return Row(
        id=_text(name[1]), seq=Raw(seq[1]), changes=revisions, deleted=deleted, size=size, problem=problem
    )


def _text(quoted: bytes) -> str:
    try:
        return msgspec.json.decode(quoted, type=str)
    except ValueError:
        raise GarbageError("a name that is no text") from None


def update(line: bytes) -> Update | None:
    """Read a line of ``_db_updates``; None for the one at its end.

    Raises:
        GarbageError: it is no such line.
    """
    try:
        found = _updates.decode(line)
    except (ValueError, RecursionError):
        raise GarbageError("a line that is no event of _db_updates") from None
    return found if found.db_name else None


def number(seq: str) -> int | None:
    """Return the number in a sequence: a hint only, never to be trusted. None where there is none."""
    found = re.match(r'\s*\[?\s*"?([0-9]{1,18})(?![0-9])', seq)
    return int(found[1]) if found else None


def text(raw: Raw) -> str:
    """Return a sequence as the JSON that it came in; empty where there is none."""
    return bytes(raw).decode("utf-8", "replace")
