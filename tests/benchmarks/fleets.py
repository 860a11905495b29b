"""Fleets to measure: folders of documents, and the real service on them. Nothing is kept from run to run."""

import contextlib
import http.client
import itertools
import json
import os
import queue
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from kazoo_provisioner.model.ids import db_of_account
from tests.benchmarks.loads import CLIENT
from tests.support import kazoo, service
from tests.support.service import Service

SIZE = 16 * 1024


@dataclass
class Scale:
    """How much of everything. `seconds` is the length of a round, `starts` how often each service is started."""

    phones: int = 20_000
    few: int = 1_000
    files: int = 10_000
    rounds: int = 5
    seconds: float = 2.0
    starts: int = 5


class File(NamedTuple):
    """A file that is served: its path below ``/p/``, its ETag, its length."""

    path: str
    etag: str
    size: int


class Quiet(Service):
    """A service whose log is read as fast as it comes; the lines of phones' requests are but counted."""

    logged = 0

    def _read(self, process: subprocess.Popen[str], lines: "queue.Queue[dict[str, Any] | None]") -> None:
        os.sched_setaffinity(0, CLIENT)  # of this thread alone: the load's core, not the server's
        assert process.stdout
        rest = b""
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if b'"phone_request"' in line:
                    self.logged += 1
                    continue
                try:
                    lines.put(json.loads(line))
                except ValueError:
                    lines.put({"event": "not_json"})
        process.stdout.close()
        lines.put(None)

    def wait_logged(self, lines: int) -> None:
        """Wait until so many requests were logged."""
        deadline = time.monotonic() + service.PATIENCE
        while self.logged < lines:
            assert time.monotonic() < deadline, f"{self.logged} of {lines} requests in the log"
            time.sleep(0.05)

    def processes(self) -> list[int]:
        """The supervisor and all its descendants."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
        return found

    def readers(self) -> int:
        """How many processes answer phones."""
        self.drain()
        return sum(e["event"] == "process_started" and e["role"].startswith("reader") for e in self.events)

    def anonymous(self) -> int:
        """Bytes of anonymous memory of all processes."""
        return sum(_anonymous(pid) for pid in self.processes())

    def settle(self) -> None:
        """Wait until nothing waits to be rendered."""
        deadline = time.monotonic() + 600
        while self.status()["waiting_to_render"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)


class Silent(Quiet):
    """A service whose level of log leaves the lines out that say where it listens."""

    def start(self) -> None:
        settings = yaml.safe_load(self.config.read_text())["web"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kazoo_provisioner", "serve", "--config", str(self.config)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process, self._lines), daemon=True)
        self._reader.start()
        self.base, self._status = f"http://{settings['listen'][0]}", f"http://{settings['status']}/status"
        deadline = time.monotonic() + service.PATIENCE
        while True:
            try:
                self.status()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def free_addresses(count: int) -> list[str]:
    """Addresses that nobody has just now."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in taken]


def _anonymous(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


class Fleet:
    """Documents of phones below a folder, and stores made of them."""

    def __init__(self, folder: Path, *, templates: Path | None = None) -> None:
        self.folder, self.templates = folder, templates
        self.documents = kazoo.Folder(folder / "documents")
        self.phones: list[tuple[str, str]] = []
        """(account, MAC address)"""
        self.anonymous = 0
        """Bytes after the first pass, when every phone was served once."""
        self._numbers = itertools.count()

    def service(
        self,
        *,
        store: str = "store",
        workers: int | None = None,
        level: str = "info",
        poll_interval: int = 3600,
    ) -> Quiet:
        """A service on one of the stores, not started. Its source looks once and then no more."""
        silent = level == "warning"
        listen, status = free_addresses(2) if silent else ("127.0.0.1:0", "127.0.0.1:0")
        web = f"{{{f'workers: {workers}, ' if workers else ''}listen: ['{listen}'], status: '{status}'}}"
        folder = self.folder / f"service{next(self._numbers)}"
        folder.mkdir()
        (folder / "settings.yaml").write_text(
            f"source: {{path: {self.documents.root}, poll: 3600}}\nstore: {{path: {self.folder / store}}}\n"
            f"web: {web}\nlog: {{level: {level}, format: json}}\n"
            + (
                f"templates: {{folders: [{{path: {self.templates}, trusted: true}}], shipped: false}}\n"
                if self.templates
                else ""
            )
            + f"phones: {{default: {{public_url: 'http://prov.example.com/p', poll_interval: {poll_interval}}}}}\n"
        )
        return (Silent if silent else Quiet)(folder, "")

    def copy(self, store: str) -> str:
        """Copy the store; no service may run on it."""
        shutil.copytree(self.folder / "store", self.folder / store)
        return store

    def sync(self, *, serve: bool = True) -> "Fleet":
        """Make the store; see what the service takes when each phone was served once."""
        with self.service() as one:
            one.wait("synced")
            one.settle()
            if serve:
                self.serve_each(one)
                time.sleep(0.5)
                self.anonymous = one.anonymous()
            one.stop()
        return self

    def serve_each(self, one: Quiet) -> None:
        """Ask for one file of each phone."""
        connection = http.client.HTTPConnection(one.base.removeprefix("http://"))
        for file in self.own_files:
            connection.request("GET", file.path)
            answer = connection.getresponse()
            assert (answer.status, len(answer.read())) == (200, file.size)
        connection.close()

    @cached_property
    def files(self) -> dict[str, File]:
        """Everything that is served, by its path: of accounts, and common files below each account's path too."""
        db = sqlite3.connect(f"file:{self.folder / 'store' / 'store.db'}?mode=ro", uri=True)
        rows = db.execute(
            "SELECT s.account, s.name, s.etag, length(b.data) FROM served s JOIN blob b ON b.id=s.blob"
        ).fetchall()
        db.close()
        paths = {f"{account}/{name}" if account else name: (etag, size) for account, name, etag, size in rows}
        return {path: File(f"/p/{path}", *rest) for path, rest in paths.items()}

    @property
    def own_files(self) -> Iterator[File]:
        """The file named after the phone, of each phone, below its account."""
        for account, mac in self.phones:
            yield self.files[f"{account}/{mac}.cfg"]


def real(folder: Path, phones: int) -> Fleet:
    """Phones of many models and makers, 20 in an account, with the templates that come with the service."""
    fleet = Fleet(folder)
    made = kazoo.fleet(fleet.documents, max(1, phones // 20), phones)
    fleet.phones = [(account, mac) for account, _, mac in made]
    return fleet.sync()


def even(folder: Path, phones: int) -> Fleet:
    """Phones that have one file of exactly 16 KiB each, all different."""
    family = folder / "templates" / "acme" / "even"
    family.mkdir(parents=True)
    (family / "family.yaml").write_text(
        "brand: acme\nfamily: even\nname: Even\nsyntax: key-value\ncodecs: [PCMU]\n"
        "models: {e1: {lines: 1, keys: 1}}\nfiles: [{name: '{mac}.cfg', template: mac.j2}]\n"
    )
    begin, end = "phone = {{ phone.mac }}\n", "end = "
    filler = "".join(f"filler.{number:05d} = {'0123456789' * 5}\n" for number in range(SIZE))
    room = SIZE - len("phone = 001565000000\n") - len(f"{end}\n")
    whole = filler[: filler.rindex("\n", 0, room) + 1]
    (family / "mac.j2").write_text(f"{begin}{whole}{end}{'x' * (room - len(whole))}\n")
    fleet = Fleet(folder, templates=folder / "templates")
    for number in range(max(1, phones // 100)):
        fleet.documents.put_account(kazoo.account(kazoo.account_id(number)))
    for number in range(phones):
        account, mac = kazoo.account_id(number % max(1, phones // 100)), kazoo.mac(number + 1)
        device = kazoo.device(f"devi{number:028d}", mac, brand="acme", model="e1")
        fleet.documents.put(db_of_account(account), device)
        fleet.phones.append((account, mac))
    fleet.sync(serve=False)
    assert {file.size for file in fleet.own_files} == {SIZE}
    return fleet


class Bench:
    """One run: its folder, its scale, its fleets, each made when it is first wanted."""

    def __init__(self, folder: Path, scale: Scale) -> None:
        self.folder, self.scale = folder, scale

    @cached_property
    def many(self) -> Fleet:
        return real(self.folder / "many", self.scale.phones)

    @cached_property
    def few(self) -> Fleet:
        return real(self.folder / "few", self.scale.few)

    @cached_property
    def even(self) -> Fleet:
        return even(self.folder / "even", self.scale.files)
