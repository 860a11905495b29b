"""An account's phonebook: who can be dialled, by the callflows that give them numbers.

Rules follow what Kazoo's own builder lists (provisioner_contact_list.erl and its contact_list views, 4.3):
`contact_list.exclude` leaves an entry out, the account's `contact_list.includes` adds whole categories.
"""

import re
from typing import Any

from kazoo_provisioner.model import text, wire
from kazoo_provisioner.model.keys import user_name
from kazoo_provisioner.model.phone import Contact, Phonebook
from kazoo_provisioner.model.wire import Doc, get

KINDS = ("user", "callflow", "feature", *wire.NAMED)
"""Kinds of documents a phonebook is made of."""

MAX_CONTACTS = 1000
"""The smallest remote phonebook among the phones holds 1,000 entries (Yealink)."""

_NUMBER = re.compile(r"[+*#0-9]{1,32}")
_BY_ID = ("user", "device", "voicemail", "menu", "conference", "directory", "receive_fax")


def build(account_id: str, account: Doc, docs: dict[str, tuple[str, Doc]]) -> Phonebook:
    """Make the phonebook from an account's documents, given by id as (kind, document)."""
    includes = get(account, "contact_list.includes")
    includes = includes if isinstance(includes, list) else []
    contacts = set()
    for kind, callflow in docs.values():
        if kind not in ("callflow", "feature") or _excluded(callflow):
            continue
        if get(callflow, "featurecode.name") and "featurecode" not in includes:
            continue
        name, number = _name(callflow, docs), _number(callflow)
        if name and number:
            contacts.add((name.casefold(), name, number))
    ordered = tuple(Contact(name, number) for _, name, number in sorted(contacts)[:MAX_CONTACTS])
    return Phonebook(account_id, text.name(account.get("name")) or "Phonebook", ordered)


def _excluded(doc: Doc) -> bool:
    return wire.is_true(get(doc, "contact_list.exclude"))


def _name(callflow: Doc, docs: dict[str, tuple[str, Doc]]) -> str:
    """Return what an entry is called: whom the callflow rings, else the callflow's own name."""
    module = get(callflow, "flow.module")
    target = get(callflow, "flow.data.id") or get(callflow, "flow.data.owner_id")
    found = docs.get(target) if isinstance(target, str) and module in _BY_ID else None
    if found and _excluded(found[1]):
        return ""
    rings = module in ("user", "device") and get(callflow, "flow.children._.module") in (None, "voicemail")
    own = text.name(callflow.get("name")) or text.name(get(callflow, "flow.data.name"))
    theirs = ""
    if found:
        theirs = user_name(found[1]) if found[0] == "user" else text.name(found[1].get("name"))
    if module in ("user", "device") and not found:
        return ""  # a callflow to somebody who is gone rings nobody
    return (theirs or own) if rings else (own or theirs)


def _number(callflow: Doc) -> str:
    """Return the number to dial: an extension before an outside number, the shortest first."""
    numbers: Any = callflow.get("numbers")
    usable = (
        [n for n in numbers if isinstance(n, str) and _NUMBER.fullmatch(n)]
        if isinstance(numbers, list)
        else []
    )
    return min(usable, key=lambda n: (n.startswith("+"), len(n), n), default="")
