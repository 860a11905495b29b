"""Databases that go, come back, are made anew or put back as they were."""

import asyncio

import pytest

from tests.sources.couch.model import Couch
from tests.sources.couch.script import Request, Wire
from tests.sources.couch.world import World, name
from tests.support import kazoo


async def page_404(_: Request, wire: Wire) -> None:
    await wire.html(404)


async def code_404(_: Request, wire: Wire) -> None:
    await wire.missing()


async def test_deleted_database() -> None:
    """Its documents go after two looks, so many seconds apart; not after one."""
    async with World(confirm=20) as w:
        await w.following()
        w.couch.drop(name(1))
        await w.quiet(18)
        assert not w.memory.deleted
        await w.agrees(10)
        assert len(w.memory.deleted) == 3
        assert w.memory.at[name(1)].seq == ""


async def test_deleted_database_with_an_open_feed() -> None:
    async with World(confirm=20) as w:
        await w.following()
        await w.feed(1)
        w.couch.losing = True
        w.couch.drop(name(1))
        await w.quiet(18)
        assert not w.memory.deleted
        await w.agrees(10)


async def test_deleted_database_is_absent_from_the_list_only() -> None:
    """No event, and the list is what shows it."""
    async with World(listing=120, sweep=3600) as w:
        await w.following()
        w.couch.losing = True
        w.couch.drop(name(1))
        await w.agrees(4000)


async def test_404_of_a_database_in_two_pieces() -> None:
    """CouchDB's own words count however they are cut."""
    async with World(confirm=20) as w:
        await w.following()

        async def two(_: Request, wire: Wire) -> None:
            body = b'{"error":"not_found","reason":"Database does not exist."}\n'
            head = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\n"
            await wire.raw(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:12])
            await asyncio.sleep(0.1)
            await wire.raw(body[12:])

        w.server.instead(two, db=name(1))
        w.couch.drop(name(1))
        await w.agrees(60)


@pytest.mark.parametrize("feed", [False, True])
async def test_proxys_404_deletes_nothing(feed: bool) -> None:
    async with World(sweep=60, listing=100) as w:
        await w.following()
        if feed:
            await w.feed(1)
        for rule in (w.server.instead(page_404, "_changes"), w.server.instead(page_404, "db")):
            rule.on()
        w.couch.dbs_info = False
        w.server.hang_up()
        for base in list(w.couch.bases):
            w.couch.tell(base, "deleted")
        await w.quiet(300)
        assert not w.memory.deleted
        for rule in w.server.rules:
            rule.off()
        w.device(1, name="after it")
        await w.agrees(400)
        assert not w.memory.deleted


async def test_404_once_deletes_nothing() -> None:
    """A database that is missed once and there again, as while a node starts."""
    async with World(confirm=20) as w:
        await w.following()
        rule = w.server.instead(code_404, db=name(1))
        w.couch.tell(name(1), "updated")
        await w.quiet(15)
        rule.off()
        assert w.source
        assert w.source.status()["absent"] == 3
        await w.quiet(600)
        assert not w.memory.deleted
        assert w.source.status()["absent"] == 0
        await w.agrees()


async def test_absent_from_all_dbs_once() -> None:
    async with World(listing=100, sweep=50) as w:
        await w.following()

        async def without(_: Request, wire: Wire) -> None:
            await wire.json(["accounts", name(2)])

        w.server.instead(without, "_all_dbs", times=1)
        await w.quiet(600)
        assert w.server.rules[0].hits
        assert not w.memory.deleted
        await w.agrees()


@pytest.mark.parametrize("names", [[], ["accounts"], ["_users", "accounts", f"{name(1)}-202601"]])
async def test_list_without_any_account_is_not_believed(names: list[str]) -> None:
    """Nothing is deleted, and the server is not asked in a circle."""
    async with World() as w:
        await w.following()
        await w.quiet(40)

        async def without(_: Request, wire: Wire) -> None:
            await wire.json(names)

        rule = w.server.instead(without, "_all_dbs")
        gone = [w.server.instead(code_404, db=name(1)), w.server.instead(code_404, db=name(2))]
        w.couch.dbs_info = False
        w.server.hang_up()
        requests = await w.quiet(600)
        assert not w.memory.deleted
        for one in [rule, *gone]:
            one.off()
        await w.agrees(60)
        assert requests < 700


@pytest.mark.parametrize("updates", [False, True])
@pytest.mark.parametrize("left", [(), ("accounts",)])
async def test_empty_disk_behind_the_same_address(updates: bool, left: tuple[str, ...]) -> None:
    """The server comes back without its data between two requests of ours: the phones keep what they have."""
    couch = Couch()
    couch.global_changes = updates
    async with World(3, couch) as w:
        await w.caught_up()
        await w.agrees()
        await w.quiet(33)
        bases = dict(couch.bases)
        couch.bases = {kept: bases[kept] for kept in left}
        await w.server.stop()
        await w.server.start()
        requests = await w.quiet(100)
        assert not w.memory.deleted
        couch.bases.update(bases)
        w.device(1, name="it was mounted again")
        await w.agrees(400)
        assert requests < 150


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("told", [False, True])
async def test_recreated_database(feed: bool, same: bool, told: bool) -> None:
    """Without what is no more, with what is new; found by events, or by the sweep alone."""
    async with World() as w:
        await w.following()
        old = w.couch.bases[name(1)].start
        if feed:
            await w.feed(1)
        w.couch.losing = not told
        w.couch.create(name(1), old if same else None)
        w.couch.put(name(1), kazoo.account(kazoo.account_id(1)))
        for number in range(10):
            w.couch.put(name(1), kazoo.device(f"n{number}", kazoo.mac(100 + number)))
        await w.agrees(30 if told else 400)
        w.device(1, name="goes on")
        w.couch.losing = False
        w.device(1, name="goes on")
        await w.agrees(5)


async def test_recreated_while_we_were_away() -> None:
    async with World() as w:
        await w.following()
        await w.crash()
        w.couch.create(name(1), w.couch.bases[name(1)].start)
        for number in range(10):
            w.couch.put(name(1), kazoo.device(f"n{number}", kazoo.mac(100 + number)))
        w.start()
        await w.agrees(30)


@pytest.mark.parametrize("feed", [False, True])
async def test_restored_database_with_fewer_documents(feed: bool) -> None:
    """The count falls: it is read as a whole, with deletions, and later writes come."""
    async with World() as w:
        old = w.couch.snapshot(name(1))
        w.device(1, "d2")
        await w.following()
        if feed:
            await w.feed(1)
        w.couch.restore(name(1), old)
        w.device(1, name="since the restore")
        await w.agrees(1000)
        assert (name(1), "d2") in w.memory.deleted
        w.device(1, name="later")
        await w.agrees(400)


async def test_restored_database_that_only_moves() -> None:
    """Counts and numbers as before, and higher; rows never come: "moved, but no row"."""
    async with World() as w:
        old = w.couch.snapshot(name(1))
        w.device(1, "d1", name="lost")
        await w.following()
        await w.quiet(700)  # the last look was quiet
        w.couch.restore(name(1), old, number=50)
        w.device(1, "d3", name="hidden")
        w.couch.delete(name(1), "u1")
        await w.agrees(400)
        w.device(1, "d4", name="later")
        await w.agrees(10)


async def test_restored_while_we_were_away() -> None:
    """As above, and we were stopped for it."""
    async with World(heartbeat=600, sweep=1800) as w:
        old = w.couch.snapshot(name(1))
        w.device(1, "d1", name="lost")
        await w.following()
        await w.quiet(4000)
        await w.crash()
        w.couch.restore(name(1), old, number=50)
        w.device(1, "d3", name="hidden")
        w.start()
        await w.agrees(90_000 * 1.3)  # the daily audit at last


@pytest.mark.parametrize("hours", [0, 40])
async def test_hidden_writes_come_back_in_a_day(hours: int) -> None:
    """A restore that nothing shows: same number, same counts. The daily audit finds it, deletions too."""
    async with World(sweep=3600, heartbeat=600, budget=20_000) as w:
        w.device(1, "d2")
        old = w.couch.snapshot(name(1))
        await w.following()
        await w.quiet(hours * 3600 + 1)
        w.couch.losing = True
        w.couch.restore(name(1), old)
        base = w.couch.bases[name(1)]
        del base.docs["d2"]
        base.docs["d9"] = (3, "1-hidden", kazoo.device("d9", kazoo.mac(9)))
        base.line = old.line
        base.blind = {old.line}
        await w.agrees(86400 * 1.3)
        assert (name(1), "d2") in w.memory.deleted


async def test_other_server_under_the_same_address() -> None:
    """Its uuid differs: all is read as a whole, what is absent goes after two looks."""
    async with World(3) as w:
        w.device(1, "d2")
        await w.following()
        base = w.couch.bases[name(1)]
        del base.docs["d2"]  # neither rows nor counts of it remain
        base.docs["d9"] = (base.number, "1-x", kazoo.device("d9", kazoo.mac(9)))
        await swap(w)
        await w.agrees(60)
        assert w.memory.deleted == [(name(1), "d2")]
        assert w.source
        await w.until(lambda: w.source.status()["audits_done"] >= 4, "all databases are read", 30)


async def swap(w: World) -> None:
    """Another server with the same address, where nothing but its uuid shows that it is another."""
    w.couch.uuid = "u2"
    w.server.hang_up()
    await w.server.stop()
    for base in w.couch.bases.values():
        base.blind = {base.line}
    await w.server.start()


async def test_other_server_and_a_crash_before_its_databases_are_read() -> None:
    """That all must be read is known after a restart too."""
    async with World(3, audit_rate=0.1) as w:
        w.device(3, "d2")
        await w.following()
        w.couch.losing = True
        base = w.couch.bases[name(3)]
        del base.docs["d2"]  # neither rows nor counts of it remain
        base.docs["d9"] = (base.number, "1-x", kazoo.device("d9", kazoo.mac(9)))
        await w.quiet(40)
        await swap(w)
        await w.until(
            lambda: "u2" in w.memory.at.get("/servers", w.memory.at["accounts"]).identity, "met", 20
        )
        await w.restart()
        await w.agrees(600)


async def test_replay_with_an_absent_document() -> None:
    """All rows come again, with other numbers; what is not among them was purged, or lost."""
    async with World() as w:
        w.device(1, "d2")
        await w.following()
        base = w.couch.bases[name(1)]
        base.line = "replayed"
        del base.docs["d2"]
        w.couch.put(name(1), kazoo.user("u1", "Grace"))
        await w.agrees(30)
        assert w.memory.deleted == [(name(1), "d2")]


async def test_new_account_and_new_database() -> None:
    async with World() as w:
        await w.following()
        w.add(7)
        await w.agrees(3)
        w.couch.losing = True
        w.add(8)
        await w.agrees(700)


async def test_only_database_is_deleted() -> None:
    """And `accounts` with it: an empty disk looks like that, so nothing is believed; nor does the loop go mad."""
    couch = Couch()
    couch.admin = False
    async with World(1, couch, listing=100) as w:
        await w.agrees()
        w.couch.drop(name(1))
        w.couch.drop("accounts")
        held = dict(w.memory.docs)
        await w.quiet(300)
        assert w.memory.docs == held
        w.couch.create("accounts")
        w.add(2)
        await w.agrees(300)
