"""Documents into a phone, for those of 3.18, 4.x and master: time zone, star codes, overrides, the provisioner tab."""

import pytest

from kazoo_provisioner.layers import PhoneLayer, PhonesSettings
from kazoo_provisioner.model import merge
from kazoo_provisioner.model.phone import Key
from tests.model.builders import (
    ACCOUNT,
    DEVICE,
    GENERATIONS,
    GONE,
    account,
    codes_of,
    device,
    feature,
    kept,
    layer,
    line,
    merged,
    phone,
    user,
)

every = pytest.mark.parametrize("generation", GENERATIONS)
OTHER = "device00000000000000000000000002"


# --- time zone


UNSET = [GONE, None, "", " ", "inherit", 5.5, ["Europe/Berlin"]]


@every
@pytest.mark.parametrize("unset", UNSET, ids=repr)
def test_the_first_zone_from_the_device_upwards_counts(generation, unset):
    chain = ["Europe/Berlin", "Europe/Paris", "Asia/Tokyo", "America/Denver", "America/Chicago"]
    for start in range(5):
        zones = [unset] * start + chain[start:]
        made = phone(
            device(generation, timezone=zones[0]),
            user(timezone=zones[1]),
            own=account(timezone=zones[2]),
            above=(account(timezone=zones[3]), account(timezone=zones[4])),
        )
        assert made.timezone.name == chain[start]


def test_the_default_zone_comes_from_settings():
    assert phone(device()).timezone.name == "UTC"
    assert phone(device(timezone="inherit"), layer=layer(timezone="Asia/Tokyo")).timezone.name == "Asia/Tokyo"


def test_a_zone_that_there_is_not_is_warned_of_and_passed_over():
    result = merged(device(timezone="Mars/Olympus"), user(timezone="Europe/Paris"))
    assert result.phone.timezone.name == "Europe/Paris"
    assert codes_of(result) == ["timezone"]


def test_ancestors_go_from_the_parent_up():
    from kazoo_provisioner.model.ids import db_of_account
    from kazoo_provisioner.sync.accounts import Accounts

    master, parent = "master00000000000000000000000001", "parent00000000000000000000000001"
    docs = {
        (db_of_account(ACCOUNT), ACCOUNT): account(
            pvt_tree=[master, 5, "gone0000000000000000000000000001", parent, ACCOUNT],
            pvt_reseller_id=master,
            zones={"home": "eu"},
        ),
        ("accounts", parent): account(timezone="Europe/Paris", name="stale copy"),
        (db_of_account(master), master): account(timezone="Asia/Tokyo", name="Master"),
        ("accounts", master): account(name="stale copy of master"),
    }
    stored = {(db, i): kept(doc, i, db) for (db, i), doc in docs.items()}
    phones = PhonesSettings(
        zones={"eu": PhoneLayer(expires=200, ntp=("zone",))},
        resellers={master: PhoneLayer(ntp=("reseller",))},
    )
    found = Accounts(FakeStore(stored), phones).get(ACCOUNT)  # type: ignore[arg-type]
    assert found is not None
    assert [a["name"] for a in found.ancestors] == ["stale copy", "Master"]
    assert (found.layer.expires, found.layer.ntp) == (200, ("reseller",))
    assert Accounts(FakeStore({}), phones).get(ACCOUNT) is None  # type: ignore[arg-type]


class FakeStore:
    """As much of a store as an account's context asks."""

    def __init__(self, stored):
        self.documents = self
        self._stored = stored

    def get(self, db, doc_id):
        return self._stored.get((db, doc_id))

    def of_kinds(self, db, kinds):
        return {i: doc for (at, i), doc in self._stored.items() if at == db and doc[0] in kinds}


# --- star codes


@every
def test_star_codes_follow_the_accounts_callflows(generation):
    codes = [
        feature("park_and_retrieve", "5"),
        feature("voicemail", "98", flow__data={"action": "check"}),
        feature("directed_ext_pickup", 88),
    ]
    keys = {"0": {"type": "parking", "value": 1}, "1": {"type": "voicemail"}}
    made = phone(device(generation, provision__combo_keys=keys), user(), codes=codes)
    assert [k.value for k in made.combo_keys] == ["*51", "*98"]
    assert (made.lines[0].voicemail, made.lines[0].pickup) == ("*98", "*88")


def test_star_codes_have_defaults_and_the_first_callflow_wins():
    assert merge.star_codes([]) == {"parking": "*3", "voicemail": "*97", "pickup": "*87"}
    codes = [kept(feature("park_and_retrieve", n), "cf")[1] for n in ("abc", "4", "5")]
    assert merge.star_codes(codes[1:])["parking"] == "*4"
    codes[0]["patterns"] = []
    assert merge.star_codes(codes)["parking"] == "*4", "one without a number says nothing"


# --- overrides


@every
def test_overrides_go_account_then_user_then_device(generation):
    def over(**fields):
        return {"overrides": fields}

    own = account(provision=over(hotline="1", time_format="24", date_format="big-endian"))
    owner = user(provision=over(hotline="2", date_format="little-endian"))
    doc = device(
        generation,
        provision={"endpoint_model": "t46g", "hotline": "0", "time_format": "12", **over(hotline="3")},
    )
    made = phone(doc, owner, own=own)
    assert (made.hotline, made.time_format, made.date_format) == ("3", "24", "little-endian")


def test_overrides_merge_keys_one_by_one_and_null_clears():
    base = {str(n): {"type": "parking", "value": n} for n in range(3)}
    over = {"combo_keys": {"1": None, "2": {"value": {"value": 9, "label": "Nine"}}, "5": {"type": "line"}}}
    made = phone(device(provision__combo_keys=base, provision__overrides=over))
    assert made.combo_keys == (
        Key(1, "parking", "*30", "Park 0"),
        Key(3, "parking", "*39", "Nine"),
        Key(6, "line"),
    )


@pytest.mark.parametrize("junk", [None, 5, "x", [1], {"combo_keys": 5}, {"vlan": "x"}, {"lines": [1]}])
def test_overrides_that_are_junk(junk):
    docs = device(provision__overrides=junk), user(provision={"overrides": junk})
    assert phone(*docs, own=account(provision={"overrides": junk})).lines


def test_overrides_nested_beyond_reason_are_refused():
    import sys

    deep: dict[str, object] = {}
    for _ in range(sys.getrecursionlimit()):
        deep = {"x": deep}
    doc = kept(device(), DEVICE)[1]
    doc["provision"]["overrides"] = deep
    from tests.model.builders import MAC, context

    with pytest.raises(merge.Cannot, match="nested too deeply"):
        merge.build(DEVICE, doc, MAC, context(), lambda _: None)


# --- what kazoo-ui's provisioner tab saves


@every
def test_the_provisioner_tab(generation):
    tab = {
        "provision__time_format": "24",
        "provision__date_format": "big-endian",
        "provision__hotline": "1000",
        "provision__vlan": {"enable": True, "number": "42"},
        "provision__voicemail_beep": 0,
    }
    made = phone(device(generation, **tab))
    assert (made.time_format, made.date_format, made.hotline) == ("24", "big-endian", "1000")
    assert made.vlan == 42
    assert made.voicemail_beep is False


@pytest.mark.parametrize(
    ("value", "format_"),
    [("12", "12"), ("24", "24"), (24, "24"), (GONE, "12"), ("", "12"), ("inherit", "12")],
)
def test_time_format(value, format_):
    assert phone(device(provision__time_format=value)).time_format == format_


def test_formats_that_there_are_not_are_warned_of_and_the_settings_hold():
    result = merged(
        device(provision__time_format="13", provision__date_format={"x": 1}),
        layer=layer(time_format="24", date_format="little-endian"),
    )
    assert (result.phone.time_format, result.phone.date_format) == ("24", "little-endian")
    assert codes_of(result) == ["time_format", "date_format"]


@pytest.mark.parametrize(
    ("vlan", "number", "warned"),
    [
        ({"enable": True, "number": 1}, 1, 0),
        ({"enable": "true", "number": "4094"}, 4094, 0),
        ({"enable": 1, "number": 5}, 5, 0),
        ({"enable": False, "number": 5}, None, 0),
        ({"number": 5}, None, 0),
        ({"enable": "false", "number": 5}, None, 0),
        ({"enable": True, "number": 0}, None, 1),
        ({"enable": True, "number": 4095}, None, 1),
        ({"enable": True, "number": "x"}, None, 1),
        ({"enable": True}, None, 1),
        ({}, None, 0),
        (None, None, 0),
        (5, None, 0),
    ],
)
def test_vlan(vlan, number, warned):
    result = merged(device(provision__vlan=vlan))
    assert result.phone.vlan == number
    assert codes_of(result) == ["vlan"] * warned


@pytest.mark.parametrize(
    ("value", "beeps"),
    [
        (0, False),
        ("0", False),
        (False, False),
        ("false", False),
        (1, True),
        ("1", True),
        (GONE, True),
        ({}, True),
    ],
)
def test_voicemail_beep(value, beeps):
    assert phone(device(provision__voicemail_beep=value)).voicemail_beep is beeps


@pytest.mark.parametrize(
    ("value", "hotline", "warned"),
    [
        ("1000", "1000", 0),
        (1000, "1000", 0),
        (GONE, "", 0),
        ("", "", 0),
        ({"x": 1}, "", 0),
        ("1\n2", "", 1),
        ("1" * 65, "", 1),
    ],
)
def test_hotline(value, hotline, warned):
    result = merged(device(provision__hotline=value))
    assert result.phone.hotline == hotline
    assert codes_of(result) == ["hotline"] * warned


@pytest.mark.parametrize(
    ("tags", "language"),
    [
        (("de_DE", "fr-fr", "x"), "de-de"), ((GONE, "fr-fr", "en"), "fr-fr"), (("", "", "EN-gb"), "en-gb"), ((GONE, GONE, GONE), "en-us"),
        (("1234", ["de"], "<xml>"), "en-us"), (("d\n", "", ""), "en-us"), (("inherit", "auto-detect", "nl"), "nl"), (("mk-", "-de", "fr"), "fr"),
    ],
)  # fmt: skip
def test_language(tags, language):
    made = phone(device(language=tags[0]), user(language=tags[1]), own=account(language=tags[2]))
    assert made.language == language


def test_names_are_made_fit_and_fall_back():
    assert phone(device(name="a\n\x00b\u2028c\u202e  d")).name == "a b c d"
    assert line(device(name=""), user()).display_name == "Anna Schmidt"
    assert line(device(name=GONE)).display_name == "Acme"
    assert line(device(name=GONE), own=account(name=GONE)).display_name == "user_abc"
    assert phone(device(name=GONE)).name == "00156527c98e"
    assert len(line(device(name="x" * 10_000)).display_name) == 64


def test_warnings_are_clean_too():
    result = merged(device(timezone="Mars\n\u202eOlympus" + "x" * 500))
    assert all(w.detail.isprintable() and len(w.detail) <= 200 for w in result.warnings)
