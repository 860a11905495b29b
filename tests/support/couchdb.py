"""CouchDB for tests: the server of tests/couchdb as a process, and Kazoo's databases on it or on a real one."""

import base64
import http.client
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import IO, Any, NamedTuple, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

from kazoo_provisioner.model.ids import db_of_account, is_followed
from tests.support.kazoo import ACCOUNTS, Doc, with_fields

HOME = Path(__file__).resolve().parents[1] / "couchdb"
PATIENCE = 60.0
"""Seconds after which something that must come is missing. Nothing is measured by it."""
BATCH = 1000
TRIES = 20


def installed() -> bool:
    """Whether node is here and `npm ci --ignore-scripts` was run in tests/couchdb."""
    return which("node") is not None and (HOME / "node_modules" / "express-pouchdb").is_dir()


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Refused(Exception):  # noqa: N818 - it is an answer
    """An answer that is no success."""

    def __init__(self, what: str, answer: Answer) -> None:
        super().__init__(f"{what}: {answer.status} {answer.body[:500]!r}")
        self.answer = answer


def path_of(*parts: str, **query: Any) -> str:
    """`/account%2Fab…/_changes?since=…`; a design or local document keeps its first slash."""
    path = "".join("/" + quote(p, safe="").replace("_design%2F", "_design/").replace("_local%2F", "_local/") for p in parts)  # fmt: skip
    return f"{path}?{urlencode(query)}" if query else path


class Couch:
    """Kazoo's databases on a CouchDB (ours or a real one): the same calls as tests.support.kazoo.Folder."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self.user, self.password = user, password
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._revisions: dict[tuple[str, str], str] = {}
        self._gathered: dict[str, dict[str, Doc]] | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """Of an address with a name and a password in it, as COUCHDB_URL is."""
        parts = urlsplit(url)
        return cls(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. Others are opened when they are needed."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def connect(self, timeout: float = PATIENCE) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        context = ssl._create_unverified_context()  # a certificate made for the test
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)

    def headers(self) -> dict[str, str]:
        return {
            "Authorization": self._authorization,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask. A body that is not bytes goes as JSON. A kept connection that was closed meanwhile is replaced."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            connection = kept or self.connect()
            try:
                connection.request(method, path, data, self.headers() | (headers or {}))
                answer = connection.getresponse()
                got = Answer(answer.status, answer.headers, answer.read())
            except (ConnectionError, http.client.BadStatusLine):
                connection.close()
                if not kept:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                with self._lock:
                    self._idle.append(connection)
                return got

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.request(method, path, body)
        if answer.status >= 300:
            raise Refused(f"{method} {path}", answer)
        return answer.json

    def put(self, db: str, doc: Doc) -> None:
        """Write a document, whatever revision it has now; creates the database when it is missing."""
        if self._gathered is not None:
            self._gathered.setdefault(db, {})[doc["_id"]] = doc
            return
        key, path = (db, doc["_id"]), path_of(db, doc["_id"])
        bare = {name: value for name, value in doc.items() if name != "_rev"}
        for _ in range(TRIES):
            revision = self._revisions.get(key)
            answer = self.request("PUT", path, bare | ({"_rev": revision} if revision else {}))
            if answer.status == 409:
                self._learn(db, doc["_id"])
            elif answer.status == 404:
                self.create(db)
            else:
                break
        if answer.status not in (201, 202):
            raise Refused(f"PUT {path}", answer)
        self._revisions[key] = answer.json["rev"]

    def _learn(self, db: str, doc_id: str) -> None:
        """Ask for the current revision."""
        self._revisions.pop((db, doc_id), None)
        with suppress(KeyError):
            self._revisions[db, doc_id] = self.get(db, doc_id)["_rev"]

    def put_account(self, doc: Doc) -> None:
        """An account's own document and the copy in `accounts`, as Kazoo keeps them."""
        self.put(db_of_account(doc["_id"]), doc)
        self.put(ACCOUNTS, doc)

    def get(self, db: str, doc_id: str) -> Doc:
        """Raise KeyError when it is not there."""
        if self._gathered and doc_id in self._gathered.get(db, {}):
            return dict(self._gathered[db][doc_id])
        answer = self.request("GET", path_of(db, doc_id))
        if answer.status == 404:
            raise KeyError(db, doc_id)
        if answer.status != 200:
            raise Refused(f"GET {db} {doc_id}", answer)
        doc: Doc = answer.json
        return doc

    def edit(self, db: str, doc_id: str, **fields: Any) -> None:
        """Set fields; a dotted name reaches into an object (``sip__realm`` is sip.realm)."""
        self.put(db, with_fields(self.get(db, doc_id), fields))

    def delete(self, db: str, doc_id: str) -> None:
        """Delete hard: what stays is the revision. Raise KeyError when it is not there."""
        for _ in range(TRIES):
            revision = self.get(db, doc_id)["_rev"]
            answer = self.request("DELETE", path_of(db, doc_id, rev=revision))
            if answer.status != 409:
                break
        if answer.status not in (200, 202):
            raise Refused(f"DELETE {db} {doc_id}", answer)
        self._revisions.pop((db, doc_id), None)

    def bulk(self, db: str, docs: Iterable[Doc]) -> None:
        """Write many documents, whatever revisions they have now; creates the database when it is missing."""
        waiting = [{name: value for name, value in doc.items() if name != "_rev"} for doc in docs]
        self.create(db)
        for start in range(0, len(waiting), BATCH):
            batch = {doc["_id"]: doc for doc in waiting[start : start + BATCH]}
            for _ in range(TRIES):
                batch = self._bulk(db, batch)
                if not batch:
                    break
                found = self._ask("POST", path_of(db, "_all_docs"), {"keys": list(batch)})["rows"]
                for row in found:
                    batch[row["key"]].pop("_rev", None)
                    if "value" in row and row["value"] and not row["value"].get("deleted"):
                        batch[row["key"]]["_rev"] = row["value"]["rev"]
            assert not batch, f"{db}: still in conflict: {sorted(batch)[:5]}"

    def _bulk(self, db: str, batch: dict[str, Doc]) -> dict[str, Doc]:
        """Send a batch; returns what was in conflict."""
        rows = self._ask("POST", path_of(db, "_bulk_docs"), {"docs": list(batch.values())})
        bad = [row for row in rows if row.get("error") not in (None, "conflict")]
        assert not bad, f"{db}: {bad[:3]}"
        for row in rows:
            if "error" not in row:
                self._revisions[db, row["id"]] = row["rev"]
        return {row["id"]: batch[row["id"]] for row in rows if "error" in row}

    @contextmanager
    def collect(self) -> Iterator[Self]:
        """Within, `put` only gathers; at the end everything is sent, some requests a database."""
        assert self._gathered is None, "collect() within collect()"
        self._gathered = {}
        try:
            yield self
            gathered = self._gathered
        finally:
            self._gathered = None
        for db, docs in gathered.items():
            self.bulk(db, docs.values())

    def create(self, db: str) -> None:
        """Create a database; that it is there already is no error."""
        answer = self.request("PUT", path_of(db))
        if answer.status not in (201, 202, 412):
            raise Refused(f"PUT {db}", answer)

    def delete_database(self, db: str) -> None:
        self._revisions = {key: rev for key, rev in self._revisions.items() if key[0] != db}
        self._ask("DELETE", path_of(db))

    def databases(self) -> list[str]:
        """Every database that is not CouchDB's own."""
        return [db for db in self._ask("GET", "/_all_dbs") if not db.startswith("_")]

    def documents(self) -> dict[tuple[str, str], Doc]:
        """Every document but design documents of `accounts` and of all account databases."""
        found = {}
        for db in filter(is_followed, self.databases()):
            rows = self._ask("GET", path_of(db, "_all_docs", include_docs="true"))["rows"]
            found |= {(db, row["id"]): row["doc"] for row in rows if not row["id"].startswith("_design/")}
        return found

    def _kazoo(self) -> list[str]:
        return [db for db in self.databases() if db == ACCOUNTS or db.startswith("account/")]

    def empty(self) -> None:
        """Delete `accounts` and all databases of accounts, months too."""
        for db in self._kazoo():
            self.delete_database(db)
        self._revisions.clear()

    def is_empty(self) -> bool:
        return not self._kazoo()


def free_port() -> int:
    """Return a port below those the system hands out: while the server is down nobody else gets it.

    A client that tries again and again to reach such a one can even meet itself.
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class CouchServer:
    """The server process. Port, user and password stay over restarts."""

    user = "admin"
    password = "s3cret-couch"

    def __init__(
        self, folder: Path | None = None, mode: str = "couch3", *, tls: tuple[Path, Path] | None = None
    ) -> None:
        self.mode = mode
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._command = ["node", str(HOME / "server.js"), "--with-stdin", "--port", str(self.port), "--mode", mode]  # fmt: skip
        self._command += ["--user", self.user, "--password", self.password]
        self._command += ["--folder", str(folder)] if folder else []
        self._command += ["--cert", str(tls[0]), "--key", str(tls[1])] if tls else []
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] | None = None
        self._control = Couch(self.url, self.user, self.password)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def __del__(self) -> None:
        self.kill()

    def start(self) -> None:
        """Start and wait until it listens. What it says on stderr is in the exception when it does not."""
        assert not self.running, "it runs"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in _end
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=HOME,
            env=os.environ | {"NODE_NO_WARNINGS": "1"},  # of old parts inside express-pouchdb
        )  # fmt: skip
        assert self._process.stdout
        line = self._process.stdout.readline()
        if line.strip() != f"listening {self.url}":
            said = self.errors()
            self.kill()
            raise RuntimeError(f"the CouchDB for tests did not start: {line}{said}")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process, "it was not started"
        return self._process.pid

    def errors(self) -> str:
        """Return what it said on stderr since its start."""
        if not self._errors:
            return ""
        self._errors.seek(0)
        return self._errors.read()

    def couch(self) -> Couch:
        return Couch(self.url, self.user, self.password)

    def stop(self) -> None:
        """SIGTERM: open answers end without their final chunk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        process = getattr(self, "_process", None)
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a frozen one would not end
        process.wait(PATIENCE)
        for pipe in (process.stdin, process.stdout, self._errors):
            assert pipe
            pipe.close()
        self._control.close()
        self._process = self._errors = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def control(self, **body: Any) -> dict[str, Any]:
        """Give orders (see tests/couchdb/control.js); returns the statistics."""
        answer = self._control.request("POST" if body else "GET", "/_control", body or None)
        if answer.status != 200:
            raise Refused(f"control {body}", answer)
        stats: dict[str, Any] = answer.json
        return stats

    def stats(self) -> dict[str, Any]:
        """Return open_feeds, and requests by kind; a kind that was not asked for counts 0 (`.get`)."""
        return self.control()
