"""Kazoo's documents as they arrive: what we keep of them, and how to read a value that can be any JSON.

A document is cut down to the fields that can change a phone's file before it is stored. So a change to
anything else (hotdesk.users, call forwarding, …) is no change to us. Sources: Kazoo's kzd_* modules and
JSON schemas, branches 3.18, 4.x and master.
"""

import functools
import hashlib
import re
from typing import Any, Literal

import msgspec

from kazoo_provisioner.model.ids import ACCOUNTS_DB, Mac, account_of_db, parse_mac

Doc = dict[str, Any]

_KEEP: dict[str, tuple[str, ...]] = {
    "account": (
        "name", "realm", "timezone", "language", "enabled", "pvt_enabled", "pvt_tree", "pvt_reseller_id",
        "zones.home", "contact_list.includes", "provision.overrides",
        "provision.parameters",
    ),
    "user": (
        "first_name", "last_name", "name", "username", "enabled", "timezone", "language", "presence_id",
        "contact_list.exclude", "provision.overrides",
        "media.audio.codecs", "media.encryption", "media.secure_rtp",
    ),
    "device": (
        "name", "mac_address", "owner_id", "enabled", "timezone", "language", "presence_id", "pvt_created",
        "device_type", "provision", "contact_list.exclude",
        "sip.username", "sip.password", "sip.realm", "sip.method", "sip.expire_seconds",
        "sip.registration_expiration",
        "media.audio.codecs", "media.encryption", "media.secure_rtp",
    ),
    "callflow": (
        "name", "numbers", "patterns", "featurecode.name", "featurecode.number", "contact_list.exclude",
        "flow.module", "flow.data.id", "flow.data.owner_id", "flow.data.name", "flow.data.action",
        "flow.children._.module",
    ),
    "vmbox": ("name", "contact_list.exclude"),
    "menu": ("name", "contact_list.exclude"),
    "conference": ("name", "contact_list.exclude"),
    "directory": ("name", "contact_list.exclude"),
}  # fmt: skip
"""Fields kept of each pvt_type. A change here re-reads everything (`ingest_version`)."""

NAMED = ("device", "vmbox", "menu", "conference", "directory")
"""Types whose `name` a phonebook can show, besides users."""

Feature = Literal["parking", "voicemail", "pickup"]

_FEATURES: dict[str, Feature] = {
    "park_and_retrieve": "parking",
    "voicemail": "voicemail",
    "voicemail[action=check]": "voicemail",
    "directed_ext_pickup": "pickup",
}
"""Callflows (by featurecode.name) whose number is part of a phone's file, and what for."""

FEATURE_DEFAULTS: dict[Feature, str] = {"parking": "*3", "voicemail": "*97", "pickup": "*87"}
"""Kazoo's star codes where an account has no such callflow."""


def ingest_version() -> str:
    """Name the set of types and fields that we keep."""
    text = repr((sorted(_KEEP.items()), sorted(_FEATURES.items()), 2))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def get(doc: Any, path: str) -> Any:
    """Return the value at a dotted path, or None where something on the way is missing or no object."""
    for part in _parts(path):
        if not isinstance(doc, dict):
            return None
        doc = doc.get(part)
    return doc


@functools.cache
def _parts(path: str) -> tuple[str, ...]:
    """Split a path; there are as many as this program names."""
    return tuple(path.split("."))


def text(doc: Any, path: str) -> str:
    """Return the value at a path when it is a string, stripped; else the empty string."""
    value = get(doc, path)
    return value.strip() if isinstance(value, str) else ""


def is_true(value: Any) -> bool:
    """Kazoo's kz_term:is_true: a JSON true or the string "true"."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def enabled(*values: Any) -> bool:
    """Whether none of the values says "false". Missing counts as true."""
    return not any(v is False or (isinstance(v, str) and v.strip().lower() == "false") for v in values)


def whole(value: Any) -> int | None:
    """Return a whole number from a JSON number or a string of digits; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and abs(value) < 10**15 else None


def is_deleted(doc: Doc) -> bool:
    """Whether a document says it is gone: CouchDB's `_deleted` or Kazoo's soft `pvt_deleted`."""
    return doc.get("_deleted") is True or is_true(doc.get("pvt_deleted"))


MAX_DEPTH = 32
"""Deepest nesting of objects and lists in a document; Kazoo's own go to about 10."""


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, depth + 1)


def trim(db: str, doc_id: str, doc: Doc) -> tuple[str, Doc] | None:
    """Return (kind, kept fields) of a document, or None when nothing of it concerns us.

    The kind is its pvt_type; callflows with one of our feature codes are of kind "feature".

    Raises:
        ValueError: it is nested deeper than any document of Kazoo's.
    """
    kind = doc.get("pvt_type")
    account = account_of_db(db)
    if not isinstance(kind, str) or kind not in _KEEP:
        return None
    if kind == "account":
        # An account database holds one account document that counts: its own.
        if db != ACCOUNTS_DB and doc_id != account:
            return None
        if db != ACCOUNTS_DB and is_true(doc.get("pvt_deleted")):
            return kind, {"pvt_deleted": True}  # it says so itself, whatever an old copy says
    elif account is None:
        return None
    if is_deleted(doc):
        return None
    kept: Doc = {}
    for path in _KEEP[kind]:
        value = get(doc, path)
        if value is not None:
            if isinstance(value, dict | list):
                _check_depth(value)
            parts, at = _parts(path), kept
            for parent in parts[:-1]:
                at = at.setdefault(parent, {})
            at[parts[-1]] = value
    if kind == "callflow" and feature_of(kept):
        kind = "feature"
    return kind, kept


def encode(doc: Doc) -> bytes:
    """Return the one way to write a document: JSON with sorted keys."""
    return msgspec.json.encode(doc, order="deterministic")


def decode(data: bytes) -> Doc:
    """Read what `encode` wrote."""
    doc: Doc = msgspec.json.decode(data)
    return doc


def feature_of(callflow: Doc) -> Feature | None:
    """Return which of the account's star codes a callflow numbers, or None."""
    name = get(callflow, "featurecode.name")
    feature = _FEATURES.get(name) if isinstance(name, str) else None
    if name == "voicemail" and get(callflow, "flow.data.action") != "check":
        return None
    return feature


_STAR_PATTERN = re.compile(r"\^?(?P<star>\\\*)?\??(?P<digits>[0-9]{1,8})(?![0-9])")


def feature_number(callflow: Doc) -> str:
    r"""Return what to dial for a feature callflow: its featurecode.number, with the star it is reached by.

    Kazoo's UIs save `featurecode.number` "3" beside the pattern `^\*3([0-9]*)$` or the number `*3`.
    Empty when nothing usable is there.
    """
    reached = [n for n in _strings(callflow.get("numbers")) if re.fullmatch(r"[*#]?[0-9]{1,8}", n)]
    for pattern in _strings(callflow.get("patterns")):
        match = _STAR_PATTERN.match(pattern)
        if match:
            reached.append(("*" if match["star"] else "") + match["digits"])
    number = get(callflow, "featurecode.number")
    number = str(number) if isinstance(number, int) and not isinstance(number, bool) else number
    if isinstance(number, str) and re.fullmatch(r"[*#][0-9]{1,8}", number):
        return number
    if isinstance(number, str) and re.fullmatch(r"[0-9]{1,8}", number):
        return number if number in reached else f"*{number}"
    return reached[0] if reached else ""


def _strings(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def key_targets(device: Doc) -> list[str]:
    """Return the ids of users and devices that a device's keys may point at.

    Whatever their type says: an override can change the type alone.
    """
    found: list[str] = []
    provision = get(device, "provision")
    groups = [get(provision, g) for g in ("combo_keys", "feature_keys")]
    groups += [get(provision, f"overrides.{g}") for g in ("combo_keys", "feature_keys")]
    for group in groups:
        for key in group.values() if isinstance(group, dict) else ():
            value = get(key, "value")
            value = get(value, "value") if isinstance(value, dict) else value
            if isinstance(value, str) and value:
                found.append(value)
    return found


def line_targets(device: Doc) -> list[str]:
    """Return the ids of the devices that `provision.lines` names, overrides included."""
    groups = [get(device, path) for path in ("provision.lines", "provision.overrides.lines")]
    lines = [line for group in groups if isinstance(group, dict) for line in group.values()]
    return [i for line in lines if isinstance(i := get(line, "device_id"), str) and i]


def targets(kind: str, doc: Doc) -> set[str]:
    """Return what a document refers to, so that a change there is a change here.

    ``doc/<id>`` a document of the same database, ``under/<account>`` an ancestor account.
    """
    if kind not in ("account", "user", "device"):
        return set()
    ids = key_targets(doc) + line_targets(doc)
    owner = doc.get("owner_id")
    if kind == "device" and isinstance(owner, str) and owner:
        ids.append(owner)
    under = _strings(doc.get("pvt_tree")) if kind == "account" else []
    return {f"doc/{i}" for i in ids} | {f"under/{account}" for account in under}


def mac_of(kind: str, doc: Doc) -> Mac | None:
    """Return the MAC address of a device document, or None."""
    return parse_mac(doc.get("mac_address")) if kind == "device" else None
