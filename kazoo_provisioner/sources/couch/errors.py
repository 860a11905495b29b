"""What can go wrong with a CouchDB, in words that quote nothing of what was sent or asked."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp


class CouchError(Exception):
    """A request failed; says how."""


class UnreachableError(CouchError):
    """No answer, or one that ended in its middle."""


class GarbageError(CouchError):
    """What was sent is not what CouchDB sends."""


_REFUSED = {
    401: "refuses user and password (401), source.couch.user and password",
    403: "refuses the user (403), source.couch.user",
}


class RefusedError(CouchError):
    """An answer that is an error."""

    def __init__(self, status: int, code: str = "") -> None:
        known = code if code.replace("_", "").isalpha() and code.isascii() and len(code) < 40 else ""
        super().__init__(_REFUSED.get(status) or f"answered {status}{f' {known}' if known else ''}")
        self.status = status
        self.missing = status == 404 and known == "not_found"
        """CouchDB itself says that there is no such thing; a proxy's 404 says nothing."""


@contextmanager
def single() -> Iterator[None]:
    """Around a task group: when a request in it failed, raise that; what else is wrong stays a group."""
    try:
        yield
    except BaseExceptionGroup as group:
        if group.split(CouchError)[1] is not None:
            raise
        found: BaseException = group
        while isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        raise found from None


@contextmanager
def translated() -> Iterator[None]:
    """Turn aiohttp's and aiocouch's errors into ours: theirs quote addresses, and bodies."""
    try:
        yield
    except CouchError:
        raise
    except (aiohttp.ClientError, OSError, KeyError, ValueError, RecursionError) as error:
        # aiocouch turns an answer that is an error into a PermissionError, a KeyError or a ValueError.
        raise _ours(
            error.__cause__ if isinstance(error.__cause__, aiohttp.ClientResponseError) else error
        ) from None


def _ours(error: BaseException) -> CouchError:
    if isinstance(error, aiohttp.ContentTypeError):
        return GarbageError("an answer that is no JSON")
    if isinstance(error, aiohttp.ClientResponseError):
        # aiocouch keeps CouchDB's reason only: what is no JSON, a proxy's page, has none.
        missing = error.status == 404 and getattr(error, "reason", None) is not None
        return RefusedError(error.status, "not_found" if missing else "")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "is not to be trusted"
        return UnreachableError(f"its certificate is refused: {why}")
    if isinstance(error, ssl.SSLError):
        return UnreachableError("no TLS connection could be made")
    if isinstance(error, TimeoutError):
        return UnreachableError("no answer in time")
    if isinstance(error, aiohttp.ClientPayloadError):
        return UnreachableError("an answer that ended in its middle")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return UnreachableError("the connection ended without an answer")
    if isinstance(error, OSError):
        reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        known = reason.errno is not None and reason.errno > 0
        return UnreachableError(os.strerror(reason.errno or 0) if known else "its name leads nowhere")
    if isinstance(error, aiohttp.ClientError):
        return UnreachableError(type(error).__name__)
    return GarbageError("an answer that is no JSON")
