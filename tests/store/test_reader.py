"""What readers find in the store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kazoo_provisioner.store.reader import Reader, Served
from kazoo_provisioner.store.releases import Made
from kazoo_provisioner.store.schema import StoreError
from kazoo_provisioner.store.writer import Store

OWN, BOOK = "001565aabbcc.cfg", "book.xml"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    store = Store(tmp_path)
    with store.transaction():
        store.releases.publish(
            "phone/a/d", [Made(OWN, "text/plain", True, b"own", "e1")], ["a", ""], "t46", "i", [], 1
        )
        store.releases.publish(
            "book/a/y/t", [Made(BOOK, "text/xml", False, b"", "e2")], ["a"], "", "i", [], 1
        )
    store.close()
    opened = Reader(tmp_path)
    yield opened
    opened.close()


def test_find(reader: Reader) -> None:
    """By scope and name, both exactly; a scope sees nothing of another."""
    own = Served("e1", "text/plain", "t46", 1, b"own")
    assert reader.find("a", OWN) == reader.find("", OWN) == own
    assert reader.find("a", BOOK) == Served("e2", "text/xml", "", 0, b"")
    for scope, name in (("b", OWN), ("", BOOK), ("a", OWN.upper()), ("a", "%"), ("A", OWN), ("a", "")):
        assert reader.find(scope, name) is None


def test_what_the_asker_has_is_not_read(reader: Reader) -> None:
    """A file without content is something else than one that the asker has."""
    assert reader.find("a", OWN, "e1") == Served("e1", "text/plain", "t46", 1, None)
    assert reader.find("a", BOOK, "e2") == Served("e2", "text/xml", "", 0, None)
    for held in ("", "e2", "E1", "e1 ", "%"):
        found = reader.find("a", OWN, held)
        assert found is not None
        assert found.data == b"own"


def test_a_store_that_breaks(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"x" * path.stat().st_size)
    for end in ("-wal", "-shm"):
        (tmp_path / f"store.db{end}").unlink(missing_ok=True)
    with pytest.raises(StoreError, match=r"store\.db"):
        reader.find("a", OWN)


def test_the_look_ups_of_a_turn_share_a_transaction_that_ends_with_it(tmp_path: Path) -> None:
    """Nothing stays open: what others write is seen in the next turn, and the log can be emptied."""
    waiting: list[Callable[[], None]] = []
    Store(tmp_path).close()
    reader = Reader(tmp_path, waiting.append)
    assert reader.find("a", "one") is None
    assert reader.find("a", "two") is None
    assert len(waiting) == 1
    assert reader._db.in_transaction
    waiting.pop()()
    assert not reader._db.in_transaction
    assert reader.find("a", "one") is None
    reader._db.execute("ROLLBACK")  # as SQLite does by itself after some errors
    waiting.pop()()
    assert reader.find("a", "one") is None
    assert len(waiting) == 1
    reader.close()
