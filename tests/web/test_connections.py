"""Connections: how many, how slow, and how they end."""

import asyncio
import resource
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.web import server
from kazoo_provisioner.web.server import SPARE, most_connections
from tests.support.raw import get, responses
from tests.support.service import PATIENCE
from tests.web.serving import BIG, LARGE, OURS, OWN, Client, Serving, until

LONG: dict[str, Any] = {"timeout": 600, "idle": 600}
SMALL = 4096
"""A receive buffer that does not take LARGE."""


def told(serving: Serving) -> list[tuple[int, str]]:
    return [(line["status"], line["reason"]) for line in serving.said("bad_request")]


async def stuck(serving: Serving, data: bytes = b"") -> Client:
    """A client that asks for a large file, and takes none of it."""
    client = await serving.client(receive=SMALL)
    client.send(data or get(BIG))
    await until(lambda: any(waits(one) for one in serving.connections._by_age.values()), "all of it was sent")
    return client


def waits(transport: asyncio.Transport) -> bool:
    return transport.get_write_buffer_size() > 0


async def none_left(serving: Serving) -> None:
    await until(lambda: not len(serving.connections), "a connection stays")
    await until(lambda: not serving.connections.connections, "a handler stays")


async def test_the_one_that_is_idle_longest_goes(tmp_path: Path) -> None:
    """Not the one that came first: who asks something is not idle."""
    async with Serving(tmp_path, connections=3, **LONG) as serving:
        first, second, third = [await serving.client() for _ in range(3)]
        for client in (first, second, third, first):
            assert (await client.ask(get(OURS))).body == OWN
        fourth = await serving.client()
        assert (await fourth.ask(get(OURS))).body == OWN
        assert await second.rest() == b""
        assert len(serving.connections) == 3
        fifth = await serving.client()
        assert (await fifth.ask(get(OURS))).body == OWN
        assert await third.rest() == b""
        for client in (first, fourth, fifth):
            assert (await client.ask(get(OURS))).body == OWN
            client.close()
        await none_left(serving)


async def test_one_that_never_asked_goes_before_those_that_did(tmp_path: Path) -> None:
    async with Serving(tmp_path, connections=2, **LONG) as serving:
        asked = await serving.client()
        await asked.ask(get(OURS))
        silent = await serving.client()
        await until(lambda: len(serving.connections) == 2, "not accepted")
        await asked.ask(get(OURS))
        await (await serving.client()).ask(get(OURS))
        assert await silent.rest() == b""
        assert (await asked.ask(get(OURS))).status == 200


async def test_one_that_takes_nothing_goes_at_once(tmp_path: Path) -> None:
    """It does not keep its place by what it has not taken."""
    async with Serving(tmp_path, connections=2, **LONG) as serving:
        await stuck(serving)
        for _ in range(4):
            assert (await (await serving.client()).ask(get(OURS))).body == OWN
            assert len(serving.connections) <= 2
        await until(lambda: len(serving.connections.connections) <= 2, "its handler stays")
        assert not any(waits(one) for one in serving.connections._by_age.values())


NOT_WHOLE = [b"G", b"GET /p/x HTTP/1.1\r\nHost: x", get(OURS)[:-2], b"\r\n"]


@pytest.mark.parametrize("data", NOT_WHOLE)
async def test_a_request_that_never_becomes_whole(tmp_path: Path, data: bytes) -> None:
    async with Serving(tmp_path, timeout=0.2, idle=600) as serving:
        client = await serving.client("127.0.0.9")
        client.send(data)
        (answer,) = responses(await client.rest())
        assert (answer.status, answer.body) == (408, b"")
        assert answer.headers["Connection"] == "close"
        assert told(serving) == [(408, "request_not_whole")]
        assert serving.said("bad_request")[0]["remote"] == "127.0.0.9"
        assert serving.notes._tallies["refused 408 request_not_whole"] == 1
        await none_left(serving)


async def test_a_second_request_that_never_becomes_whole(tmp_path: Path) -> None:
    """The time runs from its own first byte, however it trickles; not from the connection's, nor the last byte's."""
    async with Serving(tmp_path, timeout=0.4, idle=600) as serving:
        client = await serving.client()
        (connection,) = await connected(serving)
        for _ in range(3):
            assert (await client.ask(get(OURS))).body == OWN
            assert connection._since == 0.0
        half = get(OURS)[:-2]
        client.send(half[:1])
        await until(lambda: connection._since, "nothing was read")
        begun = connection._since
        for byte in half[1:9]:
            connection.data_received(bytes([byte]))
        assert connection._since == begun
        (answer,) = responses(await client.rest())
        assert answer.status == 408
        assert told(serving) == [(408, "request_not_whole")]


async def test_one_that_becomes_whole_late_is_answered(tmp_path: Path) -> None:
    async with Serving(tmp_path, **LONG) as serving:
        client = await serving.client()
        (connection,) = await connected(serving)
        client.send(get(OURS)[:-2])
        await until(lambda: connection._since, "nothing was read")
        assert (await client.ask(b"\r\n")).body == OWN
        assert connection.late(connection._since + 10**9, 1) == ""


async def connected(serving: Serving) -> list[Any]:
    await until(lambda: len(serving.connections), "not accepted")
    return list(serving.connections._by_age)


@pytest.mark.parametrize(
    "data", [get(BIG), get(BIG) * 5, get(BIG, "Connection: close"), get(BIG, version="HTTP/1.0")]
)
async def test_an_answer_that_is_never_taken(tmp_path: Path, data: bytes) -> None:
    """It is given up, while the client is still there; others are served meanwhile."""
    async with Serving(tmp_path, timeout=0.3, idle=600) as serving:
        await stuck(serving, data)
        assert (await serving.get(OURS)).body == OWN
        await until(lambda: told(serving), "it is kept for ever")
        assert told(serving) == [(0, "answer_not_taken")]
        await none_left(serving)


async def test_no_answer_is_made_before_the_last_is_taken(tmp_path: Path) -> None:
    """Who asks twenty times and takes nothing costs us one answer, not twenty."""
    async with Serving(tmp_path, **LONG) as serving:
        await stuck(serving, get(BIG) * 20)
        (transport,) = serving.connections._by_age.values()
        for _ in range(30):
            assert (await serving.get(OURS)).body == OWN
        assert 0 < transport.get_write_buffer_size() <= len(LARGE)


async def test_an_answer_that_is_taken_late_is_whole(tmp_path: Path) -> None:
    async with Serving(tmp_path, **LONG) as serving:
        client = await stuck(serving, get(BIG) + get(OURS, "Connection: close"))
        client.writer.transport.resume_reading()
        first, second = responses(await client.rest())
        assert (first.body == LARGE, second.body) == (True, OWN)
        await none_left(serving)
        assert told(serving) == []


async def test_a_silent_connection_is_closed(tmp_path: Path) -> None:
    """Without a word; whether it asked something before or not."""
    async with Serving(tmp_path, timeout=600, idle=0.2) as serving:
        silent, asked = await serving.client(), await serving.client()
        assert (await asked.ask(get(OURS))).body == OWN
        assert (await silent.rest(), await asked.rest()) == (b"", b"")
        assert told(serving) == []
        await none_left(serving)


async def test_stopping_closes_what_is_idle(tmp_path: Path) -> None:
    async with Serving(tmp_path, **LONG) as serving:
        clients = [await serving.client() for _ in range(4)]
        await clients[0].ask(get(OURS))
        clients[1].send(get(OURS)[:9])
        await until(lambda: len(serving.connections) == 4, "not accepted")
        await asyncio.wait_for(serving.stop(), PATIENCE)
        assert [await client.rest() for client in clients] == [b""] * 4
        with pytest.raises(ConnectionRefusedError):
            await serving.client()
        await none_left(serving)


@pytest.mark.parametrize("high", [None, 2 * len(LARGE)])
async def test_stopping_finishes_what_is_under_way(tmp_path: Path, high: int | None) -> None:
    """Whatever of it is still here: the handler waits for the client, or is done and the rest lies in a buffer."""
    async with Serving(tmp_path, **LONG) as serving:
        idle, client = await serving.client(), await serving.client(receive=SMALL)
        await until(lambda: len(serving.connections) == 2, "not accepted")
        transport = list(serving.connections._by_age.values())[-1]
        transport.set_write_buffer_limits(high)
        client.send(get(BIG))
        await until(lambda: waits(transport), "all of it was sent")
        stopping = asyncio.create_task(serving.stop())
        assert await idle.rest() == b""
        assert not stopping.done()
        client.writer.transport.resume_reading()
        (answer,) = responses(await client.rest())
        assert answer.body == LARGE
        await asyncio.wait_for(stopping, PATIENCE)
        await none_left(serving)


async def test_stopping_ends_also_when_an_answer_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "DRAIN", 0.5)
    async with Serving(tmp_path, **LONG) as serving:
        await stuck(serving)
        await stuck(serving, get(BIG) * 3)
        await asyncio.wait_for(serving.stop(), PATIENCE)
        await none_left(serving)


async def test_stopping_ends_whatever_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is ours: what aiohttp waits for may take longer."""

    async def shutdown(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(server, "DRAIN", 0.1)
    monkeypatch.setattr(web.Server, "shutdown", shutdown)
    async with Serving(tmp_path, **LONG) as serving:
        await stuck(serving)
        await (await serving.client()).ask(get(OURS))
        await asyncio.wait_for(serving.stop(), PATIENCE)
        await until(lambda: not len(serving.connections), "a connection stays")


async def test_nothing_is_left_of_clients_that_vanish(tmp_path: Path) -> None:
    async with Serving(tmp_path, **LONG) as serving:
        for data in (b"", b"G", get(OURS), get(OURS) * 200, get(BIG) * 3, get(OURS, "Content-Length: 9")):
            clients = [await serving.client() for _ in range(5)]
            for client in clients:
                client.send(data)
            await until(lambda: len(serving.connections) == 5, "not accepted")
            for client in clients:
                client.close()
            await none_left(serving)
        assert (await serving.get(OURS)).body == OWN


@pytest.mark.parametrize(
    ("allowed", "most"),
    [(resource.RLIM_INFINITY, 500), (10_000, 500), (500, 500 - SPARE), (10, 16), (SPARE + 17, 17)],
)
def test_how_many_there_can_be(monkeypatch: pytest.MonkeyPatch, allowed: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert most_connections(WebSettings(connections=500)) == most


async def test_a_head_that_grows_without_end_is_cut(tmp_path: Path) -> None:
    """Each line is short enough and there are few, but all of it together is not kept."""
    async with Serving(tmp_path, **LONG) as serving:
        client = await serving.client()
        client.send(b"GET / HTTP/1.1\r\n")
        for number in range(12):
            client.send(b"X-%d: " % number + b"a" * 8000 + b"\r\n")
            await asyncio.sleep(0.01)  # as pieces, not as one
            if told(serving):
                break
        await until(lambda: told(serving) == [(0, "too_long")], "it is kept")
        await none_left(serving)
        other = await serving.client()
        assert (await other.ask(get(OURS))).body == OWN
        other.close()


async def test_who_comes_while_it_stops_is_sent_away(tmp_path: Path) -> None:
    """Accepted before the end, told of it after: nobody waits for such a one."""
    async with Serving(tmp_path, **LONG) as serving:
        serving.connections._ending = True
        late = await serving.client()
        assert await late.rest() == b""
        assert len(serving.connections) == 0
