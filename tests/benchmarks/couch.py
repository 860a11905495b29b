"""Speed on a CouchDB: the tests' own server on loopback, so only ratios and our own share mean anything."""

import asyncio
import itertools
import json
import signal
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import aiohttp
from msgspec.structs import replace

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.model.phone import Phone
from kazoo_provisioner.render import samples
from kazoo_provisioner.render.engine import Renderer
from tests.support import kazoo, runlog, service
from tests.support.clusters import Cluster
from tests.support.couchdb import Couch
from tests.support.service import Service

ACCOUNTS, DEVICES = 1000, 20_000
ROUNDS = 3
RATE = 50
"""Changes a second."""
CHANGES = 500
REST = 60
"""Seconds over which requests are counted."""


def like_the_fleet(model: Model) -> Phone:
    """A phone as `kazoo.fleet` makes them: one line, two keys."""
    return replace(samples.one(model), combo_keys=tuple(samples.key(number) for number in (1, 2)))


def raw_read(couch: Couch, databases: list[str]) -> float:
    """Return the seconds that reading and parsing every document takes, four databases at a time."""

    async def one(session: aiohttp.ClientSession, limit: asyncio.Semaphore, db: str) -> int:
        url = f"{couch.url}/{quote(db, safe='')}/_changes?since=0&include_docs=true"
        async with limit, session.get(url, headers=couch.headers()) as answer:
            return len(json.loads(await answer.read())["results"])

    async def every() -> int:
        limit = asyncio.Semaphore(4)
        async with aiohttp.ClientSession() as session:
            return sum(await asyncio.gather(*(one(session, limit, db) for db in databases)))

    started = time.perf_counter()
    assert asyncio.run(every()) > DEVICES
    return time.perf_counter() - started


def bare_render(renderer: Renderer, bare: Callable[[Model], None]) -> float:
    """Return the seconds that Jinja2 alone takes for as many phones of the same models."""
    models = [renderer.catalogue.resolve(brand, model) for brand, model in kazoo.MODELS]
    started = time.perf_counter()
    for number in range(DEVICES):
        model = models[number % len(models)]
        assert model
        bare(model)
    return time.perf_counter() - started


class Feed(threading.Thread):
    """Somebody else who follows the same databases: when a document's change came, by its id."""

    def __init__(self, couch: Couch, databases: list[str]) -> None:
        super().__init__(daemon=True)
        self._couch, self._databases = couch, databases
        self.came: dict[str, float] = {}
        self.ready = threading.Event()
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        self._loop.run_until_complete(self._follow())
        self._loop.close()

    async def _follow(self) -> None:
        self._end = asyncio.Event()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=self._couch.headers()) as session:
            tasks = [asyncio.create_task(self._one(session, db)) for db in self._databases]
            self.ready.set()
            await self._end.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, session: aiohttp.ClientSession, db: str) -> None:
        url = f"{self._couch.url}/{quote(db, safe='')}/_changes?feed=continuous&since=now&heartbeat=10000"
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                if line.strip():
                    self.came[json.loads(line).get("id", "")] = time.perf_counter()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()


class Store(threading.Thread):
    """When a phone's new release was in the store, as readers see it, by the device's id."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._path = folder / "store.db"
        self.served: dict[str, float] = {}
        self._end = threading.Event()

    def run(self) -> None:
        db = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        last = db.execute("SELECT max(id) FROM release").fetchone()[0]
        while not self._end.wait(0.002):
            for number, subject in db.execute(
                "SELECT id, subject FROM release WHERE id>? ORDER BY id", (last,)
            ):
                last = number
                self.served[subject.rpartition("/")[2]] = time.perf_counter()
        db.close()

    def close(self) -> None:
        self._end.set()
        self.join()


def change_to_served(
    couch: Couch, phones: list[tuple[str, str, str]], store: Path, numbers: "itertools.count[int]"
) -> dict[str, float]:
    """Change phones at `RATE`; return our share above the feed's own event, in ms."""
    databases = sorted({db_of_account(account) for account, _, _ in phones})
    feed, seen = Feed(couch, databases), Store(store)
    feed.start()
    seen.start()
    feed.ready.wait()
    time.sleep(1)
    began = time.perf_counter()
    for number, (account, device, _) in enumerate(phones):
        time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        couch.edit(db_of_account(account), device, name=f"Changed {next(numbers)}")
    until = time.perf_counter() + 60
    while any(device not in seen.served for _, device, _ in phones) and time.perf_counter() < until:
        time.sleep(0.1)
    shares = sorted((seen.served[device] - feed.came[device]) * 1e3 for _, device, _ in phones)
    feed.close()
    seen.close()
    return {
        "p50_ms": statistics.median(shares),
        "p99_ms": shares[int(len(shares) * 0.99)],
        "max_ms": shares[-1],
    }


def figures(renderer: Renderer, bare: Callable[[Model], None]) -> dict[str, dict[str, float]]:
    """Measure everything, on one cluster."""
    service.PATIENCE = 600.0
    found: dict[str, dict[str, float]] = {}
    numbers = itertools.count(1)
    with tempfile.TemporaryDirectory() as folder, Cluster("couch3") as cluster:
        runlog.start(Path(folder) / "run.log")
        couch, server = cluster.couch, cluster.server
        assert server
        with couch.collect():
            made = kazoo.fleet(couch, ACCOUNTS, DEVICES)
        databases = couch.databases()
        rounds = []
        for number in range(ROUNDS):
            read, render = raw_read(couch, databases), bare_render(renderer, bare)
            one = Service(Path(folder) / f"service{number}", cluster.source())
            one.config.write_text(one.config.read_text().replace("level: debug", "level: info"))
            started = time.perf_counter()
            one.start()
            one.wait("synced")
            rounds.append((time.perf_counter() - started, read, render))
            if number < ROUNDS - 1:
                one.stop()
        found["cold start, 1,000 accounts and 20,000 phones / raw read + bare render"] = {
            "ours_s": statistics.median(ours for ours, _, _ in rounds),
            "read_s": statistics.median(read for _, read, _ in rounds),
            "render_s": statistics.median(render for _, _, render in rounds),
            "ratio": statistics.median(ours / (read + render) for ours, read, render in rounds),
        }
        time.sleep(5)
        before = sum(server.stats()["requests"].values())
        time.sleep(REST)
        requests = sum(server.stats()["requests"].values()) - before
        found["requests to CouchDB at rest, 1,001 databases"] = {"per_hour": requests * 3600 / REST}
        # 25 phones of each of 20 accounts, one after another; a change of each account opens its feed.
        busy = [phone for phone in made if phone[0] in {kazoo.account_id(n) for n in range(100, 120)}]
        phones = [busy[n % len(busy)] for n in range(min(CHANGES, len(busy)))]
        change_to_served(couch, phones[:20], one.folder / "store", numbers)
        time.sleep(5)
        found["change to served above the feed's event, 50/s, at rest"] = change_to_served(
            couch, phones, one.folder / "store", numbers
        )
        one.config.write_text(one.config.read_text().replace("/p'}", "/p', poll_interval: 7200}"))
        one.signal(signal.SIGHUP)
        one.wait("rerender_marked")
        found["the same, while 20,000 phones are re-rendered"] = change_to_served(
            couch, phones, one.folder / "store", numbers
        ) | {"still_to_render": float(one.status()["waiting_to_render"])}
        one.stop()
    return found
