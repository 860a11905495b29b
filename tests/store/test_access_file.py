"""The file `access.db` itself: many processes, older and newer schemas, what breaks it."""

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kazoo_provisioner.store import access, schema
from kazoo_provisioner.store.access import FILE, Access, Miss, renew
from kazoo_provisioner.store.schema import StoreError
from tests.store.test_access import MAC, NOW, WINDOW, note, request

FIRST = Path(__file__).parent / "access-1.sql"
"""The file as the first released schema had it, with a row or two of everything."""


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Access]:
    made = Access(tmp_path)
    yield made
    made.close()


def schema_of(path: Path) -> dict[str, str]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    finally:
        connection.close()


def sql(folder: Path, script: str) -> None:
    connection = sqlite3.connect(folder / FILE)
    connection.executescript(script)
    connection.close()


def work(folder: Path, number: int, start: Any) -> None:
    """Write as another process."""
    start.wait()
    made = Access(folder)
    for turn in range(40):
        made.write(
            [request(f"{number:06d}{turn:06d}"), request(at=NOW + turn)],
            [Miss("a", f"{number}/{turn}", NOW)], {"n": 1}, 50, WINDOW,
        )  # fmt: skip
    made.close()


def test_many_processes_write_at_once(tmp_path: Path) -> None:
    Access(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    workers = [context.Process(target=work, args=(tmp_path, number, start)) for number in range(3)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.exitcode for one in workers] == [0, 0, 0]
    made = Access(tmp_path)
    assert made.tallies() == {"n": 120}
    assert made._db.execute("SELECT count(*) FROM request").fetchone() == (121,)
    assert made._db.execute("SELECT count(*) FROM miss").fetchone() == (120,)
    assert made.limited(NOW) == {"a": NOW + 3600}
    made.close()


def test_two_make_the_file_at_once(tmp_path: Path) -> None:
    """Who comes second to the tables that it was about to make goes on with them."""

    class Slow(sqlite3.Connection):
        def executescript(self, script: str) -> sqlite3.Cursor:
            Access(tmp_path).close()
            return super().executescript(script)

    late = sqlite3.connect(tmp_path / FILE, factory=Slow, isolation_level=None)
    schema.migrate(late, tmp_path / FILE, access.MIGRATIONS)
    assert not late.in_transaction
    late.execute("INSERT INTO tally VALUES('x', 1)")
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        schema.migrate(late, tmp_path / FILE, (*access.MIGRATIONS, "NONSENSE;"))
    assert not late.in_transaction
    late.close()


def test_the_first_schema_is_read(tmp_path: Path) -> None:
    """And is the same after it was brought up to date as one that was made anew."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    sql(old, FIRST.read_text())
    made = Access(old)
    assert made._db.execute("PRAGMA user_version").fetchone() == (len(access.MIGRATIONS),)
    assert [one.at for one in made.requests(MAC)] == [NOW + 1, NOW]
    assert made.places(MAC) == ["192.0.2.1"]
    assert made.limited(NOW) == {"203.0.113.9": NOW + 3604}
    assert made.tallies()["bytes"] == 1234
    note(made, request())
    made.close()
    Access(new).close()
    assert schema_of(old / FILE) == schema_of(new / FILE)


def test_a_next_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Access(tmp_path)
    note(made, request())
    made.close()
    with monkeypatch.context() as patch:
        patch.setattr(
            access, "MIGRATIONS", (access.V1, "CREATE TABLE more(a);", "INSERT INTO more VALUES(1);")
        )
        with pytest.raises(StoreError, match="has schema 1, this program reads 3"):
            Access(tmp_path, read_only=True)
        for _ in range(2):
            newer = Access(tmp_path)
            assert newer._db.execute("SELECT * FROM more").fetchall() == [(1,)]
            assert newer.requests(MAC) == [request()]
            newer.close()
        Access(tmp_path, read_only=True).close()
    with pytest.raises(StoreError, match="newer version"):
        Access(tmp_path)
    with pytest.raises(StoreError, match="has schema 3, this program reads 1"):
        Access(tmp_path, read_only=True)
    assert "newer version" in (renew(tmp_path) or "")
    Access(tmp_path).close()


def test_who_only_looks(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not there yet"):
        Access(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).touch()
    with pytest.raises(StoreError, match="has schema 0"):
        Access(tmp_path, read_only=True)
    made = Access(tmp_path)
    note(made, request())
    looks = Access(tmp_path, read_only=True)
    assert looks.requests(MAC) == [request()]
    with pytest.raises(StoreError, match=r"access\.db"):
        note(looks, request())
    with pytest.raises(StoreError, match=r"access\.db"):
        looks.forgive("a")
    looks.close()
    made.close()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened: No such file"):
        Access(tmp_path / "none")
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="cannot be opened: Is a directory"):
        Access(tmp_path)


GARBAGE = b"no database at all, but long enough to be looked at" * 100


def test_a_broken_file_is_moved_aside(tmp_path: Path) -> None:
    """With what belongs to it; the new one is as new."""
    assert renew(tmp_path) is None
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"{FILE}{end}").write_bytes(GARBAGE + end.encode())
    told = renew(tmp_path)
    assert told
    assert "not a database" in told
    assert FILE in told
    assert (tmp_path / f"{FILE}.broken").read_bytes() == GARBAGE
    # SQLite itself may have thrown these two away already.
    assert not (tmp_path / f"{FILE}-wal").exists()
    assert not (tmp_path / f"{FILE}-shm").exists()
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    made = Access(tmp_path)
    note(made, request())
    made.close()
    assert renew(tmp_path) is None
    again = Access(tmp_path)
    assert again.requests(MAC) == [request()]
    again.close()


def test_a_file_that_is_moved_aside_takes_along_what_belongs_to_it(opened: Access, tmp_path: Path) -> None:
    """Somebody who was not told has it open still: the old and the new file do not meet."""
    note(opened, request())
    opened._db.execute("PRAGMA user_version=999")
    assert "newer version" in (renew(tmp_path) or "")
    assert {path.name for path in tmp_path.iterdir()} == {
        FILE,
        *(f"{FILE}.broken{end}" for end in ("", "-wal", "-shm")),
    }
    made = Access(tmp_path)
    assert made.requests(MAC) == []
    note(made, request(at=NOW + 1))
    note(opened, request(at=NOW + 2))
    assert [made.requests(MAC)[0].at, opened.requests(MAC)[0].at] == [NOW + 1, NOW + 2]
    made.close()


def test_what_cannot_be_renewed(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    (tmp_path / FILE / "x").touch()
    (tmp_path / f"{FILE}.broken").mkdir()
    (tmp_path / f"{FILE}.broken" / "y").touch()
    with pytest.raises(StoreError, match="cannot be moved aside: Directory not empty"):
        renew(tmp_path)
    with pytest.raises(StoreError, match="No such file"):
        renew(tmp_path / "none")


def test_a_file_that_breaks_while_it_is_open(opened: Access, tmp_path: Path) -> None:
    note(opened, *(request(f"{n:012x}") for n in range(1000)))
    opened._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / FILE).open("r+b") as file:
        file.write(os.urandom(4096) * 20)
    with pytest.raises(StoreError, match=r"access\.db"):
        Access(tmp_path)


def test_what_could_not_be_opened_is_closed(tmp_path: Path) -> None:
    """Else the end of it would come when another file has the name."""
    (tmp_path / FILE).write_bytes(GARBAGE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StoreError) as held:
        Access(tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert held.value.__traceback__


def test_who_opens_it_meanwhile_takes_nothing_away(tmp_path: Path) -> None:
    """A reader has two connections, and another process comes and goes (`forgive`, sqlite3): the log stays theirs."""
    one, two = Access(tmp_path), Access(tmp_path)
    one.write([], [], {"bytes": 1.0}, 0, 1)
    program = (
        "import sys; from pathlib import Path; from kazoo_provisioner.store.access import Access\n"
        "access = Access(Path(sys.argv[1])); print(access.tallies()['bytes']); access.close()"
    )

    def another() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert another() == "1.0"
    assert (tmp_path / f"{FILE}-wal").exists()
    two.write([], [], {"bytes": 1.0}, 0, 1)
    assert another() == "2.0"
    assert one.tallies()["bytes"] == 2
    one.close()
    two.close()


@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY"])
def test_a_file_that_is_not_broken_is_never_moved_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A full disk passes; what is in the file stays."""
    held = Access(tmp_path)
    held.write([], [], {"bytes": 1.0}, 0, 1)
    held.close()

    def fails(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("not now")
        error.sqlite_errorname = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrate", fails)
        with pytest.raises(schema.StoreUnavailableError, match="not now"):
            renew(tmp_path)
    assert not list(tmp_path.glob("*.broken*"))
    kept = Access(tmp_path)
    assert kept.tallies()["bytes"] == 1
    kept.close()
