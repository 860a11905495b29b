"""Phonebooks: one for each account and family, or brand, with a mark of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from tests.support import kazoo, tiny
from tests.support.kazoo import account_id, mac
from tests.support.world import Harness

A, B = account_id(1), account_id(2)
BOOK = "all-book.cfg"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Harness]:
    templates = tiny.write(tmp_path / "templates")
    (templates / "acme" / "brand.yaml").write_text(
        "name: Acme\nfiles:\n  - {name: all-book.cfg, template: all.j2, scope: account, syntax: key-value}\n"
        "  - {name: all.cfg, template: everybody.j2, scope: brand, syntax: key-value}\n"
    )
    (templates / "acme" / "all.j2").write_text(
        "all = 1\n{% for c in phonebook.contacts %}\n{{ loop.index }} = {{ c.name }}\n{% endfor %}\n"
    )
    (templates / "acme" / "everybody.j2").write_text("brand = 1\n")
    made = Harness(tmp_path / "store", Renderer(load(templates)))
    for account in (A, B):
        put(made, account, kazoo.account(account))
        put(made, account, kazoo.user("user1"))
        put(made, account, kazoo.callflow("call1", ["1001"], "user1"))
    yield made
    made.close()


def put(world: Harness, account: str, doc: kazoo.Doc) -> None:
    world.deliver([((db_of_account(account), doc["_id"]), doc)])
    world.settle()


def remove(world: Harness, account: str, doc_id: str) -> None:
    world.deliver([((db_of_account(account), doc_id), None)])
    world.settle()


def phone(device: str, number: int, family: str, **fields: object) -> kazoo.Doc:
    return kazoo.device(device, mac(number), brand="acme", model=f"{family}a", **fields)


def test_a_renamed_user_changes_one_phonebook_and_no_phone(world: Harness) -> None:
    for number in range(1, 6):
        put(world, A, phone(f"dev{number}", number, "one"))
    put(world, B, phone("other", 9, "one"))
    before = world.served()
    put(world, A, kazoo.user("user1", first="Grace"))
    after = world.served()
    moved = {name for name in before if before[name] != after[name]}
    assert moved == {(A, "one-book.cfg"), (A, BOOK)}
    assert b"Grace" in after[A, "one-book.cfg"]


def test_two_families_share_their_brands_book(world: Harness) -> None:
    assert (A, BOOK) not in world.served()
    put(world, A, phone("dev1", 1, "one"))
    put(world, A, phone("dev2", 2, "two"))
    assert b"Ada Lovelace" in world.served()[A, BOOK]
    remove(world, A, "dev1")
    assert (A, "one-book.cfg") not in world.served()
    assert b"Ada Lovelace" in world.served()[A, BOOK]
    put(world, A, kazoo.user("user1", first="Grace"))
    assert b"Grace" in world.served()[A, BOOK]
    remove(world, A, "dev2")
    assert (A, BOOK) not in world.served()


def test_a_phone_that_fails_takes_no_phonebook_with_it(world: Harness) -> None:
    """It marked the account's phonebook and was undone; the next phone marks it again."""
    template = world.folder.parent / "templates" / "acme" / "one" / "mac.j2"
    template.write_text(
        template.read_text() + "{% if phone.hotline == '666' %}{{ phone.nothing }}{% endif %}"
    )
    world.renderer = Renderer(load(world.folder.parent / "templates"))
    world.reopen()
    both = [phone("dev1", 1, "one", provision={"hotline": "666"}), phone("dev2", 2, "one")]
    world.deliver([((db_of_account(A), doc["_id"]), doc) for doc in both])
    for _ in range(3):
        world.now += 3_000
        world.reconciler.run_due(world.now, limit=1000)
    assert b"Ada Lovelace" in world.served()[A, BOOK]
    assert b"Ada Lovelace" in world.served()[A, "one-book.cfg"]


def test_a_books_name_passes_from_a_family_to_its_brand_and_back(tmp_path: Path) -> None:
    """As an upgrade does it: at no moment is the name gone."""
    templates = tiny.write(tmp_path / "templates")
    made = Harness(tmp_path / "store", Renderer(load(templates)))
    for doc in (
        kazoo.account(A),
        kazoo.user("user1"),
        kazoo.callflow("call1", ["1001"], "user1"),
        phone("dev1", 1, "one"),
    ):
        put(made, A, doc)
    assert b"Ada Lovelace" in made.served()[A, "one-book.cfg"]
    family = templates / "acme" / "one" / "family.yaml"
    old, book = family.read_text(), '  - {name: "one-book.cfg", template: book.j2, scope: account}\n'
    assert book in old
    of_brand = (
        "name: Acme\nfiles: [{name: one-book.cfg, template: all.j2, scope: account, syntax: key-value}]\n"
    )
    (templates / "acme" / "all.j2").write_text(
        "all = 1\n{% for c in phonebook.contacts %}\n{{ loop.index }} = {{ c.name }}\n{% endfor %}\n"
    )
    for brand, text in ((of_brand, old.replace(book, "")), ("name: Acme\n", old)):
        (templates / "acme" / "brand.yaml").write_text(brand)
        family.write_text(text)
        made.renderer = Renderer(load(templates))
        made.reopen()
        for _ in range(12):
            made.now += 3_000
            made.reconciler.run_due(made.now, limit=1)
            assert (A, "one-book.cfg") in made.served()
        made.settle()
        assert made.served()[A, "one-book.cfg"].startswith(b"all" if brand == of_brand else b"book")
    made.close()


def test_a_brands_common_file_is_there_once(world: Harness) -> None:
    assert world.served()["", "all.cfg"] == b"brand = 1\n"
