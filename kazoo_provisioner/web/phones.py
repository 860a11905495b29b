"""Answers phones: a path to a name, a name to a stored file. Nothing is computed, nothing else is read.

Paths below ``/p``: ``<account>/<file>``, ``<account>/<mac>/<file>``, ``<file>``; in any case. What is not
served is one and the same 404, whatever the reason; the reason goes to the log.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aiohttp import web

from kazoo_provisioner.model.ids import parse_account_id
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.schema import StoreError

PREFIX = "/p/"
_FILE = re.compile(r"[a-z0-9][a-z0-9._\-]{0,127}")
_MAC = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])")
_NO_MAC = "000000000"
"""So many zeros begin no phone's address, but the names of common files (``y000000000028.cfg``)."""

RETRY_AFTER = 10
"""Seconds after which a phone may ask again while we are not synced."""


class Asked(NamedTuple):
    """What a path asks for. `mac` is the one in the file's name, empty for files that name no phone."""

    account: str
    file: str
    mac: str


class Answer(NamedTuple):
    """A response, and why it is what it is."""

    response: web.Response
    reason: str
    asked: Asked | None = None
    model: str = ""


def parse_path(raw: str) -> Asked | None:
    """Read a raw request path (query already gone); None for one that can name no file of ours.

    Phones join a URL and a name as they please, so runs of slashes count as one.
    """
    try:
        path = re.sub("/+", "/", unquote_to_bytes(raw).decode("ascii").lower())
    except UnicodeDecodeError:
        return None
    if not path.startswith(PREFIX):
        return None
    parts = path[len(PREFIX) :].split("/")
    if len(parts) > 3 or not _FILE.fullmatch(parts[-1]):
        return None
    file = parts[-1]
    mac = next((found for found in _MAC.findall(file) if not found.startswith(_NO_MAC)), "")
    if len(parts) == 1:
        return Asked("", file, mac)
    account = parse_account_id(parts[0])
    if account is None:
        return None
    if len(parts) == 3:
        if not re.fullmatch(r"[0-9a-f]{12}", parts[1]) or (mac and mac != parts[1]):
            return None
        mac = mac or parts[1]
    return Asked(account, file, mac)


class Phones:
    """The handler of phones' requests."""

    def __init__(self, reader: Reader, *, serve_without_account: bool) -> None:
        self._reader = reader
        self._bare = serve_without_account

    def answer(self, method: str, raw_path: str, if_none_match: str | None) -> Answer:
        """Answer a request."""
        asked = parse_path(raw_path)
        if asked is None:
            return Answer(_not_found(), "no_such_path")
        if method not in ("GET", "HEAD"):
            return Answer(_refused(), "method", asked)
        try:
            return self._stored(asked, method, if_none_match)
        except StoreError:
            return Answer(_later(), "store_unavailable", asked)

    def _stored(self, asked: Asked, method: str, if_none_match: str | None) -> Answer:
        served = self._reader.find(asked.account, asked.file)
        if served is None and asked.account:
            # Common files are everybody's; a phone's own are only its account's.
            common = self._reader.find("", asked.file)
            served = common if common and not common.sensitive else None
        if served is None:
            return self._missing(asked)
        if served.sensitive and not asked.account and not self._bare:
            return Answer(_not_found(), "account_required", asked)
        headers = {"ETag": f'"{served.etag}"', "Cache-Control": "private, no-cache"}
        if if_none_match and _matches(if_none_match, served.etag):
            return Answer(web.Response(status=304, headers=headers), "not_modified", asked, served.model)
        body = self._reader.content(served.blob)
        if body is None:  # replaced between the two reads: what is there now is right
            return self._stored(asked, method, if_none_match)
        headers |= {"Content-Type": served.ctype, "X-Content-Type-Options": "nosniff"}
        response = web.Response(body=body, headers=headers)
        return Answer(response, "served", asked, served.model)

    def _missing(self, asked: Asked) -> Answer:
        if not asked.account and asked.mac and not self._bare:
            return Answer(_not_found(), "account_required", asked)
        if not self._reader.is_synced():
            return Answer(_later(), "not_synced", asked)
        reason = self._reader.why_not(asked.account, asked.mac) if asked.mac else "no_such_file"
        return Answer(_not_found(), reason, asked)


def _matches(header: str, etag: str) -> bool:
    """If-None-Match, RFC 9110 13.1.2: weak comparison."""
    if header.strip() == "*":
        return True
    return any(part.strip().removeprefix("W/") == f'"{etag}"' for part in header.split(","))


def _not_found() -> web.Response:
    return web.Response(status=404, text="Not found\n")


def _refused() -> web.Response:
    return web.Response(status=405, text="Not allowed\n", headers={"Allow": "GET, HEAD"})


def _later() -> web.Response:
    return web.Response(status=503, text="Not ready\n", headers={"Retry-After": str(RETRY_AFTER)})
