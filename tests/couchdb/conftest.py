"""A server of each mode for the tests of it."""

from collections.abc import Iterator

import pytest

from tests.support.couchdb import Couch, CouchServer


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, CouchServer]]:
    """One of each mode, started when it is first asked for."""
    made: dict[str, CouchServer] = {}
    yield made
    for server in made.values():
        said = server.errors()
        server.kill()
        assert not said


@pytest.fixture
def mode(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "couch3")


@pytest.fixture
def server(servers: dict[str, CouchServer], mode: str) -> CouchServer:
    if mode not in servers:
        servers[mode] = CouchServer(mode=mode)
        servers[mode].start()
    servers[mode].control(
        db_updates={"delay_ms": 20, "drop": 0, "coalesce": True, "reorder": True}, cookie_life=600, fail=None
    )
    return servers[mode]


@pytest.fixture
def couch(server: CouchServer) -> Iterator[Couch]:
    with server.couch() as made:
        made.empty()
        yield made
