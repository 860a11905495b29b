"""A small model of a CouchDB: what it holds, what its feeds say, and what happens to it."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from kazoo_provisioner.model.ids import is_followed
from kazoo_provisioner.model.wire import trim
from tests.sources.couch.script import Request, Wire

Doc = dict[str, Any]
Truth = dict[tuple[str, str], tuple[str, Any]]


@dataclass
class Base:
    """A database."""

    name: str
    start: str
    line: str
    """Its line of sequences: another one after a restore or a recreation."""
    docs: dict[str, tuple[int, str, Doc | None]] = field(default_factory=dict)
    """By id: number of the change, revision, the document (None: deleted)."""
    number: int = 0
    blind: set[str] = field(default_factory=set)
    """Lines of sequences after which nothing ever comes: measured on a restored database."""
    odd: dict[str, bytes] = field(default_factory=dict)
    """Bytes to send for a document instead of its JSON."""
    changed: list[asyncio.Event] = field(default_factory=list)
    gone: bool = False

    def live(self) -> dict[str, tuple[str, Doc]]:
        return {i: (rev, doc) for i, (_, rev, doc) in self.docs.items() if doc is not None}


class Couch:
    """The server's databases and how it answers."""

    def __init__(self, version: str = "3.5.0", style: str = "3", uuid: str = "u1") -> None:
        self.version, self.style, self.uuid = version, style, uuid
        self.bigcouch = style == "bigcouch"
        self.bases: dict[str, Base] = {}
        self.global_changes = style == "3"
        self.dbs_info = style == "3"
        self.admin = True
        self.delay = 0.3
        self.losing = False
        """Whether events of ``_db_updates`` are lost."""
        self.late_headers = False
        """Whether a feed on a quiet database begins with its first heartbeat."""
        self.password: str | None = None
        self.cookies: set[str] = set()
        self._listeners: list[asyncio.Queue[bytes | None]] = []
        self._made = 0

    # What happens.

    def create(self, name: str, start: str | None = None) -> Base:
        self._made += 1
        old = self.bases.get(name)
        if old:
            self._end(old)
        base = Base(name, start or str(1_600_000_000 + self._made), f"l{self._made}")
        self.bases[name] = base
        self.tell(name, "created")
        return base

    def drop(self, name: str) -> None:
        self._end(self.bases.pop(name))
        self.tell(name, "deleted")

    def put(self, name: str, doc: Doc) -> str:
        base = self.bases[name]
        base.number += 1
        _, rev, _ = base.docs.get(doc["_id"], (0, "0-", None))
        rev = f"{int(rev.split('-')[0]) + 1}-{base.line}{base.number}"
        base.docs[doc["_id"]] = (base.number, rev, doc)
        self._wake(base)
        self.tell(name, "updated")
        return rev

    def delete(self, name: str, doc_id: str) -> None:
        base = self.bases[name]
        base.number += 1
        base.docs[doc_id] = (base.number, f"9-{base.line}{base.number}", None)
        self._wake(base)
        self.tell(name, "updated")

    def snapshot(self, name: str) -> Base:
        base = self.bases[name]
        return Base(name, base.start, base.line, dict(base.docs), base.number, {base.line, *base.blind})

    def restore(self, name: str, old: Base, number: int | None = None) -> None:
        """Put an older state back: same start time, and blind for every sequence of before."""
        self._made += 1
        base = self.bases[name] = Base(name, old.start, f"r{self._made}", dict(old.docs), old.number)
        base.blind = old.blind
        base.number = old.number if number is None else number

    def _end(self, base: Base) -> None:
        base.gone = True
        self._wake(base)

    def _wake(self, base: Base) -> None:
        for event in base.changed:
            event.set()

    def tell(self, name: str, kind: str) -> None:
        """Send an event of ``_db_updates``, as late as CouchDB does."""
        if self.losing or not self._listeners:
            return
        line = json.dumps({"db_name": name, "type": kind, "seq": "7-x"}).encode() + b"\n"
        for listener in self._listeners:
            asyncio.get_running_loop().call_later(self.delay, listener.put_nowait, line)

    def remove_global_changes(self) -> None:
        self.global_changes = False
        for listener in self._listeners:
            listener.put_nowait(None)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def truth(self) -> Truth:
        """Every document that concerns us: its revision and what we keep of it."""
        return {
            (name, i): (rev, kept)
            for name, base in self.bases.items()
            if is_followed(name)
            for i, (rev, doc) in base.live().items()
            if i not in base.odd and (kept := trim(name, i, doc)) is not None
        }

    # Sequences.

    def seq(self, base: Base, number: int) -> Any:
        if self.style == "1":
            return number
        return [number, f"g{base.line}"] if self.style == "bigcouch" else f"{number}-{base.line}"

    def after(self, base: Base, since: str) -> int | None:
        """Return the number after which rows come; None: none ever come."""
        try:
            value = json.loads(since)
        except ValueError:
            value = since
        if self.style == "1":
            assert isinstance(value, int), since
            return value
        if value in (0, "0"):
            return 0
        if self.style == "bigcouch":
            assert isinstance(value, list), since
        number, line = value if self.style == "bigcouch" else value.split("-", 1)
        line = line[1:] if self.style == "bigcouch" else line
        if line in base.blind:
            return None
        return int(number) if line == base.line else 0

    # Answers.

    async def __call__(self, request: Request, wire: Wire) -> None:
        if not await self._let_in(request, wire):
            return
        what = {
            "/": self._welcome, "db": self._info, "_changes": self._changes, "_all_dbs": self._all_dbs,
            "_dbs_info": self._dbs_info, "_db_updates": self._db_updates,
        }.get(request.path if request.path == "/" else request.what)  # fmt: skip
        await (what(request, wire) if what else wire.json({"error": "bad", "reason": "no such"}, 400))

    async def _let_in(self, request: Request, wire: Wire) -> bool:
        if request.path == "/_session":
            if json.loads(request.body)["password"] != self.password:
                await wire.json({"error": "unauthorized", "reason": "Name or password is incorrect."}, 401)
                return False
            self.cookies.add(cookie := f"c{len(self.cookies)}{request.at}")
            await wire.json({"ok": True}, headers=(f"Set-Cookie: AuthSession={cookie}; Path=/; HttpOnly",))
            return False
        sent = request.headers.get("cookie", "").partition("AuthSession=")[2].split(";")[0].strip('"')
        if self.password is not None and request.path != "/" and sent not in self.cookies:
            await wire.json({"error": "unauthorized", "reason": "You are not authorized."}, 401)
            return False
        if not self.admin and request.what in ("_all_dbs", "_dbs_info", "_db_updates"):
            await wire.json({"error": "unauthorized", "reason": "You are not a server admin."}, 401)
            return False
        return True

    async def _welcome(self, _: Request, wire: Wire) -> None:
        big = {"bigcouch": "0.4.2"} if self.bigcouch else {"uuid": self.uuid}
        await wire.json({"couchdb": "Welcome", "version": self.version, **big})

    def info_of(self, base: Base) -> Doc:
        live = len(base.live())
        seq = self.seq(base, base.number)
        return {
            "db_name": base.name, "update_seq": f"{seq}i" if isinstance(seq, str) else seq,
            "doc_count": live, "doc_del_count": len(base.docs) - live, "instance_start_time": base.start,
        }  # fmt: skip

    async def _info(self, request: Request, wire: Wire) -> None:
        base = self.bases.get(request.db)
        await (wire.json(self.info_of(base)) if base else wire.missing())

    async def _all_dbs(self, request: Request, wire: Wire) -> None:
        names = sorted(self.bases)
        if self.style == "3":
            first, last = (json.loads(request.query.get(k, "null")) for k in ("startkey", "endkey"))
            names = [n for n in names if (first is None or n >= first) and (last is None or n <= last)]
        await wire.json(names[: int(request.query.get("limit", 10**6))])

    async def _dbs_info(self, request: Request, wire: Wire) -> None:
        keys = json.loads(request.body)["keys"]
        if not self.dbs_info or len(keys) > 100:
            await wire.json({"error": "bad_request", "reason": "no such thing"}, 400)
            return
        found = ((key, self.bases.get(key)) for key in keys)
        await wire.json(
            [{"key": k, "info": self.info_of(b)} if b else {"key": k, "error": "not_found"} for k, b in found]
        )

    async def _db_updates(self, request: Request, wire: Wire) -> None:
        if not self.global_changes:
            await wire.missing()
        elif not request.continuous:
            await wire.json({"results": [], "last_seq": "7-x"})
        else:
            queue: asyncio.Queue[bytes | None] = asyncio.Queue()
            self._listeners.append(queue)
            try:
                await self._stream(wire, queue, float(request.query["heartbeat"]) / 1000)
            finally:
                self._listeners.remove(queue)

    async def _stream(self, wire: Wire, queue: "asyncio.Queue[bytes | None]", heartbeat: float) -> None:
        begun = False
        while True:
            try:
                line = await asyncio.wait_for(queue.get(), heartbeat)
            except TimeoutError:
                line = b"\n"
            if not begun:  # not even headers come before
                await wire.head()
                begun = True
            if line is None:
                await wire.piece(b'{"last_seq":"7-x"}\n')
                await wire.end()
                return
            await wire.piece(line)

    def row(self, base: Base, doc_id: str) -> bytes:
        number, rev, doc = base.docs[doc_id]
        found: Doc = {"seq": self.seq(base, number), "id": doc_id, "changes": [{"rev": rev}]}
        if doc is None:
            found |= {"deleted": True, "doc": {"_id": doc_id, "_rev": rev, "_deleted": True}}
            return json.dumps(found).encode()
        body = base.odd.get(doc_id) or json.dumps(doc | {"_rev": rev}).encode()
        return json.dumps(found).encode()[:-1] + b',"doc":' + body + b"}"

    def rows(self, base: Base, after: int | None) -> list[tuple[int, bytes]]:
        if after is None:
            return []
        found = sorted((number, i) for i, (number, _, _) in base.docs.items() if number > after)
        return [(number, self.row(base, i)) for number, i in found]

    async def _changes(self, request: Request, wire: Wire) -> None:
        base = self.bases.get(request.db)
        if base is None:
            await wire.missing()
            return
        since = request.query["since"]
        if request.continuous:
            await self._continuous(base, self.after(base, since), request, wire)
            return
        rows = self.rows(base, self.after(base, since))[: int(request.query.get("limit", 10**9))]
        last = self.seq(base, rows[-1][0] if rows else base.number)
        if self.after(base, since) is None:
            last = json.loads(since) if since.startswith('"') else since
        await wire.head(chunked=self.style == "3")
        await wire.piece(b'{"results":[\n')
        for n, (_, line) in enumerate(rows):
            await wire.piece(line + (b",\n" if n < len(rows) - 1 else b"\n"))
        await wire.piece(b'],\n"last_seq":' + json.dumps(last).encode() + b',"pending":0}\n')
        await wire.end()

    async def _continuous(self, base: Base, after: int | None, request: Request, wire: Wire) -> None:
        moved = asyncio.Event()
        base.changed.append(moved)
        heartbeat = float(request.query["heartbeat"]) / 1000
        begun = False
        try:
            while True:
                moved.clear()
                lines = self.rows(base, after)
                if not begun and (lines or not self.late_headers):
                    await wire.head()
                    begun = True
                for at, line in lines:
                    await wire.piece(line + b"\n")
                    after = at
                if base.gone:
                    await wire.end()
                    return
                try:
                    await asyncio.wait_for(moved.wait(), heartbeat)
                except TimeoutError:
                    if not begun:
                        await wire.head()
                        begun = True
                    await wire.piece(b"\n")
        finally:
            base.changed.remove(moved)
