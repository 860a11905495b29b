"""The wrapper: a process that starts, stops and ends; Kazoo's databases on it."""

import http.client
import json
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.couchdb.asking import DB, Stream, changes, events, fill
from tests.support import kazoo
from tests.support.couchdb import PATIENCE, Couch, CouchServer, Refused, path_of


@pytest.fixture(scope="module")
def server() -> Iterator[CouchServer]:
    with CouchServer() as made:
        yield made


@pytest.fixture
def couch(server: CouchServer) -> Iterator[Couch]:
    with server.couch() as made:
        made.empty()
        yield made


def test_a_fleet(couch: Couch, tmp_path: Path) -> None:
    folder = kazoo.Folder(tmp_path)
    with couch.collect():
        assert kazoo.fleet(couch, 3, 5) == kazoo.fleet(folder, 3, 5)  # type: ignore[arg-type]
    assert len(couch.documents()) == len(list(tmp_path.glob("*/docs/*.json"))) == 3 * 3 + 5 * 3
    assert not couch.is_empty()
    couch.empty()
    assert couch.is_empty()


def test_a_frozen_server(server: CouchServer, couch: Couch) -> None:
    server.freeze()
    with Stream(couch, "/", timeout=0.2) as frozen, pytest.raises(TimeoutError):
        assert frozen.answer
    server.thaw()
    assert couch.request("GET", "/").status == 200


def test_it_ends_with_its_parent() -> None:
    with CouchServer() as server:
        assert server._process
        assert server._process.stdin
        server._process.stdin.close()
        assert server._process.wait(PATIENCE) == 0


def test_a_failed_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="--mode is one of"):
        CouchServer(mode="couch99").start()


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    with CouchServer(tls=(cert, key)) as server, server.couch() as couch:
        assert couch.url.startswith("https:")
        fill(couch)
        assert couch.get(DB, "doc1")["n"] == 1
        with suppress(Refused):
            couch.delete_database("none")


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("mode", ["couch3", "couch1"])
def test_what_survives_an_end(tmp_path: Path, mode: str, kill: bool) -> None:
    with CouchServer(tmp_path / "couch", mode) as server, server.couch() as couch:
        fill(couch)
        couch.put(DB, {"_id": "late"})
        before, info = changes(couch), couch.request("GET", path_of(DB)).json
        since = events(couch)["last_seq"] if mode == "couch3" else None
        uuid = couch.request("GET", "/").json["uuid"]
        with Stream(couch, path_of(DB, "_changes", feed="continuous", since="now", heartbeat=10)) as feed:
            feed.raw()
            (server.kill if kill else server.stop)()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                feed.answer.read()
        server.start()
        assert couch.get(DB, "late")
        assert len(changes(couch, since=json.dumps(before["last_seq"]))["results"]) == 0
        again = couch.request("GET", path_of(DB)).json
        assert (again == info) == (mode == "couch3")  # couch1: the time at which it was opened
        assert couch.request("GET", "/").json["uuid"] == uuid
        if since:
            assert events(couch, since=since)["results"] == []
