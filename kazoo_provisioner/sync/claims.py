"""Which of several devices with one MAC address it belongs to.

Registering devices go before others. Within those, whoever has the claim keeps it for as long as the
document says so; a free MAC goes to the lowest `pvt_created`, then database, then id. A claim holds in a
scope: an account, or (scope "") the paths that name no account.
"""

from typing import NamedTuple

import structlog

from kazoo_provisioner.model import wire
from kazoo_provisioner.model.ids import account_of_db
from kazoo_provisioner.model.merge import is_registering
from kazoo_provisioner.store.writer import Store

log = structlog.get_logger()


class Candidate(NamedTuple):
    """A device that says it has a MAC address. Sorts by who takes a free one."""

    created: float
    db: str
    device: str
    registering: bool
    account: str


def candidates(store: Store, mac: str) -> list[Candidate]:
    """Return every device with a MAC address, in the order of who takes it when it is free."""
    found = []
    for db, device in store.documents.with_mac(mac):
        doc, account = store.documents.get(db, device), account_of_db(db)
        if doc and account:
            created = wire.whole(doc[1].get("pvt_created"))
            order = float("inf") if created is None else float(created)
            found.append(Candidate(order, db, device, is_registering(doc[1]), account))
    return sorted(found)


class Owner(NamedTuple):
    """Whose a MAC address is in a scope; `new`: it became that just now."""

    account: str
    device: str
    new: bool


def settle(store: Store, scope: str, mac: str, all_of_them: list[Candidate], now: int) -> Owner | None:
    """Return whose a MAC address is in a scope, after seeing to its claim."""
    here = [c for c in all_of_them if not scope or c.account == scope]
    pool = [c for c in here if c.registering] or here
    owner = store.claims.owner(scope, mac)
    if not pool:
        if owner:
            store.claims.drop(scope, mac)
        return None
    if owner and owner in [(c.account, c.device) for c in pool]:
        return Owner(*owner, new=False)
    first = pool[0]
    store.claims.set(scope, mac, first.account, first.device, now)
    if len(here) > 1:
        others = [f"{c.account}/{c.device}" for c in here if c is not first][:10]
        log.warning(
            "mac_claimed",
            mac=mac,
            scope=scope or "all accounts",
            account=first.account,
            device=first.device,
            others=others,
        )
    return Owner(first.account, first.device, new=True)
