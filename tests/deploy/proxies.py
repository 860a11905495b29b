"""Real proxies on free ports with the snippets of deploy/, clients with an address of their own, and recorders."""

import http.client
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import IO, Any, NamedTuple, Self
from urllib.parse import urlsplit

import pytest

from tests.support.kazoo import account_id, mac
from tests.support.service import Service

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
"""Seconds after which something that must come is missing. Nothing is measured by it."""

HERE = "127.0.0.1"
"""Where the proxies and the service are."""
PHONE = "127.0.0.3"
"""A phone's address: another one than the proxy's."""
ACCOUNT = account_id(1)
FILE = f"/p/{ACCOUNT}/{mac(1)}.cfg"

ODD = [
    f"/p//{ACCOUNT}//{mac(1)}.cfg", f"//p/{ACCOUNT}/{mac(1)}.cfg", f"/p/{ACCOUNT}%2F{mac(1)}.cfg",
    f"/p/{ACCOUNT}%2f{mac(1).upper()}.CFG", "/P/%30%30x.cfg", "/p/./x.cfg", "/p/a/../x.cfg", "/p/x.cfg;a=1",
    "/p/%7Ex~y+z&a=b:c@d,e", "/p/caf%C3%A9.cfg", "/p/x.cfg?mac=%2f//&a=%20", "/provision///x%20y", "/",
]  # fmt: skip
"""Paths that must come to the service letter by letter."""
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def tool(name: str) -> str:
    """A program's path. Without it the test is skipped; in CI it fails."""
    found = which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found:
        return found
    missing = f"{name} is not on this machine (make test-deps installs it on Debian)"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def free_ports(count: int) -> list[int]:
    held = [socket.create_server((HERE, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def fill(name: str, values: dict[str, str]) -> str:
    """A file of deploy/ with other values in place of its examples. Each of these must be there."""
    text = (ROOT / "deploy" / name).read_text()
    for old, new in values.items():
        assert old in text, f"deploy/{name}: no {old!r}"
        text = text.replace(old, new)
    return text


class Ports(NamedTuple):
    http: int
    https: int


class Certificate(NamedTuple):
    certificate: Path
    key: Path
    both: Path

    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)


def certificate(folder: Path) -> Certificate:
    made = Certificate(folder / "tls.crt", folder / "tls.key", folder / "tls.pem")
    subprocess.run(
        [
            tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=prov.example.com",
            "-addext", f"subjectAltName=DNS:prov.example.com,IP:{HERE}",
            "-keyout", str(made.key), "-out", str(made.certificate),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    made.both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    return made


def port_of(service: Service) -> int:
    return urlsplit(service.base).port or 0


def remote(service: Service, agent: str) -> str:
    """Whom the service's log names as the one who asked, by what that one called itself."""
    found: str = service.wait("phone_request", agent=agent)["remote"]
    return found


class Got(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]
    """Names in lower case."""


class Client:
    """One connection, from an address of its own."""

    def __init__(self, port: int, source: str = HERE, tls: ssl.SSLContext | None = None) -> None:
        at: dict[str, Any] = {"timeout": PATIENCE, "source_address": (source, 0)}
        self._connection = (
            http.client.HTTPSConnection(HERE, port, context=tls, **at)
            if tls
            else http.client.HTTPConnection(HERE, port, **at)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: bytes = b""
    ) -> Got:
        """Send a request whose path goes on the wire as it is."""
        named = (
            {"Host": "prov.example.com"}
            | (headers or {})
            | ({"Content-Length": str(len(body))} if body else {})
        )
        self._connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in named.items():
            self._connection.putheader(name, value)
        self._connection.endheaders(body or None)
        answer = self._connection.getresponse()
        return Got(answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()})


def ask(port: int, path: str, headers: dict[str, str] | None = None, **more: Any) -> Got:
    """One request on a connection of its own."""
    at = {name: more.pop(name) for name in ("source", "tls") if name in more}
    with Client(port, **at) as client:
        return client.ask(path, headers, **more)


class Asked(NamedTuple):
    """A request as it came to a recorder."""

    connection: int
    client: str
    """Whom the PROXY protocol named; empty without it."""
    target: str
    headers: dict[str, str]
    """Names in lower case."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = PATIENCE

    def handle(self) -> None:
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        number = next(recorder.numbers)
        client = ""
        if self.rfile.peek(1)[:1] == b"\r":  # type: ignore[attr-defined]
            head = self.rfile.read(16)
            assert head[:12] == _SIGNATURE
            more = self.rfile.read(int.from_bytes(head[14:16], "big"))
            client = socket.inet_ntoa(more[:4]) if head[13] == 0x11 else ""
        while line := self.rfile.readline():
            headers = http.client.parse_headers(self.rfile)
            self.rfile.read(int(headers.get("Content-Length", "0")))
            named = {name.lower(): value for name, value in headers.items()}
            recorder.asked.append(Asked(number, client, line.decode("latin-1").split(" ")[1], named))
            self.wfile.write(recorder.answer)


class Recorder:
    """Stands in the place of the service: keeps what it is asked, and gives always the same answer."""

    def __init__(self, status: str = "200 OK", body: bytes = b"file\n", *headers: str) -> None:
        self.asked: list[Asked] = []
        self.numbers = iter(range(1_000_000))
        self.say(status, body, *headers)
        self._server = socketserver.ThreadingTCPServer((HERE, 0), _Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.recorder = self  # type: ignore[attr-defined]
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def say(self, status: str, body: bytes = b"", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.answer = "\r\n".join(lines).encode() + body


@contextmanager
def running(arguments: list[str], port: int, said: Path) -> Iterator[None]:
    """A proxy, from when it listens until it has ended. What it prints goes to a file."""
    with said.open("wb") as output, _ended(arguments, output) as process:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None, said.read_text()
            try:
                socket.create_connection((HERE, port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.02)
        yield


@contextmanager
def _ended(arguments: list[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)
