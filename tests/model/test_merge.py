"""Documents into a phone, for those of 3.18, 4.x and master: who registers, where, on which lines."""

import pytest

from kazoo_provisioner.layers import PhoneLayer, PhonesSettings, ServerSettings
from kazoo_provisioner.model import merge
from kazoo_provisioner.model.phone import Server
from kazoo_provisioner.yamlfile import Secret
from tests.model.builders import (
    ACCOUNT,
    DEVICE,
    GENERATIONS,
    GONE,
    OLD,
    USER,
    account,
    codes_of,
    device,
    kept,
    layer,
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
    servers = layer(
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
    made = line(device(), layer=servers)
    assert made.registrars == (Server("a.example.com", 5062, "tcp"), Server("b.example.com", 5066, "tls"))
    assert made.outbound_proxies == (Server("p.example.com", 0, "tcp"), Server("q.example.com", 5070, "tls"))
    assert made.srv
    assert made.nat_keepalive == 0
    assert made.realm == "acme.example.com"
    assert line(device(), layer=layer(transport="tls")).registrars == (
        Server("acme.example.com", 5061, "tls"),
    )


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
