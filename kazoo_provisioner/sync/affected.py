"""From a document that moved to the subjects whose files can differ because of it."""

from kazoo_provisioner.model import wire
from kazoo_provisioner.model.ids import ACCOUNTS_DB, account_of_db, db_of_account
from kazoo_provisioner.model.wire import Doc, get
from kazoo_provisioner.store.queue import ACCOUNT, SINGLE
from kazoo_provisioner.store.writer import Store

_INHERITED = ("timezone", "language")
"""Fields of an account that its descendants inherit."""


def phone_subject(account: str, device: str) -> str:
    """Return the subject of a device's files."""
    return f"phone/{account}/{device}"


def affected(
    store: Store, db: str, doc_id: str, old: tuple[str, Doc] | None, new: tuple[str, Doc] | None
) -> tuple[set[str], int]:
    """Return (subjects, priority) for a document that was `old` and is `new`, each (kind, document) or None.

    Call it when the new document stands in the store.
    """
    if old and new and old[0] != new[0]:
        # It became something else: what the one concerned and what the other concerns.
        was, priority = affected(store, db, doc_id, old, None)
        now, other = affected(store, db, doc_id, None, new)
        return was | now, min(priority, other)
    kind = (new or old or ("", {}))[0]
    before, after = (old or ("", {}))[1], (new or ("", {}))[1]
    if kind == "account":
        return _of_account(store, db, doc_id, before, after), ACCOUNT
    account = account_of_db(db)
    if account is None:
        return set(), SINGLE
    if kind == "feature":
        return _all_of(store, account), ACCOUNT
    subjects = _referring(store, db, account, doc_id)
    if kind == "device":
        macs = {wire.mac_of(kind, before), wire.mac_of(kind, after)} - {None}
        if macs:
            subjects.add(phone_subject(account, doc_id))
        for mac in macs:
            others = store.documents.with_mac(mac or "")
            subjects |= {phone_subject(account_of_db(other) or "", device) for other, device in others}
    shown = any(get(before, f) != get(after, f) for f in ("name", "contact_list.exclude"))
    if kind != "device" or old is None or new is None or shown:
        subjects |= _books(store, account)
    return subjects, SINGLE


def _referring(store: Store, db: str, account: str, doc_id: str) -> set[str]:
    """Return the phones that depend on a document, through owners, keys, overrides and further lines."""
    subjects: set[str] = set()
    seen, waiting = {doc_id}, [doc_id]
    while waiting:
        for kind, other in store.documents.referring(db, waiting.pop(), account):
            if kind == "account":
                return _all_of(store, account)
            if other not in seen:
                seen.add(other)
                waiting.append(other)
                if kind == "device":
                    subjects.add(phone_subject(account, other))
    return subjects


def _of_account(store: Store, db: str, account: str, before: Doc, after: Doc) -> set[str]:
    """Return an account's phones; its descendants' too, where something moved that they inherit."""
    own = store.documents.get(db_of_account(account), account)
    if db == ACCOUNTS_DB and own is not None:
        return set()  # the copy counts only where the account's own document is not there
    if db != ACCOUNTS_DB:
        # With or without its own document, what held until now may have been the copy.
        copy = store.documents.get(ACCOUNTS_DB, account)
        before = before or (copy[1] if copy else {})
        after = after or (copy[1] if copy else {})
    subjects = _all_of(store, account)
    if any(before.get(field) != after.get(field) for field in _INHERITED):
        for descendant in store.documents.accounts_under(account):
            subjects |= _all_of(store, descendant)
    return subjects


def _all_of(store: Store, account: str) -> set[str]:
    phones = {phone_subject(account, device) for device in store.documents.phones_of(account)}
    return phones | _books(store, account)


def _books(store: Store, account: str) -> set[str]:
    return {f"book/{account}/{owner}" for owner in store.releases.book_owners(account)}
