"""A client that sends any bytes, and reads what comes back as HTTP."""

import contextlib
import errno
import select
import socket
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.support.service import PATIENCE, Service

_SOURCES = count(1)


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def source() -> str:
    """An address that nobody has asked from yet: a log line's `remote` tells whose request it was."""
    number = next(_SOURCES)
    return f"127.1.{number // 250}.{number % 250 + 1}"


def connect(service: Service, remote: str | None = None, *, receive: int = 0) -> socket.socket:
    """Connect from an address, with a receive buffer of so many bytes."""
    client = socket.socket()
    client.settimeout(PATIENCE)
    if receive:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if remote:
        client.bind((remote, 0))
    host, port = service.base.removeprefix("http://").split(":")
    client.connect((host, int(port)))
    return client


def get(path: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} {version}", "Host: prov.example.com", *headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def rest(client: socket.socket) -> bytes:
    """Everything that still comes until the other side closes or resets."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            got += piece
    return got


def push(client: socket.socket, data: bytes) -> None:
    """Send; that the other side has closed meanwhile is its right."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(data)


def responses(data: bytes, methods: tuple[str, ...] = ()) -> list[Response]:
    """Cut what came into responses, all of them whole. `methods`: of the requests, HEAD has no body."""
    found: list[Response] = []
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, head[:200]
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        assert version == "HTTP/1.1", first
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.title(): value for name, value in pairs}
        assert len(headers) == len(pairs), lines
        length = int(headers.get("Content-Length", "0"))
        if methods[len(found) : len(found) + 1] == ("HEAD",) or status in ("304", "100"):
            length = 0
        assert len(data) >= length, (first, len(data), length)
        found.append(Response(int(status), headers, data[:length]))
        data = data[length:]
    return found


def one(client: socket.socket) -> Response:
    """Read one response and leave the connection open; what only says "go on" is none."""
    got = b""
    while True:
        head, separator, body = got.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        if separator and head.startswith(b"HTTP/1.1 100 "):
            got = body
        elif separator and len(body) >= length:
            return responses(head + separator + body[:length])[0]
        else:
            piece = client.recv(65536)
            assert piece, got[:200]
            got += piece


def is_open(client: socket.socket) -> bool:
    """Whether the other side has not closed yet; nothing is read."""
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        client.settimeout(PATIENCE)


def fill(client: socket.socket, data: bytes, most: int) -> None:
    """Send the same again and again until nobody takes it any more, at most so often."""
    client.setblocking(False)
    try:
        for _ in range(most):
            left = data
            while left:
                try:
                    left = left[client.send(left) :]
                except BlockingIOError:
                    if not select.select([], [client], [], 0.2)[1]:
                        return
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ECONNRESET):
            raise
    finally:
        client.settimeout(PATIENCE)


def descriptors(pid: int) -> int:
    """How many sockets, pipes and so on a process has open: all but files, whose number is no client's business."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += not str(link.readlink()).startswith("/")
    return found


def connections(service: Service) -> int:
    """How many connections the service has not closed, as the kernel counts them (states 1 and 8)."""
    port = f"{int(service.base.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port}") and row[3] in ("01", "08") for row in rows)


def until(good: Callable[[], bool], told: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
