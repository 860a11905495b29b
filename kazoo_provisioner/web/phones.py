"""Answers phones: a path to a name, a name to a stored file. Nothing is computed, nothing else is read.

What is not served is one and the same 404, whatever the reason; the reason goes to the log.
"""

import re
from typing import NamedTuple

from kazoo_provisioner.store.reader import Reader, Served
from kazoo_provisioner.store.schema import StoreError
from kazoo_provisioner.web.paths import Asked, Paths
from kazoo_provisioner.web.reply import Reply, plain

RETRY_AFTER = 10
"""Seconds after which a phone may ask again while we are not synced."""

_TAG = re.compile(r'\s*(?:W/)?"([!#-~]*)"\s*')
"""The usual If-None-Match: one tag."""
NOT_FOUND = plain(404, "Not found\n").parts
_REFUSED = plain(405, "Not allowed\n", "Allow: GET, HEAD\r\n").parts
_LATER = plain(503, "Not ready\n", f"Retry-After: {RETRY_AFTER}\r\n").parts


class Answer(NamedTuple):
    """A reply, and why it is what it is."""

    reply: Reply
    reason: str
    asked: Asked | None = None
    model: str = ""
    public: bool = False
    """Whether what was sent is everybody's."""


class Phones:
    """The handler of phones' requests."""

    def __init__(self, reader: Reader, paths: Paths, *, serve_without_account: bool) -> None:
        self._reader = reader
        self._parse = paths.parse
        self._bare = serve_without_account

    def answer(self, method: str, host: str, raw_path: str, if_none_match: str | None) -> Answer:
        """Answer a request."""
        asked = self._parse(host, raw_path)
        if asked is None:
            return Answer(Reply(*NOT_FOUND), "no_such_path")
        if method not in ("GET", "HEAD"):
            return Answer(Reply(*_REFUSED), "method", asked)
        try:
            return self._stored(asked, if_none_match)
        except StoreError:
            return Answer(Reply(*_LATER), "store_unavailable", asked)

    def _stored(self, asked: Asked, if_none_match: str | None) -> Answer:
        held = _TAG.fullmatch(if_none_match) if if_none_match else None
        tag = held[1] if held else ""
        served = self._reader.find(asked.account, asked.file, tag)
        if served is None and asked.account:
            # Common files are everybody's; a phone's own are only its account's.
            common = self._reader.find("", asked.file, tag)
            served = common if common and not common.sensitive else None
        if served is None:
            return self._missing(asked)
        if served.sensitive and not asked.account and not self._bare:
            return Answer(Reply(*NOT_FOUND), "account_required", asked)
        return _found(served, asked, if_none_match)

    def _missing(self, asked: Asked) -> Answer:
        if not asked.account and asked.mac and not self._bare:
            return Answer(Reply(*NOT_FOUND), "account_required", asked)
        if not self._reader.is_synced():
            return Answer(Reply(*_LATER), "not_synced", asked)
        reason = self._reader.why_not(asked.account, asked.mac) if asked.mac else "no_such_file"
        return Answer(Reply(*NOT_FOUND), reason, asked)


def _found(served: Served, asked: Asked, if_none_match: str | None) -> Answer:
    lines = f'ETag: "{served.etag}"\r\nCache-Control: private, no-cache\r\n'
    public = not served.sensitive
    if served.data is None or (if_none_match and _matches(if_none_match, served.etag)):
        return Answer(Reply(304, lines, b""), "not_modified", asked, served.model, public)
    lines += f"Content-Type: {served.ctype}\r\nX-Content-Type-Options: nosniff\r\n"
    return Answer(Reply(200, lines, served.data), "served", asked, served.model, public)


def _matches(header: str, etag: str) -> bool:
    """If-None-Match, RFC 9110 13.1.2: weak comparison."""
    if header.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == f'"{etag}"' for part in header.split(","))
