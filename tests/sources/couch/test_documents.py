"""Single documents that cannot be read: skipped and reported, and those after them arrive."""

import json

import pytest
import structlog.testing

from kazoo_provisioner.sources.base import Inbox
from kazoo_provisioner.sources.couch import rows
from tests.sources.couch.model import Couch
from tests.sources.couch.world import World, name
from tests.support import kazoo

LONGEST = 200_000
ODD = {
    "too large": json.dumps(kazoo.device("odd", kazoo.mac(99), notes="x" * 1_000_000)).encode(),
    "lone surrogate": b'{"_id":"odd","pvt_type":"device","name":"\\ud800"}',
    "lone surrogate in a key": b'{"_id":"odd","pvt_type":"device","\\udfff":1}',
    "brackets": b'{"_id":"odd","pvt_type":"device","a":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    "braces": b'{"_id":"odd","a":' + b'{"":' * 30_000 + b"1" + b"}" * 30_001,
    "not UTF-8": b'{"_id":"odd","pvt_type":"device","name":"\xff\xfe"}',
    "null": b"null",
    "list": b"[1,2]",
    "number": b"1e999",
    "huge number": b'{"_id":"odd","pvt_type":"device","name":' + b"9" * 5000 + b"}",
    "control character": b'{"_id":"odd","name":"\x01"}',
    "nested deeper than documents are": b'{"_id":"odd","pvt_type":"device","provision":'
    + b'{"a":' * 40 + b"1" + b"}" * 41,
}  # fmt: skip


@pytest.mark.parametrize("style", ["3", "1", "bigcouch"])
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("late", [False, True])
async def test_document_that_cannot_be_read(kind: str, style: str, late: bool) -> None:
    couch = Couch({"3": "3.5.0", "1": "1.7.2", "bigcouch": "1.1.1"}[style], style)
    world = World(2, couch, max_document=LONGEST)
    if not late:
        odd(world, kind)
    with structlog.testing.capture_logs() as logs:
        async with world as w:
            await w.caught_up()
            if late:
                await w.feed(1)
                odd(w, kind)
            await w.agrees(30)
            w.device(1, "d7")
            await w.agrees(30)
            await w.restart()
            await w.agrees(30)
            assert (name(1), "odd") not in w.memory.docs
    told = [line for line in logs if line["event"] == "document_unreadable"]
    assert {(line["db"], line["doc"]) for line in told} == {(name(1), "odd")}
    assert 1 <= len(told) <= 2  # once in a life


def odd(w: World, kind: str) -> None:
    """Put the document between two others."""
    w.device(1, "before")
    w.couch.bases[name(1)].odd["odd"] = ODD[kind]
    w.device(1, "odd")
    w.device(1, "after")


@pytest.mark.parametrize("longest", [2000, 60_000, 70_000])
async def test_max_document_is_the_limit(longest: int) -> None:
    """However small it is."""
    world = World(1, max_document=longest)
    world.couch.bases[name(1)].odd["odd"] = json.dumps(
        kazoo.device("odd", kazoo.mac(9), notes="x" * longest)
    ).encode()
    world.device(1, "odd")
    async with world as w:
        await w.agrees(20)
        w.device(1, "after")
        await w.agrees(20)


@pytest.mark.parametrize("kind", ["too large", "brackets", "lone surrogate", "not UTF-8"])
async def test_document_that_becomes_unreadable(kind: str) -> None:
    """What we hold of it stays until it can be read again, or is deleted."""
    async with World(max_document=LONGEST) as w:
        w.device(1, "odd", name="good")
        await w.following()
        w.couch.bases[name(1)].odd["odd"] = ODD[kind]
        w.device(1, "odd", name="bad")
        w.device(1, "after")
        await w.until(lambda: (name(1), "after") in w.memory.docs, "the one after it", 10)
        assert w.memory.docs[name(1), "odd"][1][1]["name"] == "good"
        w.couch.bases[name(1)].odd.clear()
        w.device(1, "odd", name="good again")
        await w.agrees(10)


@pytest.mark.parametrize("kind", ["too large", "brackets", "lone surrogate", "not UTF-8"])
@pytest.mark.parametrize("whole", [False, True])
async def test_deletion_with_a_body_that_cannot_be_read(kind: str, whole: bool) -> None:
    """A deleted document may keep its fields, and still is deleted."""
    async with World(max_document=LONGEST) as w:
        w.device(1, "odd")
        await w.following()
        base = w.couch.bases[name(1)]
        usual = w.couch.row

        def row(of: object, doc_id: str) -> bytes:
            line = usual(base, doc_id) if of is base else usual(of, doc_id)  # type: ignore[arg-type]
            return line[: line.index(b'"doc"')] + b'"doc":' + ODD[kind] + b"}" if doc_id == "odd" else line

        w.couch.row = row  # type: ignore[method-assign]
        if whole:
            base.line = "replayed"
        w.couch.delete(name(1), "odd")
        await w.agrees(60)


@pytest.mark.parametrize("odd_id", ["doc", "id", "seq", "rev", 'a"doc"b', "ü\n☎", "a" * 5000, "_design/x"])
async def test_ids_that_look_like_something_else(odd_id: str) -> None:
    """Ids are any text, also where the document cannot be parsed."""
    async with World(max_document=LONGEST) as w:
        await w.following()
        w.device(1, odd_id if odd_id != "_design/x" else "d5")
        await w.agrees(5)
        w.couch.bases[name(1)].odd[odd_id] = ODD["brackets"]
        w.device(1, odd_id)
        w.device(1, "after")
        await w.until(lambda: (name(1), "after") in w.memory.docs, "the one after it", 30)
        w.couch.delete(name(1), odd_id)
        w.couch.bases[name(1)].odd.clear()
        await w.agrees(30)


async def test_soft_deletions_and_documents_that_concern_us_no_more() -> None:
    async with World() as w:
        await w.following()
        w.device(1, pvt_deleted=True)
        w.couch.put(name(2), {"_id": "d1", "pvt_type": "cdr"})
        await w.agrees(5)
        assert sorted(w.memory.deleted) == [(name(1), "d1"), (name(2), "d1")]


async def test_memory_stays_bounded() -> None:
    """Large documents in many databases at once: one after another, and no more than fits into the inbox."""
    world = World(8, readers=8, max_document=3_000_000)
    for number in range(1, 9):
        for at in range(3):
            world.device(number, f"big{at}", name="x" * 2_000_000)
    peak = {"lines": 0, "inbox": 0}
    lines: list[rows.Lines] = []

    class Counted(rows.Lines):
        def __init__(self, longest: int) -> None:
            super().__init__(longest)
            lines.append(self)

        def feed(self, chunk: bytes):  # type: ignore[no-untyped-def]
            yield from super().feed(chunk)
            peak["lines"] = max(peak["lines"], sum(sum(map(len, one._parts)) for one in lines))

    class Counting(Inbox):
        async def put(self, event) -> None:  # type: ignore[no-untyped-def]
            await super().put(event)
            peak["inbox"] = max(peak["inbox"], self._bytes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kazoo_provisioner.sources.couch.read.Lines", Counted)
        patch.setattr("tests.sources.couch.world.Inbox", Counting)
        async with world as w:
            await w.agrees(60)
    assert peak["lines"] < 2_000_000 + 8 * 600_000
    assert peak["inbox"] < 4 * 1024 * 1024 + 8 * 2_100_000
