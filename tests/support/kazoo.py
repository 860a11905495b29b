"""Kazoo documents, as its API writes them, and folders of them, in the layout of its fixtures."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from kazoo_provisioner.model.ids import db_of_account

Doc = dict[str, Any]
ACCOUNTS = "accounts"


def account_id(number: int) -> str:
    return f"account{number:025d}"


def mac(number: int) -> str:
    return f"001565{number:06x}"


def account(account: str, *, tree: tuple[str, ...] = (), **fields: Any) -> Doc:
    return {
        "_id": account, "pvt_type": "account", "name": f"Account {account[-4:]}", "realm": f"{account[-6:]}.sip.example.com",
        "pvt_tree": list(tree), "pvt_reseller_id": tree[0] if tree else account, "pvt_enabled": True, "enabled": True,
        "pvt_account_id": account,
    } | fields  # fmt: skip


def user(user_id: str, first: str = "Ada", last: str = "Lovelace", **fields: Any) -> Doc:
    return {
        "_id": user_id,
        "pvt_type": "user",
        "first_name": first,
        "last_name": last,
        "enabled": True,
    } | fields


def device(
    device_id: str, mac_address: str | None, *, model: Any = "t46g", brand: str = "yealink", **fields: Any
) -> Doc:
    provision = {"endpoint_brand": brand, "endpoint_family": "t4x", "endpoint_model": model} | fields.pop(
        "provision", {}
    )
    sip = {
        "method": "password",
        "username": f"user_{device_id[-6:]}",
        "password": f"secret-{device_id[-6:]}",
    } | fields.pop("sip", {})
    doc: Doc = {
        "_id": device_id, "pvt_type": "device", "name": f"Device {device_id[-4:]}", "enabled": True, "device_type": "sip_device",
        "pvt_created": 63_800_000_000, "provision": provision, "sip": sip,
    }  # fmt: skip
    if mac_address is not None:
        doc["mac_address"] = mac_address
    return doc | fields


def callflow(callflow_id: str, numbers: list[str], target: str, module: str = "user", **fields: Any) -> Doc:
    return {
        "_id": callflow_id, "pvt_type": "callflow", "numbers": numbers, "patterns": [],
        "flow": {"module": module, "data": {"id": target}, "children": {}},
    } | fields  # fmt: skip


def parking(callflow_id: str, number: str) -> Doc:
    return {
        "_id": callflow_id, "pvt_type": "callflow", "numbers": [], "patterns": [f"^\\*{number}([0-9]*)$"],
        "featurecode": {"name": "park_and_retrieve", "number": number},
        "flow": {"module": "park", "data": {"action": "auto"}, "children": {}},
    }  # fmt: skip


def with_fields(doc: Doc, fields: dict[str, Any]) -> Doc:
    """Set fields of a document; a dotted name reaches into an object (``sip__realm`` is sip.realm)."""
    for name, value in fields.items():
        *parents, last = name.split("__")
        at = doc
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return doc


class Folder:
    """A folder of dumps. Every write gives the document a new `_rev`, and appears whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self._revisions: dict[tuple[str, str], int] = {}

    def path(self, db: str, doc_id: str) -> Path:
        return self.root / quote(db, safe="") / "docs" / f"{quote(doc_id, safe='')}.json"

    def put(self, db: str, doc: Doc) -> None:
        key = (db, doc["_id"])
        self._revisions[key] = self._revisions.get(key, 0) + 1
        path = self.path(*key)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(doc | {"_rev": f"{self._revisions[key]}-{'0' * 32}"}))
        new.rename(path)

    def put_account(self, doc: Doc) -> None:
        """An account's own document and the copy in `accounts`, as Kazoo keeps them."""
        self.put(db_of_account(doc["_id"]), doc)
        self.put(ACCOUNTS, doc)

    def get(self, db: str, doc_id: str) -> Doc:
        doc: Doc = json.loads(self.path(db, doc_id).read_text())
        return doc

    def documents(self) -> dict[tuple[str, str], Doc]:
        """Every document that is there."""
        paths = sorted(self.root.glob("*/docs/*.json"))
        return {(unquote(p.parent.parent.name), unquote(p.stem)): json.loads(p.read_text()) for p in paths}

    def edit(self, db: str, doc_id: str, **fields: Any) -> None:
        """Set fields; a dotted name reaches into an object (``sip__realm`` is sip.realm)."""
        self.put(db, with_fields(self.get(db, doc_id), fields))

    def delete(self, db: str, doc_id: str) -> None:
        self.path(db, doc_id).unlink()

    def delete_database(self, db: str) -> None:
        docs = self.root / quote(db, safe="") / "docs"
        for path in docs.iterdir():
            path.unlink()
        docs.rmdir()
        docs.parent.rmdir()


MODELS = [("yealink", m) for m in ("t46g", "t48s", "t54w", "t33g", "t22")] + [
    ("polycom", m) for m in ("vvx411", "vvx250")
]
"""What a fleet is made of, in turn."""


def fleet(folder: Any, accounts: int, devices: int) -> list[tuple[str, str, str]]:
    """Write accounts (the first is everybody's reseller) with devices spread over them, each with an owner.

    Into a Folder or a Couch.

    Returns (account, device id, mac) of every device.
    """
    top = account_id(0)
    made = []
    for number in range(accounts):
        this = account_id(number)
        folder.put_account(account(this, tree=() if number == 0 else (top,)))
        folder.put(db_of_account(this), parking(f"park{number:028d}", "3"))
    for number in range(devices):
        this = account_id(number % accounts)
        db = db_of_account(this)
        user_id, device_id = f"user{number:028d}", f"devi{number:028d}"
        brand, model = MODELS[number % len(MODELS)]
        folder.put(db, user(user_id, "User", f"N{number}", presence_id=str(1000 + number)))
        keys = {"1": {"type": "presence", "value": user_id}, "2": {"type": "parking", "value": "1"}}
        folder.put(
            db,
            device(
                device_id,
                mac(number + 1),
                model=model,
                brand=brand,
                owner_id=user_id,
                provision={"combo_keys": keys},
            ),
        )
        folder.put(db, callflow(f"flow{number:028d}", [str(1000 + number)], user_id))
        made.append((this, device_id, mac(number + 1)))
    return made
