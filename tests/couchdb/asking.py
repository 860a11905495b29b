"""Asking the CouchDB for tests, below what Couch offers."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Self

from tests.support.couchdb import PATIENCE, Answer, Couch, path_of

DB = "account/ab/cd/0123456789012345678901234567"


class Stream:
    """A feed, line by line."""

    def __init__(self, couch: Couch, path: str, timeout: float = PATIENCE) -> None:
        self.connection = couch.connect(timeout)
        self.connection.request("GET", path, headers=couch.headers())
        self._answer: http.client.HTTPResponse | None = None

    @property
    def answer(self) -> http.client.HTTPResponse:
        if self._answer is None:
            self._answer = self.connection.getresponse()
        return self._answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._answer:
            self._answer.close()
        self.connection.close()

    def raw(self) -> bytes:
        return self.answer.readline()

    def next(self) -> Any:
        """The next line that is no heartbeat; None at the end."""
        while line := self.raw():
            if line.strip():
                return json.loads(line)
        return None


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (got := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return got


def ask(couch: Couch, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    return couch.request(method, path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def changes(couch: Couch, db: str = DB, **query: Any) -> dict[str, Any]:
    got = couch.request("GET", path_of(db, "_changes", **query))
    assert got.status == 200, got.body
    return got.json


def fill(couch: Couch, count: int = 3, db: str = DB) -> None:
    couch.bulk(db, [{"_id": f"doc{n}", "n": n} for n in range(count)])


def events(couch: Couch, **query: Any) -> dict[str, Any]:
    return couch.request("GET", path_of("_db_updates", **query)).json


def quiet(couch: Couch) -> str:
    """Wait until what was done before is told; returns the sequence then."""
    while (got := events(couch, since="now", feed="longpoll", timeout=60))["results"]:
        pass
    return got["last_seq"]


def of(rows: list[dict[str, Any]], db: str = DB) -> list[str]:
    return sorted(row["type"] for row in rows if row["db_name"] == db)
