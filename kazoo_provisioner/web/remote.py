"""Who asks: the peer of a connection, or whom a trusted proxy names."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Protocol

_MOST = 16
"""Entries of X-Forwarded-For that are looked at, from the right: more proxies stand behind each other nowhere."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Headers(Protocol):
    """Headers of a request."""

    def get(self, name: str, default: str, /) -> str:
        """Return the first value of a header."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return all values of a header."""


class Proxies:
    """The proxies whose word is believed (``web.trusted_proxies``)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(one) for one in trusted]
        self.trusts = lru_cache(4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        """Whether an address is one of a trusted proxy."""
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found.version == one.version and found in one for one in self._networks)

    def client(self, peer: str, headers: Headers) -> str:
        """Return who asks through a trusted `peer`: the last one in X-Forwarded-For that is no proxy of ours.

        What stands left of that is the client's own word, and so is everything left of what is no address.
        """
        named = ",".join(headers.getall("X-Forwarded-For", [])).split(",")[-_MOST:]
        client = peer
        for text in reversed(named):
            address = _address(text)
            if not address:
                break
            client = address
            if not self.trusts(address):
                break
        return client


def _address(text: str) -> str:
    """Read ``address``, ``address:port`` or ``[address]:port``; empty for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return plain(text) if len(text) <= 64 else ""


def plain(address: str) -> str:
    """Return an address in its usual spelling: no zone, no IPv4 within IPv6. Empty for what is none."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
