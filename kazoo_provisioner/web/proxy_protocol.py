"""The PROXY protocol, versions 1 and 2: what a proxy says of its client before the first byte of HTTP.

Source: HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

import ipaddress
import re
from typing import NamedTuple

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_PORT = re.compile(rb"[0-9]{1,5}")
_V1_LONGEST = 107
"""Bytes of a header of version 1, its CRLF included."""
_V2_LONGEST = 16 + 4096
"""Bytes of a header of version 2 that we read: addresses and what proxies add (TLS details)."""


class ProxyProtocolError(Exception):
    """What came is no header of the PROXY protocol."""


class Header(NamedTuple):
    """A header that was read. `address` is empty where the proxy speaks for itself, or says it does not know."""

    address: str
    length: int
    """Bytes of it; HTTP begins behind them."""


def read(data: bytes) -> Header | None:
    """Read the header at the beginning of what a connection has sent; None while it is not whole.

    Raises:
        ProxyProtocolError: it is none.
    """
    if data.startswith(_V2[: len(data)]):
        return _version_2(data)
    if data.startswith(_V1[: len(data)]):
        return _version_1(data)
    raise ProxyProtocolError


def _version_1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, _V1_LONGEST)
    if end < 0:
        if len(data) >= _V1_LONGEST:
            raise ProxyProtocolError
        return None
    words = data[len(_V1) : end].split(b" ")
    if words[0] == b"UNKNOWN":
        return Header("", end + 2)
    if words[0] not in (b"TCP4", b"TCP6") or len(words) != 5:
        raise ProxyProtocolError
    version = 4 if words[0] == b"TCP4" else 6
    address, _ = _spelled(words[1], version), _spelled(words[2], version)
    if not all(_PORT.fullmatch(port) and int(port) <= 65535 for port in words[3:]):
        raise ProxyProtocolError
    return Header(address, end + 2)


def _spelled(text: bytes, version: int) -> str:
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise ProxyProtocolError from None
    if found.version != version:
        raise ProxyProtocolError
    return str(found)


def _version_2(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    version, command = data[12] >> 4, data[12] & 0x0F
    family, length = data[13], int.from_bytes(data[14:16], "big")
    if version != 2 or command > 1 or 16 + length > _V2_LONGEST:
        raise ProxyProtocolError
    if len(data) < 16 + length:
        return None
    if command == 0:  # LOCAL: a check of the proxy's own
        return Header("", 16 + length)
    if family >> 4 > 3 or family & 0x0F > 2:
        raise ProxyProtocolError
    size = {0x11: 4, 0x21: 16}.get(family)
    if size is None:  # no TCP over IP
        return Header("", 16 + length)
    if length < 2 * size + 4:
        raise ProxyProtocolError
    return Header(str(ipaddress.ip_address(data[16 : 16 + size])), 16 + length)
