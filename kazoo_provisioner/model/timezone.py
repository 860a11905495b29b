"""Time zones from the IANA data: offset and daylight saving rule of a zone by name.

Read from the POSIX rule that ends every compiled zone file of the tzdata package (RFC 8536, section 3.3),
so that every node with the same packages renders the same bytes, whatever its system has.
The table before that rule is not read: exceptions of single years (Morocco's Ramadan, a winter that Cuba left
out) are not in our zones, as which year it is would make the bytes depend on the day they were rendered.
"""

import re
from functools import lru_cache
from importlib import resources

from kazoo_provisioner.model.phone import Dst, DstChange, TimeZone

_NAME = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}")
_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[^>]+>)"
_POSIX = re.compile(
    rf"{_ABBREVIATION}(?P<std>[-+\d:]+)(?:{_ABBREVIATION}(?P<dst>[-+\d:]+)?,(?P<start>[^,]+),(?P<end>[^,]+))?"
)
_RULE = re.compile(r"M(\d+)\.(\d+)\.(\d+)(?:/([-+\d:]+))?")
DAY = 24 * 60


@lru_cache(maxsize=1024)
def timezone(name: str) -> TimeZone | None:
    """Return the zone, or None when the IANA data has no zone of that name."""
    if not _NAME.fullmatch(name):
        return None
    entry = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    try:
        data = entry.read_bytes()
    except OSError:
        return None
    if not data.startswith(b"TZif"):
        return None
    return from_posix(name, data.rstrip(b"\n").rsplit(b"\n", 1)[-1].decode("ascii"))


def from_posix(name: str, rule: str) -> TimeZone | None:
    """Read a POSIX rule such as ``EST5EDT,M3.2.0,M11.1.0``; None when it has none of that form.

    Where "daylight" time is behind standard time (Europe/Dublin), the two change places, so that a
    phone always adds in summer.
    """
    match = _POSIX.fullmatch(rule)
    if not match:
        return None
    offset = -_minutes(match["std"])
    if match["start"] is None:
        return TimeZone(name, offset)
    summer = -_minutes(match["dst"]) if match["dst"] else offset + 60
    start, end = _change(match["start"]), _change(match["end"])
    if start is None or end is None:
        return TimeZone(name, offset)
    if summer < offset:
        offset, summer, start, end = summer, offset, end, start
    return TimeZone(name, offset, Dst(start, end, summer - offset))


def _minutes(text: str) -> int:
    """Minutes in ``[+-]h[:mm[:ss]]``."""
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    total = parts[0] * 60 + (parts[1] if len(parts) > 1 else 0)
    return -total if text.startswith("-") else total


def _change(text: str) -> DstChange | None:
    """Read ``Mm.w.d/time``. A time outside the day moves the weekday, as far as one rule can say it.

    Greenland's ``M3.5.0/-1`` (an hour before the last Sunday) becomes that Sunday at 0:00, an hour late
    once a year; no phone's syntax has a day before a weekday.
    """
    match = _RULE.fullmatch(text)
    if not match:
        return None
    month, week, weekday = (int(match[n]) for n in (1, 2, 3))
    minute = max(0, _minutes(match[4]) if match[4] else 120)
    return DstChange(month, week, (weekday + minute // DAY) % 7, minute % DAY)
