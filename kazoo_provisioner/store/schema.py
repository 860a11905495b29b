"""The store's file: opening it, its schema, and the way from every older schema to this one.

`docs/architecture.md`, "The store", says what each table is for.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = "store.db"
LOCK = "lock"

V1 = """
CREATE TABLE document(
    db TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, mac TEXT,
    latest_rev TEXT NOT NULL, latest BLOB, accepted_rev TEXT, accepted BLOB,
    deleted INTEGER NOT NULL DEFAULT 0, absent_since INTEGER, ingest_version TEXT NOT NULL,
    PRIMARY KEY(db, id)) WITHOUT ROWID;
CREATE INDEX document_kind ON document(db, kind) WHERE deleted = 0;
CREATE INDEX document_mac ON document(mac) WHERE mac IS NOT NULL;
CREATE TABLE document_ref(
    target TEXT NOT NULL, db TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY(target, db, id)) WITHOUT ROWID;
CREATE INDEX document_ref_from ON document_ref(db, id);
CREATE TABLE cause(
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, ref TEXT NOT NULL, rev TEXT NOT NULL,
    actor TEXT, at INTEGER NOT NULL, UNIQUE(kind, ref, rev));
CREATE TABLE dirty(
    subject TEXT PRIMARY KEY, gen INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, priority INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX dirty_due ON dirty(priority, first_at, not_before);
CREATE TABLE dirty_cause(subject TEXT NOT NULL, cause INTEGER NOT NULL, PRIMARY KEY(subject, cause)) WITHOUT ROWID;
CREATE INDEX dirty_cause_cause ON dirty_cause(cause);
CREATE TABLE blob(id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, data BLOB NOT NULL);
CREATE TABLE release(
    id INTEGER PRIMARY KEY, subject TEXT NOT NULL, at INTEGER NOT NULL, inputs_hash TEXT NOT NULL,
    manifest_hash TEXT NOT NULL, state TEXT NOT NULL);
CREATE INDEX release_subject ON release(subject, id);
CREATE TABLE release_cause(
    release INTEGER NOT NULL, cause INTEGER NOT NULL, PRIMARY KEY(release, cause)) WITHOUT ROWID;
CREATE INDEX release_cause_cause ON release_cause(cause);
CREATE TABLE release_file(
    release INTEGER NOT NULL, name TEXT NOT NULL, ctype TEXT NOT NULL, sensitive INTEGER NOT NULL,
    blob INTEGER NOT NULL, PRIMARY KEY(release, name)) WITHOUT ROWID;
CREATE INDEX release_file_blob ON release_file(blob);
CREATE TABLE served(
    account TEXT NOT NULL, name TEXT NOT NULL, etag TEXT NOT NULL, ctype TEXT NOT NULL, model TEXT NOT NULL,
    blob INTEGER NOT NULL, sensitive INTEGER NOT NULL, subject TEXT NOT NULL,
    PRIMARY KEY(account, name)) WITHOUT ROWID;
CREATE INDEX served_subject ON served(subject);
CREATE INDEX served_blob ON served(blob);
CREATE TABLE phone(
    subject TEXT PRIMARY KEY, account TEXT NOT NULL, device TEXT NOT NULL, mac TEXT, family TEXT, model TEXT,
    problem TEXT, detail TEXT, warnings TEXT NOT NULL DEFAULT '[]', at INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX phone_account ON phone(account, family);
CREATE INDEX phone_family ON phone(family);
CREATE INDEX phone_mac ON phone(mac) WHERE mac IS NOT NULL;
CREATE TABLE mac_claim(
    scope TEXT NOT NULL, mac TEXT NOT NULL, account TEXT NOT NULL, device TEXT NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY(scope, mac)) WITHOUT ROWID;
CREATE TABLE position(
    source TEXT NOT NULL, database TEXT NOT NULL, seq TEXT NOT NULL, identity TEXT NOT NULL,
    ingest_version TEXT NOT NULL, PRIMARY KEY(source, database)) WITHOUT ROWID;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

MIGRATIONS: tuple[str, ...] = (V1,)
"""Step n leads from schema n to n + 1. Never change one that was released: add the next."""


class StoreError(Exception):
    """The store cannot be used, for good: says why and what to do."""


class StoreUnavailableError(StoreError):
    """The store cannot be written just now (disk full, input/output error); nothing was lost, try again."""


def open_writer(folder: Path) -> sqlite3.Connection:
    """Open the store for its one writer: create it, or bring an older schema up to date.

    Raises:
        StoreError: names the folder and what is wrong with it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"{folder}: cannot be written to; it must belong to the user who runs the service")
    path = folder / FILE
    try:
        create(path)
        connection = connect(path, "rw")
        with translated(folder):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")  # old passwords do not stay in free pages
            connection.execute(f"PRAGMA journal_size_limit={64 * 1024 * 1024}")
            connection.execute(
                "PRAGMA temp_store=MEMORY"
            )  # what a savepoint could undo is not written to a file
            connection.execute("PRAGMA cache_size=-16384")  # KiB; the indexes of a large fleet
            migrate(connection, path, MIGRATIONS)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}") from error
    return connection


def open_reader(folder: Path) -> sqlite3.Connection:
    """Open the store for reading only.

    Raises:
        StoreError: there is none, or it has another schema.
    """
    path = folder / FILE
    if not path.exists():
        raise StoreError(f"{folder}: holds no store yet")
    connection = connect(path, "ro")
    try:
        with translated(folder):
            connection.execute("PRAGMA query_only=ON")
            connection.execute(f"PRAGMA mmap_size={1 << 30}")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != len(MIGRATIONS):
            raise StoreError(f"{path}: has schema {version}, this program reads {len(MIGRATIONS)}")
    except BaseException:
        connection.close()  # or its descriptor stays until somebody collects the error
        raise
    return connection


def _quote(path: Path) -> str:
    return str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def create(path: Path) -> None:
    """Make an empty file for ourselves alone, where there is none.

    One that is there is not opened: to close any descriptor of a file drops all locks that this process has on it,
    those of SQLite's connections too (POSIX), and another process would then take the log for nobody's.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not path.exists():
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a file of ours that is there, ``ro`` or ``rw``.

    Raises:
        StoreError: it cannot be opened.
    """
    uri = f"file:{_quote(path)}?mode={mode}"
    try:
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be opened: {error}") from error


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[str, ...]) -> None:
    """Bring a file to the schema of this program.

    Raises:
        StoreError: a newer program wrote it.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise StoreError(
            f"{path}: was written by a newer version (schema {version}, this one knows {len(migrations)}); "
            "upgrade, or start with an empty folder"
        )
    for number in range(version, len(migrations)):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {migrations[number]} PRAGMA user_version={number + 1}; COMMIT;"
            )
        except sqlite3.OperationalError:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            # Another process may have been faster.
            if connection.execute("PRAGMA user_version").fetchone()[0] <= number:
                raise


_FINAL = {
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_AUTH",
    "SQLITE_PERM",
}
_PASSING = {"SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_NOMEM", "SQLITE_PROTOCOL"}


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file into ours; errors in our own SQL stay what they are."""
    try:
        yield
    except sqlite3.Error as error:
        raise translation(error, folder) from error


def translation(error: sqlite3.Error, folder: Path, file: str = FILE) -> Exception:
    """Return the error of ours that stands for one of SQLite's about the file; others as they are."""
    name = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
    if name in _FINAL:
        return StoreError(f"{folder / file}: {error}")
    if name in _PASSING:
        return StoreUnavailableError(f"{folder / file}: {error}")
    return error


def lock(folder: Path, patience: float = 5.0) -> int:
    """Take the store for this process and whoever inherits the descriptor that is returned.

    Waits `patience` seconds: children of a supervisor that was killed hold it until they have noticed.

    Raises:
        StoreError: another instance has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written to: {error.strerror}") from error
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise StoreError(f"{folder}: another instance of this service uses this store") from error
        return descriptor
