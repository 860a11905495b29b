"""Our side is killed anywhere: what was stored so far is enough to lose nothing, deletions included."""

import random

import pytest

from tests.sources.couch.model import Couch
from tests.sources.couch.script import Request, Wire
from tests.sources.couch.world import World, name
from tests.support import kazoo


def happen(w: World, snapshot: object) -> None:
    """All that can happen to databases, while we are away."""
    couch = w.couch
    w.device(1, name="changed")
    couch.delete(name(1), "u1")
    couch.create(name(2), couch.bases[name(2)].start)
    for number in range(6):
        couch.put(name(2), kazoo.device(f"n{number}", kazoo.mac(100 + number)))
    couch.drop(name(3))
    couch.restore(name(4), snapshot)  # type: ignore[arg-type]
    base = couch.bases[name(5)]
    base.line = "replayed"
    del base.docs["u1"]
    w.device(5, name="changed")
    w.add(7)
    couch.delete("accounts", kazoo.account_id(3))


@pytest.mark.parametrize("left", [*range(40), 50, 60, 80])
async def test_killed_after_so_many_events(left: int) -> None:
    """The writer stored so many and no more; then we start again with that."""
    async with World(6, confirm=5) as w:
        old = w.couch.snapshot(name(4))
        w.device(4, "d2")
        await w.caught_up()
        await w.agrees()
        await w.crash()
        happen(w, old)
        w.left = left
        w.start()
        await w.quiet(20)
        w.couch.delete(name(1), "d1")
        await w.quiet(10)
        await w.crash()
        w.left = None
        w.start()
        await w.agrees(60)


async def test_a_restart_reads_what_is_new_and_no_more() -> None:
    async with World(6) as w:
        await w.following()
        await w.feed(1)
        await w.crash()
        w.device(2, name="meanwhile")
        before = len(w.server.log)
        w.start()
        await w.caught_up()
        assert w.memory.docs == w.couch.truth()
        assert not [r for r in w.server.log[before:] if r.query.get("since") == "0"]


async def test_caught_up_comes_after_everything() -> None:
    """Once, and when all that was there at the start is held."""
    async with World(30, readers=2) as w:

        async def slowly(request: Request, wire: Wire) -> None:
            await w.quiet(1)
            await w.couch(request, wire)

        w.server.instead(slowly, "_changes", continuous=False)
        while not w.memory.caught_up:
            assert w.memory.docs != w.couch.truth() or w.now < 1040
            await w.quiet(1)
        assert w.memory.docs == w.couch.truth()
        w.device(1, name="later")
        await w.agrees()
        assert w.memory.caught_up == 1


@pytest.mark.parametrize("left", range(0, 30, 2))
async def test_killed_in_the_first_pass(left: int) -> None:
    world = World(6, confirm=5)
    world.left = left
    async with world as w:
        await w.quiet(10)
        await w.crash()
        w.couch.delete(name(1), "d1")
        w.couch.drop(name(2))
        w.left = None
        w.start()
        await w.agrees(60)


@pytest.mark.parametrize("style", ["3", "bigcouch"])
@pytest.mark.parametrize("seed", range(8))
async def test_random_days(seed: int, style: str, soak: int) -> None:
    """Writes, deletions, restarts of both sides, lost events, in any order: in the end both agree."""
    dice = random.Random(seed + soak * 1000)
    couch = Couch("3.5.0" if style == "3" else "1.1.1", style)
    async with World(5, couch, confirm=5, sweep=60, feed_idle=50, feeds=2, budget=6000) as w:
        for turn in range(60):
            await one(w, dice, turn)
        w.couch.losing = False
        w.server.frozen = False
        await w.agrees(900)


async def one(w: World, dice: random.Random, turn: int) -> None:
    there = [db for db in w.couch.bases if db != "accounts"]
    match dice.randrange(14):
        case 0 | 1 | 2 | 3 | 4 if there:
            doc = kazoo.device(f"d{dice.randrange(4)}", kazoo.mac(turn), name=f"turn {turn}")
            w.couch.put(dice.choice(there), doc)
        case 5 | 6 if there:
            base = w.couch.bases[dice.choice(there)]
            if live := sorted(base.live()):
                w.couch.delete(base.name, dice.choice(live))
        case 7:
            w.couch.losing = not w.couch.losing
        case 8:
            await w.restart()
        case 9:
            w.server.hang_up()
        case 10:
            await w.server.stop()
            await w.quiet(dice.choice([0.1, 3]))
            await w.server.start()
        case 11 if len(there) > 2:
            w.couch.drop(dice.choice(there))
        case 12:
            w.add(dice.randrange(1, 9))
        case 13:
            w.server.frozen = not w.server.frozen
    await w.quiet(dice.choice([0, 0, 0.01, 0.3, 1, 5, 20, 70]))
