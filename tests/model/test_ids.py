"""Names of things in Kazoo."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model import ids
from tests.model.builders import JSON


@pytest.mark.parametrize(
    "spelling",
    [
        "001565aabbcc", "001565AABBCC", "00:15:65:aa:bb:cc", "00:15:65:AA:BB:CC", "00-15-65-aa-bb-cc",
        "0015.65aa.bbcc", "001565-aabbcc", "00 15 65 aa bb cc", " 001565aabbcc\n", "00_15_65_AA_bb_cc",
    ],
)  # fmt: skip
def test_mac_in_any_usual_spelling(spelling):
    assert ids.parse_mac(spelling) == "001565aabbcc"


@pytest.mark.parametrize(
    "hostile",
    [
        "", "001565aabbc", "001565aabbccd", "001565aabbcg", "00:15:65:aa:bb:cc/../x", "001565aabbcc\x00",
        "\u0660\u0660\u0661\u0665\u0666\u0665aabbcc", "\uff10\uff101565aabbcc", "000000000000", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0x1565aabbcc",
        "001565aabbcc.cfg", ":" * 10_000 + "001565aabbcc", None, True, 1565, 1.5, ["001565aabbcc"], {"mac": 1},
    ],
)  # fmt: skip
def test_what_is_no_mac(hostile):
    assert ids.parse_mac(hostile) is None


@given(st.binary(min_size=6, max_size=6), st.sampled_from([":", "-", ".", "", " "]), st.booleans())
def test_every_spelling_of_a_mac_means_the_same(raw, separator, upper):
    spelled = raw.hex(separator) if separator else raw.hex()
    found = ids.parse_mac(spelled.upper() if upper else spelled)
    assert found == (None if raw in (bytes(6), b"\xff" * 6) else raw.hex())


@given(JSON | st.text())
def test_mac_is_twelve_digits_or_nothing(value):
    found = ids.parse_mac(value)
    assert found is None or (len(found) == 12 and set(found) <= set("0123456789abcdef"))


@pytest.mark.parametrize("account", ["account0000000000000000000000001", "zz" * 16, "0123456789abcdef" * 2])
def test_account_ids_need_not_be_hexadecimal(account):
    assert ids.parse_account_id(account) == account
    db = ids.db_of_account(account)
    assert db == f"account/{account[:2]}/{account[2:4]}/{account[4:]}"
    assert ids.account_of_db(db) == account
    assert ids.is_followed(db)


@pytest.mark.parametrize(
    "value", ["", "a" * 31, "a" * 33, "A" * 32, "a" * 31 + "\n", "a" * 32 + "\n", "ä" * 32, None, 5]
)
def test_what_is_no_account_id(value):
    assert ids.parse_account_id(value) is None


@pytest.mark.parametrize(
    "db",
    [
        "account/ac/co/unt0000000000000000000000003-201710", "account/ac/co/unt0000000000000000000000003-selectors",
        "account%2Fac%2Fco%2Funt0000000000000000000000003", "account/ac/co/unt000000000000000000000003",
        "account/AC/co/unt0000000000000000000000003", "account/ac/co/unt0000000000000000000000003\n",
        "system_config", "numbers/+1201", "services", "port_requests", "account/ac/co", "", "xaccounts",
    ],
)  # fmt: skip
def test_months_selectors_and_others_are_skipped(db):
    assert ids.account_of_db(db) is None
    assert not ids.is_followed(db)


def test_accounts_is_followed_and_belongs_to_nobody():
    assert ids.is_followed("accounts")
    assert ids.account_of_db("accounts") is None
