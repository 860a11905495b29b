"""Clients that are slow, broken or malicious: no crash, no leak, others are served meanwhile, one line for each request."""

import contextlib
import resource
import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kazoo import Folder, account_id, fleet, mac
from tests.support.raw import (
    connect,
    connections,
    descriptors,
    fill,
    get,
    is_open,
    one,
    push,
    responses,
    rest,
    source,
    until,
)
from tests.support.service import PATIENCE, Service

LIMITS = "workers: 1, connections: 600, timeout: 2, idle: 3"
OURS = f"/p/{account_id(0)}/{mac(1)}.cfg"
REQUEST_EVENTS = ("phone_request", "api_request", "bad_request")


class House:
    """The service, and what it was like before anybody came."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.file = service.get(OURS).body
        self.reader = service.pids("reader")
        self.quiet = 0

    def check(self) -> None:
        """Others are served."""
        got = self.service.get(OURS)
        assert (got.status, got.body) == (200, self.file)

    def lines(self, remote: str) -> list[dict[str, Any]]:
        """Everything that was said about the requests of an address, once it has said something."""

        def said() -> list[dict[str, Any]]:
            return [
                e for e in self.service.drain() if e["event"] in REQUEST_EVENTS and e.get("remote") == remote
            ]

        until(lambda: bool(said()), f"nothing is logged about {remote}")
        # What comes later would come before the line of a later request.
        later = source()
        with connect(self.service, later) as client:
            client.sendall(get(OURS))
            one(client)
        until(
            lambda: any(e.get("remote") == later for e in self.service.drain()), "no line of a good request"
        )
        return said()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("hostile")
    fleet(Folder(folder / "dbs"), 1, 2)
    with Service(folder / "service", folder / "dbs", web=LIMITS) as service:
        service.wait("synced")
        house = House(service)
        until(lambda: not connections(service), "the connection of a good request stays")
        house.quiet = descriptors(house.reader)
        yield house
        assert service.stop() == 0
        assert not [e for e in service.events if e["event"] in ("not_json", "process_died")]


@pytest.fixture
def house(running: House) -> Iterator[House]:
    """After each test: the same process, no descriptor more than before, others are served."""
    yield running
    running.check()
    until(lambda: descriptors(running.reader) <= running.quiet, "descriptors leak")
    assert running.service.pids("reader") == running.reader


def discreet(data: bytes) -> None:
    """No answer says how we are made."""
    for word in (b"python", b"aiohttp", b"traceback", b"error:"):
        assert word not in data.lower(), data[:300]
    for answer in responses(data):
        assert answer.status == 100 or answer.headers["Server"] == "kazoo-provisioner"


def flood(name: str, each: str, times: int) -> str:
    return "".join(f"{name}-{number}: {each}\r\n" for number in range(times))


START = f"GET {OURS} HTTP/1.1\r\nHost: x\r\n"
POST = f"POST {OURS} HTTP/1.1\r\nHost: x\r\n"
NO_HTTP = {
    "line of 64 KiB": f"GET /p/{'a' * 65536} HTTP/1.1\r\nHost: x\r\n\r\n",
    "query of 64 KiB": f"GET {OURS}?{'a' * 65536} HTTP/1.1\r\nHost: x\r\n\r\n",
    "method of 64 KiB": f"{'A' * 65536} {OURS} HTTP/1.1\r\nHost: x\r\n\r\n",
    "header of 64 KiB": f"{START}X: {'a' * 65536}\r\n\r\n",
    "header's name of 64 KiB": f"{START}{'a' * 65536}: x\r\n\r\n",
    "1000 headers": f"{START}{flood('X', 'a', 1000)}\r\n",
    "version 9.9": f"GET {OURS} HTTP/9.9\r\nHost: x\r\n\r\n",
    "version without a number": f"GET {OURS} HTTP\r\nHost: x\r\n\r\n",
    "version with a tail": f"GET {OURS} HTTP/1.1x\r\nHost: x\r\n\r\n",
    "another protocol": "EHLO x\r\n\r\n",
    "preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".decode("latin-1")
    + "\x13" * 512
    + "\r\n\r\n",
    "zeros": "\x00" * 4096 + "\r\n\r\n",
    "space in the path": "GET /p/a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the path": "GET /p/a\x00b HTTP/1.1\r\nHost: x\r\n\r\n",
    "control byte in the path": "GET /p/a\x01b HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": f"{START}X: a\x00b\r\n\r\n",
    "header without a colon": f"{START}X\r\n\r\n",
    "space before the colon": f"{START}X : a\r\n\r\n",
    "header without a name": f"{START}: a\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "length and chunks": f"{POST}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": f"{POST}Content-Length: -1\r\n\r\n",
    "length with a sign": f"{POST}Content-Length: +1\r\n\r\na",
    "length that is no number": f"{POST}Content-Length: x\r\n\r\n",
    "unknown encoding": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_is_no_http_is_refused(house: House, name: str) -> None:
    """One answer of 400 or so, one line, and the connection is closed."""
    remote = source()
    with connect(house.service, remote) as client:
        push(client, NO_HTTP[name].encode("latin-1"))
        got = rest(client)
    discreet(got)
    # Where the client still sends as we close, the answer may be lost on its way.
    assert all(answer.status in (400, 408, 413, 414, 431, 501, 505) for answer in responses(got))
    assert len(responses(got)) == 1 or (len(NO_HTTP[name]) > 8192 and not got)
    (line,) = house.lines(remote)
    assert line["event"] == "bad_request"
    assert 400 <= line["status"] < 506
    assert line["reason"]


# What is HTTP, but odd: path, method, and which answers are right.
ODD = [
    (f"http://other.example.com{OURS}", "GET", {200}), (f"HTTP://x:1{OURS}?x", "GET", {200}), (OURS.replace("/", "//"), "GET", {200}),
    (OURS.replace("cfg", "%63fg"), "GET", {200}), (OURS.replace(f"/{mac(1)}", f"%2f{mac(1)}"), "GET", {200, 404}), (f"{OURS}%00", "GET", {404}),
    (f"{OURS}%0d%0aX:%20y", "GET", {404}), (f"/p/..{OURS}", "GET", {404}), ("/p/../../etc/passwd", "GET", {404}), ("/p/%2e%2e/%2e%2e/etc/passwd", "GET", {404}),
    ("/p/..%2f..%2fetc%2fpasswd", "GET", {404}), (r"/p/..\..\etc\passwd", "GET", {400, 404}), (r"\p\x", "GET", {400, 404}), ("//", "GET", {404}),
    ("/p/\xe9\xff.cfg", "GET", {400, 404}), ("/p/%c3%a9.cfg", "GET", {404}), ("/p/%ff", "GET", {404}), ("/p/%", "GET", {404}), ("/p/%zz", "GET", {404}),
    ("p/x", "GET", {400, 404}), ("*", "GET", {400, 404}), ("*", "OPTIONS", {400, 404, 405}), (OURS, "OPTIONS", {404, 405}), (OURS, "TRACE", {405}),
    (OURS, "DELETE", {405}), (OURS, "PUT", {405}), (OURS, "POST", {405}), (OURS, "PATCH", {405}), (OURS, "BREW", {400, 405}), ("prov.example.com:443", "CONNECT", {400, 404, 405}),
    (OURS, "CONNECT", {400, 404, 405}), ("http://[::1", "GET", {400, 404}), ("http://", "GET", {400, 404}), ("/p/" + "a/" * 2000, "GET", {404}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "right"), ODD)
def test_odd_requests_are_answered(house: House, path: str, method: str, right: set[int]) -> None:
    remote = source()
    with connect(house.service, remote) as client:
        client.sendall(get(path, "Connection: close", method=method))
        got = rest(client)
    discreet(got)
    (answer,) = responses(got)
    assert answer.status in right
    assert answer.status != 404 or answer.body == b"Not found\n"
    (line,) = house.lines(remote)
    assert line["status"] == answer.status


@pytest.mark.parametrize(
    "line", [f"GET {OURS}", f"GET {OURS} HTTP/1.0", f"GET {OURS} HTTP/2.0", f"\r\n\r\nGET {OURS} HTTP/1.1"]
)
def test_other_versions(house: House, line: str) -> None:
    """The file or a refusal, and the end of the connection if the client wants it."""
    remote = source()
    with connect(house.service, remote) as client:
        client.sendall(f"{line}\r\nConnection: close\r\n\r\n".encode())
        got = rest(client)
    discreet(got)
    (answer,) = responses(got)
    assert (answer.status, answer.body) in [(200, house.file), (400, b"Bad request\n")]
    assert len(house.lines(remote)) == 1


@pytest.mark.parametrize(
    "headers",
    [
        ["Expect: 100-continue"], ["Expect: 100-continue", "Content-Length: 5"], ["Expect: x"],
        ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Accept-Encoding: gzip, br"], ["Range: bytes=0-1"], ["If-None-Match: " + '"x", ' * 500], ["Cookie: " + "a=b; " * 500],
    ],
)  # fmt: skip
def test_offers_are_passed_over(house: House, headers: list[str]) -> None:
    """No switch to another protocol, no part of a file: the file."""
    remote = source()
    with connect(house.service, remote) as client:
        client.sendall(get(OURS, *headers))
        answer = one(client)
    assert (answer.status, answer.body) == (200, house.file)
    assert answer.headers["Server"] == "kazoo-provisioner"
    assert len(house.lines(remote)) == 1


def test_pipelining(house: House) -> None:
    """Twenty requests in one write: twenty answers, in order."""
    paths = [OURS, f"/p/{mac(2)}.cfg", "/p/y000000000028.cfg", "/p/nothing"] * 5
    expected = [house.service.get(path)[:2] for path in paths]
    remote = source()
    with connect(house.service, remote) as client:
        client.sendall(b"".join(get(path) for path in paths[:-1]) + get(paths[-1], "Connection: close"))
        got = rest(client)
    discreet(got)
    assert [(answer.status, answer.body) for answer in responses(got)] == expected
    assert len(house.lines(remote)) == 20


def test_a_request_in_a_body_is_none(house: House) -> None:
    """What a request calls its body is never taken for the next request."""
    inner = get(f"/p/{mac(2)}.cfg")
    chunk = f"{len(inner):x}\r\n".encode() + inner + b"\r\n0\r\n\r\n"
    for method in ("GET", "POST", "PUT"):
        for framing, body in (
            (f"Content-Length: {len(inner)}", inner),
            ("Transfer-Encoding: chunked", chunk),
        ):
            remote = source()
            with connect(house.service, remote) as client:
                push(client, get(OURS, framing, method=method) + body + get("/p/after", "Connection: close"))
                got = rest(client)
            discreet(got)
            answers = [answer.status for answer in responses(got)]
            assert answers in ([200 if method == "GET" else 405, 404], [200 if method == "GET" else 405])
            assert len(house.lines(remote)) == len(answers)


def test_half_closed(house: House) -> None:
    """A client that has said all it wants still gets its answer; after half a request there is none to get."""
    for number in range(30):
        with connect(house.service) as client:
            client.sendall(get(OURS))
            client.shutdown(socket.SHUT_WR)
            (answer,) = responses(rest(client))
            assert (answer.status, answer.body) == (200, house.file), number
    for half in (b"G", b"GET /p/x", START.encode(), b"", f"{POST}Content-Length: 5\r\n\r\nab".encode()):
        with connect(house.service) as client:
            client.sendall(half)
            client.shutdown(socket.SHUT_WR)
            discreet(rest(client))


def trickle(client: socket.socket, data: bytes) -> bytes:
    """Send byte by byte, begin anew at the end, until the other side has enough. Return what it said."""
    deadline = time.monotonic() + PATIENCE
    number = 0
    while is_open(client):
        assert time.monotonic() < deadline, "it is listened to for ever"
        with contextlib.suppress(OSError):
            client.send(data[number % len(data) :][:1])
        number += 1
        if select.select([client], [], [], 0.1)[0]:
            return rest(client)
    return b""


ENDLESS = [
    (START.encode(), b"X: y\r\n"),
    (b"", b"GET /p/"),
    (b"", b"\r\n"),
    (f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode(), b"1\r\na\r\n"),
]
STUCK = [
    b"G", START.encode(), START.encode() + b"X: y", f"{POST}Content-Length: 100\r\n\r\nabc".encode(), get(OURS, "Content-Length: 100"),
    f"{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nab".encode(), get(OURS, "Transfer-Encoding: chunked") + b"5\r\nab", b"\x16\x03\x01\x02\x00\x01", b"",
    get(OURS) + b"GET /p/", get(OURS),
]  # fmt: skip


@pytest.mark.parametrize(("first", "again"), ENDLESS)
def test_a_request_that_never_ends(house: House, first: bytes, again: bytes) -> None:
    """Byte by byte: it is cut off, and others are served meanwhile."""
    remotes = [source() for _ in range(3)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(house.service, remote)) for remote in remotes]
        for client in clients:
            push(client, first + again[:1])
        house.check()
        for client in clients:
            discreet(trickle(client, again))
    for remote in remotes:
        assert 1 <= len(house.lines(remote)) <= 2


@pytest.mark.parametrize("sent", STUCK)
def test_a_client_that_falls_silent(house: House, sent: bytes) -> None:
    """It is let go, whatever it had said before; half a request leaves a line."""
    remote = source()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(house.service, at)) for at in (remote, *[None] * 19)]
        for client in clients:
            push(client, sent)
        house.check()
        for client in clients:
            discreet(rest(client))
    if sent and b"\r\n\r\n" not in sent:
        (line,) = house.lines(remote)
        assert line["event"] == "bad_request"
        assert line["status"] in (400, 408)


def test_answers_that_nobody_takes(house: House) -> None:
    """Requests upon requests, and nothing is read: what was not taken in time is given up, while the client is there."""
    padding = flood("X", "a" * 4000, 4)
    remotes = [source() for _ in range(5)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(house.service, remote, receive=2048)) for remote in remotes]
        for client in clients:
            fill(client, (START + padding + "\r\n").encode(), 2000)
        house.check()
        until(lambda: descriptors(house.reader) <= house.quiet, "they are waited for for ever")
    for remote in remotes:
        assert [line["event"] for line in house.lines(remote)].count("bad_request") == 1


def test_clients_that_vanish(house: House) -> None:
    """Reset before, within and after a request, and while an answer is on its way."""
    for sent in (
        b"",
        b"GET",
        START.encode(),
        get(OURS),
        get(OURS) * 200,
        f"{POST}Content-Length: 9\r\n\r\n".encode(),
    ):
        for _ in range(20):
            with connect(house.service, receive=2048) as client:
                push(client, sent)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        house.check()


@pytest.fixture
def many_files() -> Iterator[int]:
    """How many descriptors this process may have, with the limit as high as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000 if hard == resource.RLIM_INFINITY else min(hard, 11_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections(tmp_path: Path, many_files: int) -> None:
    """The oldest idle ones are closed for the new ones, and who asks is served."""
    fleet(Folder(tmp_path / "dbs"), 1, 2)
    web = "workers: 1, connections: 600, timeout: 600, idle: 600"
    with Service(tmp_path / "service", tmp_path / "dbs", web=web) as service, contextlib.ExitStack() as stack:
        service.wait("synced")
        house = House(service)
        busy = stack.enter_context(connect(service, source()))
        count = min(10_000, many_files - 500)
        clients: list[socket.socket] = []
        for number in range(count):
            clients.append(stack.enter_context(connect(service, f"127.2.0.{number % 50 + 1}")))
            if number % 100 == 0:  # once the last one is served, all before it were accepted
                for asking in (
                    clients[-1],
                    busy,
                ):  # and who asks something is not the one that is idle longest
                    asking.sendall(get(OURS))
                    assert one(asking).body == house.file
        house.check()
        assert descriptors(house.reader) < 700
        until(lambda: not any(is_open(client) for client in clients[:-600]), "the oldest are still there")
        assert all(is_open(client) for client in clients[-500:])
        clients[-1].sendall(get(OURS))
        assert one(clients[-1]).status == 200
        assert service.pids("reader") == house.reader
        assert service.stop() == 0
