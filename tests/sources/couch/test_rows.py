"""Lines and rows: however the bytes are cut, whatever version wrote them."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.sources.couch import rows
from kazoo_provisioner.sources.couch.errors import GarbageError
from kazoo_provisioner.sources.couch.rows import Lines, number, row, text, update


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


BYTES = st.lists(
    st.sampled_from([b"\n", b"{", b'"a"', b"\r", b"\xc3", b"\xbc", b" ", b"x" * 50]), max_size=30
)


@given(BYTES.map(b"".join), st.lists(st.integers(0, 600), max_size=12))
def test_any_cutting_gives_the_same_lines(data: bytes, at: list[int]) -> None:
    lines = Lines(10_000)
    found = [line for chunk in cut(data, at) for line in lines.feed(chunk)]
    *whole, rest = data.split(b"\n")
    assert found == [(line, len(line)) for line in whole if line.strip()]
    assert lines.heartbeats == sum(not line.strip() for line in whole)
    assert lines.pending == len(rest)


@given(
    st.lists(st.integers(0, 3 * rows.PREFIX), max_size=4),
    st.lists(st.integers(0, 8 * rows.PREFIX), max_size=20),
)
def test_long_lines_are_cut_short_in_any_cutting(sizes: list[int], at: list[int]) -> None:
    longest = rows.PREFIX + 1000
    wanted = [(b"%d" % (n % 10)) * size for n, size in enumerate(sizes)]
    lines = Lines(longest)
    found = []
    for chunk in cut(b"".join(line + b"\n" for line in wanted), at):
        found += lines.feed(chunk)
        assert sum(map(len, lines._parts)) <= longest
    kept = [(w if len(w) <= longest else w[: rows.PREFIX], len(w)) for w in wanted if w]
    assert found == kept


@given(st.integers(1024, 2 * rows.PREFIX), st.integers(1, 3 * rows.PREFIX), st.integers(1, 5000))
def test_a_line_over_the_limit_is_never_whole(longest: int, size: int, step: int) -> None:
    """Also where the limit is smaller than what is kept of such a line."""
    step = max(step, size // 50)
    lines = Lines(longest)
    data = b"x" * size + b"\n"
    ((line, whole),) = [one for at in range(0, size + 1, step) for one in lines.feed(data[at : at + step])]
    assert whole == size
    assert (len(line) < size) == (size > longest)


SEQS = ['"12-g1AAAA"', "12", '[12,"g1AAAA\\\\\\""]']


@pytest.mark.parametrize("seq", SEQS)
@pytest.mark.parametrize("end", ["", ",", "\r", ",\r"])
@pytest.mark.parametrize("before", ["", '{"results":['])
def test_rows_of_all_formats(seq: str, end: str, before: str) -> None:
    line = f'{before}{{"seq":{seq},"id":"d1","changes":[{{"rev":"3-a"}}],"doc":{{"_id":"d1"}}}}{end}'.encode()
    found = row(line, len(line))
    assert found is not None
    assert (found.id, found.rev, text(found.seq), found.deleted) == ("d1", "3-a", seq, False)
    assert json.loads(bytes(found.doc)) == {"_id": "d1"}
    assert number(text(found.seq)) == 12


@pytest.mark.parametrize("line", ['{"results":[', "]", "],", "]}", ' {"results":[ '])
def test_brackets_are_no_rows(line: str) -> None:
    assert row(line.encode(), len(line)) is None


@pytest.mark.parametrize("seq", SEQS)
@pytest.mark.parametrize("line", ['"last_seq":%s,"pending":0}', '{"last_seq":%s}', '],"last_seq":%s}'])
def test_last_lines(seq: str, line: str) -> None:
    data = (line % seq).encode()
    found = row(data, len(data))
    assert found is not None
    assert found.id is None
    assert text(found.last_seq) == seq


def test_an_empty_feed_on_one_line() -> None:
    data = b'{"results":[],"last_seq":"5-x","pending":0}'
    found = row(data, len(data))
    assert found is not None
    assert (found.id, text(found.last_seq)) == (None, '"5-x"')


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("seq", SEQS)
def test_too_long_rows_keep_what_comes_before_the_document(seq: str, deleted: bool) -> None:
    mark = '"deleted":true,' if deleted else ""
    line = f'{{"seq":{seq},"id":"d\\u00fc","changes":[{{"rev":"3-a"}}],{mark}"doc":{{"a":"'.encode()
    found = row(line, 10**9)
    assert found is not None
    assert (found.id, found.rev, text(found.seq), found.deleted) == ("dü", "3-a", seq, deleted)
    assert found.problem or deleted


@pytest.mark.parametrize(
    "line",
    [b"x", b"<html>", b"{}", b"[]", b"5", b'"x"', b'{"seq":1}', b'{"seq":"1-x","id":"d1","chan', b"[" * 100_000,
     b'{"seq":"1-x","id":5,"changes":[]}', b"\xff\xfe", b'{"error":"x","reason":"y"}'],
)  # fmt: skip
def test_garbage(line: bytes) -> None:
    with pytest.raises(GarbageError) as caught:
        row(line, len(line))
    assert "html" not in str(caught.value)


@given(st.binary(max_size=200))
def test_nothing_else_is_raised(line: bytes) -> None:
    for read in (lambda: row(line, len(line)), lambda: row(line, 10**9), lambda: update(line)):
        try:
            read()
        except GarbageError:
            continue


def test_updates() -> None:
    found = update(b'{"db_name":"accounts","type":"updated","seq":"5-x"}')
    assert found is not None
    assert (found.db_name, found.type) == ("accounts", "updated")
    assert update(b'{"last_seq":"5-x"}') is None


@pytest.mark.parametrize("line", [b"x", b"[]", b'{"db_name":5}', b"\xff", b"[" * 100_000])
def test_garbage_updates(line: bytes) -> None:
    with pytest.raises(GarbageError):
        update(line)


@pytest.mark.parametrize(
    ("seq", "wanted"),
    [('"12-x"', 12), ("12", 12), ('[12,"x"]', 12), ("", None), ('"x"', None), ("[]", None), ("null", None),
     ("9" * 30, None), ('"0"', 0), ("-5", None)],
)  # fmt: skip
def test_number(seq: str, wanted: int | None) -> None:
    assert number(seq) == wanted
