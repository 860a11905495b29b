"""Offsets and daylight saving rules, compared with zoneinfo."""

import calendar
import datetime as dt
import io
import struct
import zoneinfo
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.model.phone import Dst, DstChange, TimeZone
from kazoo_provisioner.model.timezone import from_posix, timezone

YEAR = dt.datetime.now(tz=dt.UTC).year + 1
DATA = resources.files("tzdata")
ALL = DATA.joinpath("zones").read_text().split()

SAMPLE = [
    "UTC", "Etc/GMT+5", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Atlantic/Azores",
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
    "America/Anchorage", "America/St_Johns", "America/Halifax", "America/Sao_Paulo", "America/Havana",
    "America/Asuncion", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Honolulu", "Australia/Sydney",
    "Australia/Adelaide", "Australia/Lord_Howe", "Australia/Brisbane", "Asia/Kolkata", "Asia/Kathmandu",
    "Asia/Tokyo", "Asia/Beirut", "Asia/Tehran", "Africa/Johannesburg", "Africa/Lagos", "Pacific/Norfolk",
    "Antarctica/Troll",
]  # fmt: skip


def table_of(name: str) -> bytes:
    return DATA.joinpath("zoneinfo", *name.split("/")).read_bytes()


def truth_of(name: str, *, whole: bool = False) -> zoneinfo.ZoneInfo:
    """Python's reading of the rule that ends a zone's file; whole: of the file, with its table of exceptions.

    From the package, as the machine's own data may be older.
    """
    if whole:
        return zoneinfo.ZoneInfo.from_file(io.BytesIO(table_of(name)), key=name)
    rule = table_of(name).rstrip(b"\n").rsplit(b"\n", 1)[-1]
    block = (
        b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"LMT\0"
    )
    return zoneinfo.ZoneInfo.from_file(io.BytesIO(block + block + b"\n" + rule + b"\n"), key=name)


def day_of(change: DstChange, year: int) -> dt.datetime:
    """When a change happens, by the clock on the wall."""
    days = [
        day for day in range(1, calendar.monthrange(year, change.month)[1] + 1)
        if (dt.date(year, change.month, day).weekday() + 1) % 7 == change.weekday
    ]  # fmt: skip
    day = days[-1] if change.week == 5 else days[change.week - 1]
    return dt.datetime(year, change.month, day) + dt.timedelta(minutes=change.minute)  # noqa: DTZ001 - wall clock


def offset_at(zone: TimeZone, moment: dt.datetime) -> int:
    """What a phone makes of our rule, in minutes east of UTC."""
    if zone.dst is None:
        return zone.offset
    standard = (moment + dt.timedelta(minutes=zone.offset)).replace(tzinfo=None)
    summer = standard + dt.timedelta(minutes=zone.dst.saving)
    start, end = day_of(zone.dst.start, standard.year), day_of(zone.dst.end, standard.year)
    begun, ended = standard >= start, summer >= end
    inside = (begun and not ended) if start < end else (begun or not ended)
    return zone.offset + (zone.dst.saving if inside else 0)


MOMENTS = [
    dt.datetime(YEAR, 1, 1, 0, 30, tzinfo=dt.UTC) + dt.timedelta(hours=h) for h in range(0, 365 * 24, 7)
]


def differences(name: str, *, whole: bool = False) -> int:
    """How many of the moments of next year have another offset than Python says."""
    zone, truth = timezone(name), truth_of(name, whole=whole)
    assert zone is not None
    return sum(dt.timedelta(minutes=offset_at(zone, m)) != m.astimezone(truth).utcoffset() for m in MOMENTS)


def test_every_zone_of_the_iana_data_is_known():
    assert len(ALL) > 400
    unknown = [name for name in ALL if timezone(name) is None]
    assert unknown == []


@pytest.mark.parametrize("name", SAMPLE)
def test_offsets_of_next_year_hour_by_hour(name):
    assert differences(name) == 0


@pytest.mark.parametrize("name", SAMPLE)
def test_the_hours_around_each_change(name):
    zone, truth = timezone(name), truth_of(name)
    if zone.dst is None:
        return
    for change in (zone.dst.start, zone.dst.end):
        middle = day_of(change, YEAR).replace(tzinfo=dt.UTC) - dt.timedelta(minutes=zone.offset)
        for minutes in range(-300, 300, 10):
            moment = middle + dt.timedelta(minutes=minutes)
            ours = dt.timedelta(minutes=offset_at(zone, moment))
            assert ours == moment.astimezone(truth).utcoffset(), (name, moment)


def test_all_zones_agree_but_for_a_week_that_a_rule_cannot_say():
    """A change outside its day ("the day before the last Sunday") can be a week off; nothing else differs."""
    one_of_each = {table_of(name).rsplit(b"\n", 2)[1]: name for name in ALL}.values()
    wrong = {name: found * 7 for name in one_of_each if (found := differences(name))}
    assert {name: hours for name, hours in wrong.items() if hours > 2 * 7 * 24} == {}


def test_only_zones_with_exceptions_in_their_table_differ_from_the_whole_file():
    """Morocco's Ramadan, a winter that Cuba leaves out: documented, as the year is not ours to know."""
    rules = {name: (truth_of(name), truth_of(name, whole=True)) for name in ALL[::3]}
    steady = [
        n
        for n, (a, b) in rules.items()
        if all(m.astimezone(a).utcoffset() == m.astimezone(b).utcoffset() for m in MOMENTS[::8])
    ]
    assert len(steady) > len(rules) * 0.9
    assert [name for name in steady if differences(name, whole=True) * 7 > 2 * 7 * 24] == []


@pytest.mark.parametrize(
    ("rule", "zone"),
    [
        ("UTC0", TimeZone("x", 0)),
        ("<+0545>-5:45", TimeZone("x", 345)),
        ("EST5", TimeZone("x", -300)),
        ("CET-1CEST,M3.5.0,M10.5.0/3", TimeZone("x", 60, Dst(DstChange(3, 5, 0, 120), DstChange(10, 5, 0, 180)))),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", TimeZone("x", 0, Dst(DstChange(3, 5, 0, 60), DstChange(10, 5, 0, 120)))),
        (
            "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
            TimeZone("x", 630, Dst(DstChange(10, 1, 0, 120), DstChange(4, 1, 0, 120), 30)),
        ),
        (
            "IST-2IDT,M3.4.4/26,M10.5.0",
            TimeZone("x", 120, Dst(DstChange(3, 4, 5, 120), DstChange(10, 5, 0, 120))),
        ),
        (
            "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
            TimeZone("x", -120, Dst(DstChange(3, 5, 0, 0), DstChange(10, 5, 0, 0))),
        ),
        ("XXX3YYY,J60/0,J300/0", TimeZone("x", -180)),
        ("", None),
        ("nonsense", None),
    ],
)  # fmt: skip
def test_posix_rules(rule, zone):
    assert from_posix("x", rule) == zone


@pytest.mark.parametrize(
    "name",
    ["", "inherit", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "Europe/", "Europe/Berlin\n", "a" * 5000,
     "Europe/Berlin\x00", "zone.tab", "tzdata.zi", "Europe/../Europe/Berlin", "__init__", "leapseconds"],
)  # fmt: skip
def test_what_is_no_zone(name):
    assert timezone(name) is None


@given(st.text(max_size=30))
def test_any_name_is_a_zone_or_none(name):
    assert timezone(name) is None or name in ALL
