"""Programmable keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model import keys, text, wire
from kazoo_provisioner.model.phone import Key
from tests.model.builders import DEVICE, JSON, NAMES, USER, device, kept, user

CODES = {"parking": "*3", "voicemail": "*97", "pickup": "*87"}
DOCS = {USER: kept(user(), USER), DEVICE: kept(device(), DEVICE)}


def built(group, lines=(1,), docs=None, codes=None):
    warned: list[tuple[str, str]] = []
    found = keys.build(
        group,
        "combo_keys",
        lines,
        CODES | (codes or {}),
        (DOCS | (docs or {})).get,
        lambda *w: warned.append(w),
    )
    return found, [code for code, _ in warned]


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ({"type": "presence", "value": USER}, "1001", "Anna Schmidt"),
        ({"type": "presence", "value": {"value": USER, "label": "Boss"}}, "1001", "Boss"),
        ({"type": "presence", "value": {"value": USER}}, "1001", "Anna Schmidt"),
        ({"type": "presence", "value": "1234"}, "1234", "1234"),
        ({"type": "speed_dial", "value": "+49301234"}, "+49301234", "+49301234"),
        ({"type": "speed_dial", "value": {"value": "+49301234", "label": "Mum"}}, "+49301234", "Mum"),
        ({"type": "speed_dial", "value": 911}, "911", "911"),
        ({"type": "parking", "value": "1"}, "*31", "Park 1"),
        ({"type": "parking", "value": 1}, "*31", "Park 1"),
        ({"type": "parking", "value": 10}, "*310", "Park 10"),
        ({"type": "parking", "value": {"value": 5, "label": "Lot"}}, "*35", "Lot"),
        ({"type": "parking", "value": {"value": "5"}}, "*35", "Park 5"),
        ({"type": "personal_parking", "value": USER}, "*31001", "Park Anna Schmidt"),
        ({"type": "personal_parking", "value": {"value": USER, "label": "Mine"}}, "*31001", "Mine"),
        ({"type": "voicemail"}, "*97", "Voicemail"),
        ({"type": "voicemail", "value": "*98"}, "*98", "Voicemail"),
    ],
)
def test_each_kind(key, value, label):
    assert built({"0": key}) == ((Key(1, key["type"], value, label),), [])


def test_line_keys_take_the_lines_in_turn():
    group = {str(n): {"type": "line"} for n in range(5)}
    assert [k.line for k in built(group, (1, 2))[0]] == [1, 2, 1, 2, 1]
    assert [k.line for k in built(group, (2, 7))[0]] == [2, 7, 2, 7, 2]
    assert [k.line for k in built(group, ())[0]] == [1, 1, 1, 1, 1]


def test_other_keys_use_the_first_line_there_is():
    assert built({"0": {"type": "voicemail"}}, (3, 4))[0][0].line == 3


@pytest.mark.parametrize("key", [None, {"type": "none"}, {"type": "none", "value": "x"}])
def test_null_and_none_leave_a_key_blank(key):
    assert built({"4": key}) == ((Key(5, "none"),), [])


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"type": "presence", "value": "user0000000000000000000000000009"}, "key_presence"),
        ({"type": "presence"}, "key_value"),
        ({"type": "presence", "value": ""}, "key_value"),
        ({"type": "presence", "value": {"label": "x"}}, "key_value"),
        ({"type": "speed_dial", "value": "12\n34"}, "key_value"),
        ({"type": "speed_dial", "value": "9" * 300}, "key_value"),
        ({"type": "speed_dial", "value": {"value": "\u202e12"}}, "key_value"),
        ({"type": "parking", "value": True}, "key_value"),
        ({"type": "parking", "value": [1]}, "key_value"),
        ({"type": "Line"}, "key_type"),
        ({}, "key_type"),
        ("presence", "key_type"),
        (5, "key_type"),
        ([{"type": "line"}], "key_type"),
        ({"type": {"type": "line"}}, "key_type"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_a_warning(key, code):
    good = {"type": "parking", "value": "1"}
    assert built({"0": key, "1": good}) == ((Key(2, "parking", "*31", "Park 1"),), [code])


def test_a_user_without_a_presence_id_is_left_out():
    nobody = {"u": kept(user(presence_id=""), "u")}
    for kind in ("presence", "personal_parking"):
        assert built({"0": {"type": kind, "value": "u"}}, docs=nobody) == ((), ["key_presence"])


def test_a_user_with_an_impossible_presence_id_harms_no_other_key():
    hostile = {"u": kept(user(presence_id="1\nadmin = 2"), "u")}
    assert built({"0": {"type": "presence", "value": "u"}, "1": {"type": "line"}}, docs=hostile) == (
        (Key(2, "line"),),
        ["key_value"],
    )


def test_a_device_is_watched_by_its_presence_id_or_its_user_name():
    watched = {"d": kept(device(presence_id="2001", name="Door"), "d"), "v": kept({"pvt_type": "vmbox"}, "v")}
    found, warned = built(
        {str(n): {"type": "presence", "value": v} for n, v in enumerate(("d", DEVICE, "v"))}, docs=watched
    )
    assert [(k.value, k.label) for k in found] == [("2001", "Door"), ("user_abc", "Front desk")]
    assert warned == ["key_presence"]


def test_parking_follows_the_accounts_star_code():
    group = {
        "0": {"type": "parking", "value": "1"},
        "1": {"type": "personal_parking", "value": USER},
        "2": {"type": "voicemail"},
    }
    found, _ = built(group, codes={"parking": "*5", "voicemail": "*98"})
    assert [k.value for k in found] == ["*51", "*51001", "*98"]


@pytest.mark.parametrize("name", ["-1", "999", "x", "", "1.5", " ", "account", "\u0669\u0669\u0669"])
def test_a_key_without_a_usable_number(name):
    assert built({name: {"type": "line"}, "0": {"type": "line"}}) == ((Key(1, "line"),), ["key_number"])


def test_one_number_spelled_twice_is_one_key():
    found, warned = built({"1": {"type": "voicemail"}, "01": {"type": "line"}, " 1": None})
    assert [k.number for k in found] == [2]
    assert warned == ["key_number", "key_number"]


def test_keys_come_in_order_of_their_numbers_not_of_their_text():
    assert [k.number for k in built({n: {"type": "line"} for n in ("10", "2", "0")})[0]] == [1, 3, 11]


@pytest.mark.parametrize("group", [None, 5, "x", [{"type": "line"}], True])
def test_a_group_that_is_none(group):
    assert built(group) == ((), [])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Anna Schmidt"),
        ({"last_name": ""}, "Anna"),
        ({"first_name": None}, "Schmidt"),
        ({"first_name": "", "last_name": "", "name": "Name"}, "Name"),
        ({"first_name": None, "last_name": None}, "anna"),
        ({"first_name": "Anna\nX", "last_name": "\u202eY"}, "Anna X Y"),
        ({"first_name": {"x": 1}, "last_name": ["y"], "username": 5}, "5"),
    ],
)
def test_what_a_user_is_called(changes, name):
    assert keys.user_name(user(**changes)) == name


KEY = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["line", "presence", "speed_dial", "parking", "personal_parking", "voicemail", "none", "x"]
        )
    },
    optional={"value": JSON},
)


@given(
    st.dictionaries(st.integers(-2, 1001).map(str) | NAMES, KEY | JSON, max_size=6),
    st.sets(st.integers(1, 9)),
)
def test_keys_are_sorted_unique_and_of_lines_there_are(group, lines):
    lines = sorted(lines)
    found, warned = built(group, lines)
    numbers = [k.number for k in found]
    assert numbers == sorted(set(numbers))
    assert all(1 <= n <= keys.MAX_KEYS for n in numbers)
    assert all(k.line in (lines or [1]) for k in found)
    assert all(k.value for k in found if k.kind not in ("line", "none"))
    assert all(text.is_clean(k.value + k.label) for k in found)
    assert len(found) + len(warned) == len(group), "each key is there, or its warning"
    assert wire.FEATURE_DEFAULTS == CODES
