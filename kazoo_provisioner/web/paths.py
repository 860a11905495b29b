"""What a path asks for: `/p/…`, and the forms that phones of other provisioners were given."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from kazoo_provisioner.model.ids import parse_account_id
from kazoo_provisioner.settings import LegacyPath

PREFIX = "/p/"
_FILE = re.compile(r"[a-z0-9][a-z0-9._\-]{0,127}")
_MAC = re.compile(r"(?:(?<=^spa)|(?<=^ata)|(?<![0-9a-f]))[0-9a-f]{12}(?![0-9a-f])")
"""Also where a name of Cisco's stands before it, though that ends in a hexadecimal digit."""
_FOLDER_MAC = re.compile(r"[0-9a-f]{12}")
_SLASHES = re.compile("/{2,}")
_NO_MAC = "000000000"
"""So many zeros begin no phone's address, but the names of common files (``y000000000028.cfg``)."""
_LONGEST = 1024
"""Bytes of a path that can name a file of ours, any prefix included."""


class Asked(NamedTuple):
    """What a path asks for. `mac` is the one in the file's name, empty for files that name no phone.

    `legacy`: by a URL of another provisioner's (``web.legacy_paths``).
    """

    account: str
    file: str
    mac: str
    legacy: bool = False


class Paths:
    """Reads paths, in any case. Below ``/p/``: ``<account>/<file>``, ``<account>/<mac>/<file>``, ``<file>``.

    Below a prefix of ``web.legacy_paths`` there may be folders between account and file, as phones of
    provisioner-v5 ask for ``<account>/contacts/<mac>-directory.xml`` and ``directory/<mac>/phonebook1.xml``.
    """

    def __init__(self, legacy: Iterable[LegacyPath] = ()) -> None:
        known = tuple(legacy)
        self.by_host = bool(known)
        named = [(_name(one.host), one.prefix) for one in known if one.host]
        # What reads as /p/ is ours, on an old host too: it may be that of the new URL. Unless the old one was /p/ there.
        self._first = [one for one in named if one[1].startswith(PREFIX)]
        self._then = [one for one in named if not one[1].startswith(PREFIX)]
        self._last = [(None, one.prefix) for one in known if not one.host]

    def parse(self, host: str, raw: str) -> Asked | None:
        """Read a raw request path (query already gone); None for one that can name no file of ours.

        Phones join a URL and a name as they please, so runs of slashes count as one. `host` is as the request
        names it, with or without a port.
        """
        path = _plain(raw)
        if path is None:
            return None
        name = _name(host) if self._first or self._then else ""
        if self._first and (found := _old(self._first, name, path)):
            return found
        if path.startswith(PREFIX):
            asked = _below(path[len(PREFIX) :])
            if asked:
                return asked
        if self._then and (found := _old(self._then, name, path)):
            return found
        return _old(self._last, "", path) if self._last else None


def _plain(raw: str) -> str | None:
    if len(raw) > _LONGEST:
        return None
    path = raw
    if not raw.startswith("/"):
        return None
    if "%" in raw or not raw.isascii():
        try:
            path = unquote_to_bytes(raw).decode("ascii")
        except UnicodeError:
            return None
    path = path.lower()
    return _SLASHES.sub("/", path) if "//" in path else path


def _name(host: str) -> str:
    """Return a Host header's name: lower-case, without port, last dot and ``www.`` (as provisioner-v5 did)."""
    return host.partition(":")[0].rstrip(".").lower().removeprefix("www.")


def _old(known: Iterable[tuple[str | None, str]], host: str, path: str) -> Asked | None:
    for name, prefix in known:
        if name is not None and name != host:
            continue
        if prefix == "*":
            asked = _anywhere(path.split("/")[1:], anywhere=True)
        elif path.startswith(prefix):
            asked = _anywhere(path[len(prefix) :].split("/"), anywhere=False)
        else:
            continue
        if asked:
            return asked
    return None


def _anywhere(parts: list[str], *, anywhere: bool) -> Asked | None:
    """Read what stands below an old prefix: an account at its beginning (or `anywhere`), any folders, a file."""
    file = parts[-1]
    if not _FILE.fullmatch(file) or len(parts) > 16:
        return None
    folders = parts[:-1]
    accounts = [part for part in (folders if anywhere else folders[:1]) if parse_account_id(part)]
    macs = [part for part in folders if _FOLDER_MAC.fullmatch(part)]
    mac = _mac(file) or (macs[0] if macs else "")
    return Asked(accounts[0] if accounts else "", file, mac, legacy=True)


def _mac(file: str) -> str:
    for found in _MAC.findall(file):
        if not found.startswith(_NO_MAC):
            return str(found)
    return ""


def _below(rest: str) -> Asked | None:
    parts = rest.split("/")
    file = parts[-1]
    if len(parts) > 3 or not _FILE.fullmatch(file):
        return None
    mac = _mac(file)
    if len(parts) == 1:
        return Asked("", file, mac)
    account = parse_account_id(parts[0])
    if account is None:
        return None
    if len(parts) == 3:
        if not _FOLDER_MAC.fullmatch(parts[1]) or (mac and mac != parts[1]):
            return None
        mac = mac or parts[1]
    return Asked(account, file, mac)
