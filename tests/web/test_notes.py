"""What a reader notes: shared with the other readers, bounded, and no matter for who asks."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store import access
from kazoo_provisioner.store.access import FILE, Access, Miss, Request
from kazoo_provisioner.store.schema import StoreError, StoreUnavailableError
from kazoo_provisioner.web import notes as module
from kazoo_provisioner.web.notes import BUCKETS, Notes
from tests.support.service import PATIENCE
from tests.web.serving import HERE, MAC, OTHER_MAC, until

LIMIT = {"miss_limit": 3}


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as found:
        yield found


def made(folder: Path, *, first: bool = True, **web: Any) -> Notes:
    return Notes(folder, WebSettings(**web), first=first)


def request(mac: str = MAC, remote: str = "192.0.2.1", **fields: Any) -> Request:
    told = Request(mac, HERE, f"{mac}.cfg", int(time.time()), 200, "served", remote, "h", "a", "t46", 0, 1)
    return told._replace(**fields)


def stored(folder: Path) -> Access:
    return Access(folder, read_only=True)


def broken(folder: Path) -> None:
    """Something that is no file stands where the file should be; what was there is moved aside."""
    for end in ("", "-wal", "-shm"):
        if (folder / f"{FILE}{end}").exists():
            (folder / f"{FILE}{end}").rename(folder / f"away{end}")
    (folder / FILE).mkdir()


def mended(folder: Path) -> None:
    (folder / FILE).rmdir()
    for end in ("", "-wal", "-shm"):
        if (folder / f"away{end}").exists():
            (folder / f"away{end}").rename(folder / f"{FILE}{end}")


def fail(*_: Any) -> Any:
    raise StoreUnavailableError("disk is full")


async def test_what_is_noted_is_written(tmp_path: Path) -> None:
    notes = made(tmp_path)
    first, last = request(at=1), request(at=2, status=304)
    for seconds, one in ((0.0001, first), (0.00011, last), (5, request(""))):
        notes.request(one, "phone", seconds, 10)
    notes.request(request("", status=404, reason="no_such_path"), "api", 1.0, 0)
    notes.count("refused 408 request_not_whole")
    await notes.flush()
    found = stored(tmp_path)
    assert found.requests(MAC) == [last]
    assert found.requests("") == []
    tallies = found.tallies()
    assert tallies.pop("seconds sum") == pytest.approx(6.00021)
    assert tallies == {
        "requests phone 200 served": 2, "requests phone 304 served": 1, "requests api 404 no_such_path": 1, "bytes": 30,
        "refused 408 request_not_whole": 1, "seconds 0.0001": 1, "seconds 0.00025": 1, "seconds 1.0": 1, "seconds +Inf": 1,
    }  # fmt: skip
    await notes.flush()
    await notes.close()
    assert found.tallies()["bytes"] == 30
    found.close()


async def test_a_limit_holds_for_all_readers(tmp_path: Path, logs: list[Any]) -> None:
    """Names that several readers heard count together; each knows of the limit at its next look."""
    one, other = made(tmp_path, **LIMIT), made(tmp_path, first=False, **LIMIT)
    now = int(time.time())
    one.missed("192.0.2.1", "a", now)
    one.missed("192.0.2.1", "b", now)
    other.missed("192.0.2.1", "b", now)
    for notes in (one, other):
        await notes.flush()
    assert (one.limited, other.limited) == ({}, {})
    other.missed("192.0.2.1", "c", now)
    await other.flush()
    assert other.refuses("192.0.2.1", "")
    assert not one.refuses("192.0.2.1", "")
    await one.flush()
    assert one.refuses("192.0.2.1", MAC)
    assert not one.refuses("192.0.2.2", MAC)
    said = [line for line in logs if line["event"] == "address_limited"]
    assert [(line["remote"], line["limit"], line["seconds"]) for line in said] == [("192.0.2.1", 3, 3600)]
    forgiving = Access(tmp_path)
    forgiving.forgive("192.0.2.1")
    forgiving.close()
    for notes in (one, other):
        await notes.flush()
        assert not notes.refuses("192.0.2.1", "")
        await notes.close()


async def limited(notes: Notes, address: str = "192.0.2.1") -> None:
    for number in range(3):
        notes.missed(address, str(number), int(time.time()))
    await notes.flush()
    assert notes.refuses(address, "")


async def test_a_burst_is_limited_before_it_is_written(tmp_path: Path) -> None:
    """And where it cannot be written at all; what came beyond the limit is not even kept."""
    broken(tmp_path)
    notes = made(tmp_path, **LIMIT)
    for number in range(500):
        notes.missed("192.0.2.1", str(number), int(time.time()))
        assert notes.refuses("192.0.2.1", "") == (number >= 2)
    assert len(notes._misses) == 3
    await notes.flush()
    assert notes.refuses("192.0.2.1", MAC)
    assert not notes.refuses("192.0.2.2", "")
    mended(tmp_path)
    await notes.close()


async def test_who_got_its_own_file_there_is_let_through(tmp_path: Path) -> None:
    notes = made(tmp_path, **LIMIT)
    notes.request(request(), "phone", 0, 0)
    notes.request(request(OTHER_MAC, own=0), "phone", 0, 0)
    notes.request(request("001565aabbee", remote="192.0.2.2"), "phone", 0, 0)
    await limited(notes)
    assert not notes.refuses("192.0.2.1", MAC)
    assert notes.refuses("192.0.2.1", OTHER_MAC)
    assert notes.refuses("192.0.2.1", "001565aabbee")
    assert notes.refuses("192.0.2.1", "")
    notes.limited["192.0.2.1"] = int(time.time())
    assert not notes.refuses("192.0.2.1", "")
    await notes.close()


async def test_a_network_of_64_bits_is_one(tmp_path: Path) -> None:
    notes = made(tmp_path, **LIMIT)
    notes.request(request(remote="2001:db8:0:1::5"), "phone", 0, 0)
    for number in range(3):
        notes.missed(f"2001:db8:0:1::{number + 1}", str(number), int(time.time()))
    await notes.flush()
    assert list(notes.limited) == ["2001:db8:0:1::/64"]
    assert notes.refuses("2001:db8:0:1:ffff::9", OTHER_MAC)
    assert not notes.refuses("2001:db8:0:1:ffff::9", MAC)
    assert not notes.refuses("2001:db8:0:2::1", OTHER_MAC)
    await notes.close()


async def test_no_limit(tmp_path: Path) -> None:
    notes = made(tmp_path, miss_limit=0)
    for number in range(500):
        notes.missed("192.0.2.1", str(number), int(time.time()))
    await notes.flush()
    assert (notes._misses, notes.limited) == ({}, {})
    await notes.close()


async def test_a_file_that_cannot_be_used(tmp_path: Path, logs: list[Any]) -> None:
    """Said once, and once when it can be again; nothing that was noted is lost, nothing counts twice."""
    notes = made(tmp_path, **LIMIT)
    notes.request(request(at=1), "phone", 0.0001, 1)
    await notes.flush()
    await limited(notes)
    notes._keep({}, {}, {})
    broken(tmp_path)
    for turn in range(3):
        notes.request(request(at=2 + turn), "phone", 0.0001, 1)
        notes.request(request(OTHER_MAC, at=9), "phone", 2, 1)
        notes.missed("192.0.2.9", str(turn), int(time.time()))
        await notes.flush()
        assert notes.refuses("192.0.2.1", "")
    mended(tmp_path)
    await notes.flush()
    await notes.flush()
    events = [line["event"] for line in logs]
    assert [event for event in events if event.startswith("access_")] == [
        "access_unavailable",
        "access_available",
    ]
    assert "Is a directory" in next(line["problem"] for line in logs if line["event"] == "access_unavailable")
    found = stored(tmp_path)
    tallies = found.tallies()
    assert found.requests(MAC) == [request(at=4)]
    assert found.requests(OTHER_MAC) == [request(OTHER_MAC, at=9)]
    assert set(found.limited(time.time())) == set(notes.limited) == {"192.0.2.1", "192.0.2.9"}
    assert {name: n for name, n in tallies.items() if name != "seconds sum"} == {
        "requests phone 200 served": 7, "bytes": 7, "seconds 0.0001": 4, "seconds +Inf": 3,
    }  # fmt: skip
    assert tallies["seconds sum"] == pytest.approx(6.0004)
    found.close()
    await notes.close()


async def test_trouble_after_the_write_counts_nothing_twice(
    tmp_path: Path, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = made(tmp_path, **LIMIT)
    notes.request(request(), "phone", 0.1, 1)
    notes.missed("192.0.2.1", "a", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Access, "limited", fail)
        await notes.flush()
    assert (notes._requests, notes._misses, notes._tallies) == ({}, {}, {})
    await notes.close()
    assert [line["event"] for line in logs] == ["access_unavailable", "access_available"]
    found = stored(tmp_path)
    assert found.tallies() == {
        "requests phone 200 served": 1,
        "bytes": 1,
        "seconds 0.1": 1,
        "seconds sum": 0.1,
    }
    found.close()


async def test_when_it_cannot_be_asked_who_is_limited_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = made(tmp_path, **LIMIT)
    notes.request(request(), "phone", 0, 0)
    await limited(notes)
    with monkeypatch.context() as patch:
        patch.setattr(Access, "places", fail)
        assert notes.refuses("192.0.2.1", MAC)
    assert not notes.refuses("192.0.2.1", MAC)
    await notes.close()


async def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]) -> None:
    """Also while nothing can be written. What was noted first stays; what it says is the latest."""
    monkeypatch.setattr(module, "_MOST", 10)
    broken(tmp_path)
    notes = made(tmp_path, **LIMIT)
    for turn in range(3):
        for number in range(turn, 25):
            notes.request(request(f"{number:012x}", at=turn), "phone", 0.1, 1)
            notes.missed(f"192.0.2.{number}", str(number), turn)
        assert len(notes._requests) <= 10
        assert len(notes._misses) <= 10
        await notes.flush()
        assert [one.mac for one in notes._requests.values()] == [f"{number:012x}" for number in range(10)]
        assert [one.name for one in notes._misses.values()] == [str(number) for number in range(10)]
    assert [one.at for one in notes._requests.values()] == [0, 1, *[2] * 8]
    mended(tmp_path)
    await notes.close()
    found = stored(tmp_path)
    assert found.tallies()["bytes"] == 25 + 24 + 23
    assert found.tallies()["seconds 0.1"] == 25 + 24 + 23
    found.close()


async def test_what_comes_while_a_write_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is later than what comes back; and both together have the same bound."""
    monkeypatch.setattr(module, "_MOST", 10)
    notes = made(tmp_path, **LIMIT)
    for number in range(10, 20):
        notes.request(request(f"{number:012d}", at=2), "phone", 0, 0)
        notes.missed(f"192.0.2.{number}", str(number), 2)
    back = [request(f"{number:012d}", at=1) for number in range(5, 15)]
    misses = [Miss(f"192.0.2.{number}", str(number), 1) for number in range(5, 15)]
    notes._keep({one[:3]: one for one in back}, {one[:2]: one for one in misses}, {})
    latest = {number: 1 if number < 10 else 2 for number in range(5, 15)}
    assert {int(one.mac): one.at for one in notes._requests.values()} == latest
    assert {int(one.name): one.at for one in notes._misses.values()} == latest


async def ended(running: asyncio.Task[None], notes: Notes) -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await notes.close()


async def test_it_runs(tmp_path: Path) -> None:
    notes = made(tmp_path, **LIMIT)
    running = asyncio.create_task(notes.run())
    for turn in range(2):
        notes.request(request(at=turn), "phone", 0, 0)
        await until(lambda: (tmp_path / FILE).exists() and not notes._requests, "nothing is written")
    await ended(running, notes)


async def test_what_was_asked_for_in_vain_is_shared_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only when all else is written."""
    monkeypatch.setattr(module, "_EVERY", 100_000.0)
    notes = made(tmp_path, **LIMIT)
    running = asyncio.create_task(notes.run())
    await until(lambda: notes._version >= 0, "it did not begin")
    for number in range(3):
        notes.missed("192.0.2.1", str(number), int(time.time()))
    await until(lambda: notes.refuses("192.0.2.1", ""), "no limit")
    await ended(running, notes)


async def test_who_ends_it_waits_for_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the last write would use the file together with it."""
    notes = made(tmp_path)
    begun, go = threading.Event(), threading.Event()
    write = Access.write

    def slow(*given: Any) -> Any:
        begun.set()
        go.wait(PATIENCE)
        return write(*given)

    monkeypatch.setattr(Access, "write", slow)
    notes.request(request(), "phone", 0, 5)
    running = asyncio.create_task(notes.run())
    await until(begun.is_set, "no write")
    running.cancel()
    ended = asyncio.create_task(asyncio.wait((running,)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ended.done()
    notes.request(request(OTHER_MAC), "phone", 0, 5)
    go.set()
    await ended
    assert running.cancelled()
    await notes.close()
    found = stored(tmp_path)
    assert found.tallies()["bytes"] == 10
    found.close()


@pytest.mark.parametrize("first", [True, False])
async def test_one_reader_drops_what_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    notes = made(tmp_path, first=first)
    notes.request(request(at=1), "phone", 0, 0)
    await notes.flush()
    found = stored(tmp_path)
    assert found.requests(MAC)
    monkeypatch.setattr(module, "_HOUSE", -1.0)
    await notes.flush()
    assert bool(found.requests(MAC)) is not first
    found.close()
    await notes.close()


def test_the_histogram_is_in_order() -> None:
    assert list(BUCKETS) == sorted(set(BUCKETS))


def test_nothing_waits_for_the_file(tmp_path: Path) -> None:
    """It is opened by the first write, not when the reader starts."""
    made(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert access.FILE == FILE
    with pytest.raises(StoreError):
        stored(tmp_path)


async def test_a_phone_that_calls_itself_another_model_is_said_once(tmp_path: Path, logs: list[Any]) -> None:
    notes = made(tmp_path)
    notes.who = Identifier(load())
    other = "Yealink SIP-T48S 66.86.0.15 00:15:65:aa:bb:cc"
    for agent in (other, other, "Yealink SIP-T46G 28.72.0.1", "curl/8", ""):
        notes.request(request(agent=agent), "phone", 0.001, 10)
        await notes.flush()
    notes.request(request(OTHER_MAC, agent="snom"), "phone", 0.001, 10)
    await notes.close()
    said = [line for line in logs if line["event"] == "phone_mismatch"]
    assert [(line["mac"], line["model"], line["says"]) for line in said] == [(MAC, "t46", "yealink t48s")]
