"""What comes back from a CouchDB: read as a whole, as a stream, or refused."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from kazoo_provisioner.sources.couch.errors import GarbageError, RefusedError, translated

T = TypeVar("T")


def path_of(db: str, rest: str = "") -> str:
    """Return the path of a database."""
    return f"/{quote(db, safe='')}{rest}"


def sequence(value: Any) -> str:
    """Return a sequence as a parameter: text as it is, else JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def checked(value: Any, kind: type[T]) -> T:
    """Return a value that has the shape it should have.

    Raises:
        GarbageError: it has not.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise GarbageError("an answer of another shape than CouchDB's") from None


class Capped:
    """A body that is read as a whole, up to a limit: nobody may fill our memory."""

    LIMIT = 128 * 1024 * 1024
    """Bytes; the names of a million databases are less."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, size: int = -1) -> bytes:
        """Read as the stream itself does.

        Raises:
            GarbageError: it is longer than any answer.
        """
        if size >= 0:
            return await self._content.read(size)
        parts, length = [], 0
        while chunk := await self._content.readany():
            parts.append(chunk)
            length += len(chunk)
            if length > self.LIMIT:
                raise GarbageError("an answer without an end")
        return b"".join(parts)


async def capped(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Give every answer to aiocouch, which reads whatever there is, a limit."""
    response = await handler(request)
    response.content = Capped(response.content)  # type: ignore[assignment]
    return response


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


async def read_all(content: aiohttp.StreamReader) -> Any:
    """Return an answer's JSON.

    Raises:
        CouchError: it is none, or did not come to its end.
    """
    with translated():
        data = await Capped(content).read()
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        raise GarbageError("an answer that is no JSON") from None


async def refuse(response: aiohttp.ClientResponse) -> None:
    """Let a good response pass.

    Raises:
        RefusedError: it is an error; says which.
    """
    if response.status == 200:
        return
    data, code = b"", ""
    while len(data) < 4096 and (chunk := await response.content.read(4096)):
        data += chunk
    with contextlib.suppress(ValueError, RecursionError):
        said = msgspec.json.decode(data)
        code = str(said.get("error", "")) if isinstance(said, dict) else ""
    raise RefusedError(response.status, code)
