"""The first pass of a store: one mark for all at its end, and a power cut anywhere in it changes nothing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kazoo_provisioner import crashpoints
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.sources.base import CaughtUp, Inbox, Memory, Position, changed
from kazoo_provisioner.store.schema import StoreUnavailableError
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.run import MARKED, SYNCED, Writer
from tests.support import kazoo, tiny
from tests.support.kazoo import account_id, mac
from tests.support.world import Files, Key, fresh
from tests.sync.test_convergence import CrashError

HERE = account_id(1)
DB = db_of_account(HERE)


class Given:
    """A source of documents that are given; later ones come when they are put into `more`."""

    name = "given"

    def __init__(self, documents: dict[Key, kazoo.Doc]) -> None:
        self._documents = documents
        self.given = False
        self.more: asyncio.Queue[tuple[Key, kazoo.Doc]] = asyncio.Queue()

    async def run(self, inbox: Inbox, memory: Memory) -> None:
        for (db, doc_id), doc in sorted(self._documents.items()):
            if memory.held(db).get(doc_id) != doc["_rev"]:
                await inbox.put(changed(db, doc_id, doc["_rev"], doc, 100))
        await inbox.put(Position(DB, "1", "x"))
        await inbox.put(CaughtUp())
        await inbox.settled()
        self.given = True
        while True:
            (db, doc_id), doc = await self.more.get()
            await inbox.put(changed(db, doc_id, doc["_rev"], doc, 100))

    def status(self) -> dict[str, Any]:
        return {}


def documents() -> dict[Key, kazoo.Doc]:
    made: dict[Key, kazoo.Doc] = {(DB, HERE): kazoo.account(HERE), (DB, "user1"): kazoo.user("user1")}
    for number in range(8):
        device = kazoo.device(
            f"devi{number}", mac(number // 2 + 1), brand="acme", model=["onea", "twob"][number % 2],
            owner_id="user1", pvt_created=number,
        )  # fmt: skip
        made[DB, device["_id"]] = device
    return {key: doc | {"_rev": "1-x"} for key, doc in made.items()}


def served(store: Store) -> Files:
    rows = store._db.execute("SELECT s.account, s.name, b.data FROM served s JOIN blob b ON b.id=s.blob")
    return {(account, name): data for account, name, data in rows}


async def until_synced(folder: Path, renderer: Renderer, source: Given) -> bool:
    """Run a writer until the pass has ended and nothing is left to do; return False when it crashed before."""
    store = Store(folder)
    writer = Writer(store, source, renderer, PhonesSettings())
    running = asyncio.create_task(writer.run())
    try:
        while (
            not source.given
            or store.meta(SYNCED) is None
            or store.queue.next_at() is not None
            or not source.more.empty()
        ):
            await asyncio.sleep(0.005)
            if running.done():
                assert isinstance(running.exception(), CrashError), running
                return False
        return True
    finally:
        writer.stop()
        await asyncio.gather(running, return_exceptions=True)
        store.close()


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    return Renderer(tiny.catalogue(tmp_path / "templates"))


def wanted(tmp_path: Path, renderer: Renderer, given: dict[Key, kazoo.Doc]) -> Files:
    world = fresh(tmp_path / "fresh", renderer, PhonesSettings(), [], given)
    try:
        return world.served()
    finally:
        world.close()


def assert_right(tmp_path: Path, renderer: Renderer, given: dict[Key, kazoo.Doc]) -> None:
    store = Store(tmp_path / "store", read_only=True)
    assert served(store) == wanted(tmp_path, renderer, given)
    store.close()


@pytest.mark.parametrize("point", crashpoints.POINTS)
@pytest.mark.parametrize("count", [1, 2, 7])
async def test_a_power_cut_changes_nothing(
    tmp_path: Path, renderer: Renderer, point: str, count: int
) -> None:
    given = documents()
    left = count

    def hook(name: str) -> None:
        nonlocal left
        left -= name == point
        if name == point and left == 0:
            raise CrashError

    crashpoints.hook = hook
    try:
        ended = await until_synced(tmp_path / "store", renderer, Given(given))
    finally:
        crashpoints.hook = None
    if not ended:
        assert await until_synced(tmp_path / "store", renderer, Given(given))
    store = Store(tmp_path / "store", read_only=True)
    assert served(store) == wanted(tmp_path, renderer, given)
    assert store.meta(MARKED)
    store.close()
    assert len(wanted(tmp_path, renderer, given)) > 8


async def test_a_change_while_it_is_under_way_is_not_lost(tmp_path: Path, renderer: Renderer) -> None:
    """After everything was marked changes mark as ever, also in a later life that finds the pass half done."""
    given = documents()

    def stop(name: str) -> None:
        if name == "reconcile.begin":
            raise CrashError

    crashpoints.hook = stop
    try:
        assert not await until_synced(tmp_path / "store", renderer, Given(given))
    finally:
        crashpoints.hook = None
    store = Store(tmp_path / "store")
    assert store.meta(MARKED)
    assert store.meta(SYNCED) is None
    store.close()
    key = (DB, "user1")
    given[key] = kazoo.user("user1", "Renamed") | {"_rev": "2-x"}
    source = Given(given)
    source.more.put_nowait(((DB, HERE), kazoo.account(HERE, realm="later.example.com") | {"_rev": "2-x"}))
    assert await until_synced(tmp_path / "store", renderer, source)
    given[DB, HERE] = kazoo.account(HERE, realm="later.example.com")
    assert_right(tmp_path, renderer, given)


async def test_a_full_disk_in_that_moment_only_delays_it(
    tmp_path: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the pass comes once in a source's life; when noting it fails, it is noted later."""
    real, failures = Writer._mark_all, []

    def full(writer: Writer) -> None:
        if not failures:
            failures.append(1)
            raise StoreUnavailableError("disk is full")
        real(writer)

    monkeypatch.setattr(Writer, "_mark_all", full)
    given = documents()
    assert await until_synced(tmp_path / "store", renderer, Given(given))
    assert failures
    assert_right(tmp_path, renderer, given)


async def test_what_an_earlier_program_rendered_and_is_gone_goes(tmp_path: Path, renderer: Renderer) -> None:
    """A store that was upgraded in the middle of its first pass, whose device is deleted before its end."""
    given = documents()
    assert await until_synced(tmp_path / "store", renderer, Given(given))
    store = Store(tmp_path / "store")
    with store.transaction():
        store.drop_meta(MARKED)
        store.drop_meta(SYNCED)
    store.close()
    given[DB, "devi1"] = given[DB, "devi1"] | {"pvt_deleted": True, "_rev": "2-x"}
    given[DB, "devi0"] = given[DB, "devi0"] | {"pvt_deleted": True, "_rev": "2-x"}
    assert await until_synced(tmp_path / "store", renderer, Given(given))
    store = Store(tmp_path / "store", read_only=True)
    assert not any(mac(1) in file for _, file in served(store))
    assert served(store) == wanted(tmp_path, renderer, given)
    store.close()


async def test_a_store_of_before_marks_what_changes(tmp_path: Path, renderer: Renderer) -> None:
    """It has ended its pass, and knows no such note."""
    given = documents()
    assert await until_synced(tmp_path / "store", renderer, Given(given))
    store = Store(tmp_path / "store")
    with store.transaction():
        store.drop_meta(MARKED)
    store.close()
    given[DB, "user1"] = kazoo.user("user1", "Renamed") | {"_rev": "2-x"}
    assert await until_synced(tmp_path / "store", renderer, Given(given))
    assert_right(tmp_path, renderer, given)
