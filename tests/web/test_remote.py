"""Who asks: X-Forwarded-For through trusted proxies, and what is believed of it."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kazoo_provisioner.store.access import counted_as
from kazoo_provisioner.web.remote import Proxies, plain
from tests.web.serving import OURS, Serving

PROXIES = Proxies(["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"])
PEER = "10.0.0.1"


def client(*headers: str, peer: str = PEER) -> str:
    return PROXIES.client(peer, CIMultiDict([("X-Forwarded-For", header) for header in headers]))


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], PEER),
        ([""], PEER),
        ([",", " , "], PEER),
        (["203.0.113.9"], "203.0.113.9"),
        ([" 203.0.113.9\t"], "203.0.113.9"),
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2001:DB8::0:9"], "2001:db8::9"),
        (["[2001:db8::9]"], "2001:db8::9"),
        (["[2001:db8::9]:4711"], "2001:db8::9"),
        (["2001:db8::9%eth0"], "2001:db8::9"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["[::ffff:203.0.113.9]:1"], "203.0.113.9"),
        # The last that is no proxy of ours; what stands left of it is anybody's word.
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9", "10.9.9.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9, 192.0.2.1", "2001:db8:1::5, 10.0.0.2:80"], "203.0.113.9"),
        (["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        (["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        # Behind what is no address, nobody is known.
        (["203.0.113.9, unknown"], PEER),
        (["203.0.113.9, "], PEER),
        (["203.0.113.9", ""], PEER),
        (["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.9, _hidden, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        (["203.0.113.9 198.51.100.7"], PEER),
        (["203.0.113.999"], PEER),
        (["203.0.113.9.:80"], PEER),
        (["\udcff"], PEER),
        (["٢٠٣.0.113.9"], PEER),
        (["0" * 5000], PEER),
        (["[" + "0" * 5000], PEER),
    ],
)
def test_who_asks(headers: list[str], found: str) -> None:
    assert client(*headers) == found


def test_only_so_many_entries_are_looked_at() -> None:
    """Sixteen from the right; if all of them are proxies, the leftmost of these."""
    assert client(", ".join(["203.0.113.9", *(f"10.0.1.{n}" for n in range(15))])) == "203.0.113.9"
    assert client(", ".join(["203.0.113.9", *(f"10.0.1.{n}" for n in range(16))])) == "10.0.1.0"
    assert client(*["10.0.1.1"] * 100) == "10.0.1.1"


@given(st.lists(st.text(st.characters())), st.sampled_from(["203.0.113.9", "2001:db8::9"]))
def test_no_left_part_changes_anything(left: list[str], real: str) -> None:
    assert client(*left, real) == real
    assert client(", ".join([*left, real])) == real
    anything = client(*left)
    assert anything == PEER or str(ipaddress.ip_address(anything)) == anything


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.255.0.1", True), ("11.0.0.1", False), ("192.0.2.1", True), ("192.0.2.2", False), ("2001:db8:1::9", True), ("2001:db8:2::9", False),
        ("", False), ("x", False), ("::a00:1", False),
    ],
)  # fmt: skip
def test_trust(address: str, trusted: bool) -> None:
    assert PROXIES.trusts(address) is trusted
    assert not Proxies([]).trusts(address)


@pytest.mark.parametrize(
    ("address", "spelled"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::1"), ("2001:0DB8::1", "2001:db8::1"), ("192.0.2.1", "192.0.2.1"),
        ("", ""), ("x", ""), ("%", ""), ("1", ""), ("192.0.2.01", ""), ("1.2.3", ""),
    ],
)  # fmt: skip
def test_spelling(address: str, spelled: str) -> None:
    assert plain(address) == spelled


def test_a_network_of_64_bits_counts_as_one() -> None:
    one, same, other = "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"
    assert counted_as(one) == counted_as(same) == "2001:db8:0:1::/64"
    assert counted_as(other) != counted_as(one)
    assert counted_as("192.0.2.1") == "192.0.2.1"
    assert counted_as("") == ""
    assert counted_as("a:b") == "a:b"


async def test_only_a_trusted_peer_is_believed(tmp_path: Path) -> None:
    """Of the same header: a proxy's word counts, anybody else's is ignored; the same for the host."""
    said = ("X-Forwarded-For: 198.51.100.1, 203.0.113.9", "X-Forwarded-Host: Told.example.com, x")
    async with Serving(tmp_path, trusted_proxies=("127.0.0.2",)) as serving:
        for remote in ("127.0.0.2", "127.0.0.3"):
            assert (await serving.get(OURS, *said, remote=remote)).status == 200
        assert (await serving.get(OURS, remote="127.0.0.2")).status == 200
        assert (await serving.get("/p/api/phones", *said, remote="127.0.0.2")).status == 200
        lines = [(line["remote"], line["host"]) for line in serving.said("phone_request")]
        assert lines == [
            ("203.0.113.9", "Told.example.com"),
            ("127.0.0.3", "prov.example.com"),
            ("127.0.0.2", "prov.example.com"),
        ]
        (line,) = serving.said("api_request")
        assert (line["remote"], line["host"]) == ("203.0.113.9", "Told.example.com")
