"""What looks like a restored or recreated database, and is one or is none."""

import itertools
from typing import Any

import pytest

from tests.sources.couch.model import Couch
from tests.sources.couch.script import Request, Wire
from tests.sources.couch.world import World, name
from tests.support import kazoo

STYLES = {
    "1": ("1.6.1", "1"),
    "bigcouch": ("1.1.1", "bigcouch"),
    "2": ("2.3.1", "3"),
    "3": ("3.5.0", "3"),
}


@pytest.mark.parametrize("style", STYLES)
async def test_recreated_under_an_open_feed(style: str) -> None:
    """The feed ends in order, its visit finds the new database still empty, and then the counts are as before."""
    async with World(couch=Couch(*STYLES[style]), sweep_alone=30, sweep=30) as w:
        await w.agrees()
        await w.quiet(40)
        await w.feed(1)
        w.couch.create(name(1), "0" if style == "2" else None)
        await w.quiet(5)
        w.couch.put(name(1), kazoo.account(kazoo.account_id(1)))
        for number in range(6):
            w.couch.put(name(1), kazoo.user(f"new{number}"))
        await w.agrees(600)


@pytest.mark.parametrize("style", ["bigcouch", "3"])
async def test_copies_that_do_not_count_alike_are_read_less_and_less(style: str) -> None:
    """Two copies of a database take turns in answering; nothing moves."""
    async with World(couch=Couch(*STYLES[style]), sweep_alone=10, sweep=10) as w:
        real, turn = w.couch.info_of, itertools.count()

        def info_of(base: Any) -> dict[str, Any]:
            info: dict[str, Any] = real(base)
            other = base.number + next(turn) % 2
            info["update_seq"] = [other, f"copy{other}"] if style == "bigcouch" else f"{other}-copy"
            return info

        w.couch.info_of = info_of
        await w.agrees()
        await w.quiet(30)
        assert w.source
        before = w.source.status()["audits_done"]
        await w.quiet(600)
        # 60 sweeps: after each look in vain twice as many of them do without.
        assert w.source.status()["audits_done"] - before <= 3 * 6
        w.device(1, name="moved")
        await w.agrees(60)


async def test_a_whole_read_does_not_compare_with_what_waits_in_the_inbox() -> None:
    """The store holds the old state, the inbox a newer one, and the old one is put back: it must be sent again."""
    async with World(sweep=20) as w:
        await w.agrees()
        await w.feed(1)
        old = w.couch.snapshot(name(1))
        w.taking = 0
        w.device(1, name="never stored")
        await w.until(lambda: w.inbox._events, "it waits in the inbox")
        w.couch.restore(name(1), old)
        await w.quiet(120)
        w.taking = 200
        await w.agrees(120)


async def test_a_database_that_goes_while_its_documents_wait_in_the_inbox() -> None:
    """What is held is asked for only when all that was sent is stored: else it would come back from the inbox."""
    async with World(sweep=20) as w:
        await w.agrees()
        await w.feed(1)
        w.taking = 0
        w.device(1, "d2", name="in the inbox")
        await w.until(lambda: w.inbox._events, "it waits in the inbox")
        w.couch.drop(name(1))
        await w.quiet(120)
        w.taking = 200
        await w.agrees(120)
        assert not [key for key in w.memory.docs if key[0] == name(1)]


async def test_what_was_lost_while_db_updates_was_refused_is_found_when_it_opens() -> None:
    """Long before the paced sweep, which is a day away here."""
    async with World(sweep=80_000, sweep_alone=80_000, feeds=0) as w:
        await w.agrees()

        async def refused(_: Request, wire: Wire) -> None:
            await wire.json({"error": "internal_server_error"}, 500)

        rule = w.server.instead(refused, "_db_updates")
        w.server.hang_up()
        await w.quiet(20)
        w.device(1, name="nobody was told")
        await w.quiet(1)
        rule.off()
        await w.agrees(100)
