"""What a User-Agent tells of a phone: its MAC address, and its firmware.

Anybody can send any User-Agent: what is read here is a hint, never proof.
"""

import re

from kazoo_provisioner.model.ids import parse_mac

_LIMIT = 256
"""Characters that are looked at."""

_SERIALS = ("linksys", "sipura")
"""Makers whose phones give a serial number there, which can be twelve hexadecimal digits."""

_MAC = re.compile(
    # What stands before it: nothing, a space or a bracket, or its name. Not "SN:".
    r"(?:^|(?<=[\s(\[;,/])|(?<=mac[:=])|(?<=serial:))"
    r"[0-9a-f]{2}([:-]?)[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}"
    r"(?=$|[\s)\];,])",
    re.ASCII | re.IGNORECASE,
)

_BROWSER = re.compile(r"Mozilla/[0-9.]+ \(compatible; (?:MSIE [0-9.]+\) )?", re.ASCII | re.IGNORECASE)
"""How some phones begin, so as to look like a browser."""

_FIRMWARE = (
    re.compile(r"\bSW ([0-9][0-9a-z.+_\-]*)", re.ASCII | re.IGNORECASE),
    re.compile(r"-MPP-([0-9][0-9a-z.+_\-]*)", re.ASCII | re.IGNORECASE),
    # The first number with a dot in it.
    re.compile(r"(?:^|[\s/:\-])(?:v|fw)?([0-9]+(?:\.[0-9a-z+_]+)+)", re.ASCII | re.IGNORECASE),
)

_FIRMWARE_LIMIT = 32


def mac_of_agent(agent: str) -> str:
    """Return the MAC address in a User-Agent, twelve lower-case hexadecimal digits; empty for none."""
    agent = agent[:_LIMIT]
    if any(maker in agent.lower() for maker in _SERIALS):
        return ""
    found = _MAC.search(agent)
    return (parse_mac(found[0]) or "") if found else ""


def firmware_of_agent(agent: str) -> str:
    """Return the version in a User-Agent, at most 32 of ``[0-9a-zA-Z.+_-]``; empty for none."""
    agent = _BROWSER.sub("", agent[:_LIMIT], count=1)
    for pattern in _FIRMWARE:
        found = pattern.search(agent)
        if found:
            return found[1][:_FIRMWARE_LIMIT].rstrip(".+_-")
    return ""
