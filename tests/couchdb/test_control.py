"""Who may ask the CouchDB for tests, and what goes wrong there on purpose."""

import http.client
import json
import time

import pytest

from tests.couchdb.asking import DB, Stream, ask, changes, events, fill, of, quiet, until
from tests.support.couchdb import Couch, CouchServer, path_of

MODES = ["couch3", "couch21", "couch1", "bigcouch"]
OPAQUE = ["couch3", "couch21", "bigcouch"]
each_mode = pytest.mark.parametrize("mode", MODES, indirect=True)
each_opaque = pytest.mark.parametrize("mode", OPAQUE, indirect=True)


def test_updates_can_be_lost(couch: Couch, server: CouchServer) -> None:
    since = quiet(couch)
    server.control(db_updates={"drop": 1.0})
    fill(couch)
    time.sleep(0.1)
    assert events(couch, since=since)["results"] == []
    server.control(db_updates={"drop": 0.5, "coalesce": False, "seed": 3})
    with Stream(couch, path_of("_db_updates", feed="continuous", since="now", heartbeat=10)) as feed:
        feed.raw()
        for number in range(100):
            couch.put(DB, {"_id": "often", "n": number})
        server.control(db_updates={"drop": 0})
        couch.create("zebra")
        got = []
        while (row := feed.next())["db_name"] != "zebra" or row["type"] != "created":
            got.append(row)
        assert 20 < len(of(got)) < 100
    couch.delete_database("zebra")


@each_mode
def test_restore(couch: Couch, server: CouchServer, mode: str) -> None:
    fill(couch)
    couch.delete(DB, "doc0")
    old, info = changes(couch), couch.request("GET", path_of(DB)).json
    server.control(snapshot=DB)
    couch.edit(DB, "doc1", n=9)
    couch.put(DB, {"_id": "later"})
    high = json.dumps(changes(couch)["last_seq"])
    with Stream(couch, path_of(DB, "_changes", feed="continuous", since="now", heartbeat=10)) as feed:
        feed.raw()
        server.control(restore=DB)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            feed.answer.read()
    assert couch.get(DB, "doc1")["n"] == 1
    assert couch.request("GET", path_of(DB)).json == info
    assert [r["changes"] for r in changes(couch)["results"]] == [r["changes"] for r in old["results"]]
    couch.put(DB, {"_id": "hidden1"})
    couch.put(DB, {"_id": "hidden2"})
    hidden = changes(couch, since=high)
    assert (hidden["results"], hidden.get("pending", 0)) == ([], 0)
    couch.put(DB, {"_id": "seen"})
    assert [row["id"] for row in changes(couch, since=high)["results"]] == ["seen"]


@each_opaque
def test_replay(couch: Couch, server: CouchServer, mode: str) -> None:
    fill(couch)
    since = json.dumps(changes(couch)["last_seq"])
    assert not changes(couch, since=since)["results"]
    server.control(replay=DB)
    assert len(changes(couch, since=since)["results"]) == 3


def test_failures(couch: Couch, server: CouchServer) -> None:
    fill(couch)
    for status in (401, 500, 503):
        server.control(fail={"match": "^/account/ab.*_changes", "status": status, "times": 1})
        got = couch.request("GET", path_of(DB, "_changes"))
        assert (got.status, "error" in got.json) == (status, True)
        assert len(changes(couch)["results"]) == 3
    server.control(fail={"match": "doc1", "status": 404})
    assert b"<html>" in couch.request("GET", path_of(DB, "doc1")).body
    server.control(fail={"match": "since=now", "garbage": True, "times": 1})
    with pytest.raises(ValueError, match=r"codec|Expecting"):
        changes(couch, since="now")
    server.control(fail={"match": "_changes", "garbage": "half_line", "times": 1})
    with pytest.raises(http.client.IncompleteRead):
        changes(couch)
    server.control(fail={"match": "_changes", "garbage": "hang", "times": 1})
    with Stream(couch, path_of(DB, "_changes"), timeout=0.2) as hung, pytest.raises(TimeoutError):
        assert hung.answer
    server.control(fail=None)
    assert couch.get(DB, "doc1")["n"] == 1


def test_requests_are_counted(couch: Couch, server: CouchServer) -> None:
    server.control(reset_requests=True)
    fill(couch)
    changes(couch)
    couch.get(DB, "doc1")
    couch.request("GET", "/")
    assert server.stats()["requests"] == {"other": 1, "doc_write": 1, "changes": 1, "doc_read": 1, "root": 1}


def test_who_may(couch: Couch, server: CouchServer) -> None:
    fill(couch)
    assert ask(couch, "GET", "/_up", Authorization="").json["status"] == "ok"
    nobody = ask(couch, "GET", path_of(DB), Authorization="")
    assert (nobody.status, nobody.json["error"]) == (401, "unauthorized")
    with Couch(server.url, "admin", "wrong") as wrong:
        assert wrong.request("GET", path_of(DB)).status == 401
    with Couch(server.url, "reader", server.password) as reader:
        assert reader.get(DB, "doc1")["n"] == 1
        for method, path in (("GET", "/_all_dbs"), ("GET", "/_db_updates"), ("PUT", "/new"), ("DELETE", path_of(DB)), ("POST", "/_dbs_info")):  # fmt: skip
            got = reader.request(method, path, {} if method == "POST" else None)
            assert (got.status, got.json["reason"]) == (401, "You are not a server admin."), path


def test_cookies(couch: Couch, server: CouchServer) -> None:
    def login() -> str:
        asked = {"name": server.user, "password": server.password}
        got = ask(couch, "POST", "/_session", asked, Authorization="")
        assert got.status == 200
        return got.headers["set-cookie"].partition(";")[0]

    assert ask(couch, "POST", "/_session", {"name": "admin", "password": "no"}).status == 401
    cookie = login()
    got = ask(couch, "GET", "/_session", Authorization="", Cookie=cookie)
    assert got.json["userCtx"] == {"name": "admin", "roles": ["_admin"]}
    assert got.headers["set-cookie"] is None
    assert ask(couch, "GET", "/_all_dbs", Authorization="", Cookie=cookie + "x").status == 401
    server.control(cookie_life=0.5)
    cookie = login()
    renewed = until(lambda: ask(couch, "GET", "/_all_dbs", Authorization="", Cookie=cookie).headers["set-cookie"])  # fmt: skip
    assert renewed.startswith("AuthSession=")
    until(lambda: ask(couch, "GET", "/_all_dbs", Authorization="", Cookie=cookie).status == 401)
