"""Names of things in Kazoo: MAC addresses, account ids, databases.

Source: Kazoo's kz_util:format_account_db and cb_devices (all branches); its own fixtures use account ids
that are not hexadecimal, so an id is any 32 of ``[0-9a-z]``.
"""

import re
from typing import NewType

Mac = NewType("Mac", str)
"""Twelve lower-case hexadecimal digits, no separators."""

AccountId = NewType("AccountId", str)
"""Thirty-two of ``[0-9a-z]``."""

ACCOUNTS_DB = "accounts"
"""The database with a copy of every account document."""

_MAC_SEPARATORS = re.compile(r"[\s:.\-_]")
_MAC = re.compile(r"[0-9a-f]{12}")
_ACCOUNT_ID = re.compile(r"[0-9a-z]{32}")
_ACCOUNT_DB = re.compile(r"account/([0-9a-z]{2})/([0-9a-z]{2})/([0-9a-z]{28})")


def parse_mac(value: object) -> Mac | None:
    """Read a MAC address in any usual spelling (``aa:bb:…``, ``AA-BB-…``, ``aabb.…``, bare hex).

    Returns None for everything else, and for the two addresses no phone has: all zeros and broadcast.
    """
    if not isinstance(value, str) or len(value) > 64:
        return None
    mac = _MAC_SEPARATORS.sub("", value).lower()
    if not _MAC.fullmatch(mac) or mac in ("000000000000", "ffffffffffff"):
        return None
    return Mac(mac)


def parse_account_id(value: object) -> AccountId | None:
    """Return the value when it is an account id, else None."""
    if isinstance(value, str) and _ACCOUNT_ID.fullmatch(value):
        return AccountId(value)
    return None


def account_of_db(db: str) -> AccountId | None:
    """Return the account a database belongs to; None for months, selectors and everything else."""
    match = _ACCOUNT_DB.fullmatch(db)
    return AccountId("".join(match.groups())) if match else None


def db_of_account(account: str) -> str:
    """Return the name of an account's own database."""
    return f"account/{account[:2]}/{account[2:4]}/{account[4:]}"


def is_followed(db: str) -> bool:
    """Whether a database holds documents we follow: ``accounts`` and the account databases."""
    return db == ACCOUNTS_DB or account_of_db(db) is not None
