"""The folder of dumps: what is a change, what is not, and what nothing may break."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
import structlog.testing

from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.settings import SourceSettings
from kazoo_provisioner.sources.base import CaughtUp, Change, Event, Inbox, Stored
from kazoo_provisioner.sources.directory import DirectorySource
from tests.support import kazoo
from tests.support.kazoo import Folder, account_id

HERE = account_id(1)
DB = db_of_account(HERE)


class Remembered:
    """What the store would hold at the start."""

    def __init__(self, held: dict[str, dict[str, str]]) -> None:
        self._held = held

    def held(self, db: str) -> dict[str, str]:
        return self._held.get(db, {})

    def databases(self) -> list[str]:
        return list(self._held)

    def positions(self) -> dict[str, Stored]:
        return {}


class Follow:
    """A source that runs, and what it sent."""

    def __init__(
        self, root: Path, held: dict[str, dict[str, str]] | None = None, max_document: int = 1_000_000
    ) -> None:
        self.held = held or {}
        self.inbox = Inbox()
        source = DirectorySource(SourceSettings(path=root, poll=0.01, max_document=max_document))
        self.task = asyncio.create_task(source.run(self.inbox, Remembered(self.held)))

    async def until_caught_up(self) -> list[Change]:
        seen: list[Event] = []
        while not (seen and isinstance(seen[-1], CaughtUp)):
            assert not self.task.done(), self.task
            await self.inbox.wait(30)
            seen += self.inbox.take(1)
        return [event for event in seen if isinstance(event, Change)]

    async def looks(self, seconds: float = 0.3) -> list[Change]:
        """What comes while nothing should."""
        await asyncio.sleep(seconds)
        return [event for event in self.inbox.take(1000) if isinstance(event, Change)]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "dbs")


async def test_reads_followed_databases_only(folder: Folder) -> None:
    folder.put(DB, kazoo.user("u+1/2", "Ada"))
    folder.put(f"{DB}-202601", kazoo.user("cdr"))
    folder.put(f"{DB}-selectors", kazoo.user("selector"))
    folder.put("numbers/+1555", kazoo.user("number"))
    folder.put("accounts", kazoo.account(HERE))
    (folder.root / "README").touch()
    (folder.path(DB, "x").parent / "note.txt").touch()
    (folder.path(DB, "x").parent / "att.json.att").touch()
    follow = Follow(folder.root)
    assert [(c.db, c.id) for c in await follow.until_caught_up()] == [(DB, "u+1/2"), ("accounts", HERE)]
    await follow.stop()


async def test_a_change_is_a_change_of_content(folder: Folder) -> None:
    """An edit counts without a new `_rev`; a new date does not count; a document that is held is not sent again."""
    folder.put(DB, kazoo.user("one"))
    follow = Follow(folder.root)
    (first,) = await follow.until_caught_up()
    path = folder.path(DB, "one")
    os.utime(path, (1, 1))
    assert await follow.looks() == []
    path.write_text(path.read_text().replace("Ada", "Bob"))
    (second,) = await follow.until_caught_up()
    assert second.kept
    assert second.kept[1]["first_name"] == "Bob"
    assert second.rev != first.rev
    await follow.stop()
    again = Follow(folder.root, {DB: {"one": second.rev}})
    assert await again.until_caught_up() == []
    await again.stop()
    reread = Follow(folder.root, {DB: {"one": ""}})
    assert [c.id for c in await reread.until_caught_up()] == ["one"]
    await reread.stop()


async def test_what_went_while_we_were_away_is_a_deletion(folder: Folder) -> None:
    folder.put(DB, kazoo.user("one"))
    follow = Follow(folder.root, {DB: {"gone": "1-x"}, db_of_account(account_id(2)): {"other": "1-x"}})
    changes = await follow.until_caught_up()
    while len(changes) < 3:
        changes += await follow.until_caught_up()
    assert {(c.id, c.kept is None) for c in changes} == {("one", False), ("gone", True), ("other", True)}
    await follow.stop()


async def test_same_size_in_the_same_instant_is_seen(folder: Folder) -> None:
    """Two writes within the clock's grain, of one size, to one inode."""
    folder.put(DB, kazoo.user("one", "Aaa"))
    follow = Follow(folder.root)
    await follow.until_caught_up()
    path = folder.path(DB, "one")
    before = path.stat()
    with path.open("r+") as stream:
        text = stream.read().replace("Aaa", "Bbb")
        stream.seek(0)
        stream.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_ino == before.st_ino
    (change,) = await follow.until_caught_up()
    assert change.kept
    assert change.kept[1]["first_name"] == "Bbb"
    await follow.stop()


async def test_a_file_that_is_replaced_is_not_deleted(folder: Folder) -> None:
    folder.put(DB, kazoo.user("one"))
    follow = Follow(folder.root)
    await follow.until_caught_up()
    for number in range(20):
        folder.put(DB, kazoo.user("one", f"Name {number}"))
        await asyncio.sleep(0.01)
    assert all(change.kept is not None for change in await follow.looks())
    folder.delete(DB, "one")
    (gone,) = await follow.until_caught_up()
    assert gone.kept is None
    folder.put(DB, kazoo.user("one"))
    (back,) = await follow.until_caught_up()
    assert back.kept is not None
    await follow.stop()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"a": 1e999}',
        b"[" * 200_000,
        b'{"a": "' + b"x" * 20_000 + b'"}',
    ],
)
async def test_broken_files_stop_nothing_and_delete_nothing(folder: Folder, junk: bytes) -> None:
    folder.put(DB, kazoo.user("one"))
    follow = Follow(folder.root, max_document=10_000)
    await follow.until_caught_up()
    good = folder.path(DB, "one").read_bytes()
    folder.path(DB, "one").write_bytes(junk)
    folder.put(DB, kazoo.user("two"))
    assert [c.id for c in await follow.until_caught_up()] == ["two"]
    assert await follow.looks() == []
    folder.path(DB, "one").write_bytes(good.replace(b"Ada", b"Eve"))
    assert [c.id for c in await follow.until_caught_up()] == ["one"]
    await follow.stop()


async def test_an_empty_or_missing_folder_is_not_believed(folder: Folder) -> None:
    folder.put(DB, kazoo.user("one"))
    follow = Follow(folder.root)
    await follow.until_caught_up()
    shutil.rmtree(folder.root)
    assert await follow.looks() == []
    folder.root.mkdir()
    assert await follow.looks() == []
    folder.put("accounts", kazoo.account(HERE))
    assert await follow.looks() == []
    folder.put(DB, kazoo.user("one", "Back"))
    assert {c.id for c in await follow.until_caught_up()} == {"one", HERE}
    await follow.stop()


async def test_odd_entries_stop_nothing(folder: Folder) -> None:
    """Names that are no text, links in a circle, pipes: reported once, what we hold of them stays."""
    folder.put(DB, kazoo.user("one"))
    folder.put(db_of_account(account_id(2)), kazoo.user("two"))
    docs = folder.path(DB, "one").parent
    (docs / os.fsdecode(b"\xff.json")).write_text("{}")
    (docs / "loop.json").symlink_to("loop.json")
    os.mkfifo(docs / "pipe.json")
    circle = folder.root / quote(db_of_account(account_id(3)), safe="")
    circle.symlink_to(circle)
    with structlog.testing.capture_logs() as logs:
        follow = Follow(folder.root)
        assert [c.id for c in await follow.until_caught_up()] == ["one", "two"]
        path = folder.path(DB, "one")
        path.unlink()
        path.symlink_to(path)
        assert await follow.looks() == []
        path.unlink()
        folder.put(DB, kazoo.user("one", "Back"))
        assert [c.id for c in await follow.until_caught_up()] == ["one"]
        await follow.stop()
    told = [line["path"] for line in logs if line["event"] == "source_entry_unreadable"]
    assert len(told) == len(set(told)) == 5


async def test_a_folder_without_an_account_is_not_everything(folder: Folder) -> None:
    """An unmounted disk at the very first start must not end the first pass with nothing."""
    follow = Follow(folder.root)
    await asyncio.sleep(0.2)
    assert follow.inbox.take(10) == []
    folder.put(DB, kazoo.user("one"))
    assert [c.id for c in await follow.until_caught_up()] == ["one"]
    await follow.stop()


async def test_one_of_two_databases_can_go(folder: Folder) -> None:
    other = db_of_account(account_id(2))
    folder.put(DB, kazoo.user("one"))
    folder.put(other, kazoo.user("two"))
    follow = Follow(folder.root)
    await follow.until_caught_up()
    folder.delete_database(other)
    assert [(c.id, c.kept) for c in await follow.until_caught_up()] == [("two", None)]
    await follow.stop()


async def test_the_inbox_is_bounded_in_bytes() -> None:
    inbox = Inbox(max_bytes=10_000)
    sent = 0

    async def send() -> None:
        nonlocal sent
        for number in range(100):
            await inbox.put(Change(DB, str(number), "1", ("user", {}), size=1_000))
            sent += 1

    task = asyncio.create_task(send())
    for _ in range(10):
        await asyncio.sleep(0)
    assert 5 < sent < 20
    got: list[Event] = []
    while len(got) < 100:
        await inbox.wait(5)
        got += inbox.take(3)
    await task
    assert [event.id for event in got if isinstance(event, Change)] == [str(n) for n in range(100)]
    assert json.dumps(sent) == "100"
