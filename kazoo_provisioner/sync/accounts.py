"""What all phones of an account share, read from the store."""

from typing import Literal

from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model.ids import ACCOUNTS_DB, db_of_account, parse_account_id
from kazoo_provisioner.model.merge import Account, star_codes
from kazoo_provisioner.model.wire import Doc, get
from kazoo_provisioner.store.writer import Store


class Accounts:
    """Account contexts, remembered for as long as this object lives: one transaction."""

    def __init__(self, store: Store, settings: PhonesSettings) -> None:
        self._store = store
        self._settings = settings
        self._known: dict[str, Account | None] = {}

    def get(self, account: str) -> Account | None:
        """Return an account's context, or None when no document of it is there."""
        if account not in self._known:
            self._known[account] = self._read(account)
        return self._known[account]

    def document(self, account: str) -> Doc | None:
        """Return the account's own document, else the copy in `accounts`; None where there is none or it is deleted."""
        for db in (db_of_account(account), ACCOUNTS_DB):
            found = self._store.documents.get(db, account)
            if found and found[0] == "account":
                return None if found[1].get("pvt_deleted") else found[1]
        return None

    def is_gone(self, account: str) -> bool:
        """Whether the account's document was there and is deleted, rather than not read yet."""
        own = self._store.documents.get(db_of_account(account), account)
        if own and own[1].get("pvt_deleted"):
            return True
        rows = (self._store.documents.latest(db, account) for db in (db_of_account(account), ACCOUNTS_DB))
        return any(row is not None and row.body is None for row in rows)

    def source(self, account: str) -> Literal["own", "copy", "none"]:
        """Say which document of an account is used."""
        if self._store.documents.get(db_of_account(account), account):
            return "own"
        return "copy" if self._store.documents.get(ACCOUNTS_DB, account) else "none"

    def _read(self, account: str) -> Account | None:
        doc = self.document(account)
        if doc is None:
            return None
        tree = doc.get("pvt_tree")
        above = (
            [a for a in reversed(tree) if parse_account_id(a) and a != account]
            if isinstance(tree, list)
            else []
        )
        ancestors = tuple(found for a in above if (found := self.document(a)) is not None)
        features = self._store.documents.of_kinds(db_of_account(account), ("feature",))
        zone, reseller = get(doc, "zones.home"), doc.get("pvt_reseller_id")
        who = (
            zone if isinstance(zone, str) else None, reseller if isinstance(reseller, str) else None, account,
        )  # fmt: skip
        named = tuple((name, layer) for name, layer in self._settings.layers(*who) if layer.parameters)
        codes = star_codes(callflow for _, callflow in features.values())
        return Account(account, doc, ancestors, codes, self._settings.layer(*who), named)
