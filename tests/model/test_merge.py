"""Documents into a phone: what Kazoo's documents mean, for those of 3.18, 4.x and master."""

import pytest

from kazoo_provisioner.catalogue.fit import fit
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.model import merge
from kazoo_provisioner.model.phone import Key, Server
from kazoo_provisioner.settings import PhoneLayer, PhonesSettings, Secret, ServerSettings
from tests.model.builders import (
    ACCOUNT,
    DEVICE,
    FOUR,
    GENERATIONS,
    GONE,
    MASTER,
    OLD,
    USER,
    account,
    codes_of,
    device,
    feature,
    kept,
    line,
    merged,
    phone,
    user,
)

every = pytest.mark.parametrize("generation", GENERATIONS)
OTHER = "device00000000000000000000000002"


# --- a plain phone


@every
def test_a_plain_document_makes_a_plain_phone(generation):
    made = phone(device(generation), user())
    (only,) = made.lines
    assert (made.account_id, made.device_id, made.mac, made.name) == (
        ACCOUNT,
        DEVICE,
        "00156527c98e",
        "Front desk",
    )
    assert (only.number, only.enabled, only.username, only.auth_name) == (1, True, "user_abc", "user_abc")
    assert (only.password, only.realm, only.display_name) == ("s3cret", "acme.example.com", "Front desk")
    assert only.label == "Anna Schmidt"
    assert only.registrars == (Server("acme.example.com"),)
    assert only.outbound_proxies == ()
    assert only.srtp == "off"
    assert only.codecs == ("G722", "PCMU")
    assert only.expires == (600 if generation == OLD else 360)
    assert (only.voicemail, only.pickup) == ("*97", "*87")
    assert merged(device(generation), user()).warnings == ()


# --- enabled


@every
@pytest.mark.parametrize("value", [GONE, True, "true", "True", None, ""])
def test_missing_and_true_are_enabled(generation, value):
    assert line(
        device(generation, enabled=value), user(enabled=value), own=account(pvt_enabled=value)
    ).enabled


@every
@pytest.mark.parametrize("value", [False, "false", "False", " false "])
def test_false_anywhere_is_disabled(generation, value):
    assert not line(device(generation, enabled=value), user()).enabled
    assert not line(device(generation), user(enabled=value)).enabled
    assert not line(device(generation), user(), own=account(pvt_enabled=value)).enabled


def test_accounts_of_3_18_are_disabled_by_enabled_too():
    assert not line(device(OLD), user(), own=account(pvt_enabled=GONE, enabled=False)).enabled


@every
def test_a_dangling_owner_is_enabled(generation):
    made = line(device(generation))
    assert made.enabled
    assert made.label == "Front desk"


def test_an_owner_that_is_no_user_says_nothing():
    assert line(device(), {"pvt_type": "vmbox", "enabled": False}).enabled


# --- which devices register


@every
@pytest.mark.parametrize("method", ["password", "", None, GONE, "IP-ish"])
def test_a_device_with_user_name_and_password_registers(generation, method):
    assert phone(device(generation, sip__method=method)).lines


@every
@pytest.mark.parametrize(
    "changes",
    [
        {"sip__method": "ip"}, {"sip__username": GONE}, {"sip__password": GONE}, {"sip__username": ""}, {"sip__password": " "},
        {"sip": GONE}, {"sip": []}, {"sip__username": ["x"]}, {"sip__password": True},
    ],
)  # fmt: skip
def test_without_credentials_or_by_ip_there_is_no_line_and_no_error(generation, changes):
    result = merged(device(generation, **changes), user(), own=account(realm=GONE))
    assert result.phone.lines == ()
    assert result.warnings == ()
    assert not merge.is_registering(kept(device(generation, **changes), DEVICE)[1])


def test_credentials_that_were_saved_as_numbers_are_credentials():
    made = line(device(sip__username=1001, sip__password=4711))
    assert (made.username, made.password) == ("1001", "4711")


@pytest.mark.parametrize(
    "kind", ["sip_device", "fax", "ata", "softphone", "smartphone", "cellphone", "landline", "x", None]
)
def test_the_device_type_is_free_text(kind):
    assert phone(device(device_type=kind)).lines


@pytest.mark.parametrize("field", ["sip__password", "sip__username", "sip__realm"])
@pytest.mark.parametrize("bad", ["a\nb", "a\x00", "x\u2028y", "x" * 300])
def test_an_impossible_credential_makes_no_phone_and_is_not_shown(field, bad):
    with pytest.raises(merge.Cannot) as caught:
        phone(device(**{field: bad}))
    assert caught.value.code == "unusable_value"
    assert field.replace("__", ".") in caught.value.detail
    assert bad not in str(caught.value)


# --- realm and servers


@every
def test_the_devices_realm_wins_over_the_accounts(generation):
    assert line(device(generation, sip__realm="own.example.com")).realm == "own.example.com"
    assert line(device(generation, sip__realm="own.example.com")).registrars == (Server("own.example.com"),)
    assert line(device(generation, sip__realm="")).realm == "acme.example.com"


@every
def test_without_a_realm_there_is_no_phone(generation):
    for realm in (GONE, "", " ", None, 0.5, ["x"]):
        with pytest.raises(merge.Cannot, match="no_realm"):
            phone(device(generation), own=account(realm=realm))


@every
@pytest.mark.parametrize("field", ["proxy", "forward", "route", "static_route", "ip"])
def test_what_steers_kazoos_own_calls_is_never_the_phones_proxy(generation, field):
    changed = merged(device(generation, **{f"sip__{field}": "10.0.0.1:7000"}), user())
    assert changed == merged(device(generation), user())


def test_servers_come_from_settings_in_order():
    layer = layers(
        registrars=(
            ServerSettings("a.example.com", 5062, "tcp"),
            ServerSettings("b.example.com", transport="tls"),
        ),
        outbound_proxies=(ServerSettings("p.example.com"), ServerSettings("q.example.com", 5070, "tls")),
        transport="tcp",
        tls_port=5066,
        srv=True,
        nat_keepalive=0,
    )
    made = line(device(), layer=layer)
    assert made.registrars == (Server("a.example.com", 5062, "tcp"), Server("b.example.com", 5066, "tls"))
    assert made.outbound_proxies == (Server("p.example.com", 0, "tcp"), Server("q.example.com", 5070, "tls"))
    assert made.srv
    assert made.nat_keepalive == 0
    assert made.realm == "acme.example.com"
    assert line(device(), layer=layers(transport="tls")).registrars == (
        Server("acme.example.com", 5061, "tls"),
    )


def layers(**changes):
    return PhonesSettings(default=PhoneLayer(**changes)).layer(None, None, ACCOUNT)


def test_settings_go_by_zone_then_reseller_then_account():
    reseller = "resell00000000000000000000000001"
    phones = PhonesSettings(
        default=PhoneLayer(poll_interval=100, expires=100, nat_keepalive=100, ntp=("default",), srv=True),
        zones={"eu": PhoneLayer(expires=200, nat_keepalive=200, ntp=("zone",), srv=False)},
        resellers={reseller: PhoneLayer(nat_keepalive=300, ntp=("reseller",), admin_password=Secret("r"))},
        accounts={ACCOUNT: PhoneLayer(ntp=("account",), public_url="https://white.example.com/p/")},
    )
    made = phones.layer("eu", reseller, ACCOUNT)
    assert (made.poll_interval, made.expires, made.nat_keepalive, made.ntp) == (100, 200, 300, ("account",))
    assert made.srv is False
    elsewhere = phones.layer("us", None, "x" * 32)
    assert (elsewhere.expires, elsewhere.ntp, elsewhere.srv) == (100, ("default",), True)
    assert elsewhere.timezone == "UTC", "what nobody says is built in"
    result = phone(device(), layer=made)
    assert result.provisioning_url == f"https://white.example.com/p/{ACCOUNT}/"
    assert (result.ntp, result.admin_password, result.poll_interval) == (("account",), "r", 100)


# --- more than one line


def further(**changes):
    return device(name="Second", sip__username="user_2", mac_address=GONE, **changes)


@every
def test_provision_lines_name_further_devices(generation):
    doc = device(generation, provision__lines={"2": {"device_id": OTHER}})
    first, second = phone(doc, user(), {OTHER: further(owner_id=GONE)}).lines
    assert (first.number, first.username) == (1, "user_abc")
    assert (second.number, second.username, second.device_id, second.label) == (2, "user_2", OTHER, "Second")


def test_each_line_is_enabled_by_itself():
    doc = device(provision__lines={"2": {"device_id": OTHER}})
    assert [ln.enabled for ln in phone(doc, user(), {OTHER: further(enabled=False)}).lines] == [True, False]
    assert [ln.enabled for ln in phone(doc, user(enabled=False), {OTHER: further(owner_id=GONE)}).lines] == [
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ({"2": {"device_id": "gone"}}, "line_device"),
        ({"2": {"device_id": USER}}, "line_device"),
        ({"2": {"device_id": DEVICE}}, "line_device"),
        ({"2": {"device_id": "silent"}}, "line_device"),
        ({"2": {}}, "line_device"),
        ({"2": None}, "line_device"),
        ({"2": {"device_id": ["x"]}}, "line_device"),
        ({"1": {"device_id": OTHER}}, "line_number"),
        ({"0": {"device_id": OTHER}}, "line_number"),
        ({"251": {"device_id": OTHER}}, "line_number"),
        ({"x": {"device_id": OTHER}}, "line_number"),
        ({"2": {"device_id": OTHER}, "02": {"device_id": OTHER}}, "line_number"),
        ({"2": {"device_id": OTHER}, "3": {"device_id": OTHER}}, "line_device"),
    ],
)
def test_an_entry_that_names_no_line_is_left_out_with_a_warning(lines, warning):
    others = {OTHER: further(), "silent": further(sip__method="ip")}
    result = merged(device(provision__lines=lines), user(), others)
    assert codes_of(result) == [warning]
    assert result.phone.lines[0].number == 1
    assert len(result.phone.lines) <= 2


def test_a_base_that_registers_nothing_itself_has_the_lines_it_names():
    doc = device(
        sip__method="ip",
        provision__lines={"1": {"device_id": OTHER}},
        provision__combo_keys={"0": {"type": "line"}},
    )
    made = phone(doc, None, {OTHER: further()})
    assert [(ln.number, ln.username) for ln in made.lines] == [(1, "user_2")]


def test_line_keys_go_round_the_lines_there_are():
    keys = {str(n): {"type": "line"} for n in range(3)}
    doc = device(provision__lines={"4": {"device_id": OTHER}}, provision__combo_keys=keys)
    assert [k.line for k in phone(doc, None, {OTHER: further()}).combo_keys] == [1, 4, 1]


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
    assert (
        phone(device(timezone="inherit"), layer=layers(timezone="Asia/Tokyo")).timezone.name == "Asia/Tokyo"
    )


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


# --- expiry


@pytest.mark.parametrize(
    ("generation", "changes", "seconds", "warned"),
    [
        (FOUR, {"sip__expire_seconds": "360"}, 360, 0),
        (MASTER, {"sip__expire_seconds": 300}, 300, 0),
        (MASTER, {"sip__expire_seconds": 300.0}, 300, 0),
        (OLD, {"sip__registration_expiration": 900}, 900, 0),
        (OLD, {"sip__registration_expiration": "900"}, 900, 0),
        (OLD, {"sip__registration_expiration": 900, "sip__expire_seconds": 400}, 400, 0),
        (MASTER, {"sip__expire_seconds": GONE}, 300, 0),
        (MASTER, {"sip__expire_seconds": ""}, 300, 0),
        (MASTER, {"sip__expire_seconds": None}, 300, 0),
        (MASTER, {"sip__expire_seconds": 0}, 300, 1),
        (MASTER, {"sip__expire_seconds": -1}, 300, 1),
        (MASTER, {"sip__expire_seconds": "soon"}, 300, 1),
        (MASTER, {"sip__expire_seconds": 10**9}, 300, 1),
        (MASTER, {"sip__expire_seconds": {"x": 1}}, 300, 1),
        (OLD, {"sip__registration_expiration": 1, "sip__expire_seconds": "x"}, 300, 2),
    ],
)
def test_expiry(generation, changes, seconds, warned):
    result = merged(device(generation, **changes))
    assert result.phone.lines[0].expires == seconds
    assert codes_of(result) == ["expires"] * warned


def test_expiry_where_no_document_says_comes_from_settings():
    assert line(device(sip__expire_seconds=GONE), layer=layers(expires=1800)).expires == 1800


# --- SRTP


@pytest.mark.parametrize(
    ("generation", "media", "srtp", "warned"),
    [
        (MASTER, {"encryption": {"methods": [], "enforce_security": True}}, "off", []),
        (MASTER, {"encryption": {"methods": ["srtp"], "enforce_security": False}}, "optional", []),
        (MASTER, {"encryption": {"methods": ["srtp"]}}, "optional", []),
        (MASTER, {"encryption": {"methods": ["srtp"], "enforce_security": True}}, "required", []),
        (FOUR, {"encryption": {"methods": ["srtp"], "enforce_security": "true"}}, "required", []),
        (FOUR, {"encryption": {"methods": ["zrtp"], "enforce_security": True}}, "off", ["zrtp"]),
        (FOUR, {"encryption": {"methods": ["zrtp", "srtp"], "enforce_security": True}}, "required", ["zrtp"]),
        (FOUR, {"encryption": {"methods": "srtp"}}, "off", []),
        (FOUR, {"encryption": ["srtp"]}, "off", []),
        (OLD, {"secure_rtp": "srtp"}, "required", []),
        (OLD, {"secure_rtp": "none"}, "off", []),
        (OLD, {"secure_rtp": "zrtp"}, "off", ["zrtp"]),
        (OLD, {"secure_rtp": True}, "required", []),
        (OLD, {"secure_rtp": False}, "off", []),
        (OLD, {}, "off", []),
    ],
)
def test_srtp(generation, media, srtp, warned):
    result = merged(device(generation, media=media))
    assert result.phone.lines[0].srtp == srtp
    assert codes_of(result) == warned


def test_srtp_of_the_owner_where_the_device_says_nothing():
    owner = user(media__encryption={"methods": ["srtp"], "enforce_security": True})
    assert line(device(), owner).srtp == "required"
    assert line(device(media__encryption={"methods": ["srtp"]}), owner).srtp == "optional"


# --- codecs


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("OPUS", "OPUS"), ("opus@48000h@20i", "OPUS"), ("G722", "G722"), ("G722@8000h", "G722"), ("PCMU", "PCMU"), ("pcma", "PCMA"),
        ("G729", "G729"), ("GSM", "GSM"), ("speex@16000h", "SPEEX"), ("speex@32000h", "SPEEX"), ("Speex", "SPEEX"),
        ("CELT@32000h", "CELT"), ("CELT@48000h", "CELT"), ("CELT_48", "CELT"), ("CELT_64", "CELT"),
        ("G7221@16000h", "G7221_16"), ("G722_16", "G7221_16"), ("G7221@32000h", "G7221_32"), ("G722_32", "G7221_32"),
    ],
)  # fmt: skip
@every
def test_codec_names_and_aliases(generation, name, codec):
    assert line(device(generation, media__audio={"codecs": [name]})).codecs == (codec,)


def test_g722_1_is_not_g722():
    assert line(device(media__audio={"codecs": ["G722_16", "G722"]})).codecs == ("G7221_16", "G722")


@every
def test_codecs_keep_their_order_each_once(generation):
    codecs = ["PCMA", "G722", "PCMA", "PCMU", "G722@8000h"]
    assert line(device(generation, media__audio={"codecs": codecs})).codecs == ("PCMA", "G722", "PCMU")


def test_codecs_of_the_owner_where_the_device_has_none():
    owner = user(media__audio={"codecs": ["G729"]})
    assert line(device(media__audio=GONE), owner).codecs == ("G729",)
    assert line(device(media__audio={"codecs": []}), owner).codecs == ("G729",)
    assert line(device(), owner).codecs == ("G722", "PCMU")


@pytest.mark.parametrize("codecs", [GONE, None, [], "PCMA", {"0": "PCMA"}, 5])
def test_no_codecs_are_pcmu(codecs):
    assert line(device(media__audio={"codecs": codecs} if codecs is not GONE else GONE)).codecs == ("PCMU",)


def test_unknown_codecs_are_warned_of():
    result = merged(device(media__audio={"codecs": ["ILBC", None, 5, ["PCMU"], "PCMA", "G7221", ""]}))
    assert result.phone.lines[0].codecs == ("PCMA",)
    assert codes_of(result) == ["codec"] * 6
    assert merged(device(media__audio={"codecs": ["ILBC"]})).phone.lines[0].codecs == ("PCMU",)


def test_codecs_that_the_model_has_none_of_are_pcmu_and_warned():
    made = phone(device(media__audio={"codecs": ["G7221@16000h"]}))
    model = load().resolve("yealink", "t46g")
    assert model is not None
    fitted, warnings = fit(made, model)
    assert fitted.lines[0].codecs == ("PCMU",)
    assert [w.code for w in warnings] == ["codec"]
    assert "PCMU" in warnings[0].detail


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
        layer=layers(time_format="24", date_format="little-endian"),
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
        (("1234", ["de"], "<xml>"), "en-us"), (("d\n", "", ""), "en-us"),
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
