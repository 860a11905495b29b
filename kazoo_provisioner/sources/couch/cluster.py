"""The nodes of a cluster as one server: fail-over, credentials, time-outs, and errors that quote nothing.

aiocouch asks for the server, the list of databases and single databases. What it has no reader for, or one
that cannot tell a dead feed from a quiet one, goes through sessions of our own.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import aiohttp
from aiocouch import CouchDB
from aiocouch.database import Database as CouchDatabase
from yarl import URL

from kazoo_provisioner.settings import CouchSettings
from kazoo_provisioner.sources.couch.answers import capped, checked, read_all, refuse, sequence
from kazoo_provisioner.sources.couch.database import Mark, mark_of
from kazoo_provisioner.sources.couch.errors import (
    CouchError,
    GarbageError,
    RefusedError,
    UnreachableError,
    single,
    translated,
)
from kazoo_provisioner.sources.couch.server import Server, look

T = TypeVar("T")
BATCH = 100
"""Most databases that ``_dbs_info`` takes at once."""
LONGEST = 5
"""Times `timeout` that an answer may take in all which is not read as it comes."""
CONNECT = 10.0
"""Seconds for a connection to be made, and for a server to say who it is."""
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
_BUFFER = 256 * 1024
_tries: ContextVar[list[int] | None] = ContextVar("_tries", default=None)


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
                url.rstrip("/"), cookie_jar=jar, timeout=timeout, connector=connector,
                middlewares=(capped, *ours),
            )  # fmt: skip
            self._nodes.append(node)
        return self

    async def _authorise(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Add name and password, to what goes to our own nodes: never to where one of them redirects us."""
        tries = _tries.get()
        if tries is not None:
            tries.append(1)
            if len(tries) > 1:
                # aiohttp asks again by itself when a connection breaks. Of a feed that would hide what was
                # lost meanwhile.
                raise aiohttp.ServerDisconnectedError
        s = self._settings
        ours = request.url.origin() in {URL(url).origin() for url in s.urls}
        if ours and s.auth == "basic" and s.user is not None and s.password is not None:
            pair = base64.b64encode(f"{s.user}:{s.password.reveal()}".encode()).decode()
            request.headers["Authorization"] = f"Basic {pair}"
        return await handler(request)

    async def __aexit__(self, *_: object) -> None:
        # All of it, also when whoever waits here is cancelled once more.
        closing = [self._session.close(), *(node.close() for node in self._nodes)]
        await asyncio.shield(asyncio.gather(*closing, return_exceptions=True))

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
                    info = await self._ask(self._nodes[self._at].info)
                    if self._settings.auth == "session":
                        await self._login()
                    self.server = await look(self, info)
                return self.server
            except TimeoutError:
                problem = UnreachableError("no answer in time")
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
                await self.readable()
        except TimeoutError:
            raise UnreachableError("no answer in time") from None

    async def readable(self) -> None:
        """Ask for `accounts`: whoever may not read that may read nothing. That it is broken is another matter."""
        try:
            await self.info("accounts")
        except RefusedError as error:
            if error.status in (401, 403):
                raise
        except GarbageError:
            return

    async def _login(self) -> None:
        """Get a cookie for everything that follows."""
        s = self._settings
        if s.user is None or s.password is None:
            return
        _tries.set(None)
        body = {"name": s.user, "password": s.password.reveal()}
        with translated():
            async with self._session.post(
                self._url("/_session"), json=body, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise RefusedError(response.status)

    # Questions with short answers.

    async def names(self, **limit: int) -> list[str]:
        """Return the names of all databases that may be an account's, and more where the server is old."""
        bounds = {"startkey": '"account"', "endkey": '"account0"'}
        found = await self._ask(lambda: self._nodes[self._at].keys(**bounds, **limit))
        return checked(found, list[str])

    async def infos(self, names: list[str]) -> dict[str, Mark | CouchError | None]:
        """Return the mark of each database, at most `BATCH`; None for one that is not there, or what went wrong.

        Raises:
            UnreachableError: the server is lost.
        """
        if self.server and self.server.dbs_info:
            try:
                return await self.dbs_info(names)
            except UnreachableError:
                await self.alive()  # one of them may hang: ask for each
            except CouchError:
                pass  # one of them may be the reason: ask for each
        limit = asyncio.Semaphore(self._settings.readers)

        async def one(name: str) -> Mark | CouchError | None:
            async with limit:
                try:
                    return await self.info(name)
                except UnreachableError as error:
                    await self.alive()
                    return error
                except CouchError as error:
                    return error

        with single():
            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(one(name)) for name in names}
        return {name: task.result() for name, task in tasks.items()}

    async def info(self, name: str) -> Mark | None:
        """Return the mark of a database; None where it is not there."""
        try:
            info = await self._ask(CouchDatabase(self._nodes[self._at], name).info)
        except RefusedError as error:
            if error.missing:
                return None
            raise
        return self._mark(info)

    async def dbs_info(self, names: list[str]) -> dict[str, Mark | CouchError | None]:
        """Return the marks of databases by a single request.

        Raises:
            CouchError: none of them can be had that way.
        """
        found: dict[str, Mark | CouchError | None] = {}
        for entry in checked(await self._json("/_dbs_info", {"keys": names}), list[dict[str, Any]]):
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
            async with asyncio.timeout(LONGEST * self._settings.timeout):
                data = await read_all(content)
        return sequence(checked(data, dict[str, Any]).get("last_seq"))

    async def _json(self, path: str, body: Any) -> Any:
        async def post() -> Any:
            with translated():
                async with asyncio.timeout(LONGEST * self._settings.timeout):
                    async with self._session.post(
                        self._url(path), json=body, allow_redirects=False
                    ) as answer:
                        await refuse(answer)
                        return await read_all(answer.content)

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
            _tries.set([])
            with translated():
                response = await self._session.get(url, timeout=limits, allow_redirects=False)
                try:
                    await refuse(response)
                except BaseException:
                    response.close()
                    raise
                return response

        try:
            response = await self._authorised(open_)
        finally:
            _tries.set(None)
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
                async with asyncio.timeout(LONGEST * self._settings.timeout):
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
