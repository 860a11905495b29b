"""What tests of the CouchDB source run against: the tests' own server in each mode, or COUCHDB_URL."""

import os
from pathlib import Path
from typing import Self

import pytest

from tests.support.couchdb import Couch, CouchServer

REAL = os.environ.get("COUCHDB_URL")
MODES = ["real"] if REAL else ["couch3", "couch21", "couch1", "bigcouch"]


class Cluster:
    """A CouchDB with Kazoo's databases on it. `server` is None where it is a real one."""

    def __init__(self, mode: str, folder: Path | None = None) -> None:
        self.mode, self.folder = mode, folder
        self.server: CouchServer | None = None
        if REAL:
            self.couch = Couch.at(REAL)
            if not self.couch.is_empty():
                pytest.exit("COUCHDB_URL names a server that has account databases; the tests delete them")
        else:
            self.server = CouchServer(folder, mode)
            self.couch = self.server.couch()

    def __enter__(self) -> Self:
        if self.server:
            self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.server:
            said = self.server.errors()
            self.server.kill()
            assert not said, said
        else:
            self.couch.empty()
        self.couch.close()

    def clear(self) -> None:
        """Empty it, and end all trouble."""
        if self.server:
            self.server.control(
                fail=None, db_updates={"delay_ms": 50, "drop": 0, "reorder": True, "coalesce": True}
            )
        self.couch.empty()

    def source(self, **couch: object) -> str:
        """The source, as in the settings."""
        import json

        given = {"urls": [self.couch.url], "user": self.couch.user, "password": self.couch.password} | couch
        return json.dumps({"type": "couch", "couch": given})
