"""Programmable keys: `provision.combo_keys` and `provision.feature_keys` of a document into `Key`s.

Documents count keys from "0", we and the phones from 1. Sources: Kazoo's devices.combo_key schema and
provisioner_v5.erl (what each type means), Monster-UI (what it saves).
"""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from kazoo_provisioner.model import text, wire
from kazoo_provisioner.model.ids import parse_account_id
from kazoo_provisioner.model.phone import Key
from kazoo_provisioner.model.wire import Doc, get

Lookup = Callable[[str], tuple[str, Doc] | None]
"""From a document id to (kind, document) in the phone's own account, or None."""

Warn = Callable[[str, str], None]
"""Takes the code of a warning and what it is about."""

MAX_KEYS = 999
"""No phone with all its modules has more keys."""


def user_name(user: Doc) -> str:
    """Return a user's display name: first and last name, else name, else user name."""
    full = f"{text.name(user.get('first_name'))} {text.name(user.get('last_name'))}".strip()
    return text.name(full) or text.name(user.get("name")) or text.name(user.get("username"))


def build(
    group: Any,
    field: str,
    lines: Sequence[int],
    codes: dict[wire.Feature, str],
    lookup: Lookup,
    warn: Warn,
) -> tuple[Key, ...]:
    """Read one group of keys, in order of their numbers. What cannot be used is left out, with a warning.

    `lines` are the numbers of the phone's lines: its line keys take them in turn, other keys the first.
    """
    if not isinstance(group, dict):
        return ()
    numbered: dict[int, Any] = {}
    for name, key in group.items():
        number = _number(name)
        if number is None or number in numbered:
            warn("key_number", f"{field}.{name}: not a number from 0 to {MAX_KEYS - 1} that no other key has")
        else:
            numbered[number] = key
    keys: list[Key] = []
    turn = cycle(lines or (1,))
    first = next(iter(lines), 1)
    for number in sorted(numbered):
        key, at = numbered[number], f"{field}.{number}"
        kind = get(key, "type")
        if kind == "line":
            keys.append(Key(number + 1, "line", line=next(turn)))
        elif kind == "none" or key is None:
            keys.append(Key(number + 1, "none", line=first))
        else:
            found = _usable(kind, key, at, codes, lookup, warn)
            if found:
                value, label = found
                keys.append(Key(number + 1, kind, value, label, first))
    return tuple(keys)


def _number(name: object) -> int | None:
    number = wire.whole(name)
    return number if number is not None and 0 <= number < MAX_KEYS else None


def _usable(
    kind: Any, key: Any, at: str, codes: dict[wire.Feature, str], lookup: Lookup, warn: Warn
) -> tuple[str, str] | None:
    """Return (value, label) of a key, or None after a warning: a bad key is no reason for a phone without files."""
    try:
        return _value(kind, key, at, codes, lookup, warn)
    except text.UnusableValueError as error:
        warn("key_value", f"{at}: {error}")
        return None


def _value(
    kind: Any, key: Any, at: str, codes: dict[wire.Feature, str], lookup: Lookup, warn: Warn
) -> tuple[str, str] | None:
    """Return (value, label) of a key that has one, or None after a warning."""
    raw = get(key, "value")
    given_label = ""
    if isinstance(raw, dict):
        given_label = text.name(raw.get("label"))
        raw = raw.get("value")
    value = text.exact(raw, "value")
    if kind == "voicemail":
        return value or codes["voicemail"], given_label or "Voicemail"
    if kind not in ("presence", "speed_dial", "parking", "personal_parking"):
        warn("key_type", f"{at}: no such type of key")
        return None
    if not value:
        warn("key_value", f"{at}: {kind} without a value")
        return None
    if kind == "speed_dial":
        return value, given_label or text.name(value)
    if kind == "parking":
        return codes["parking"] + value, given_label or f"Park {text.name(value)}"
    watched = _presence(value, lookup)
    if watched is None:
        warn("key_presence", f"{at}: {kind} of {value}, who has no presence id here")
        return None
    presence, name = watched
    if kind == "presence":
        return presence, given_label or name or text.name(presence)
    return codes["parking"] + presence, given_label or f"Park {name or presence}"


def _presence(value: str, lookup: Lookup) -> tuple[str, str] | None:
    """Return (presence id, name) of the user or device that a key points at.

    What is no document's id and cannot be one is an extension that somebody typed.
    """
    found = lookup(value)
    if found is None:
        return None if parse_account_id(value) else (value, "")
    kind, doc = found
    presence = text.exact(doc.get("presence_id"), "presence_id")
    if kind == "device":
        presence = presence or text.exact(get(doc, "sip.username"), "sip.username")
        return (presence, text.name(doc.get("name"))) if presence else None
    return (presence, user_name(doc)) if presence and kind == "user" else None
