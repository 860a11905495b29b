"""What readers remember (`access.db`): shared, bounded, and never in the way."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kazoo_provisioner.store import access
from kazoo_provisioner.store.access import FILE, KEPT, KEPT_UNKNOWN, PER_PHONE, Access, Miss, Request
from kazoo_provisioner.store.schema import StoreUnavailableError

MAC, OTHER = "001565aabbcc", "001565aabbdd"
NOW = 1_700_000_000
WINDOW = 3600.0


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Access]:
    made = Access(tmp_path)
    yield made
    made.close()


def request(mac: str = MAC, file: str = "", at: int = NOW, **fields: Any) -> Request:
    told = Request(
        mac, "a", file or f"{mac}.cfg", at, 200, "served", "192.0.2.1", "prov.example.com", "Phone 1.0", "t46", 0, 1
    )  # fmt: skip
    return told._replace(**fields)


def note(to: Access, *requests: Request) -> None:
    assert to.write(requests, [], {}, 0, WINDOW) == []


def miss(to: Access, address: str, *names: object, at: int = NOW, limit: int = 3) -> list[str]:
    return to.write([], [Miss(address, str(name), at) for name in names], {}, limit, WINDOW)


def test_nobody_else_can_read_it(opened: Access, tmp_path: Path) -> None:
    note(opened, request())
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert found == {FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


def test_the_last_request_for_a_file_is_kept(opened: Access) -> None:
    """What came late does not take the place of what was later."""
    note(opened, request(at=NOW + 1), request(file="x.cfg", at=NOW + 5, legacy=1))
    later = request(
        at=NOW + 2, status=304, reason="not_modified", remote="::1", host="h", agent="b", model="m", legacy=1, own=0
    )  # fmt: skip
    note(opened, later, request(OTHER))
    note(opened, request(at=NOW))
    assert opened.requests(MAC) == [request(file="x.cfg", at=NOW + 5, legacy=1), later]
    assert opened.requests(OTHER) == [request(OTHER)]
    assert opened.requests("001565aabbee") == []
    note(opened, request(at=NOW + 2, status=404))
    assert opened.requests(MAC)[1].status == 404


def test_where_a_phone_got_its_own_file(opened: Access) -> None:
    """Only what was its own counts. That it got it there stays known when it is refused or there is trouble."""
    note(opened, request(own=0), request(file="common.cfg", own=0, remote="192.0.2.9"))
    assert opened.places(MAC) == []
    note(opened, request(at=NOW + 1), request(file="y.cfg", remote="2001:db8::1"))
    assert sorted(opened.places(MAC)) == ["192.0.2.1", "2001:db8::1"]
    assert opened.places(OTHER) == []
    for number, status in enumerate((503, 429, 304, 404)):
        note(opened, request(at=NOW + 2 + number, status=status, own=0))
        assert opened.requests(MAC)[0].own == 1
    assert "192.0.2.1" in opened.places(MAC)
    # That somebody was refused elsewhere who gave its name says nothing of the phone.
    note(opened, request(at=NOW + 8, status=429, reason="limited", own=0, remote="203.0.113.9"))
    assert "192.0.2.1" in opened.places(MAC)
    note(
        opened,
        request(OTHER, status=429, reason="limited", own=0),
        request(OTHER, at=NOW + 1, status=429, reason="limited", own=0),
    )
    assert opened.requests(OTHER)[0].at == NOW + 1
    # Somebody else, elsewhere: nobody got anything there, and who was here is no longer known.
    note(opened, request(at=NOW + 9, status=404, own=0, remote="203.0.113.9"))
    assert opened.places(MAC) == ["2001:db8::1"]
    note(opened, request(at=NOW + 10, remote="203.0.113.9"))
    assert sorted(opened.places(MAC)) == ["2001:db8::1", "203.0.113.9"]


def test_counts_add_up(opened: Access, tmp_path: Path) -> None:
    other = Access(tmp_path)
    for number, one in enumerate((opened, other, opened)):
        one.write([], [], {"a": 1, "b": 0.25, f"c{number}": 2}, 0, WINDOW)
    assert opened.tallies() == other.tallies() == {"a": 3, "b": 0.75, "c0": 2, "c1": 2, "c2": 2}
    other.close()


def test_the_limit_counts_different_names(opened: Access) -> None:
    assert miss(opened, "a", 1, 1, 1, 2, 2) == []
    assert miss(opened, "a", 1, 2) == []
    assert miss(opened, "b", 1, 2, 3, limit=4) == []
    assert opened.limited(NOW) == {}
    assert miss(opened, "a", 3) == ["a"]
    assert opened.limited(NOW) == {"a": NOW + 3600}
    # Told once, and not for longer because it goes on.
    assert miss(opened, "a", 4, at=NOW + 60) == []
    assert opened.limited(NOW + 3599) == {"a": NOW + 3600}
    assert opened.limited(NOW + 3600) == {}


def test_without_a_limit_nothing_is_noted(opened: Access, tmp_path: Path) -> None:
    assert miss(opened, "a", *range(100), limit=0) == []
    assert opened._db.execute("SELECT count(*) FROM miss").fetchone() == (0,)


def test_the_window(opened: Access) -> None:
    """What is as old as the window no longer counts; asked for again, it is new."""
    assert miss(opened, "a", 1, 2) == []
    assert miss(opened, "a", 3, at=NOW + 3600) == []
    assert miss(opened, "a", 1, at=NOW + 3601) == []
    assert miss(opened, "a", 4, at=NOW + 3602) == ["a"]


def test_misses_of_one_write_in_any_order(opened: Access) -> None:
    wrong = [Miss("a", "1", NOW + 9), Miss("a", "2", NOW), Miss("b", "1", NOW), Miss("a", "3", NOW + 8)]
    assert opened.write([], wrong, {}, 3, WINDOW) == ["a"]
    assert opened.limited(NOW) == {"a": NOW + 3609}


def test_who_was_limited_can_be_again(opened: Access) -> None:
    """Also before the old line was dropped."""
    assert miss(opened, "a", 1, 2, 3) == ["a"]
    later = NOW + 3600
    assert opened.limited(later) == {}
    assert miss(opened, "a", 4, 5, 6, at=later) == ["a"]
    assert opened.limited(later) == {"a": later + 3600}


def test_forgiving(opened: Access) -> None:
    miss(opened, "a", 1, 2, 3)
    miss(opened, "b", 1, 2, 3)
    miss(opened, "c", 1)
    assert opened.forgive("a")
    assert opened.forgive("c")
    assert not opened.forgive("a")
    assert list(opened.limited(NOW)) == ["b"]
    assert miss(opened, "a", 4, 5) == []
    assert miss(opened, "a", 6) == ["a"]


def test_others_see_that_something_was_written(opened: Access, tmp_path: Path) -> None:
    other = Access(tmp_path)
    before = other.version()
    assert other.version() == before
    miss(opened, "a", 1, 2, 3)
    assert other.version() != before
    assert list(other.limited(NOW)) == ["a"]
    other.close()


def test_what_is_old_is_forgotten(opened: Access) -> None:
    for file, age, model in (
        ("1", KEPT, "t46"), ("2", KEPT - 1, "t46"), ("3", KEPT_UNKNOWN, ""), ("4", KEPT_UNKNOWN - 1, ""), ("5", KEPT_UNKNOWN, "t46"),
    ):  # fmt: skip
        note(opened, request(file=file, at=NOW - age, model=model))
    miss(opened, "a", 1, at=NOW - 3600)
    miss(opened, "a", 2, at=NOW - 3599)
    miss(opened, "b", 1, 2, 3, at=NOW - 3600)
    miss(opened, "c", 1, 2, 3, at=NOW - 3599)
    opened.forget(NOW, WINDOW)
    assert {one.file for one in opened.requests(MAC)} == {"2", "4", "5"}
    assert dict(opened._db.execute("SELECT address, count(*) FROM miss GROUP BY 1")) == {"a": 1, "c": 3}
    assert list(opened.limited(NOW, WINDOW)) == ["c"]


def test_what_is_too_much_of_a_phone_is_forgotten(opened: Access) -> None:
    """The latest stay; of others nothing goes."""
    note(opened, *(request(file=f"{n}.cfg", at=NOW + n) for n in range(PER_PHONE + 5)))
    note(opened, *(request(OTHER, file=f"{n}.cfg", at=NOW - n) for n in range(PER_PHONE)))
    opened.forget(NOW, WINDOW)
    assert opened._db.execute("SELECT min(at), count(*) FROM request WHERE mac=?", (MAC,)).fetchone() == (
        NOW + 5,
        PER_PHONE,
    )
    assert len(opened.requests(OTHER)) == PER_PHONE


@pytest.mark.parametrize("step", [0, 1])
def test_what_is_too_much_is_forgotten(opened: Access, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The latest stay, also where many are of the same second."""
    monkeypatch.setattr(access, "MOST", 10)
    note(opened, *(request(f"{n:012x}", at=NOW + n * step) for n in range(10)))
    opened.forget(NOW, WINDOW)
    assert opened._db.execute("SELECT count(*) FROM request").fetchone() == (10,)
    note(opened, *(request(f"{n:012x}", at=NOW + n * step) for n in range(10, 13)))
    opened.forget(NOW, WINDOW)
    lowest, count = opened._db.execute("SELECT min(at), count(*) FROM request").fetchone()
    assert (lowest, count) == (NOW + 3 * step, 10)


def test_summaries(opened: Access) -> None:
    """By the last file that each phone got; what was refused, and who named nobody, does not count."""
    note(
        opened,
        request(at=NOW, agent="old", legacy=1),
        request(file="x.cfg", at=NOW + 1, agent="new"),
        request(file="z.cfg", at=NOW + 2, status=404, agent="refused", legacy=1),
        request(OTHER, agent="new", status=304, legacy=1),
        request("001565aabbee", agent="other", model="vvx500"),
        request("001565aabbff", agent="guess", status=404, model=""),
        request("", file="y.cfg", agent="nobody", legacy=1),
    )
    assert sorted(opened.agents()) == [("t46", "new", 2), ("vvx500", "other", 1)]
    assert opened.old_urls() == (1, 3)


def test_summaries_of_nothing(opened: Access) -> None:
    assert (opened.agents(), opened.old_urls(), opened.tallies()) == ([], (0, 0), {})


def test_a_write_is_all_or_nothing(opened: Access) -> None:
    class Broken(dict[str, float]):
        def items(self) -> Any:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        opened.write([request()], [], Broken(), 0, WINDOW)
    assert opened.requests(MAC) == []
    note(opened, request())


def test_a_full_disk_passes(opened: Access) -> None:
    pages = opened._db.execute("PRAGMA page_count").fetchone()[0]
    opened._db.execute(f"PRAGMA max_page_count={pages}")
    many = [request(f"{n:012x}") for n in range(1000)]
    with pytest.raises(StoreUnavailableError, match=r"access\.db.*full"):
        note(opened, *many)
    opened._db.execute("PRAGMA max_page_count=100000")
    note(opened, *many)
