"""What was rendered and what is served: blobs, releases, the served names, phones' states, MAC claims."""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence

import msgspec

from kazoo_provisioner.crashpoints import crash_point


class Made(msgspec.Struct, frozen=True):
    """A file to be released: its real name, content type, whether it may hold secrets, content and hash."""

    name: str
    ctype: str
    sensitive: bool
    data: bytes
    hash: str


class PhoneState(msgspec.Struct, frozen=True):
    """What is known of one device with a MAC address. `problem` is a code of docs/logs.md, None: all well."""

    subject: str
    account: str
    device: str
    mac: str | None = None
    family: str | None = None
    model: str | None = None
    problem: str | None = None
    detail: str | None = None
    warnings: str = "[]"
    at: int = 0


class Release(msgspec.Struct, frozen=True):
    """A release: when (ms), whether it is "served" or "withdrawn", and what caused it in words."""

    at: int
    state: str
    causes: list[str]


class Releases:
    """The tables blob, release, release_file, release_cause, served and phone."""

    def __init__(self, connection: sqlite3.Connection, history: int) -> None:
        self._db = connection
        self._history = history

    def is_serving(self, subject: str) -> bool:
        """Whether a subject's last release is one that is served."""
        row = self._db.execute(
            "SELECT state FROM release WHERE subject=? ORDER BY id DESC LIMIT 1", (subject,)
        ).fetchone()
        return row is not None and row[0] == "served"

    def is_current(self, subject: str, inputs_hash: str, scopes: Sequence[str]) -> bool:
        """Whether exactly the files of these inputs are served for a subject, under each scope.

        The names are looked at too: another subject may have taken one meanwhile.
        """
        row = self._db.execute(
            "SELECT id, inputs_hash, state FROM release WHERE subject=? ORDER BY id DESC LIMIT 1", (subject,)
        ).fetchone()
        if row is None or row[1:] != (inputs_hash, "served"):
            return False
        names = self._db.execute("SELECT name FROM release_file WHERE release=?", (row[0],)).fetchall()
        served = self._db.execute("SELECT account, name FROM served WHERE subject=?", (subject,)).fetchall()
        return {(scope, name.lower()) for scope in scopes for (name,) in names} == set(served)

    def publish(
        self, subject: str, files: Sequence[Made], scopes: Sequence[str], model: str,
        inputs_hash: str, causes: Iterable[int], now: int,
    ) -> bool:  # fmt: skip
        """Serve exactly these files for a subject, under each scope; return whether anything changed.

        The same content is no new release. Names that are no longer made are no longer served.
        """
        manifest = hashlib.sha256(
            msgspec.json.encode([(f.name, f.ctype, f.hash) for f in sorted(files, key=lambda f: f.name)])
        ).hexdigest()[:32]
        last = self._db.execute(
            "SELECT id, manifest_hash, state FROM release WHERE subject=? ORDER BY id DESC LIMIT 1",
            (subject,),
        ).fetchone()
        same = last is not None and (last[1], last[2]) == (manifest, "served")
        if same:
            self._db.execute("UPDATE release SET inputs_hash=? WHERE id=?", (inputs_hash, last[0]))
        else:
            self._release(subject, files, manifest, inputs_hash, causes, now)
        crash_point("reconcile.released")
        moved = self._serve(subject, files, scopes, model)
        if last is not None:
            self._forget(subject, self._history)
        crash_point("reconcile.served")
        return moved or not same

    def _release(
        self,
        subject: str,
        files: Sequence[Made],
        manifest: str,
        inputs_hash: str,
        causes: Iterable[int],
        now: int,
    ) -> None:
        blobs = []
        for file in files:
            self._db.execute(
                "INSERT INTO blob(hash, data) VALUES(?,?) ON CONFLICT(hash) DO NOTHING",
                (file.hash, file.data),
            )
            blobs.append(self._db.execute("SELECT id FROM blob WHERE hash=?", (file.hash,)).fetchone()[0])
        crash_point("reconcile.blobs")
        release = self._db.execute(
            "INSERT INTO release(subject, at, inputs_hash, manifest_hash, state) VALUES(?,?,?,?,'served')",
            (subject, now, inputs_hash, manifest),
        ).lastrowid
        self._db.executemany(
            "INSERT INTO release_file(release, name, ctype, sensitive, blob) VALUES(?,?,?,?,?)",
            [(release, f.name, f.ctype, f.sensitive, b) for f, b in zip(files, blobs, strict=True)],
        )
        for cause in causes:
            self._db.execute("INSERT INTO release_cause(release, cause) VALUES(?,?)", (release, cause))

    def _serve(self, subject: str, files: Sequence[Made], scopes: Sequence[str], model: str) -> bool:
        wanted = {}
        for file in files:
            blob = self._db.execute("SELECT id FROM blob WHERE hash=?", (file.hash,)).fetchone()[0]
            for scope in scopes:
                key = (scope, file.name.lower())
                wanted[key] = (file.hash, file.ctype, model, blob, int(file.sensitive), subject)
        have = {
            (row[0], row[1]): tuple(row[2:])
            for row in self._db.execute(
                "SELECT account, name, etag, ctype, model, blob, sensitive, subject FROM served WHERE subject=?",
                (subject,),
            )
        }
        gone = [key for key in have if key not in wanted]
        if gone:
            self._db.executemany("DELETE FROM served WHERE account=? AND name=?", gone)
        self._db.executemany(
            "INSERT OR REPLACE INTO served(account, name, etag, ctype, model, blob, sensitive, subject)"
            " VALUES(?,?,?,?,?,?,?,?)",
            [(*key, *value) for key, value in wanted.items() if have.get(key) != value],
        )
        return have != wanted

    def withdraw(self, subject: str, causes: Iterable[int], now: int) -> bool:
        """Serve nothing for a subject any more; return whether something was served."""
        gone = self._db.execute("DELETE FROM served WHERE subject=?", (subject,)).rowcount > 0
        last = self._db.execute(
            "SELECT state FROM release WHERE subject=? ORDER BY id DESC LIMIT 1", (subject,)
        ).fetchone()
        if last and last[0] == "served":
            release = self._db.execute(
                "INSERT INTO release(subject, at, inputs_hash, manifest_hash, state) VALUES(?,?,'','','withdrawn')",
                (subject, now),
            ).lastrowid
            self._db.executemany(
                "INSERT INTO release_cause(release, cause) VALUES(?,?)",
                [(release, cause) for cause in causes],
            )
            self._forget(subject, self._history)
        crash_point("reconcile.served")
        return gone

    def _forget(self, subject: str, keep: int) -> None:
        """Drop all but the newest releases of a subject, and content that nothing names any more."""
        old = self._db.execute(
            "SELECT id FROM release WHERE subject=? ORDER BY id DESC LIMIT -1 OFFSET ?", (subject, keep)
        ).fetchall()
        for (release,) in old:
            blobs = self._db.execute("SELECT blob FROM release_file WHERE release=?", (release,)).fetchall()
            self._db.execute("DELETE FROM release_file WHERE release=?", (release,))
            self._db.execute("DELETE FROM release_cause WHERE release=?", (release,))
            self._db.execute("DELETE FROM release WHERE id=?", (release,))
            self._db.executemany(
                "DELETE FROM blob WHERE id=?1 AND NOT EXISTS(SELECT 1 FROM release_file WHERE blob=?1)"
                " AND NOT EXISTS(SELECT 1 FROM served WHERE blob=?1)",
                blobs,
            )

    def forget_withdrawn(self, before: int) -> None:
        """Drop the releases, passwords and all, of what was withdrawn before a time (ms) and not served since."""
        rows = self._db.execute(
            "SELECT subject FROM release r WHERE state='withdrawn' AND at<?"
            " AND NOT EXISTS(SELECT 1 FROM release n WHERE n.subject=r.subject AND n.id>r.id) LIMIT 100",
            (before,),
        ).fetchall()
        for (subject,) in rows:
            self._forget(subject, 0)

    def history(self, subject: str, limit: int) -> list[Release]:
        """Return a subject's releases, the newest first."""
        rows = self._db.execute(
            "SELECT id, at, state FROM release WHERE subject=? ORDER BY id DESC LIMIT ?", (subject, limit)
        ).fetchall()
        return [Release(at, state, self._causes(release)) for release, at, state in rows]

    def _causes(self, release: int) -> list[str]:
        rows = self._db.execute(
            "SELECT c.kind, c.ref, c.rev FROM release_cause r JOIN cause c ON c.id=r.cause WHERE r.release=?"
            " ORDER BY c.id LIMIT 10",
            (release,),
        )
        return [f"{kind} {ref} revision {rev}" for kind, ref, rev in rows]

    def served_names(self, subject: str) -> list[tuple[str, str, str, int]]:
        """Return (scope, name, etag, bytes) of everything served for a subject."""
        rows = self._db.execute(
            "SELECT s.account, s.name, s.etag, length(b.data) FROM served s JOIN blob b ON b.id=s.blob"
            " WHERE s.subject=? ORDER BY s.account DESC, s.name",
            (subject,),
        )
        return list(rows)

    def examples(self) -> list[str]:
        """Return, for one phone of each model and account, the path of the file with its registration."""
        rows = self._db.execute(
            "SELECT '/p/' || s.account || '/' || s.name, max(length(b.data)) FROM served s JOIN blob b ON b.id=s.blob"
            " WHERE s.account<>'' AND s.sensitive GROUP BY s.account, s.model ORDER BY s.account, s.model LIMIT 20"
        )
        return [row[0] for row in rows]

    def server_of(self, scope: str, name: str) -> str | None:
        """Return the subject whose file is served under a name, or None."""
        row = self._db.execute(
            "SELECT subject FROM served WHERE account=? AND name=?", (scope, name.lower())
        ).fetchone()
        return row[0] if row else None

    def state(self, subject: str) -> PhoneState | None:
        """Return what is known of a subject, or None."""
        row = self._db.execute(
            "SELECT subject, account, device, mac, family, model, problem, detail, warnings, at"
            " FROM phone WHERE subject=?",
            (subject,),
        ).fetchone()
        return PhoneState(*row) if row else None

    def set_state(self, state: PhoneState) -> None:
        """Note what is known of a subject."""
        self._db.execute(
            "INSERT OR REPLACE INTO phone(subject, account, device, mac, family, model, problem, detail, warnings, at)"
            " VALUES(?,?,?,?,?,?,?,?,?,?)",
            msgspec.structs.astuple(state),
        )

    def drop_state(self, subject: str) -> None:
        """Forget a subject."""
        self._db.execute("DELETE FROM phone WHERE subject=?", (subject,))

    def families_of(self, account: str) -> list[str]:
        """Return the families (`brand/family`) of which an account has phones that are served."""
        rows = self._db.execute(
            "SELECT DISTINCT family FROM phone WHERE account=? AND family IS NOT NULL AND device<>''",
            (account,),
        )
        return [row[0] for row in rows]

    def book_owners(self, account: str) -> list[str]:
        """Return whose phonebooks an account's phones may ask for: their families and brands."""
        families = self.families_of(account)
        return [*families, *sorted({family.partition("/")[0] for family in families})]

    def phones_of_brand(self, brand: str) -> list[str]:
        """Return the subjects of a brand's phones and phonebooks."""
        rows = self._db.execute(
            "SELECT subject FROM phone WHERE substr(family, 1, ?)=? OR family=?",
            (len(brand) + 1, f"{brand}/", brand),
        )
        return [row[0] for row in rows]

    def accounts_with(self, owner: str) -> list[str]:
        """Return the accounts that have phones of a family (`brand/family`) or brand (`brand`)."""
        rows = self._db.execute(
            "SELECT DISTINCT account FROM phone WHERE device<>'' AND (family=? OR substr(family, 1, ?)=?)",
            (owner, len(owner) + 1, f"{owner}/"),
        )
        return [row[0] for row in rows]

    def with_problem(self) -> list[str]:
        """Return the subjects that have a problem."""
        return [row[0] for row in self._db.execute("SELECT subject FROM phone WHERE problem IS NOT NULL")]

    def all_phones(self) -> list[str]:
        """Return every phone and phonebook that is known."""
        return [
            row[0]
            for row in self._db.execute(
                "SELECT subject FROM phone WHERE account<>'' ORDER BY account, subject"
            )
        ]

    def count(self) -> int:
        """Return how many phones are served."""
        found: int = self._db.execute(
            "SELECT count(*) FROM phone WHERE family IS NOT NULL AND device<>''"
        ).fetchone()[0]
        return found

    def problems(self) -> dict[str, int]:
        """Return how many phones have each problem."""
        return dict(
            self._db.execute("SELECT problem, count(*) FROM phone WHERE problem IS NOT NULL GROUP BY problem")
        )


class Claims:
    """Who owns a MAC address: within an account (scope is its id), and over all (scope is empty)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def owner(self, scope: str, mac: str) -> tuple[str, str] | None:
        """Return (account, device) that claim a MAC address, or None."""
        row = self._db.execute(
            "SELECT account, device FROM mac_claim WHERE scope=? AND mac=?", (scope, mac)
        ).fetchone()
        return (row[0], row[1]) if row else None

    def set(self, scope: str, mac: str, account: str, device: str, now: int) -> None:
        """Give a MAC address to a device."""
        self._db.execute(
            "INSERT OR REPLACE INTO mac_claim(scope, mac, account, device, since) VALUES(?,?,?,?,?)",
            (scope, mac, account, device, now),
        )

    def drop(self, scope: str, mac: str) -> None:
        """Leave a MAC address to nobody."""
        self._db.execute("DELETE FROM mac_claim WHERE scope=? AND mac=?", (scope, mac))

    def all(self) -> list[tuple[str, str, str, str]]:
        """Return every claim as (scope, mac, account, device)."""
        return list(self._db.execute("SELECT scope, mac, account, device FROM mac_claim ORDER BY scope, mac"))
