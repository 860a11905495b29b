"""How often we ask: at rest, in audits, with many feeds; and what is not lost when a feed is closed."""

from itertools import pairwise

import pytest

from tests.sources.couch.model import Couch
from tests.sources.couch.world import World, name


async def test_at_rest() -> None:
    """An hour with 300 databases: 12 sweeps of 4 batches, one list, feeds that stay open."""
    async with World(299) as w:
        await w.following()
        await w.quiet(1000)
        assert await w.quiet(3600) <= (3600 / 300 + 1) * 3 + 2
        assert w.server.connections < 10


async def test_sweep_is_paced() -> None:
    """Batches of 100 come one after another, not all at once."""
    async with World(299) as w:
        await w.following()
        await w.quiet(700)
        at = [r.at for r in w.server.log if r.what == "_dbs_info" and r.at > 1300]
        assert all(b - a > 90 for a, b in pairwise(at)), at


async def test_events_missing_from_db_updates() -> None:
    """The paced sweep finds it."""
    async with World(sweep=300) as w:
        await w.following()
        w.couch.losing = True
        for number in (1, 2):
            w.device(number, name="no event")
        w.couch.delete(name(2), "u1")
        await w.agrees(310)
        await w.quiet(61)
        w.device(1, name="no event again")
        await w.agrees(310)


async def test_event_comes_long_before_the_change() -> None:
    """And once more, late and in another order: an event only means go and look."""
    async with World() as w:
        await w.following()
        for kind in ("deleted", "updated", "created", "deleted", "odd"):
            w.couch.tell(name(1), kind)
        await w.quiet(5)
        w.device(1, name="now")
        await w.agrees(2)
        assert not w.memory.deleted


async def test_daily_audit() -> None:
    """Each database once between 18 and 30 hours, as a whole, no more a second than audit_rate."""
    async with World(40, audit_rate=0.05, sweep=1800, heartbeat=600, budget=20_000) as w:
        await w.following()
        start = w.now
        await w.quiet(86400 * 1.26)
        reads = [r for r in w.server.log if r.at > start and r.query.get("since") == "0"]
        assert {r.db for r in reads} == set(w.couch.bases)
        assert len(reads) == 41
        assert all(r.at - start > 86400 * 0.74 for r in reads)


@pytest.mark.parametrize("updates", [True, False])
async def test_audits_that_are_due_all_at_once_are_paced(updates: bool) -> None:
    """We were stopped for days: the audits wait for their turn, whoever sweeps meanwhile."""
    couch = Couch()
    couch.global_changes = updates
    async with World(60, couch, audit_rate=0.1, sweep=60, audit=86400) as w:
        await w.caught_up()
        await w.crash()
        await w.stopped(3 * 86400)
        w.start()
        await w.caught_up()
        start = w.now
        await w.quiet(400)
        reads = [r.at for r in w.server.log if r.at > start and r.query.get("since") == "0"]
        assert 30 < len(reads) <= 42
        w.device(50, name="is not kept waiting")
        await w.agrees(15)


async def test_feeds_are_limited() -> None:
    """No more than `feeds`; the one that was quiet longest makes room after a while."""
    async with World(6, feeds=3) as w:
        await w.following()
        peak = 0
        for turn in range(4):
            for number in range(1, 7):
                w.device(number, name=f"turn {turn}")
                await w.agrees(3)
                peak = max(peak, w.server.count("_changes", continuous=True))
                assert open_feeds(w) <= 3
            await w.quiet(61)
        assert open_feeds(w) == 3
        for number in range(1, 7):
            w.device(number, name="all are heard")
        await w.agrees(3)


async def test_no_feeds() -> None:
    async with World(3, feeds=0) as w:
        await w.following()
        for number in range(1, 4):
            w.device(number, name="without")
        await w.agrees(3)
        await w.quiet(100)
        assert not w.server.count("_changes", continuous=True)


def open_feeds(w: World) -> int:
    return sum(len(base.changed) for base in w.couch.bases.values())


async def test_idle_feeds_are_closed() -> None:
    async with World(feed_idle=100) as w:
        await w.following()
        await w.feed(1)
        await w.quiet(85)
        assert open_feeds(w) == 1
        w.device(1, name="it goes on")
        await w.quiet(95)
        assert open_feeds(w) == 1
        await w.quiet(40)
        assert open_feeds(w) == 0
        await w.agrees()
        assert w.source
        assert w.source.status()["feeds"] == 0


@pytest.mark.parametrize("step", range(0, 60, 4))
async def test_change_right_when_a_feed_is_closed(step: int) -> None:
    """Whoever hears of it, somebody does."""
    async with World(feed_idle=4, sweep=3600) as w:
        await w.following()
        await w.feed(1)
        end = w.now + 20
        while w.source and w.source.status()["feeds"] and w.now < end:
            await w.step()
        assert w.now < end
        for _ in range(step):
            await w.step(0)
        w.device(1, name="right then")
        await w.agrees(5)


async def test_many_databases_move_at_once() -> None:
    async with World(100, readers=3, feeds=10) as w:
        await w.following()
        for number in range(1, 101):
            w.device(number, name="all at once")
        await w.agrees(5)
        await w.quiet(100)
        assert open_feeds(w) <= 10
        for number in range(1, 101):
            w.device(number, name="and again")
        await w.agrees(5)


async def test_slow_writer_loses_nothing() -> None:
    """The writer stands still: what waits is bounded, and nothing is lost."""
    async with World(5) as w:
        await w.following()
        await w.feed(1)
        w.taking = 0
        for at in range(12):
            w.device(1, name="x" * 400_000, notes=at)
            w.device(2, name="x" * 400_000, notes=at)
            await w.quiet(1)
        assert w.inbox._bytes < 6 * 1024 * 1024
        await w.quiet(400)
        w.taking = 5
        await w.agrees(60)


async def test_status_counts() -> None:
    async with World(3) as w:
        await w.following()
        await w.feed(1)
        assert w.source
        status = w.source.status()
        expected = {"type": "couch", "connected": True, "problem": None, "databases": 4, "waiting": 0,
                    "reading": [], "feeds": 1, "updates": True, "absent": 0, "unreadable": []}  # fmt: skip
        assert {k: status[k] for k in expected} == expected
        await w.server.stop()
        await w.quiet(5)
        assert w.source.status()["connected"] is False
        assert w.source.status()["problem"]
        await w.server.start()
        await w.agrees()
