"""The nodes of a cluster as one server: fail-over, credentials, time-outs, and errors that quote nothing.

aiocouch asks for the server, the list of databases and single databases. What it has no reader for, or one
that cannot tell a dead feed from a quiet one, goes through sessions of our own.
"""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from aiocouch import CouchDB
from aiocouch.database import Database as CouchDatabase
from msgspec import Struct
from msgspec.structs import replace
from yarl import URL

from kazoo_provisioner.settings import CouchSettings
from kazoo_provisioner.sources.couch.database import Mark, mark_of
from kazoo_provisioner.sources.couch.errors import (
    CouchError,
    GarbageError,
    RefusedError,
    UnreachableError,
    translated,
)

T = TypeVar("T")
BATCH = 100
"""Most databases that ``_dbs_info`` takes at once."""
OLD = "it is older than CouchDB 2"
CONNECT = 10.0
"""Seconds for a connection to be made, and for a server to say who it is."""
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_BUFFER = 256 * 1024


class Server(Struct, frozen=True):
    """What a server can do."""

    url: str
    version: str
    uuid: str
    bigcouch: bool
    updates: str | None
    """What is missing for ``_db_updates``; None: nothing."""
    dbs_info: bool
    lists: bool
    """Whether we may list the databases."""

    @property
    def old(self) -> bool:
        """Whether it never has ``_db_updates``."""
        return self.bigcouch or self.version.startswith(("0", "1."))

    @property
    def started(self) -> bool:
        """Whether a database's start time is that of its creation."""
        return not self.bigcouch and int(self.version.partition(".")[0] or 0) >= 3


class Cluster:
    """One cluster, through one of its nodes at a time."""

    def __init__(self, settings: CouchSettings, tls: ssl.SSLContext | bool) -> None:  # noqa: FBT001 - aiohttp's
        self._settings = settings
        self._tls = tls
        self._nodes: list[CouchDB] = []
        self._at = 0
        self._session: aiohttp.ClientSession
        self.server: Server | None = None

    async def __aenter__(self) -> Self:
        s = self._settings
        tls = self._tls
        jar = aiohttp.CookieJar(unsafe=True)  # nodes may be named by their addresses
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=s.timeout)
        ours = (self._authorise,)
        self._session = aiohttp.ClientSession(
            cookie_jar=jar, timeout=timeout, headers=_HEADERS, read_bufsize=_BUFFER, middlewares=ours,
            connector=aiohttp.TCPConnector(limit=0, ssl=tls),
        )  # fmt: skip
        for url in s.urls:
            connector = aiohttp.TCPConnector(limit=s.readers, ssl=tls)
            node = CouchDB(
                url.rstrip("/"), cookie_jar=jar, timeout=timeout, connector=connector, middlewares=ours
            )
            self._nodes.append(node)
        return self

    async def _authorise(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add name and password, to what goes to our own nodes: never to where one of them redirects us."""
        s = self._settings
        ours = request.url.origin() in {URL(url).origin() for url in s.urls}
        if ours and s.auth == "basic" and s.user is not None and s.password is not None:
            pair = base64.b64encode(f"{s.user}:{s.password.reveal()}".encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return await handler(request)

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        for node in self._nodes:
            await node.close()

    @property
    def url(self) -> str:
        """The address of the node in use."""
        return self._settings.urls[self._at].rstrip("/")

    # Finding out who is there.

    async def connect(self) -> Server:
        """Find a node that answers, the one in use first; say what it can do.

        Raises:
            CouchError: none does; says why the last one did not.
        """
        problem = CouchError("no node")
        for number in range(len(self._nodes)):
            if number:
                self.next_node()
            try:
                async with asyncio.timeout(3 * CONNECT):
                    self.server = await self._look()
                return self.server
            except TimeoutError:
                problem = UnreachableError("no answer in time")
            except RefusedError as error:
                said = (
                    "wants a user and password"
                    if self._settings.user is None
                    else "refuses user and password"
                )
                problem = CouchError(said) if error.status in (401, 403) else error
            except CouchError as error:
                problem = error
        raise problem

    def next_node(self) -> None:
        """Prefer the next node from now on."""
        self._at = (self._at + 1) % len(self._nodes)

    async def alive(self) -> None:
        """Ask the node in use for a sign of life, and whether it still lets us in.

        Raises:
            CouchError: there is none.
        """
        try:
            async with asyncio.timeout(CONNECT):
                await self._readable()
        except TimeoutError:
            raise UnreachableError("no answer in time") from None

    async def _look(self) -> Server:
        info = await self._ask(self._nodes[self._at].info)
        if not isinstance(info, dict) or "couchdb" not in info:
            raise CouchError("is no CouchDB")
        if self._settings.auth == "session":
            await self._login()
        version = str(info.get("version", ""))
        if not version.replace(".", "").isalnum() or not version[:1].isdecimal() or len(version) > 40:
            version = "0"
        bigcouch = "bigcouch" in info
        await self._readable()
        uuid = str(info.get("uuid", ""))[:64]
        server = Server(self.url, version, uuid, bigcouch, OLD, dbs_info=False, lists=await self._may_list())
        if server.old:
            return server
        updates, dbs_info = await self._updates_missing(), await self._has_dbs_info()
        return replace(server, updates=updates, dbs_info=dbs_info)

    async def _readable(self) -> None:
        """Ask for `accounts`: whoever may not read that may read nothing. That it is broken is another matter."""
        try:
            await self.info("accounts")
        except RefusedError as error:
            if error.status in (401, 403):
                raise
        except GarbageError:
            return

    async def _updates_missing(self) -> str | None:
        """Return what is missing for ``_db_updates``."""
        try:
            await self.updates_seq()
        except RefusedError as error:
            return self.updates_problem(error)
        return None

    @staticmethod
    def updates_problem(error: RefusedError) -> str:
        """Return what a refusal of ``_db_updates`` means."""
        known = {401: "the user is no server admin", 403: "the user is no server admin"}
        if error.missing:
            return "there is no database _global_changes"
        return known.get(error.status, str(error))

    async def _has_dbs_info(self) -> bool:
        try:
            await self._dbs_info(["accounts"])
        except (RefusedError, GarbageError):
            return False
        return True

    async def _may_list(self) -> bool:
        try:
            await self._ask(lambda: self._nodes[self._at].keys(limit=1))
        except RefusedError as error:
            if error.status in (401, 403):
                return False
            raise
        return True

    async def _login(self) -> None:
        """Get a cookie for everything that follows."""
        s = self._settings
        if s.user is None or s.password is None:
            return
        body = {"name": s.user, "password": s.password.reveal()}
        with translated():
            async with self._session.post(
                self._url("/_session"), json=body, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise RefusedError(response.status)

    # Questions with short answers.

    async def names(self) -> list[str]:
        """Return the names of all databases that may be an account's, and more where the server is old."""
        bounds = {"startkey": '"account"', "endkey": '"account0"'}
        found = await self._ask(lambda: self._nodes[self._at].keys(**bounds))
        return _checked(found, list[str])

    async def infos(self, names: list[str]) -> dict[str, Mark | CouchError | None]:
        """Return the mark of each database, at most `BATCH`; None for one that is not there, or what went wrong.

        Raises:
            UnreachableError: the server is lost.
        """
        if self.server and self.server.dbs_info:
            try:
                return await self._dbs_info(names)
            except (RefusedError, GarbageError):
                pass  # one of them may be the reason: ask for each
        limit = asyncio.Semaphore(self._settings.readers)

        async def one(name: str) -> Mark | CouchError | None:
            async with limit:
                try:
                    return await self.info(name)
                except CouchError as error:
                    return error

        return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))

    async def info(self, name: str) -> Mark | None:
        """Return the mark of a database; None where it is not there."""
        try:
            info = await self._ask(CouchDatabase(self._nodes[self._at], name).info)
        except RefusedError as error:
            if error.missing:
                return None
            raise
        return self._mark(info)

    async def _dbs_info(self, names: list[str]) -> dict[str, Mark | CouchError | None]:
        found: dict[str, Mark | CouchError | None] = {}
        for entry in _checked(await self._json("/_dbs_info", {"keys": names}), list[dict[str, Any]]):
            name = str(entry.get("key"))
            if "info" in entry:
                found[name] = self._mark(entry["info"])
            else:
                found[name] = None if entry.get("error") == "not_found" else RefusedError(500)
        if set(found) != set(names):
            raise GarbageError("an answer of _dbs_info to another question")
        return found

    def _mark(self, info: Any) -> Mark:
        try:
            return mark_of(info, started=bool(self.server and self.server.started))
        except ValueError:
            raise GarbageError("a database's info without update_seq") from None

    async def updates_seq(self) -> str:
        """Return the sequence of ``_db_updates`` as it is now."""
        async with self.stream(
            "/_db_updates", {"since": "now", "feed": "normal", "timeout": "1000"}
        ) as content:
            data = await _all(content)
        return sequence(_checked(data, dict[str, Any]).get("last_seq"))

    async def _json(self, path: str, body: Any) -> Any:
        async def post() -> Any:
            with translated():
                async with self._session.post(self._url(path), json=body, allow_redirects=False) as response:
                    await _refuse(response)
                    return await _all(response.content)

        return await self._authorised(post)

    # Feeds.

    @asynccontextmanager
    async def stream(
        self, path: str, params: dict[str, str], silence: float | None = None
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """Open an answer that is read as it comes. `silence`: seconds without a byte after which it is dead.

        Raises:
            CouchError: also from within, when what is read ends before it should.
        """
        silence = silence or self._settings.timeout
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=silence)
        url = URL(f"{self._url(path)}?{urlencode(params)}", encoded=True)

        async def open_() -> aiohttp.ClientResponse:
            with translated():
                response = await self._session.get(url, timeout=limits, allow_redirects=False)
                try:
                    await _refuse(response)
                except BaseException:
                    response.close()
                    raise
                return response

        response = await self._authorised(open_)
        try:
            yield response.content
        finally:
            response.close()

    def _url(self, path: str) -> URL:
        return URL(f"{self.url}{path}", encoded=True)

    # What all of them share.

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call of aiocouch's."""

        async def once() -> T:
            with translated():
                return await call()

        return await self._authorised(once)

    async def _authorised(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call; with a session that has ended, log in and make it again."""
        try:
            return await call()
        except RefusedError as error:
            if error.status != 401 or self._settings.auth != "session":
                raise
        await self._login()
        return await call()


def path_of(db: str, rest: str = "") -> str:
    """Return the path of a database."""
    return f"/{quote(db, safe='')}{rest}"


def sequence(value: Any) -> str:
    """Return a sequence as a parameter: text as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _checked(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise GarbageError("an answer of another shape than CouchDB's") from None


async def chunks(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield what comes, as it comes.

    Raises:
        UnreachableError: nothing came for too long, or the connection ended in the middle.
    """
    while True:
        with translated():
            chunk = await content.readany()
        if not chunk:
            return
        yield chunk


async def _all(content: aiohttp.StreamReader) -> Any:
    with translated():
        data = await content.read()
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        raise GarbageError("an answer that is no JSON") from None


async def _refuse(response: aiohttp.ClientResponse) -> None:
    """Raise what a response that is an error says."""
    if response.status == 200:
        return
    code = ""
    with contextlib.suppress(ValueError, RecursionError):
        said = msgspec.json.decode(await response.content.read(4096))
        code = str(said.get("error", "")) if isinstance(said, dict) else ""
    raise RefusedError(response.status, code)
