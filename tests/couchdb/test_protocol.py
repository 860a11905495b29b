"""The CouchDB for tests does what was measured on the real one."""

import json
import time

import pytest

from tests.couchdb.asking import DB, Stream, ask, changes, events, fill, of, quiet, until
from tests.support.couchdb import Couch, CouchServer, path_of

MODES = ["couch3", "couch21", "couch1", "bigcouch"]
OPAQUE = ["couch3", "couch21", "bigcouch"]
each_mode = pytest.mark.parametrize("mode", MODES, indirect=True)
each_opaque = pytest.mark.parametrize("mode", OPAQUE, indirect=True)


@each_mode
def test_it_says_what_it_is(couch: Couch, mode: str) -> None:
    got = ask(couch, "GET", "/", Accept="text/html", Authorization="")
    assert got.headers["content-type"] == "application/json"
    versions = {"couch3": "3.5.0", "couch21": "2.1.2", "couch1": "1.7.2", "bigcouch": "1.1.1"}
    assert got.json["version"] == versions[mode]
    assert got.json["uuid"]
    assert got.json["vendor"]
    assert ("features" in got.json, got.json.get("bigcouch")) == (
        mode == "couch3",
        "0.4.2" if mode == "bigcouch" else None,
    )


@each_mode
def test_databases_with_slashes(couch: Couch, mode: str) -> None:
    assert couch.request("GET", path_of(DB)).status == 404
    assert couch.request("PUT", path_of(DB)).status == 201
    assert couch.request("PUT", path_of(DB)).status == 412
    assert couch.request("HEAD", path_of(DB)).status == 200
    couch.create("zebra")
    fill(couch)
    couch.delete(DB, "doc1")
    info = couch.request("GET", path_of(DB)).json
    assert (info["db_name"], info["doc_count"], info["doc_del_count"]) == (DB, 2, 1)
    path = path_of("_all_dbs", startkey='"account/"', endkey='"account/\ufff0"')
    names = couch.request("GET", path).json
    assert (names == [DB]) == (mode in ("couch3", "couch21"))
    assert DB in names
    assert ("_users" in couch.request("GET", "/_all_dbs").json) == (mode != "bigcouch")
    assert couch.request("DELETE", path_of(DB)).status == 200
    assert couch.request("DELETE", path_of(DB)).status == 404
    assert couch.request("PUT", path_of("Bad")).status == 400
    couch.delete_database("zebra")


@each_mode
def test_instance_start_time(couch: Couch, mode: str) -> None:
    def born() -> str:
        return couch.request("GET", path_of(DB)).json["instance_start_time"]

    couch.create(DB)
    first = born()
    couch.delete_database(DB)
    couch.create(DB)
    if mode in ("couch21", "bigcouch"):
        assert first == born() == "0"
    elif mode == "couch1":
        assert first != born()
        assert abs(int(first) / 1e6 - time.time()) < 60
    else:
        assert abs(int(first) - time.time()) < 60

        def later() -> bool:
            couch.delete_database(DB)
            couch.create(DB)
            return born() != first

        until(later)


@each_mode
def test_documents(couch: Couch, mode: str) -> None:
    fill(couch)
    assert ask(couch, "GET", path_of(DB, "doc1"), Accept="*/*").headers["content-type"] == "application/json"
    assert couch.request("PUT", path_of(DB, "doc1"), {}).status == 409
    assert couch.request("DELETE", path_of(DB, "doc1")).status == 409
    couch.put(DB, {"_id": "doc1", "n": 5})
    couch.edit(DB, "doc1", sip__realm="x")
    assert couch.get(DB, "doc1")["sip"] == {"realm": "x"}
    couch.delete(DB, "doc1")
    with pytest.raises(KeyError):
        couch.get(DB, "doc1")
    assert couch.request("POST", path_of(DB), {"_id": "posted"}).status == 201
    for name in ("_local/mine", "_design/mine"):
        assert couch.request("PUT", path_of(DB, name), {"a": 1}).status == 201
        assert couch.get(DB, name)["a"] == 1
    assert "_local/mine" not in {row["id"] for row in changes(couch)["results"]}
    docs = {"new_edits": False, "docs": [{"_id": "there", "_rev": "7-abc"}]}
    assert couch.request("POST", path_of(DB, "_bulk_docs"), docs).json == []
    assert couch.get(DB, "there")["_rev"] == "7-abc"
    rows = couch.request("POST", path_of(DB, "_all_docs", include_docs="true"), {"keys": ["doc2", "no"]}).json["rows"]  # fmt: skip
    assert (rows[0]["doc"]["n"], rows[1]) == (2, {"key": "no", "error": "not_found"})
    rows = couch.request("GET", path_of(DB, "_all_docs", startkey='"doc1"', endkey='"e"', limit=5)).json[
        "rows"
    ]
    assert [row["id"] for row in rows] == ["doc2"]


def test_a_large_document(couch: Couch) -> None:
    couch.put(DB, {"_id": "large", "text": "x" * 40_000_000})
    assert len(couch.get(DB, "large")["text"]) == 40_000_000


@each_mode
def test_changes_are_written_as_couchdb_writes_them(couch: Couch, mode: str) -> None:
    fill(couch, 2)
    couch.delete(DB, "doc0")
    lines = couch.request("GET", path_of(DB, "_changes", include_docs="true")).body.decode().split("\n")
    assert (lines[0], lines[3], lines[-1]) == ('{"results":[', "],", "")
    assert lines[1].endswith(",")
    rows = [json.loads(lines[1][:-1]), json.loads(lines[2])]
    assert [list(row) for row in rows] == [
        ["seq", "id", "changes", "doc"],
        ["seq", "id", "changes", "deleted", "doc"],
    ]
    assert rows[1]["doc"] == {"_id": "doc0", "_rev": rows[1]["changes"][0]["rev"], "_deleted": True}
    kinds = {"couch1": int, "bigcouch": list}
    assert isinstance(rows[0]["seq"], kinds.get(mode, str))
    assert ('"pending":0}' in lines[4]) == (mode in ("couch3", "couch21"))
    assert lines[4].startswith('"last_seq":')


@each_mode
def test_since_and_limit(couch: Couch, mode: str) -> None:
    fill(couch, 5)
    part = changes(couch, limit=2)
    assert len(part["results"]) == 2
    assert part.get("pending", 3) == 3
    since = json.dumps(part["last_seq"])
    assert [row["id"] for row in changes(couch, since=since)["results"]] == ["doc2", "doc3", "doc4"]
    if isinstance(part["last_seq"], str):
        assert len(changes(couch, since=part["last_seq"])["results"]) == 3
    header = ask(couch, "GET", path_of(DB, "_changes"), Last_Event_ID=since).json
    assert len(header["results"]) == 3
    assert changes(couch, since="now")["results"] == []
    assert [row["id"] for row in changes(couch, descending="true", limit=1)["results"]] == ["doc4"]
    assert couch.request("GET", path_of(DB, "_changes", since="rubbish")).status == 400


@each_opaque
def test_sequences_are_opaque(couch: Couch, mode: str) -> None:
    fill(couch)
    one, two = changes(couch)["last_seq"], changes(couch)["last_seq"]
    assert one != two
    assert changes(couch, since=json.dumps(one))["results"] == []
    info = [couch.request("GET", path_of(DB)).json["update_seq"] for _ in range(2)]
    assert info[0] == info[1]
    assert info[0] not in (one, two)
    couch.put(DB, {"_id": "more"})
    assert couch.request("GET", path_of(DB)).json["update_seq"] != info[0]
    couch.delete_database(DB)
    couch.create(DB)
    fill(couch, 1)
    assert len(changes(couch, since=json.dumps(one))["results"]) == 1


@each_mode
def test_a_continuous_feed(couch: Couch, server: CouchServer, mode: str) -> None:
    fill(couch, 1)
    before = server.stats()["open_feeds"]
    path = path_of(DB, "_changes", feed="continuous", heartbeat=30, include_docs="true")
    with Stream(couch, path) as feed:
        assert feed.next()["id"] == "doc0"
        assert feed.raw() == b"\n"
        assert server.stats()["open_feeds"] == before + 1
        took = []
        for number in range(20):
            couch.put(DB, {"_id": "live", "n": number})
            written = time.monotonic()
            assert feed.next()["doc"]["n"] == number
            took.append(time.monotonic() - written)
        assert sorted(took)[10] < 0.01
        assert feed.answer.headers["content-encoding"] is None
    until(lambda: server.stats()["open_feeds"] == before)


@each_mode
def test_a_continuous_feed_ends(couch: Couch, mode: str) -> None:
    fill(couch, 1)
    path = path_of(DB, "_changes", feed="continuous", since="now")
    pending = {"pending": 0} if mode in ("couch3", "couch21") else {}
    with Stream(couch, path + "&timeout=20") as timed:
        last = timed.next()
        assert last == {"last_seq": last["last_seq"]} | pending
        assert timed.raw() == b""
    with Stream(couch, path + "&limit=1&heartbeat=10") as limited:
        assert limited.raw() == b"\n"  # it waits
        couch.put(DB, {"_id": "doc1"})
        assert limited.next()["id"] == "doc1"
        assert "last_seq" in limited.next()
    with Stream(couch, path + "&heartbeat=10&timeout=5") as deleted:
        assert [deleted.raw() for _ in range(4)] == [b"\n"] * 4  # the heartbeat wins
        couch.delete_database(DB)
        assert "last_seq" in deleted.next()
        assert deleted.raw() == b""


def test_a_longpoll(couch: Couch) -> None:
    fill(couch, 1)
    path = path_of(DB, "_changes", feed="longpoll")
    assert len(couch.request("GET", path).json["results"]) == 1
    with Stream(couch, path + "&since=now") as feed:
        assert feed.raw() == b'{"results":[\n'
        couch.put(DB, {"_id": "doc1"})
        rest = feed.answer.read().strip()
        assert [row["id"] for row in json.loads(b'{"results":[' + rest)["results"]] == ["doc1"]
    assert couch.request("GET", path + "&since=now&timeout=20").json["results"] == []


def test_dbs_info(couch: Couch) -> None:
    fill(couch)
    rows = couch.request("POST", "/_dbs_info", {"keys": [DB, "none"]}).json
    info = couch.request("GET", path_of(DB)).json
    assert rows == [{"key": DB, "info": info}, {"key": "none", "error": "not_found"}]
    assert couch.request("POST", "/_dbs_info", {"keys": ["none"] * 100}).status == 200
    assert couch.request("POST", "/_dbs_info", {"keys": ["none"] * 101}).status == 400


@pytest.mark.parametrize("mode", MODES[1:], indirect=True)
def test_what_old_ones_do_not_have(couch: Couch, mode: str) -> None:
    assert couch.request("POST", "/_dbs_info", {"keys": []}).status == 404
    assert couch.request("GET", "/_db_updates").status == (200 if mode == "couch21" else 404)


@pytest.mark.parametrize("mode", ["couch3", "couch21"], indirect=True)
def test_db_updates(couch: Couch, mode: str) -> None:
    since = quiet(couch)
    fill(couch)
    for number in range(20):
        couch.put(DB, {"_id": "often", "n": number})
    rows = until(lambda: "updated" in of((got := events(couch, since=since))["results"]) and got)
    assert of(rows["results"]) == ["created", "updated"]
    assert {"db_name", "type", "seq"} == set(rows["results"][0])
    assert of(events(couch, since=json.dumps(rows["last_seq"]))["results"]) == []
    last = quiet(couch)
    couch.delete_database(DB)
    polled = events(couch, since=last, feed="longpoll", timeout=20000)
    assert of(polled["results"]) == ["deleted"]
    assert events(couch, since="now", feed="longpoll", timeout=10)["results"] == []
    for bad in ("5", "rubbish", ""):
        assert couch.request("GET", path_of("_db_updates", since=bad)).status == 400


def test_a_continuous_feed_of_updates(couch: Couch, server: CouchServer) -> None:
    quiet(couch)
    path = path_of("_db_updates", feed="continuous", since="now")
    with Stream(couch, path, timeout=0.2) as silent, pytest.raises(TimeoutError):
        assert silent.answer  # no head before there is something to say
    with Stream(couch, path + "&heartbeat=20") as feed:
        assert feed.raw() == b"\n"
        server.control(db_updates={"delay_ms": 50})
        written = time.monotonic()
        fill(couch, 1)
        assert feed.next()["type"] in ("created", "updated")
        assert time.monotonic() - written > 0.04
        assert couch.request("DELETE", "/_global_changes").status == 200
        while "last_seq" not in (line := feed.next()):
            assert line
        assert feed.raw() == b""
    assert couch.request("GET", path).status == 404
    assert couch.request("PUT", "/_global_changes").status == 201
    with Stream(couch, path + "&timeout=20") as timed:
        assert "last_seq" in timed.next()
