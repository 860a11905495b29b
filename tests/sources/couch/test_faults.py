"""Faults on the wire: silence, half a line, garbage, and answers that are errors."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.sources.couch.script import Request, Wire
from tests.sources.couch.world import World, name

PLENTY = 700
"""Requests in ten minutes of a fault that lasts: more than one a second is a busy loop."""


async def silence(_: Request, wire: Wire) -> None:
    await wire.silence()


async def after_head(_: Request, wire: Wire) -> None:
    await wire.head()
    await wire.silence()


async def half_a_line(_: Request, wire: Wire) -> None:
    await wire.head()
    await wire.piece(b'{"seq":"9-x","id":"d1","changes":[{"re')
    wire.cut()


async def half_and_an_end(_: Request, wire: Wire) -> None:
    await wire.head()
    await wire.piece(b'{"seq":"9-x","id":"d1","changes":[{"re')
    await wire.end()


async def half_and_closed(_: Request, wire: Wire) -> None:
    await wire.head(chunked=False)
    await wire.piece(b'{"results":[\n{"seq":"9-x","id":"d1","changes":[{"re')


async def garbage_line(_: Request, wire: Wire) -> None:
    await wire.head()
    await wire.piece(b"<html>garbage</html>\n")
    await wire.silence()


async def no_line(_: Request, wire: Wire) -> None:
    await wire.head()
    await wire.end()


async def page(_: Request, wire: Wire) -> None:
    await wire.html(200)


async def page_as_json(_: Request, wire: Wire) -> None:
    await wire.answer(200, b"<html></html>")


async def empty(_: Request, wire: Wire) -> None:
    await wire.answer(200, b"")


async def other_shape(_: Request, wire: Wire) -> None:
    await wire.json({"results": 5, "key": ["a"]})


async def a_list(_: Request, wire: Wire) -> None:
    await wire.json([1, {"key": 5, "info": None}])


async def nested(_: Request, wire: Wire) -> None:
    await wire.answer(200, b"[" * 100_000 + b"]" * 100_000)


async def error_500(_: Request, wire: Wire) -> None:
    await wire.json({"error": "internal_server_error", "reason": "boom"}, 500)


async def page_404(_: Request, wire: Wire) -> None:
    await wire.html(404)


async def forbidden(_: Request, wire: Wire) -> None:
    await wire.json({"error": "forbidden", "reason": "no"}, 403)


async def redirect(_: Request, wire: Wire) -> None:
    await wire.answer(302, b"", "text/html", ("Location: /elsewhere",))


async def closed(_: Request, wire: Wire) -> None:
    wire.cut()


async def no_http(_: Request, wire: Wire) -> None:
    await wire.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    wire.cut()


BROKEN = (half_a_line, half_and_an_end, half_and_closed, garbage_line, no_line, page, page_as_json, empty,
          other_shape, a_list, nested, error_500, page_404, forbidden, redirect, closed, no_http)  # fmt: skip
DEAD = (silence, after_head)
SOME = (half_a_line, page, empty, other_shape, nested, error_500, page_404, closed)
Fault = Callable[[Request, Wire], Awaitable[None]]


@pytest.mark.parametrize("fault", BROKEN + DEAD)
async def test_db_updates_breaks(fault: Fault) -> None:
    """A change is found by the sweep, and told again once the feed is back."""
    async with World(sweep=60) as w:
        await w.following()
        rule = w.server.instead(fault, "_db_updates", continuous=True)
        w.server.hang_up()
        w.couch.losing = True
        await w.quiet(5)
        w.device(1, name="unheard")
        await w.agrees(150)
        assert await w.quiet(600) < PLENTY
        w.couch.losing = False
        rule.off()
        await w.until(lambda: w.couch.listeners, "_db_updates is open again", 140)
        await w.quiet(1)
        w.device(1, name="heard")
        await w.agrees(2)


@pytest.mark.parametrize("fault", BROKEN + DEAD)
async def test_continuous_feeds_break(fault: Fault) -> None:
    """What a feed cannot tell is read without it; and no feed is tried in a circle."""
    async with World(budget=1500) as w:
        await w.following()
        rule = w.server.instead(fault, "_changes", continuous=True)
        w.device(1, name="first")
        await w.agrees(5)
        w.device(1, name="second")
        await w.agrees(70 if fault in DEAD else 5)
        assert await w.quiet(600) < PLENTY
        rule.off()
        w.device(1, name="third")
        await w.agrees(10)
        await w.feed(1)


@pytest.mark.parametrize("what", ["_changes", "_dbs_info", "_all_dbs", "_db_updates", "/", "db"])
@pytest.mark.parametrize("fault", SOME + DEAD)
async def test_answers_break_in_the_middle_of_it(what: str, fault: Fault) -> None:
    """No request of one kind is answered for ten minutes, from a reconnect on; then all is well again."""
    async with World(sweep=60, listing=100) as w:
        await w.following()
        w.couch.losing = True
        like = {"continuous": False} if what in ("_changes", "_db_updates") else {}
        rule = w.server.instead(fault, what, **like)
        w.device(1, name="unheard")
        w.server.hang_up()
        assert await w.quiet(600) < PLENTY
        assert not w.memory.deleted
        rule.off()
        w.couch.losing = False
        await w.agrees(400)
        assert not w.memory.deleted


@pytest.mark.parametrize("what", ["_changes", "_dbs_info", "_all_dbs", "_db_updates", "/", "db"])
@pytest.mark.parametrize("fault", BROKEN + DEAD)
async def test_answers_break_from_the_start(what: str, fault: Fault) -> None:
    world = World()
    like = {"continuous": False} if what in ("_changes", "_db_updates") else {}
    rule = world.server.instead(fault, what, **like)
    async with world as w:
        assert await w.quiet(600) < PLENTY
        rule.off()
        await w.agrees(400)
        assert w.memory.caught_up == 1


async def test_headers_that_come_with_the_first_heartbeat() -> None:
    """Both kinds of feeds, on a quiet database: 30 s without a byte are no fault."""
    async with World(timeout=10) as w:
        w.couch.late_headers = True
        await w.following()
        await w.feed(1)
        before = len(w.server.log)
        await w.quiet(250)
        assert w.server.count("_db_updates", continuous=True) == 1
        assert w.server.count("_changes", continuous=True) == 1
        assert len(w.server.log) - before < 5
        w.device(1, name="fast")
        await w.agrees(0.15)


async def test_a_feed_that_falls_silent_is_noticed() -> None:
    """Neither feed says a word any more, on connections that stay: both are opened again within 70 s."""
    async with World(sweep=3600) as w:
        opened: list[float] = []

        async def once_then_silent(request: Request, wire: Wire) -> None:
            opened.append(request.at)
            await wire.head()
            await wire.piece(b"\n")
            await wire.silence()

        w.server.instead(once_then_silent, "_db_updates", times=1, continuous=True)
        w.server.instead(once_then_silent, "_changes", times=1, continuous=True)
        await w.caught_up()
        w.couch.losing = True
        w.couch.put(name(1), {"_id": "x"})
        await w.until(lambda: len(opened) == 1, "_db_updates is open")
        w.device(1, name="unheard")
        await w.agrees(75)  # by the sweep after the reconnect
        await w.until(lambda: w.couch.listeners, "_db_updates is open", 5)
        w.couch.losing = False
        w.device(1, name="heard")
        await w.until(lambda: len(opened) == 2, "a feed is open", 5)
        w.couch.losing = True
        w.device(1, name="unheard again")
        await w.agrees(70)


async def test_event_while_a_feed_says_nothing() -> None:
    """Seconds after its last row a feed is not relied on: what an event tells of is read at once."""
    async with World(sweep=3600) as w:
        await w.following()
        w.server.instead(after_head, "_changes", continuous=True)
        w.device(1, name="first")
        await w.agrees(2)
        await w.quiet(6)
        w.device(1, name="second")
        await w.agrees(2)


async def test_half_a_line_is_completed() -> None:
    """A row that comes in pieces, with pauses, is one row."""
    async with World() as w:
        await w.following()

        async def pieces(_: Request, wire: Wire) -> None:
            await wire.head()
            while not w.couch.losing:
                await asyncio.sleep(0.1)
            base = w.couch.bases[name(1)]
            line = w.couch.row(base, "d1") + b"\n"
            for at in range(0, len(line), 40):
                await wire.piece(line[at : at + 40])
                await asyncio.sleep(1)
            await wire.silence()

        w.server.instead(pieces, "_changes", times=1, continuous=True)
        w.couch.put(name(1), {"_id": "y"})
        await w.until(lambda: w.server.count("_changes", continuous=True), "a feed is open", 5)
        w.device(1, name="in pieces")
        w.couch.losing = True
        await w.agrees(60)


@pytest.mark.parametrize("fault", [error_500, page_404, silence, half_a_line, page, nested])
async def test_one_database_is_broken(fault: Fault) -> None:
    """The others go on; we catch up without it; it is read when it is well again."""
    world = World(3)
    rule = world.server.instead(fault, db=name(2))
    async with world as w:
        await w.caught_up(300)
        assert {db for db, _ in w.memory.docs} == {"accounts", name(1), name(3)}
        w.device(3, name="the others go on")
        await w.until(
            lambda: w.memory.docs.get((name(3), "d1")) == w.couch.truth()[name(3), "d1"], "go on", 5
        )
        assert w.source
        assert w.source.status()["unreadable"] == [name(2)]
        assert await w.quiet(600) < PLENTY
        rule.off()
        await w.agrees(400)
        assert w.source.status()["unreadable"] == []


@pytest.mark.parametrize("fault", [silence, error_500, closed])
async def test_one_database_is_broken_where_each_is_asked(fault: Fault) -> None:
    """Without ``_dbs_info``: one that never answers does not hide those after it."""
    world = World(3)
    world.couch.dbs_info = world.couch.global_changes = False
    rule = world.server.instead(fault, db=name(1))
    async with world as w:
        await w.until(lambda: w.memory.docs.keys() >= {(name(3), "d1")}, "those after it are read", 300)
        w.device(3, name="the others go on")
        await w.until(lambda: w.memory.docs[name(3), "d1"] == w.couch.truth()[name(3), "d1"], "go on", 150)
        rule.off()
        await w.agrees(400)


async def test_dbs_info_hangs_on_one_database() -> None:
    """That is no reason to leave the server, over and over."""
    async with World(2, sweep=60, timeout=20) as w:
        await w.following()

        async def hang(request: Request, wire: Wire) -> None:
            if name(1).encode() in request.body:
                await wire.silence()
            await w.couch(request, wire)

        rule = w.server.instead(hang, "_dbs_info")
        before = w.server.count("/")
        assert await w.quiet(600) < PLENTY
        assert w.server.count("/") - before <= 3
        w.device(2, name="told")
        await w.agrees(60)
        rule.off()
        w.couch.losing = True
        w.device(1, name="unheard")
        await w.agrees(150)


@pytest.mark.parametrize("fault", [error_500, page, silence, page_404])
async def test_db_updates_broken_at_the_start(fault: Fault) -> None:
    """The databases are read without it; when it works, it is used."""
    world = World()
    rule = world.server.instead(fault, "_db_updates")
    async with world as w:
        await w.agrees(120)
        w.device(1, name="without it")
        await w.agrees(30)
        rule.off()
        await w.until(lambda: w.couch.listeners, "_db_updates is open", 4000)
