"""Speed on a CouchDB: the tests' own server on loopback, so only ratios and our own share mean anything."""

import asyncio
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import aiohttp

from kazoo_provisioner.catalogue.models import Model
from kazoo_provisioner.render.engine import Renderer
from tests.support import kazoo
from tests.support.couchdb import Couch
from tests.support.service import Service

ACCOUNTS, DEVICES = 1000, 20_000
RATE = 50
"""Changes a second."""
CHANGES = 500


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


def cold_start(service: Service) -> float:
    """Return the seconds from the start of the service to its first full pass."""
    started = time.perf_counter()
    service.start()
    service.wait("synced")
    return time.perf_counter() - started
