"""Documents as last seen, what refers to what, and how far each feed was read."""

import json
import sqlite3
from collections.abc import Iterable

import msgspec

from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.model.wire import Doc, decode


class Stored(msgspec.Struct, frozen=True):
    """A document in the store. `body` is None when it is deleted."""

    kind: str
    rev: str
    body: bytes | None
    mac: str | None
    version: str
    """The `ingest_version` with which it was cut down."""


class Documents:
    """The tables document, document_ref and position."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def latest(self, db: str, doc_id: str) -> Stored | None:
        """Return a document as it was last seen, deleted or not."""
        row = self._db.execute(
            "SELECT kind, latest_rev, latest, mac, ingest_version FROM document WHERE db=? AND id=?",
            (db, doc_id),
        ).fetchone()
        return Stored(*row) if row else None

    def put(self, db: str, doc_id: str, stored: Stored, targets: Iterable[str], *, new: bool = False) -> None:
        """Write a document and what it refers to. Without a guard the latest is the accepted one.

        `new`: there is no row of it yet.
        """
        self._db.execute(
            "INSERT INTO document(db, id, kind, mac, latest_rev, latest, accepted_rev, deleted, ingest_version)"
            " VALUES(?1,?2,?3,?4,?5,?6,?5,?7,?8)"
            " ON CONFLICT(db, id) DO UPDATE SET kind=?3, mac=?4, latest_rev=?5, latest=?6, accepted_rev=?5,"
            " accepted=NULL, deleted=?7, absent_since=NULL, ingest_version=?8",
            (
                db,
                doc_id,
                stored.kind,
                stored.mac,
                stored.rev,
                stored.body,
                stored.body is None,
                stored.version,
            ),
        )
        if not new:
            self._db.execute("DELETE FROM document_ref WHERE db=? AND id=?", (db, doc_id))
        for target in targets:
            self._db.execute("INSERT INTO document_ref(target, db, id) VALUES(?,?,?)", (target, db, doc_id))

    def touch(self, db: str, doc_id: str, rev: str, version: str) -> None:
        """Note a new revision, or ingest version, that changed nothing we keep."""
        self._db.execute(
            "UPDATE document SET latest_rev=?3, absent_since=NULL, ingest_version=?4,"
            " accepted_rev=CASE WHEN accepted_rev=latest_rev THEN ?3 ELSE accepted_rev END"
            " WHERE db=?1 AND id=?2",
            (db, doc_id, rev, version),
        )

    def get(self, db: str, doc_id: str) -> tuple[str, Doc] | None:
        """Return (kind, accepted document), or None when there is none or it is deleted."""
        row = self._db.execute(
            "SELECT kind, CASE WHEN accepted_rev=latest_rev THEN latest ELSE accepted END"
            " FROM document WHERE db=? AND id=? AND deleted=0",
            (db, doc_id),
        ).fetchone()
        return (row[0], decode(row[1])) if row and row[1] is not None else None

    def of_kinds(self, db: str, kinds: Iterable[str]) -> dict[str, tuple[str, Doc]]:
        """Return accepted documents of some kinds by id, in order of id."""
        kinds = list(kinds)
        rows = self._db.execute(
            "SELECT id, kind, CASE WHEN accepted_rev=latest_rev THEN latest ELSE accepted END"
            " FROM document WHERE db=? AND deleted=0 AND kind IN (SELECT value FROM json_each(?)) ORDER BY id",
            (db, json.dumps(kinds)),
        )
        return {row[0]: (row[1], decode(row[2])) for row in rows if row[2] is not None}

    def phones_of(self, account: str) -> list[str]:
        """Return the ids of an account's devices that have a MAC address."""
        rows = self._db.execute(
            "SELECT id FROM document WHERE db=? AND kind='device' AND deleted=0 AND mac IS NOT NULL",
            (db_of_account(account),),
        )
        return [row[0] for row in rows]

    def all_phones(self) -> list[tuple[str, str]]:
        """Return (database, id) of every device that has a MAC address, in that order."""
        rows = self._db.execute(
            "SELECT db, id FROM document WHERE kind='device' AND deleted=0 AND mac IS NOT NULL ORDER BY db, id"
        )
        return [(row[0], row[1]) for row in rows]

    def with_mac(self, mac: str) -> list[tuple[str, str]]:
        """Return (database, id) of every device with a MAC address, in that order."""
        rows = self._db.execute(
            "SELECT db, id FROM document WHERE mac=? AND deleted=0 ORDER BY db, id", (mac,)
        )
        return [(row[0], row[1]) for row in rows]

    def referring(self, db: str, doc_id: str, account: str) -> list[tuple[str, str]]:
        """Return (kind, id) of what refers to a document: others of its database, or its account's copy."""
        rows = self._db.execute(
            "SELECT d.kind, d.id FROM document_ref r JOIN document d ON d.db=r.db AND d.id=r.id"
            " WHERE r.target=?1 AND (r.db=?2 OR (r.db='accounts' AND r.id=?3))",
            (f"doc/{doc_id}", db, account),
        )
        return [(row[0], row[1]) for row in rows]

    def accounts_under(self, account: str) -> list[str]:
        """Return the ids of the accounts that have this one as an ancestor."""
        rows = self._db.execute("SELECT DISTINCT id FROM document_ref WHERE target=?", (f"under/{account}",))
        return [row[0] for row in rows]

    def held(self, db: str, version: str) -> dict[str, str]:
        """Return the revision of every document we hold of a database, by id.

        It is empty where the document was cut down by another `ingest_version`.
        """
        rows = self._db.execute(
            "SELECT id, CASE WHEN ingest_version=? THEN latest_rev ELSE '' END FROM document WHERE db=? AND deleted=0",
            (version, db),
        )
        return dict(rows.fetchall())

    def databases(self) -> list[str]:
        """Return the databases of which we hold documents."""
        return [
            row[0] for row in self._db.execute("SELECT DISTINCT db FROM document WHERE deleted=0 ORDER BY db")
        ]

    def count(self) -> tuple[int, int]:
        """Return how many databases and documents we hold."""
        row = self._db.execute("SELECT count(DISTINCT db), count(*) FROM document WHERE deleted=0").fetchone()
        return row[0], row[1]

    def positions(self, source: str) -> dict[str, tuple[str, str, str]]:
        """Return (seq, identity, ingest version) of each database that a source has read."""
        rows = self._db.execute(
            "SELECT database, seq, identity, ingest_version FROM position WHERE source=?", (source,)
        )
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    def set_position(self, source: str, database: str, seq: str, identity: str, version: str) -> None:
        """Note how far a database was read; an empty `seq` forgets it."""
        if not seq:
            self._db.execute("DELETE FROM position WHERE source=? AND database=?", (source, database))
            return
        self._db.execute(
            "INSERT OR REPLACE INTO position(source, database, seq, identity, ingest_version) VALUES(?,?,?,?,?)",
            (source, database, seq, identity, version),
        )
