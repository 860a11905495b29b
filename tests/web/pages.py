"""The operator's pages on a real socket, over a store and an access.db of a test's making, asked by curl."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple, Self

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store.access import Access, Miss, Request
from kazoo_provisioner.store.releases import PhoneState
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.web.ops import Ops, Process

ACCOUNT = "a" * 32
ALIVE = [Process("reader-1", 1, 0, 5.0), Process("reader-2", 1, 2, 5.0), Process("writer", 1, 0, 5.0)]
AGENT = "Yealink SIP-T54W 96.86.0.15 00:15:65:00:00:01"


class Got(NamedTuple):
    status: int
    type: str
    body: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Pages:
    """The pages, being served. `processes` may be changed."""

    def __init__(self, folder: Path, settings: WebSettings | None = None) -> None:
        self.processes = list(ALIVE)
        self._ops = Ops(folder, lambda: self.processes, settings or WebSettings())

    async def __aenter__(self) -> Self:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        await self._ops.start([listening])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ops.stop()

    async def curl(self, path: str, *more: str) -> Got:
        command = [
            "curl", "-s", "--max-time", "20", "-w", "\n%{http_code} %{content_type}", *more,
            f"http://127.0.0.1:{self.port}{path}",
        ]  # fmt: skip
        # No thread: the pages' looks need those.
        done = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        said, _ = await done.communicate()
        assert done.returncode == 0
        body, _, told = said.rpartition(b"\n")
        status, _, kind = told.decode().partition(" ")
        return Got(int(status), kind, body.decode())


def fill(folder: Path) -> None:
    """A store with a little of everything."""
    now = int(time.time() * 1000)
    store = Store(folder)
    with store.transaction():
        store.set_meta("synced", "1")
        store.set_meta(
            "status/source",
            json.dumps(
                {"type": "couch", "connected": True, "lag_s": 0.5, "last_contact": 1e9, "at": now / 1000 - 7}
            ),
        )
        for number, (family, model, problem) in enumerate(
            [("yealink/t5x", "t54w", None), ("yealink/t5x", "t57w", "no_realm"), ("polycom/vvx", "vvx450", None),
             ("yealink/t5x", "t54w", None), (None, None, "no_model")]
        ):  # fmt: skip
            store.releases.set_state(
                PhoneState(
                    f"phone/{ACCOUNT}/{number}",
                    ACCOUNT,
                    str(number),
                    f"{number:012x}",
                    family,
                    model,
                    problem,
                    at=now,
                )
            )
        store.releases.set_state(
            PhoneState(f"book/{ACCOUNT}/yealink/t5x", ACCOUNT, "", family="yealink/t5x", at=now)
        )
        cause = store.queue.cause("document", "a/b", "1", 1)
        store.queue.mark(["phone/a/failing"], cause, 0, now - 900_000)
        store.queue.mark(["phone/a/old"], cause, 0, now - 60_000)
        store.queue.mark(["phone/a/new"], cause, 0, now)
        (failing,) = [due for due in store.queue.due(now, 10) if due.subject == "phone/a/failing"]
        store.queue.postpone(failing, now)
    store.close()


def remember(folder: Path) -> None:
    """An access.db with a little of everything."""
    access = Access(folder)
    now = int(time.time())

    def asked(number: int, model: str, agent: str, legacy: int) -> Request:
        return Request(
            f"{number:012x}", ACCOUNT, f"{number:012x}.cfg", now, 200, "served", "203.0.113.7", "prov.example.com",
            agent, model, legacy, 1,
        )  # fmt: skip

    tallies = {
        "requests phone 200 served": 5, "requests phone 404 unknown_mac": 60, "requests api 200 catalogue": 1,
        "refused 400 no_http": 2, "refused 0 answer_not_taken": 1, "bytes": 1234,
        "seconds 0.0001": 1, "seconds 0.001": 60, "seconds +Inf": 5, "seconds sum": 11.5,
    }  # fmt: skip
    access.write(
        [
            asked(1, "t54w", AGENT, 0),
            asked(2, "t54w", AGENT.replace("01", "02"), 1),
            asked(3, "t54w", "curl", 0),
        ],
        [Miss("198.51.100.9", f"{number:012x}", now) for number in range(60)], tallies, 60, 3600,
    )  # fmt: skip
    access.close()
