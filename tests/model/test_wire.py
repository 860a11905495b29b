"""What is kept of a document, and how any JSON is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model import wire
from tests.model.builders import (
    ACCOUNT,
    DB,
    DEVICE,
    GENERATIONS,
    JSON,
    USER,
    account,
    callflow,
    damaged,
    device,
    feature,
    kept,
    user,
)

PARENT = "parent00000000000000000000000001"
DOCUMENTS = [
    (DEVICE, device()),
    (USER, user()),
    (ACCOUNT, account(pvt_tree=[PARENT], zones__home="eu", contact_list__includes=["featurecode"])),
    ("cf1", callflow("1001")),
    ("cf2", feature("park_and_retrieve", "3")),
    ("vm1", {"pvt_type": "vmbox", "name": "Anna's", "mailbox": "1001", "contact_list": {"exclude": True}}),
]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    "changes",
    [
        {"hotdesk__users": {USER: {}}},
        {"call_forward": {"enabled": True, "number": "+4930"}},
        {"sip__proxy": "proxy.example.com"},
        {"sip__route": "2600hz.local:7000"},
        {"sip__forward": "x"},
        {"sip__static_route": "sip:1@x"},
        {"sip__ip": "10.0.0.1"},
        {"sip__custom_sip_headers": {"in": {"x": "y"}}},
        {"media__video__codecs": ["H261"]},
        {"_rev": "2-x"},
        {"pvt_modified": 1},
        {"ringtones": {"internal": "x"}},
        {"caller_id": {"internal": {"name": "x"}}},
        {"suppress_unregister_notifications": True},
        {"dial_plan": {"system": []}},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_changes_no_file_changes_nothing(generation, changes):
    assert kept(device(generation, **changes), DEVICE) == kept(device(generation), DEVICE)


@pytest.mark.parametrize(
    ("doc_id", "doc", "changes"),
    [
        (DEVICE, device(), {"sip__password": "x"}),
        (DEVICE, device(), {"sip__realm": "x"}),
        (DEVICE, device(), {"name": "x"}),
        (DEVICE, device(), {"enabled": False}),
        (DEVICE, device(), {"provision__combo_keys": {"0": {"type": "line"}}}),
        (DEVICE, device(), {"provision__hotline": "1"}),
        (DEVICE, device(), {"media__encryption": {"methods": ["srtp"]}}),
        (DEVICE, device(), {"media__audio": {"codecs": ["PCMA"]}}),
        (DEVICE, device(), {"sip__expire_seconds": "100"}),
        (DEVICE, device(), {"sip__registration_expiration": 100}),
        (DEVICE, device(), {"sip__method": "ip"}),
        (USER, user(), {"presence_id": "x"}),
        (USER, user(), {"timezone": "x"}),
        (USER, user(), {"last_name": "x"}),
        (ACCOUNT, account(), {"pvt_enabled": False}),
        (ACCOUNT, account(), {"enabled": False}),
        (ACCOUNT, account(), {"pvt_tree": [PARENT]}),
        (ACCOUNT, account(), {"pvt_reseller_id": PARENT}),
        (ACCOUNT, account(), {"zones__home": "us"}),
        (ACCOUNT, account(), {"timezone": "x"}),
        ("cf", callflow("1001"), {"numbers": ["1002"]}),
        ("cf", feature("park_and_retrieve", "3"), {"featurecode__number": "4"}),
    ],
)
def test_what_changes_a_file_is_kept(doc_id, doc, changes):
    from copy import deepcopy

    from tests.model.builders import overlaid

    assert kept(overlaid(deepcopy(doc), changes), doc_id) != kept(doc, doc_id)


@pytest.mark.parametrize(
    "spelled", [{"_deleted": True}, {"pvt_deleted": True}, {"pvt_deleted": "true"}, {"pvt_deleted": "True"}]
)
@pytest.mark.parametrize(("doc_id", "doc"), DOCUMENTS, ids=[d["pvt_type"] + i[:3] for i, d in DOCUMENTS])
def test_a_soft_delete_in_every_spelling(doc_id, doc, spelled):
    assert wire.trim(DB, doc_id, doc) is not None
    trimmed = wire.trim(DB, doc_id, doc | spelled)
    if doc["pvt_type"] == "account" and "pvt_deleted" in spelled:
        # An account says so itself, so that an old copy in `accounts` cannot bring it back.
        assert trimmed == ("account", {"pvt_deleted": True})
        assert wire.trim("accounts", doc_id, doc | spelled) is None
    else:
        assert trimmed is None


@pytest.mark.parametrize("spelled", [False, "false", None, 0, "", "no", {}])
def test_what_is_no_soft_delete(spelled):
    assert wire.trim(DB, DEVICE, device(pvt_deleted=spelled)) is not None


def test_whose_documents_count():
    copy = account()
    assert wire.trim("accounts", ACCOUNT, copy) is not None
    assert wire.trim(DB, ACCOUNT, copy) is not None
    assert wire.trim(DB, PARENT, copy) is None, "another account's document in an account's database"
    assert wire.trim("accounts", DEVICE, device()) is None
    for db in ("system_config", f"{DB}-202611", f"{DB}-selectors", "numbers/+1201"):
        assert wire.trim(db, DEVICE, device()) is None
        assert wire.trim(db, ACCOUNT, copy) is None
    for kind in (None, 5, [], {}, "media", "vmbox2", "Device"):
        assert wire.trim(DB, DEVICE, device(pvt_type=kind)) is None


def test_a_callflow_with_one_of_our_features_is_a_feature():
    for name in ("park_and_retrieve", "directed_ext_pickup", "voicemail[action=check]"):
        assert kept(feature(name, "1"), "cf")[0] == "feature"
    assert kept(feature("voicemail", "97", flow__data={"action": "check"}), "cf")[0] == "feature"
    assert kept(feature("voicemail", "97", flow__data={"action": "compose"}), "cf")[0] == "callflow"
    assert kept(feature("call_forward[action=activate]", "72"), "cf")[0] == "callflow"
    for junk in (None, 5, [], {}, ["park_and_retrieve"]):
        assert kept(feature(junk, "1"), "cf")[0] == "callflow"


@pytest.mark.parametrize(
    ("number", "numbers", "patterns", "dialled"),
    [
        ("3", [], [r"^\*3([0-9]*)$"], "*3"),
        ("3", ["*3"], [], "*3"),
        (3, [], [r"^\*3([0-9]*)$"], "*3"),
        ("*5", [], [], "*5"),
        ("#5", [], [], "#5"),
        ("5", [], [], "*5"),
        ("97", ["97"], [], "97"),
        (None, ["*97"], [], "*97"),
        (None, [], [r"^\*97$"], "*97"),
        (None, [], [r"^\*?97$"], "*97"),
        ("", [], [], ""),
        ("abc", [], [], ""),
        ("3\n", [], [], ""),
        (True, [], [], ""),
        (-3, [], [], ""),
        ("\u0661", [], [], ""),
        (None, [], ["^" + "1" * 5000], ""),
        ({"x": 1}, "x", {"y": 2}, ""),
        (None, [5, None, "*7"], [None, 5], "*7"),
    ],
)
def test_what_to_dial_for_a_feature(number, numbers, patterns, dialled):
    doc = {
        "featurecode": {"name": "park_and_retrieve", "number": number},
        "numbers": numbers,
        "patterns": patterns,
    }
    assert wire.feature_number(doc) == dialled


def test_targets_are_all_that_a_file_depends_on():
    keys = {
        "0": {"type": "presence", "value": "u1"},
        "1": {"type": "personal_parking", "value": {"value": "u2", "label": "x"}},
        "2": {"type": "speed_dial", "value": "u3"},
        "3": {"type": "parking", "value": "1"},
    }
    doc = device(
        provision__combo_keys=keys,
        provision__feature_keys={"0": {"type": "presence", "value": "u4"}},
        provision__lines={"2": {"device_id": "d2"}},
        provision__overrides={
            "combo_keys": {"9": {"type": "presence", "value": "u5"}},
            "lines": {"3": {"device_id": "d3"}},
        },
    )
    assert wire.targets(*kept(doc, DEVICE)) == {
        f"doc/{i}" for i in (USER, "u1", "u2", "u3", "1", "u4", "u5", "d2", "d3")
    }
    overrides = {
        "feature_keys": {"0": {"type": "presence", "value": "u6"}},
        "lines": {"2": {"device_id": "d4"}},
    }
    assert wire.targets(*kept(user(provision__overrides=overrides), USER)) == {"doc/u6", "doc/d4"}
    doc = account(provision__overrides=overrides, pvt_tree=["top", PARENT])
    assert wire.targets(*kept(doc, ACCOUNT)) == {"doc/u6", "doc/d4", "under/top", f"under/{PARENT}"}
    assert wire.targets(*kept(callflow("1001"), "cf")) == set()


@pytest.mark.parametrize(
    ("value", "number"),
    [(5, 5), ("5", 5), (" 5 ", 5), (5.0, 5), ("05", 5), (0, 0), (-5, -5), (True, None), (None, None), (5.5, None), ("-5", None),
     ("5.0", None), ("", None), ("five", None), (float("inf"), None), (float("nan"), None), (10**400, None), ("9" * 400, None),
     ([5], None), ({}, None), ("\u00b2", None)],
)  # fmt: skip
def test_whole_numbers(value, number):
    assert wire.whole(value) == number


@given(JSON)
def test_any_json_of_any_type_is_read_without_a_crash(junk):
    for kind in ("account", "user", "device", "callflow", "vmbox", "menu"):
        doc = (
            junk
            if isinstance(junk, dict)
            else {"provision": junk, "sip": junk, "flow": junk, "numbers": junk}
        )
        check(DEVICE, {**doc, "pvt_type": kind})
        check(ACCOUNT, {**doc, "pvt_type": kind})
    wire.feature_of(junk if isinstance(junk, dict) else {"featurecode": junk})
    wire.feature_number(junk if isinstance(junk, dict) else {"featurecode": junk, "patterns": junk})
    assert isinstance(wire.enabled(junk, junk), bool)
    assert wire.whole(junk) is None or isinstance(wire.whole(junk), int)


@given(st.data())
def test_a_damaged_document_is_read_without_a_crash(data):
    doc_id, doc = data.draw(st.sampled_from(DOCUMENTS))
    check(doc_id, data.draw(damaged(doc)))


def check(doc_id, doc):
    found = wire.trim(DB, doc_id, doc)
    if found is None:
        return
    kind, fields = found
    assert all(isinstance(target, str) for target in wire.targets(kind, fields))
    wire.mac_of(kind, fields)
    wire.feature_of(fields)
    wire.feature_number(fields)
    try:
        data = wire.encode(fields)
    except UnicodeEncodeError:
        return  # a lone surrogate cannot be in JSON that arrives; ingest reports it
    assert wire.encode(wire.decode(data)) == data
    json.loads(data)


def test_trim_takes_a_fields_value_as_it_is_and_no_more():
    found = kept(device(provision__id="template-1"), DEVICE)[1]
    assert found["provision"]["id"] == "template-1"
    assert "_id" not in found
    assert "video" not in found["media"]
    assert set(found["sip"]) == {"username", "password", "method", "expire_seconds"}
    assert wire.encode({"b": 1, "a": {"d": 2, "c": 3}}) == b'{"a":{"c":3,"d":2},"b":1}'


def test_the_ingest_version_is_stable():
    assert wire.ingest_version() == wire.ingest_version()
    assert len(wire.ingest_version()) == 12


def test_what_is_nested_deeper_than_any_document_is_refused():
    deep: object = "x"
    for _ in range(wire.MAX_DEPTH + 2):
        deep = {"a": deep}
    with pytest.raises(ValueError, match="nested deeper"):
        wire.trim(DB, DEVICE, device(provision__overrides=deep))
    # Where nothing of it is kept it is none of our business.
    assert wire.trim(DB, DEVICE, device(call_forward=deep)) is not None
