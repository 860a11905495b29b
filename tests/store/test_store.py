"""The store's file: rights, lock, migration, a full disk; and what its tables promise."""

import asyncio
import os
import sqlite3
import stat
import tempfile
from pathlib import Path

import pytest
import structlog.testing

from kazoo_provisioner.catalogue.load import Catalogue
from kazoo_provisioner.layers import PhonesSettings
from kazoo_provisioner.render.engine import Renderer
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.directory import DirectorySource
from kazoo_provisioner.store import schema
from kazoo_provisioner.store.queue import ACCOUNT, BACKGROUND, LONGEST_DELAY, QUIET, QUIET_AT_MOST, SINGLE
from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.releases import Made, PhoneState
from kazoo_provisioner.store.schema import StoreError, StoreUnavailableError
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.sync.run import SYNCED, Writer
from tests.support import kazoo, tiny
from tests.support.kazoo import Folder, account_id, fleet
from tests.support.world import Harness

FIRST = Path(__file__).parent / "schema-1.sql"
"""A store as the first released schema had it, with documents, releases, claims and marks."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "store", history=3)
    yield opened
    opened.close()


def test_nobody_else_can_read_it(store: Store) -> None:
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    for path in store.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_two_instances_on_one_store(tmp_path: Path) -> None:
    held = schema.lock(tmp_path / "s")
    with pytest.raises(StoreError, match="another instance"):
        schema.lock(tmp_path / "s", patience=0.2)
    os.close(held)
    os.close(schema.lock(tmp_path / "s"))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file.*cannot be (made|written)"):
        Store(tmp_path / "file" / "store")
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "store"
        folder.mkdir(mode=0o500)
        Path(outer).chmod(0o755)
        folder.chmod(0o555)
        assert "must belong to the user who runs the service" in _as_nobody(folder)


def _as_nobody(folder: Path) -> str:
    """What opening says to a user without rights (root may write anywhere, so root becomes nobody)."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            Store(folder)
            said = "opened"
        except BaseException as error:  # noqa: BLE001 - it must not return into the test run
            said = str(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as stream:
        return stream.read()


def test_a_broken_file_and_a_newer_schema_are_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / schema.FILE).write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreError, match=r"broken.*not a database"):
        Store(broken)
    Store(tmp_path / "newer").close()
    connection = sqlite3.connect(tmp_path / "newer" / schema.FILE)
    connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path / "newer")
    with pytest.raises(StoreError, match="schema 999"):
        Reader(tmp_path / "newer")
    with pytest.raises(StoreError, match="holds no store yet"):
        Reader(tmp_path / "nothing")


def test_the_first_schema_is_migrated(tmp_path: Path) -> None:
    """What the first released version left behind is served and worked on as before."""
    folder = tmp_path / "store"
    folder.mkdir()
    connection = sqlite3.connect(folder / schema.FILE)
    connection.executescript(FIRST.read_text())
    before = {
        (a, n): d
        for a, n, d in connection.execute("SELECT account, name, data FROM served JOIN blob ON blob.id=blob")
    }
    assert len(before) > 5
    connection.close()
    tiny.write(tmp_path / "templates")
    harness = Harness(folder, Renderer(tiny.load(tmp_path / "templates")))
    assert harness.store._db.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)
    assert harness.served() == before
    account = account_id(0)
    harness.deliver(
        [
            (
                (f"account/{account[:2]}/{account[2:4]}/{account[4:]}", "devi0"),
                kazoo.device("devi0", kazoo.mac(1), brand="acme", model="onea", name="After"),
            )
        ]
    )
    harness.settle()
    assert b"After" in harness.served()[account, f"{kazoo.mac(1)}.cfg"]
    harness.close()


async def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own "disk is full", by a limit on its pages; when there is room again all arrives."""
    documents = Folder(tmp_path / "dbs")
    fleet(documents, 2, 30)
    for path in documents.root.glob("*/docs/devi*.json"):
        path.write_text(path.read_text().replace('"yealink"', '"acme"').replace('"t46g"', '"onea"'))
    store = Store(tmp_path / "store")
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count={pages + 4}")
    source = DirectorySource(SourceSettings(path=documents.root, poll=0.05))
    catalogue: Catalogue = tiny.catalogue(tmp_path / "templates")
    writer = Writer(store, source, Renderer(catalogue), PhonesSettings())
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(writer.run())
        while not any(line["event"] == "store_unavailable" for line in logs):
            await asyncio.sleep(0.01)
            assert not running.done(), running
        assert store.meta(SYNCED) is None
        store._db.execute("PRAGMA max_page_count=1000000")
        while store.meta(SYNCED) is None:
            await asyncio.sleep(0.05)
            assert not running.done(), running
    writer.stop()
    await running
    # One in seven of the fleet is a t46g, which became the model that the tiny catalogue has.
    assert store.releases.count() == sum(n % 7 == 0 for n in range(30))
    assert store.documents.count()[1] == len(list(documents.root.glob("*/docs/*.json")))
    store.close()


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        store.set_meta("a", "1")
        raise RuntimeError
    assert store.meta("a") is None
    store._db.execute("PRAGMA max_page_count=1")
    with pytest.raises(StoreUnavailableError), store.transaction():
        for number in range(10_000):
            store.set_meta(str(number), "x" * 100)
    assert store.meta("0") is None


class Clock:
    """Marks on a store, at times of the test's choosing."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, 1_000_000

    def mark(self, subject: str, priority: int = SINGLE) -> None:
        cause = self.store.queue.cause("document", subject, str(self.now), self.now)
        self.store.queue.mark([subject], cause, priority, self.now)

    def due(self, priority: int = BACKGROUND) -> list[str]:
        return [due.subject for due in self.store.queue.due(self.now, 10, priority)]

    def work(self) -> None:
        for due in self.store.queue.due(self.now, 10):
            self.store.releases.set_state(PhoneState(due.subject, "a", "d", at=self.now))
            self.store.queue.clear(due)


def test_quiescence_has_a_leading_edge(store: Store) -> None:
    """At rest: due at once. Just rendered: wait until quiet, never longer than the limit."""
    clock = Clock(store)
    clock.mark("phone/a/d")
    assert clock.due() == ["phone/a/d"]
    clock.work()
    clock.now += 10
    clock.mark("phone/a/d")
    assert clock.due() == []
    first = clock.now
    while clock.due() == []:
        clock.now += QUIET - 50
        clock.mark("phone/a/d")
        assert clock.now <= first + QUIET_AT_MOST + QUIET
    assert clock.now >= first + QUIET_AT_MOST - QUIET
    clock.work()
    clock.now += QUIET_AT_MOST + 1
    clock.mark("phone/a/d")
    assert clock.due() == ["phone/a/d"]


def test_quiet_ends_after_the_last_mark(store: Store) -> None:
    clock = Clock(store)
    clock.mark("phone/a/d")
    clock.work()
    clock.mark("phone/a/d")
    clock.now += QUIET
    assert clock.due() == ["phone/a/d"]


def test_priority_then_age(store: Store) -> None:
    clock = Clock(store)
    for subject, priority in (
        ("phone/a/1", BACKGROUND),
        ("phone/a/2", ACCOUNT),
        ("phone/a/3", SINGLE),
        ("phone/a/4", SINGLE),
    ):
        clock.mark(subject, priority)
        clock.now += 1
    assert clock.due() == ["phone/a/3", "phone/a/4", "phone/a/2", "phone/a/1"]
    assert clock.due(ACCOUNT) == ["phone/a/3", "phone/a/4", "phone/a/2"]
    clock.mark("phone/a/1", SINGLE)
    assert clock.due()[0] == "phone/a/1"


def test_a_mark_set_meanwhile_is_not_cleared(store: Store) -> None:
    clock = Clock(store)
    clock.mark("phone/a/d")
    (due,) = store.queue.due(clock.now, 10)
    clock.mark("phone/a/d")
    store.queue.clear(due)
    assert store.queue.is_dirty("phone/a/d")
    assert len(store.queue.causes("phone/a/d")) == 1


def test_failures_wait_longer_each_time_and_news_ends_the_wait(store: Store) -> None:
    clock = Clock(store)
    clock.mark("phone/a/d")
    delays = []
    for _ in range(14):
        (due,) = store.queue.due(clock.now, 10)
        delays.append(store.queue.postpone(due, clock.now))
        assert clock.due() == []
        clock.now += delays[-1]
    assert delays[:4] == [1000, 2000, 4000, 8000]
    assert delays[-1] == LONGEST_DELAY
    (due,) = store.queue.due(clock.now, 10)
    store.queue.postpone(due, clock.now)
    clock.mark("phone/a/d")
    assert clock.due() == ["phone/a/d"]


def test_a_clock_that_jumps_back_does_not_stop_the_queue(store: Store) -> None:
    clock = Clock(store)
    clock.mark("phone/a/d")
    clock.now -= 10 * LONGEST_DELAY
    assert clock.due() == ["phone/a/d"]


def made(data: bytes, name: str = "001565aabbcc.cfg") -> Made:
    return Made(name, "text/plain", True, data, f"hash-{data.decode()}")


def test_history_is_bounded_and_content_without_a_name_goes(store: Store) -> None:
    for number in range(9):
        with store.transaction():
            store.releases.publish(
                "phone/a/d", [made(str(number).encode())], ["a", ""], "m", f"i{number}", [], number
            )
    assert [release.at for release in store.releases.history("phone/a/d", 99)] == [8, 7, 6]
    assert store._db.execute("SELECT count(*) FROM blob").fetchone()[0] == 3
    assert [row[:2] for row in store.releases.served_names("phone/a/d")] == [
        ("a", "001565aabbcc.cfg"),
        ("", "001565aabbcc.cfg"),
    ]
    with store.transaction():
        assert not store.releases.publish("phone/a/d", [made(b"8")], ["a", ""], "m", "other", [], 9)
    assert len(store.releases.history("phone/a/d", 99)) == 3
    assert store.releases.is_current("phone/a/d", "other", ["a", ""])
    assert not store.releases.is_current("phone/a/d", "other", ["a"])
    assert not store.releases.is_current("phone/a/d", "i8", ["a", ""])
    with (
        store.transaction()
    ):  # another subject takes a name: the first one's inputs are the same, but not what is served
        store.releases.publish("phone/a/other", [made(b"x")], [""], "m", "x", [], 9)
    assert not store.releases.is_current("phone/a/d", "other", ["a", ""])
    with store.transaction():
        store.releases.withdraw("phone/a/other", [], 9)
    with store.transaction():
        assert store.releases.publish("phone/a/d", [made(b"9", "other.cfg")], ["a"], "m", "i", [], 10)
    assert [row[:2] for row in store.releases.served_names("phone/a/d")] == [("a", "other.cfg")]
    with store.transaction():
        assert store.releases.withdraw("phone/a/d", [], 11)
        assert not store.releases.withdraw("phone/a/d", [], 12)
    assert store.releases.history("phone/a/d", 1)[0].state == "withdrawn"
    assert not store.releases.is_serving("phone/a/d")
    with store.transaction():
        store.releases.forget_withdrawn(11)
    assert store.releases.history("phone/a/d", 9)
    with store.transaction():
        store.releases.forget_withdrawn(12)
    assert store.releases.history("phone/a/d", 9) == []
    assert store._db.execute("SELECT count(*) FROM blob").fetchone()[0] == 0


def test_a_history_of_one_keeps_one_content(tmp_path: Path) -> None:
    store = Store(tmp_path / "one", history=1)
    for number in range(5):
        with store.transaction():
            store.releases.publish(
                "phone/a/d", [made(str(number).encode())], ["a"], "m", f"i{number}", [], number
            )
    assert store._db.execute("SELECT count(*) FROM blob").fetchone()[0] == 1
    store.close()


def test_readers_see_whole_files_while_the_writer_writes(store: Store) -> None:
    reader = Reader(store.folder)
    assert reader.find("a", "001565aabbcc.cfg") is None
    assert not reader.is_synced()
    for number in range(5):
        with store.transaction():
            store.releases.publish(
                "phone/a/d", [made(str(number).encode())], ["a"], "m", f"i{number}", [], number
            )
            seen = reader.find("a", "001565aabbcc.cfg")
            assert (seen and seen.etag) == (f"hash-{number - 1}" if number else None)
        seen = reader.find("a", "001565aabbcc.cfg")
        assert seen
        assert seen.data == str(number).encode()
        held = reader.find("a", "001565aabbcc.cfg", seen.etag)
        assert held is not None
        assert held.data is None
    assert reader.why_not("a", "001565aabbcc") == "unknown_mac"
    store.releases.set_state(PhoneState("phone/a/d", "a", "d", "001565aabbcc", problem="no_model"))
    assert reader.why_not("a", "001565aabbcc") == "no_model"
    assert reader.why_not("b", "001565aabbcc") == "wrong_account"
    reader.close()
