"""The server: restarts, several nodes, credentials, older versions, rights."""

import asyncio
import base64

import pytest

from kazoo_provisioner.yamlfile import Secret
from tests.sources.couch.model import Couch
from tests.sources.couch.script import Request, Script, Wire
from tests.sources.couch.world import World, name
from tests.support import kazoo


async def refuse_401(_: Request, wire: Wire) -> None:
    await wire.json({"error": "unauthorized", "reason": "Name or password is incorrect."}, 401)


async def refuse_403(_: Request, wire: Wire) -> None:
    await wire.json({"error": "forbidden", "reason": "no"}, 403)


async def silence(_: Request, wire: Wire) -> None:
    await wire.silence()


async def test_restart_in_the_middle_of_everything() -> None:
    """Events of the last moments are lost with the server; the sweep after the reconnect finds the changes."""
    async with World(20, sweep=3600) as w:
        await w.following()
        for number in range(1, 6):
            await w.feed(number)
        w.couch.losing = True
        for number in range(1, 20):
            w.device(number, name="just before")
        w.couch.delete(name(20), "d1")
        await w.server.stop()
        w.device(3, name="while we cannot see it")
        await w.quiet(100)
        await w.server.start()
        w.couch.losing = False
        await w.agrees(60)
        w.device(9, name="after")
        await w.agrees(3)
        assert w.memory.deleted == [(name(20), "d1")]


@pytest.mark.parametrize("seconds", [0, 40])
async def test_restart_between_two_requests(seconds: float) -> None:
    """So short that no connection is refused: the feeds end, what was written last has no event."""
    async with World() as w:
        await w.following()
        await w.quiet(seconds)
        w.couch.losing = True
        w.device(1, name="just before")
        w.server.hang_up()
        await w.quiet(0.1)
        w.couch.losing = False
        await w.agrees(30)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 17, 21])
async def test_restart_in_the_first_sweep(after: int) -> None:
    world = World(12)
    async with world as w:
        await w.until(lambda: len(w.server.log) >= after, "so many requests")
        await w.server.stop()
        await w.quiet(3)
        await w.server.start()
        await w.agrees(60)
        await w.until(lambda: w.memory.caught_up == 1, "caught up")


async def test_frozen_server() -> None:
    """It accepts connections and says nothing; nobody waits for it longer than needed once it is back."""
    async with World() as w:
        await w.following()
        await w.feed(1)
        w.server.frozen = True
        w.server.hang_up()
        assert await w.quiet(600) < 300
        w.device(1, name="meanwhile")
        w.server.frozen = False
        await w.agrees(120)


async def test_dead_server_is_asked_less_and_less() -> None:
    async with World() as w:
        await w.following()

        async def cut(_: Request, wire: Wire) -> None:
            wire.cut()

        rule = w.server.instead(cut)
        w.server.hang_up()
        assert await w.quiet(600) < 100
        rule.off()
        await w.agrees(60)
        w.device(1, name="after it")
        await w.until(lambda: w.memory.docs == w.couch.truth(), "after it", 60)


@pytest.mark.parametrize("kind", ["refuses", "hangs", "proxy", "falls"])
async def test_several_nodes(kind: str) -> None:
    """One that does not answer costs seconds, and events are followed through the next."""
    world = World(sweep=3600)
    first = Script(world.couch if kind == "falls" else silence)
    await first.start()
    if kind == "refuses":
        await first.stop()
    elif kind == "proxy":
        first.usual = lambda _, wire: wire.html(502)
    await world.server.start()
    world.settings["urls"] = (f"http://127.0.0.1:{first.port}", world.url)
    await world.server.stop()
    async with world as w:
        await w.following()
        if kind == "falls":
            await first.stop()
            w.couch.losing = True
            w.device(1, name="while it falls")
            await w.agrees(10)
            w.couch.losing = False
            await w.until(lambda: w.couch.listeners, "the other one is followed")
        w.device(1, name="told")
        await w.agrees(2)
        await w.crash()
        await first.stop()


async def test_basic_password_goes_with_every_request() -> None:
    async with World(user="admin", password=Secret("paßword")) as w:
        await w.following()
        await w.feed(1)
        wanted = "Basic " + base64.b64encode("admin:paßword".encode()).decode()
        assert {r.headers.get("authorization") for r in w.server.log} == {wanted}


@pytest.mark.parametrize("what", ["/", "_all_dbs", "db", "_changes", "_dbs_info", "_db_updates"])
async def test_password_goes_nowhere_else(what: str) -> None:
    """Not where a node, or who sits in its place, redirects us."""
    async with World(user="admin", password=Secret("word")) as w:
        other = Script(w.couch)
        await other.start()

        async def elsewhere(request: Request, wire: Wire) -> None:
            where = f"Location: http://127.0.0.1:{other.port}{request.path.replace('account/', 'account%2F')}"
            await wire.answer(302, b"", headers=(where,))

        w.server.instead(elsewhere, what)
        await w.quiet(60)
        w.server.hang_up()
        await w.quiet(60)
        assert not any("authorization" in r.headers for r in other.log)
        await w.crash()
        await other.stop()


@pytest.mark.parametrize("refuse", [refuse_401, refuse_403])
async def test_refused(refuse: object) -> None:
    """Nothing is deleted, we ask less and less often, and go on when we may again."""
    async with World(user="admin", password=Secret("word"), sweep=60) as w:
        await w.following()
        await w.feed(1)
        rule = w.server.instead(refuse)  # type: ignore[arg-type]
        w.server.hang_up()
        w.device(1, name="unseen")
        assert await w.quiet(600) < 100
        assert not w.memory.deleted
        rule.off()
        await w.agrees(60)


async def test_refused_in_the_middle() -> None:
    """Feeds that are open stay open: what is asked next is refused."""
    async with World(user="admin", password=Secret("word"), sweep=60) as w:
        await w.following()
        rule = w.server.instead(refuse_401)
        w.device(1, name="unseen")
        assert await w.quiet(600) < 100
        rule.off()
        await w.agrees(60)


async def test_session() -> None:
    """One login; another one when the cookie is worth nothing any more."""
    couch = Couch()
    couch.password = "word"
    async with World(2, couch, user="admin", password=Secret("word"), auth="session", sweep=60) as w:
        await w.following()
        await w.feed(1)
        assert w.server.count("_session") == 1
        assert not any("authorization" in r.headers for r in w.server.log)
        for _ in range(3):
            couch.cookies.clear()
            w.device(2, name=f"renewed {w.now}")
            await w.agrees(10)
            await w.quiet(200)
        assert w.server.count("_session") <= 1 + 3 * 4
        assert w.server.count("/") == 1  # the server is not lost for that
        assert w.source
        assert w.source.status()["connected"]


async def test_session_with_a_wrong_password() -> None:
    couch = Couch()
    couch.password = "other"
    async with World(2, couch, user="admin", password=Secret("word"), auth="session") as w:
        assert await w.quiet(600) < 120
        couch.password = "word"
        await w.agrees(60)


async def test_session_that_never_holds() -> None:
    """Every cookie is refused at once: no circle of logins."""
    couch = Couch()
    couch.password = "word"
    async with World(2, couch, user="admin", password=Secret("word"), auth="session", sweep=60) as w:
        await w.following()
        rule = w.server.instead(refuse_401, "_changes")
        w.couch.tell(name(1), "updated")
        assert await w.quiet(600) < 500
        rule.off()
        w.device(1, name="after it")
        await w.agrees(60)


@pytest.mark.parametrize("style", ["1", "bigcouch"])
async def test_old_servers(style: str) -> None:
    """Integers and arrays as sequences, no _dbs_info, no _db_updates: the sweep alone."""
    couch = Couch("1.1.1" if style == "bigcouch" else "1.7.2", style)
    async with World(3, couch, sweep_alone=10) as w:
        await w.caught_up()
        await w.agrees()
        w.device(1, name="moved")
        w.couch.delete(name(2), "d1")
        await w.agrees(15)
        await w.feed(3)
        w.device(3, name="fast")
        await w.agrees(0.15)
        sent = {r.query["since"] for r in w.server.log if r.what == "_changes"}
        assert sent > {"0"}
        assert all(s == "0" or (s.startswith("[") if style == "bigcouch" else s.isdigit()) for s in sent)
        assert not w.server.count("_dbs_info")
        assert not w.server.count("_db_updates")
        await w.restart()
        w.device(2, name="after a restart")
        await w.agrees(30)
        w.couch.drop(name(3))
        await w.agrees(60)
        w.add(4)
        await w.agrees(60)
        w.couch.create(name(2))
        w.couch.put(name(2), kazoo.device("d9", kazoo.mac(9)))
        await w.agrees(60)


async def test_not_an_admin() -> None:
    """Databases are found through `accounts`; there is no list of them."""
    couch = Couch()
    couch.admin = False
    async with World(3, couch) as w:
        await w.caught_up()
        await w.agrees()
        w.device(1, name="moved")
        await w.agrees(15)
        w.add(4)
        await w.agrees(30)
        w.couch.drop(name(3))
        await w.agrees(60)
        assert w.server.count("_all_dbs") <= 2
        assert w.server.count("_db_updates") <= 12  # somebody may be made an admin


async def test_global_changes_missing_and_deleted() -> None:
    couch = Couch()
    couch.global_changes = False
    async with World(2, couch) as w:
        await w.caught_up()
        w.device(1, name="by the sweep alone")
        await w.agrees(15)
        couch.global_changes = True
        w.server.hang_up()
        await w.restart()
        await w.until(lambda: couch.listeners, "_db_updates is open")
        couch.remove_global_changes()
        await w.quiet(1)
        w.device(2, name="it was deleted")
        await w.agrees(70)
        w.device(2, name="and a sweep alone goes on")
        await w.agrees(330)
        assert await w.quiet(600) < 700
        couch.global_changes = True
        await w.until(lambda: couch.listeners, "_db_updates is open again", 80)


@pytest.mark.parametrize("version", ["3.5.0-c1bbd32", "3x.1", "10.0.1", "4.0.0", "", "x" * 100, "³.1"])
async def test_odd_versions(version: str) -> None:
    """Whatever it calls itself, it is followed; what is newer than CouchDB 2 is asked for all it can."""
    async with World(2, Couch(version)) as w:
        await w.caught_up()
        await w.agrees()
        w.device(1, name="moved")
        await w.agrees(15)
        if version.startswith(("3.", "4.", "10.")):
            assert w.couch.listeners
            assert w.server.count("_dbs_info")


async def test_cancelled_in_the_moment_of_a_hurry() -> None:
    """A sweep that is ended does end: else its group would wait for it for ever (asyncio.wait_for in 3.11)."""
    async with World() as w:
        await w.following()
        await w.quiet(10)
        assert w.source
        assert w.source._following
        for turns in range(5):
            following = w.source._following
            sweep = asyncio.create_task(following._sweep(hurried=False))
            await asyncio.sleep(1)
            assert not sweep.done()
            following._hurry.set()
            for _ in range(turns):
                await asyncio.sleep(0)
            ended = sweep.done()
            sweep.cancel()
            await asyncio.wait([sweep])
            assert ended or sweep.cancelled()
            following._hurry.clear()


async def test_no_task_outlives_a_lost_server() -> None:
    """Questions to each database, of which one fails: the others are not asked behind everybody's back."""
    couch = Couch("1.7.2", "1")
    async with World(40, couch, readers=2, timeout=20) as w:
        await w.caught_up()
        before = {t for t in asyncio.all_tasks() if "infos" in repr(t.get_coro())}
        assert not before
        w.server.instead(silence)
        await w.until(lambda: w.source and not w.source.status()["connected"], "lost", 100)
        left = [t for t in asyncio.all_tasks() if "infos" in repr(t.get_coro())]
        assert not left
