"""What a database looked like, and what that says about it now."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.sources.couch.database import Database, Mark, mark_of

MARKS = st.builds(
    Mark,
    st.sampled_from(["", "1", "2"]),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from(["a", "b", ""]),
)


def mark(start: str = "1", number: int = 5, documents: int = 3, seq: str = "5-x") -> Mark:
    return Mark(start, number, documents, seq)


def database(*, rows: int = 0, mark_rows: int = 0, at: Mark | None = None) -> Database:
    db = Database("accounts")
    db.since, db.mark, db.rows, db.mark_rows = '"5-x"', at or mark(), rows, mark_rows
    return db


@pytest.mark.parametrize(
    ("newer", "wanted"),
    [
        (mark(), None), (mark(number=9), None), (mark(documents=9), None), (mark(start="2"), "recreated"),
        (mark(start=""), None), (mark(number=4), "rewound"), (mark(documents=2), "restored"),
        (mark(start="2", number=1), "recreated"),
    ],
)  # fmt: skip
def test_suspicion(newer: Mark, wanted: str | None) -> None:
    assert mark().suspicion(newer) == wanted


def test_a_server_without_start_times_is_not_suspected() -> None:
    assert mark(start="").suspicion(mark(start="7")) is None


def test_judge_what_did_not_move() -> None:
    db = database(rows=4)
    assert not db.judge(mark(), db.asked())
    assert (db.whole, db.mark_rows) == (None, 4)


def test_judge_what_moved() -> None:
    db = database(rows=4)
    assert db.judge(mark(number=6, seq="6-x"), db.asked())
    assert db.mark == mark()
    assert db.whole is None


@pytest.mark.parametrize("missing", ["since", "mark"])
def test_judge_what_was_never_read(missing: str) -> None:
    db = database()
    setattr(db, missing, None)
    assert db.judge(mark(), db.asked())


def test_judge_keeps_what_must_be_read_as_a_whole() -> None:
    """That is one thing; whether there is news is another."""
    db = database()
    db.whole = "daily"
    assert not db.judge(mark(), db.asked())
    assert db.judge(mark(number=6, seq="6-x"), db.asked())
    assert db.whole == "daily"


def test_judge_suspects() -> None:
    db = database()
    assert db.judge(mark(documents=1, seq="1-x"), db.asked())
    assert db.whole == "restored"


def test_judge_leaves_what_moves_to_its_feed_once() -> None:
    """Rows came since the mark, so the feed lives; the next time it must have brought more."""
    db = database(rows=7, mark_rows=4)
    db.feed = object()  # type: ignore[assignment]
    assert not db.judge(mark(number=6, seq="6-x"), db.asked())
    assert db.mark is not None
    assert db.mark.update_seq == ""
    assert db.judge(mark(number=6, seq="6-x"), db.asked())


def test_judge_what_went_back_behind_what_was_read() -> None:
    """Its mark is old and shows nothing; the position that this node gave does. Another node's says nothing."""
    db = database(rows=4)
    db.reach('"9-x"')
    assert db.judge(mark(number=7, seq="7-x"), db.asked())
    assert db.whole == "rewound"
    db.whole = None
    db.move()
    assert db.judge(mark(number=7, seq="7-x"), db.asked())
    assert db.whole is None


def test_silent() -> None:
    """It moved, all was read to the end, and no row came."""
    assert database(rows=4, mark_rows=4).is_silent(mark(seq="6-x"))
    assert not database(rows=4, mark_rows=4).is_silent(mark())
    assert not database(rows=5, mark_rows=4).is_silent(mark(seq="6-x"))
    assert not database(rows=0, mark_rows=-1).is_silent(mark(seq="6-x"))
    assert not database(rows=4, mark_rows=4, at=mark(seq="")).is_silent(mark(seq="6-x"))


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.floats(0, 30)), max_size=8))
def test_nothing_counts_as_gone_after_one_look(looks: list[tuple[set[str], float]]) -> None:
    """Gone is what two looks in a row missed, and all between them, `confirm` seconds apart."""
    db, now = Database("accounts"), 1000.0
    first: dict[str, float] = {}
    for ids, pause in looks:
        now += pause
        first = {i: first.get(i, now) for i in ids}
        wanted = {i for i in ids if now - first[i] >= 10 and first[i] < now}
        gone = db.miss(ids, now, 10)
        assert gone == wanted
        first = {i: at for i, at in first.items() if i not in gone}
        assert db.absent == first


@given(
    st.none() | MARKS, st.floats(0, 1e10), st.sampled_from([None, "recreated", "daily", "absent"]), st.text()
)
def test_identity_and_load(of: Mark | None, read: float, whole: str | None, seq: str) -> None:
    db = Database("accounts")
    db.since, db.mark, db.read, db.whole = seq, of, read, whole  # type: ignore[assignment]
    again = Database("accounts")
    again.load(seq, db.identity(), stale=False)
    assert (again.since, again.mark, again.read, again.whole) == (seq, of, read, whole)
    assert not again.is_silent(mark())


def test_what_is_absent_is_unfinished() -> None:
    db = database()
    db.miss({"d1"}, 5, 10)
    again = Database("accounts")
    again.load('"5-x"', db.identity(), stale=False)
    assert again.whole == "unfinished"


def test_a_stale_position_is_read_again() -> None:
    again = Database("accounts")
    again.load('"5-x"', database().identity(), stale=True)
    assert again.whole == "version"


@pytest.mark.parametrize(
    "garbage",
    ["", "x", "[]", "5", '{"mark":5}', '{"read":"x"}', '{"whole":"unheard of"}', "[" * 10_000, "\x00"],
)
def test_load_garbage(garbage: str) -> None:
    """Another version wrote it: everything is read."""
    db = Database("accounts")
    db.load('"5-x"', garbage, stale=False)
    assert db.since is None


@pytest.mark.parametrize("started", [True, False])
@pytest.mark.parametrize("seq", ["12-g1A", 12, [12, "g1A"]])
@pytest.mark.parametrize("start", ["1700000000", 1700000000, "0", 0, ""])
def test_mark_of(seq: object, start: object, started: bool) -> None:
    info = {"update_seq": seq, "doc_count": 3, "doc_del_count": 2, "instance_start_time": start, "sizes": {}}
    found = mark_of(info, started=started)
    assert found == mark_of(json.dumps(info, separators=(",", ":")).encode(), started=started)
    assert (found.number, found.documents) == (12, 5)
    assert json.loads(found.update_seq) == seq
    assert found.start == ("1700000000" if started and str(start)[:1] == "1" else "")


@pytest.mark.parametrize(
    "info", [None, [], 5, "x", {}, {"doc_count": 1}, {"update_seq": 1, "doc_count": "x"}, b"x", b"", b"\xff",
             {"update_seq": 1, "doc_count": None}, {"update_seq": 1, "instance_start_time": [1]}],
)  # fmt: skip
def test_mark_of_garbage(info: object) -> None:
    with pytest.raises(ValueError):
        mark_of(info, started=True)
