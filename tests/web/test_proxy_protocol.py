"""The PROXY protocol, as HAProxy's specification has it: in bytes, and before a real server."""

import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kazoo_provisioner.web.proxy_protocol import Header, ProxyProtocolError, read
from tests.support.raw import get, responses
from tests.web.serving import OURS, OWN, Client, Serving, until

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = bytes([203, 0, 113, 9, 192, 0, 2, 1]) + struct.pack(">HH", 4711, 80)
V6 = (
    bytes.fromhex("20010db8000000000000000000000009" + "20010db8000000000000000000000001")
    + b"\x12\x67\x00\x50"
)
TLV = b"\x04\x00\x03abc" + b"\x20\x00\x05\x01\x00\x00\x00\x00"
NOBODY = ""
LAST = ":".join(["ffff"] * 8)


def version_2(body: bytes, *, command: int = 1, family: int = 0x11, version: int = 2) -> bytes:
    return SIGNATURE + bytes([version << 4 | command, family]) + struct.pack(">H", len(body)) + body


GOOD = [
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n", "203.0.113.9"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP6 2001:DB8::9 2001:db8::1 4711 80\r\n", "2001:db8::9"),
    (b"PROXY TCP6 %b %b 65535 65535\r\n" % (LAST.encode(), LAST.encode()), LAST),
    (b"PROXY UNKNOWN\r\n", NOBODY),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", NOBODY),
    (b"PROXY UNKNOWN " + b"x" * (107 - 16) + b"\r\n", NOBODY),
    (version_2(V4), "203.0.113.9"),
    (version_2(V4 + TLV), "203.0.113.9"),
    (version_2(V6, family=0x21), "2001:db8::9"),
    (version_2(V6 + TLV, family=0x21), "2001:db8::9"),
    (version_2(V4 + bytes(4096 - 12)), "203.0.113.9"),
    (version_2(b"", command=0, family=0), NOBODY),
    (version_2(V4, command=0), NOBODY),
    (version_2(b"x", command=0, family=0xFF), NOBODY),
    (version_2(b"", family=0), NOBODY),
    (version_2(TLV, family=0), NOBODY),
    (version_2(V4, family=0x12), NOBODY),
    (version_2(V6, family=0x22), NOBODY),
    (version_2(bytes(216), family=0x31), NOBODY),
]  # fmt: skip
BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"proxy TCP4 203.0.113.9 192.0.2.1 4711 80\r\n",
    b"PROXY TCP5 203.0.113.9 192.0.2.1 4711 80\r\n",
    b"PROXY UDP4 203.0.113.9 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80 \r\n",
    b"PROXY TCP4  203.0.113.9 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\n\r\n",
    b"PROXY TCP4 2001:db8::9 2001:db8::1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 2001:db8::1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 x 4711 80\r\n",
    b"PROXY TCP6 203.0.113.9 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.999 192.0.2.1 4711 80\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 80\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 -1\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 x 80\r\n",
    b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 \r\n",
    b"PROXY TCP4 \xff 192.0.2.1 4711 80\r\n",
    b"PROXY UNKNOWN " + b"x" * (108 - 16) + b"\r\n",
    b"PROXY " + b"x" * 101,
    version_2(V4, version=1),
    version_2(V4, version=3),
    version_2(V4, command=2),
    version_2(V4, command=15),
    version_2(V4[:-1]),
    version_2(b""),
    version_2(V6[:-1], family=0x21),
    version_2(V4, family=0x21),
    version_2(V4, family=0x41),
    version_2(V4, family=0x13),
    version_2(V4 + bytes(4096 - 11)),
    SIGNATURE + b"\x21\x11\xff\xff",
    SIGNATURE[:-1] + b"\r" + b"\x21\x11\x00\x0c" + V4,
]


@pytest.mark.parametrize(("header", "address"), GOOD)
@pytest.mark.parametrize("behind", [b"", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE, b"PROXY UNKNOWN\r\n"])
def test_a_header_is_read(header: bytes, address: str, behind: bytes) -> None:
    """All of it, and nothing of what stands behind it; as soon as it is whole and not before."""
    assert read(header + behind) == Header(address, len(header))
    assert [read(header[:end]) for end in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize("data", BAD)
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyProtocolError):
        read(data)


@given(
    st.one_of(
        st.binary(),
        st.binary().map(SIGNATURE.__add__),
        st.binary().map(b"PROXY TCP4 ".__add__),
        st.binary().map(lambda b: version_2(b, family=0x21)),
    )
)
@example(b"")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """And what was refused is refused with more behind it; what was whole stays what it is."""
    try:
        found = read(data)
    except ProxyProtocolError:
        with pytest.raises(ProxyProtocolError):
            read(data + b"more")
        return
    if found:
        assert 0 < found.length <= len(data)
        assert read(data + b"more") == found


@given(st.sampled_from(GOOD), st.integers(min_value=1, max_value=4200))
def test_in_pieces(good: tuple[bytes, str], size: int) -> None:
    header, address = good
    data = header + b"GET"
    come = b""
    for start in range(0, len(data), size):
        come += data[start : start + size]
        found = read(come)
        if found:
            break
    assert found == Header(address, len(header))


ASK = get(OURS, "X-Forwarded-For: 198.51.100.7")
BEHIND = {"trusted_proxies": ("127.0.0.2",), "proxy_protocol": True}


async def split(serving: Serving, client: Client, data: bytes, size: int) -> None:
    """Send in pieces, each of which has been read when the next one is sent."""
    (connection,) = serving.connections._by_age
    for start in range(0, len(data) - size, size):
        client.send(data[start : start + size])
        come = start + size
        await until(
            lambda come=come: connection._header is None or len(connection._header) == come, "not read"
        )
    client.send(data[len(data) - size if len(data) % size == 0 else len(data) - len(data) % size :])


@pytest.mark.parametrize(("header", "address"), [GOOD[0], GOOD[2], GOOD[8], GOOD[9]])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_a_server_reads_it(tmp_path: Path, header: bytes, address: str, size: int) -> None:
    """In one segment with the request, or in any number. Whom it names is who asks, also on the next request."""
    async with Serving(tmp_path, **BEHIND) as serving:
        client = await serving.client("127.0.0.2")
        if size > len(header):
            client.send(header + ASK)
        else:
            await until(lambda: len(serving.connections), "no connection")
            await split(serving, client, header, size)
            client.send(ASK)
        assert (await client.one()).body == OWN
        assert (await client.ask(ASK)).body == OWN
        # The header said who it is: X-Forwarded-For is the client's own word.
        assert [line["remote"] for line in serving.said("phone_request")] == [address] * 2


@pytest.mark.parametrize("header", [GOOD[4][0], GOOD[12][0], GOOD[15][0]])
async def test_a_proxy_that_names_nobody(tmp_path: Path, header: bytes) -> None:
    """Then it is the proxy; a header of HTTP behind that may be anybody's."""
    async with Serving(tmp_path, **BEHIND) as serving:
        client = await serving.client("127.0.0.2")
        assert (await client.ask(header + get(OURS))).body == OWN
        assert (await client.ask(ASK)).body == OWN
        assert [line["remote"] for line in serving.said("phone_request")] == ["127.0.0.2"] * 2


async def test_others_speak_plain_http_on_the_same_port(tmp_path: Path) -> None:
    async with Serving(tmp_path, **BEHIND) as serving:
        assert (await serving.get(OURS, remote="127.0.0.3")).body == OWN
        assert [line["remote"] for line in serving.said("phone_request")] == ["127.0.0.3"]
        client = await serving.client("127.0.0.3")
        client.send(GOOD[0][0] + ASK)
        (answer,) = responses(await client.rest())
        assert answer.status == 400
        assert [line["remote"] for line in serving.said("bad_request")] == ["127.0.0.3"]


async def test_a_proxy_that_says_nothing_of_its_client_is_refused(tmp_path: Path) -> None:
    """Without a word; others are served."""
    async with Serving(tmp_path, **BEHIND) as serving:
        for data in (ASK, b"\x16\x03\x01", GOOD[0][0].replace(b"TCP4", b"TCP6") + ASK):
            client = await serving.client("127.0.0.2")
            client.send(data)
            assert await client.rest() == b""
        lines = [{k: line[k] for k in ("remote", "status", "reason")} for line in serving.said("bad_request")]
        assert lines == [{"remote": "127.0.0.2", "status": 0, "reason": "proxy_protocol"}] * 3
        assert (await serving.get(OURS, remote="127.0.0.3")).body == OWN
        await until(lambda: not len(serving.connections), "a connection stays")


async def test_without_the_setting_there_is_none(tmp_path: Path) -> None:
    async with Serving(tmp_path, trusted_proxies=("127.0.0.2",)) as serving:
        client = await serving.client("127.0.0.2")
        assert (await client.ask(ASK)).body == OWN


async def test_a_header_that_never_becomes_whole(tmp_path: Path) -> None:
    """It is waited for as long as for a request; nothing is answered. A header alone is a silent connection."""
    async with Serving(tmp_path, **BEHIND, timeout=0.2, idle=30) as serving:
        whole = await serving.client("127.0.0.2")
        whole.send(GOOD[0][0])
        await until(lambda: any(one._header is None for one in serving.connections._by_age), "not read")
        client = await serving.client("127.0.0.2")
        client.send(GOOD[0][0][:-1])
        assert await client.rest() == b""
        (line,) = serving.said("bad_request")
        assert (line["status"], line["reason"], line["remote"]) == (0, "request_not_whole", "127.0.0.2")
        assert (await whole.ask(ASK)).body == OWN
