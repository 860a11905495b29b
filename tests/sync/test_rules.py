"""Rules that a fresh start cannot show, because it starts from what they left: claims, handing over, phonebooks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from kazoo_provisioner.model import wire
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.sources.base import Change, changed
from tests.support import kazoo, tiny
from tests.support.kazoo import ACCOUNTS, Doc, account_id, mac
from tests.support.world import Harness

A, B = account_id(1), account_id(2)
MAC = mac(1)


class World(Harness):
    """Documents go in, and everything that follows happens."""

    def save(self, account: str, doc: Doc | None, doc_id: str = "") -> None:
        self.deliver([((db_of_account(account), doc["_id"] if doc else doc_id), doc)])
        self.settle()

    def owner(self, scope: str) -> tuple[str, str] | None:
        return self.store.claims.owner(scope, MAC)

    def answers(self, scope: str) -> bytes | None:
        return self.served().get((scope, f"{MAC}.cfg"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "store", Renderer(tiny.catalogue(tmp_path / "templates")))
    for account in (A, B):
        made.save(account, kazoo.account(account))
    yield made
    made.close()


def phone(device: str, created: object = 1, address: str | None = MAC, **fields: object) -> Doc:
    return kazoo.device(device, address, brand="acme", model="onea", pvt_created=created, **fields)


def test_a_newcomer_never_takes_over(world: World) -> None:
    world.save(B, phone("later", created=9))
    with structlog.testing.capture_logs() as logs:
        world.save(A, phone("earlier", created=1))
        world.save(B, phone("rival", created=0))
    assert world.owner("") == (B, "later")
    assert world.owner(A) == (A, "earlier")
    assert b" later" in (world.answers("") or b"")
    assert b" earlier" in (world.answers(A) or b"")
    assert [line["owner_device"] for line in logs if line["event"] == "mac_conflict"] == ["later"]
    assert world.states()[f"phone/{B}/rival"][3] == "mac_conflict"


def test_a_free_address_goes_to_the_oldest_then_database_then_id(world: World) -> None:
    world.deliver([((db_of_account(B), "b"), phone("b", 1)), ((db_of_account(A), "z"), phone("z", 1)), ((db_of_account(A), "c"), phone("c", 1)), ((db_of_account(A), "x"), phone("x", "junk"))])  # fmt: skip
    world.settle()
    assert world.owner("") == (A, "c")
    world.save(A, None, "c")
    assert world.owner("") == world.owner(A) == (A, "z")
    world.save(A, None, "z")
    assert world.owner(A) == (A, "x")  # a date that is no number is the youngest
    assert world.owner("") == (B, "b")
    for account, device in ((A, "x"), (B, "b")):
        world.save(account, None, device)
    assert world.store.claims.all() == []
    assert world.answers("") is None


def test_devices_that_register_go_first(world: World) -> None:
    world.save(A, phone("quiet", 1, sip={"method": "ip"}))
    assert world.owner(A) == (A, "quiet")
    world.save(A, phone("speaks", 5))
    assert world.owner(A) == world.owner("") == (A, "speaks")
    world.save(A, phone("speaks", 5, sip={"method": "ip"}))
    assert world.owner(A) == (A, "speaks")
    world.save(A, phone("older", 0, sip={"password": ""}))
    assert world.owner(A) == (A, "speaks")


def test_a_device_that_moves_to_another_address_leaves_the_old_one(world: World) -> None:
    world.save(A, phone("one"))
    world.save(A, phone("one", address=mac(7)))
    assert [claim[1:] for claim in world.store.claims.all()] == [(mac(7), A, "one")] * 2
    assert world.answers(A) is None
    assert (A, f"{mac(7)}.cfg") in world.served()


def test_an_address_is_handed_over_without_a_gap(world: World) -> None:
    """The transaction that takes a file from one phone serves the other's, however short its rest was."""
    world.save(A, phone("first", 1))
    world.save(A, phone("second", 2))
    world.deliver([((db_of_account(A), "second"), phone("second", 2, name="Second"))])
    world.reconciler.run_due(world.now)
    world.deliver([((db_of_account(A), "first"), None)])
    for _ in range(60):
        assert world.answers(A) is not None
        world.now += 50
        world.reconciler.run_due(world.now, limit=1)
    assert b" second" in (world.answers(A) or b"")
    assert b" second" in (world.answers("") or b"")


def test_a_name_that_another_phone_took_is_served_again(world: World) -> None:
    """The same inputs as ever do not mean that the files are still there."""
    world.save(A, phone("x", 5, name="X"))
    before = world.answers("")
    db = db_of_account
    world.deliver(
        [((db(A), "x"), phone("x", 5, name="X", sip={"method": "ip"})), ((db(B), "y"), phone("y", 6))]
    )
    world.now += 3_000
    world.reconciler.run_due(world.now, limit=1)
    world.deliver([((db(A), "x"), phone("x", 5, name="X")), ((db(B), "y"), None)])
    world.settle()
    assert world.answers("") == before


def test_the_phonebook_follows_devices_without_a_name(world: World) -> None:
    """A callflow has its own name for a device that has none, and no entry where the device is gone."""
    world.save(A, phone("desk"))
    nameless = phone("lobby", address=None)
    del nameless["name"]
    world.save(A, kazoo.callflow("flow", ["2001"], "lobby", "device", name="Lobby"))
    book = (A, "one-book.cfg")
    assert b"Lobby" not in world.served()[book]
    world.save(A, nameless)
    assert b"Lobby 2001" in world.served()[book]
    world.save(A, None, "lobby")
    assert b"Lobby" not in world.served()[book]


def test_the_own_document_takes_the_place_of_the_copy(world: World) -> None:
    """Its coming and going moves descendants, where the copy said something else."""
    child = account_id(3)
    world.save(child, kazoo.account(child, tree=(A,)))
    world.save(child, phone("below"))
    world.deliver([((ACCOUNTS, A), kazoo.account(A, timezone="Asia/Kolkata"))])
    world.settle()
    path = (child, f"{MAC}.cfg")
    assert b"zone = UTC" in world.served()[path]
    world.save(A, None, A)
    assert b"zone = Asia/Kolkata" in world.served()[path]
    world.save(A, kazoo.account(A))
    assert b"zone = UTC" in world.served()[path]
    # Deleted by its own word: the copy does not bring it back.
    world.save(A, phone("own", address=mac(8)))
    world.save(A, kazoo.account(A, pvt_deleted=True))
    assert (A, f"{mac(8)}.cfg") not in world.served()
    assert world.states()[f"phone/{A}/own"][3] == "account_unknown"


def test_what_nobody_can_read_stops_nobody(world: World) -> None:
    """A document nested as deep as a decoder bears, beside a good one, in one batch."""
    deep: object = 1
    for _ in range(100_000):
        deep = {"a": deep}
    world.save(A, phone("good"))
    before = world.answers(A)
    with structlog.testing.capture_logs() as logs:
        bad = Change(db_of_account(A), "good", "2-x", ("device", {"provision": deep}))
        fine = changed(db_of_account(B), "other", "1-x", phone("other", address=mac(9)), 0)
        world.ingest.apply([bad, fine], world.now)
        world.settle()
    assert [line["doc"] for line in logs if line["event"] == "document_unreadable"] == ["good"]
    assert world.answers(A) == before
    assert (B, f"{mac(9)}.cfg") in world.served()


def test_other_fields_to_keep_are_read_again_even_after_a_restart_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [((db_of_account(A), f"user{n}"), kazoo.user(f"user{n}")) for n in range(10)]
    world.deliver(documents)
    assert set(world.ingest.held(db_of_account(A)).values()) == {"1-x"}
    monkeypatch.setattr(wire, "ingest_version", lambda: "other")
    world.reopen()
    assert set(world.ingest.held(db_of_account(A)).values()) == {""}
    world.deliver(documents[:4])
    world.reopen()
    held = world.ingest.held(db_of_account(A))
    assert {doc for doc, rev in held.items() if rev} == {f"user{n}" for n in range(4)}
