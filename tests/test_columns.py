"""Columns for people: what stands first, what is shortened and cut, and that nothing reaches the terminal raw."""

import re
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kazoo_provisioner.columns import printable, row

ACCOUNT = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
COLOUR = re.compile(r"\x1b\[\d+m")
REQUEST = {
    "time": "2026-01-02T03:04:05.678901Z", "level": "info", "event": "phone_request", "process": "reader",
    "method": "GET", "status": 200, "reason": "served", "account": ACCOUNT, "mac": "001565200101",
    "file": "001565200101.cfg", "model": "t46", "bytes": 36563, "ms": 0.41, "remote": "192.0.2.7",
    "host": "prov.example.com", "agent": "Yealink SIP-T46S 66.85.0.5 00:15:65:20:01:01",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_request_begins_with_what_tells_most() -> None:
    assert row(REQUEST).split() == [
        "04:04:05", "info", "phone_request", "200", "served", "00:15:65:20:01:01", "001565200101.cfg",
        "a1b2c3…8f90", "192.0.2.7", "0.41ms", "model=t46", "bytes=36563", "host=prov.example.com",
        "Yealink", "SIP-T46S", "66.85.0.5", "00:15:65:20:01:01",
    ]  # fmt: skip


def test_requests_stand_in_columns_whatever_they_lack() -> None:
    bare = {name: value for name, value in REQUEST.items() if name not in ("account", "mac", "file", "model")}
    rows = [
        row(REQUEST),
        row({**REQUEST, "status": 404, "reason": "unknown_mac", "remote": "198.51.100.200", "ms": 12.5}),
        row({**bare, "path": "/etc/passwd"}),
    ]
    assert len({one.index("ms ") for one in rows}) == 1
    assert len({one.index("198.51" if "198.51" in one else "192.0.2.7") for one in rows}) == 1


@pytest.mark.parametrize("width", [1, 20, 60, 80, 100, 120, 140, 150, 160, 200])
def test_the_agent_is_what_a_narrow_terminal_cuts(width: int) -> None:
    shown = row(REQUEST, width=width)
    told = "200 served 00:15:65:20:01:01 001565200101.cfg a1b2c3…8f90 192.0.2.7 0.41ms model=t46"
    assert told in " ".join(shown.split())
    least = len(row({**REQUEST, "agent": "", "host": "", "bytes": None}, width=1))
    assert len(shown) <= max(width, least)
    coloured = row(REQUEST, width=width, colours=True)
    assert re.sub(r" +$", "", COLOUR.sub("", coloured)) == shown


def test_a_sentence_is_cut_but_not_to_nothing() -> None:
    line = {"event": "render_failed", "level": "error", "problem": "render_failed", "detail": "word " * 50}
    assert "word word word" in row(line, width=10)
    assert len(row(line, width=120)) <= 120
    assert row(line, width=120).endswith("…")
    assert row(line) == row(line, width=100_000)


def test_other_events_show_whom_they_are_about() -> None:
    line = {
        "event": "document_changed",
        "db": f"account/a1/b2/{ACCOUNT[4:]}",
        "doc": "d1",
        "mac": "001565200101",
        "phones": 1,
    }
    assert row(line).split() == ["document_changed", "00:15:65:20:01:01", "a1b2c3…8f90", "d1", "phones=1"]
    line = {
        "event": "phone_problem",
        "phone": f"{ACCOUNT}/d1",
        "problem": "no_realm",
        "detail": "Neither is set",
    }
    assert row(line).split()[:3] == ["phone_problem", "no_realm", "a1b2c3…8f90/d1"]
    assert row(line).endswith(" Neither is set")
    line = {"event": "x", "others": ["a/b", "c"], "owner_account": ACCOUNT, "said": "two words", "none": None}
    assert row(line).split(maxsplit=1)[1] == 'others=a/b,c owner_account=a1b2c3…8f90 said="two words"'


@pytest.mark.parametrize(
    ("status", "colour"),
    [(200, 32), (304, 36), (404, 33), (503, 31), (100, None), (True, None), ("200", None)],
)
def test_the_class_of_a_status_has_a_colour(status: Any, colour: int | None) -> None:
    shown = row({"event": "phone_request", "level": "info", "status": status}, colours=True)
    found = re.search(r"\x1b\[(\d+)m\d{3}\x1b", shown)
    assert (int(found[1]) if found else None) == colour
    assert "\x1b" not in row({"event": "phone_request", "level": "info", "status": status})


def test_warnings_and_errors_stand_out() -> None:
    warning, error = (row({"event": "x", "level": level}, colours=True) for level in ("warning", "error"))
    assert "\x1b[33mWARN " in warning
    assert "\x1b[31mERROR" in error


def test_hostile_text_is_shown_as_what_it_is() -> None:
    nasty = "\x1b[31m\x9b\r\n\u202e\ud800\x7fä"
    shown = row(
        {
            "event": nasty,
            nasty: nasty,
            "agent": nasty,
            "level": nasty,
            "time": nasty,
            "list": [nasty, {nasty: 1}],
        }
    )
    assert shown.isprintable()
    assert shown.count("\\u202e") >= 6
    assert printable("ä €") == "ä €"
    assert printable("ä\n") == "\\xe4\\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    st.sampled_from([*REQUEST, "phone", "subject", "db", "detail", "problem", "code", "scope", "path"])
    | st.text()
)


@given(st.dictionaries(NAMES, JSON, max_size=12), st.none() | st.integers(0, 300))
@example({"status": 10**5000, "ms": [[]], "agent": {"a": float("nan")}}, 80)
@example({"time": "0001-01-01T00:00:00+14:00", "event": "x_request", "mac": 1, "db": {}, "ms": None}, 0)
@example({"time": "9999-12-31T23:59:59-14:00", "level": ["info"], "status": -(10**30)}, 1)
def test_any_object_is_one_harmless_line(line: dict[str, Any], width: int | None) -> None:
    shown = row(line, width=width)
    assert shown.isprintable()
    coloured = row(line, width=width, colours=True)
    assert COLOUR.sub("", coloured).rstrip() == shown
