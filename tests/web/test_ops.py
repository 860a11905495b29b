"""The operator's pages, as curl sees them: what they say, and that nobody can hold them up."""

import asyncio
import gc
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from kazoo_provisioner.settings import WebSettings
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.web import figures
from kazoo_provisioner.web.ops import CONNECTIONS, Process
from tests.web.pages import ACCOUNT, Pages, fill, remember

DEAD = Process("reader-1", None, 3, 0.0)


async def test_healthz_names_each_process_that_is_not_there(tmp_path: Path) -> None:
    async with Pages(tmp_path) as pages:
        assert await pages.curl("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
        reader, other, writer = pages.processes
        pages.processes = [DEAD, other, writer]
        assert await pages.curl("/healthz") == (
            503, "text/plain; charset=utf-8", "reader-1: not running, restarts: 3\n"
        )  # fmt: skip
        pages.processes = [reader]
        assert (await pages.curl("/healthz"))[::2] == (503, "writer: there is none\n")
        pages.processes = []
        assert (await pages.curl("/healthz"))[::2] == (503, "reader: there is none\nwriter: there is none\n")


async def test_ready_once_synced_with_a_reader_whatever_the_writer_does(tmp_path: Path) -> None:
    async with Pages(tmp_path) as pages:
        status, _, said = await pages.curl("/readyz")
        assert status == 503
        assert said.startswith("store: ")
        assert "holds no store yet" in said
    store = Store(tmp_path)
    async with Pages(tmp_path) as pages:
        got = await pages.curl("/readyz")
        assert got[::2] == (503, "not synced: the first full pass has not ended\n")
    with store.transaction():
        store.set_meta("synced", "1")
    store.close()
    async with Pages(tmp_path) as pages:
        assert (await pages.curl("/readyz"))[::2] == (200, "ok\n")
        pages.processes = [DEAD, Process("reader-2", 1, 0, 1.0), Process("writer", None, 9, 0.0)]
        assert (await pages.curl("/readyz"))[::2] == (200, "ok\n")
        pages.processes = [DEAD, Process("writer", 1, 0, 1.0)]
        assert (await pages.curl("/readyz"))[::2] == (503, "no reader is running\n")


async def test_methods_and_paths(tmp_path: Path) -> None:
    fill(tmp_path)
    async with Pages(tmp_path) as pages:
        for path in ("/healthz", "/readyz", "/status", "/metrics"):
            got = await pages.curl(path, "--head")
            assert got.status == 200, path
            assert "Server: kazoo-provisioner\r\n" in got.body
            assert "\r\nCache-Control: no-store\r\n" in got.body
            got = await pages.curl(path, "-i", "-X", "POST", "-d", "x")
            assert got.status == 405, path
            assert "Allow: GET, HEAD\r\n" in got.body
            assert (await pages.curl(f"{path}?x=1")).status == 200
        for path in ("/", "/status/", "/Status", "/p/", "/../status"):
            assert (await pages.curl(path, "--path-as-is")).status == 404, path


async def test_status_of_a_service_that_is_well(tmp_path: Path) -> None:
    fill(tmp_path)
    remember(tmp_path)
    async with Pages(tmp_path) as pages:
        pages.processes = [Process("reader-1", os.getpid(), 2, 61.234), Process("writer", None, 1, 0.0)]
        got = await pages.curl("/status")
    assert got.type == "application/json"
    found = got.json
    assert found["errors"] == {}
    assert found["synced"] is True
    assert found["phones"] == 4
    assert found["models"] == {"polycom": {"vvx": {"vvx450": 1}}, "yealink": {"t5x": {"t54w": 2, "t57w": 1}}}
    assert found["problems"] == {"no_realm": 1, "no_model": 1}
    assert found["waiting_to_render"] == found["writer"]["waiting"] == 3
    assert found["writer"]["failing"] == 1
    assert 60 <= found["writer"]["oldest_waiting_s"] < 90
    assert 7 <= found["writer"]["heartbeat_s"] < 30
    assert found["source"]["lag_s"] == 0.5
    itself, reader, writer = found["processes"]
    assert (itself["role"], itself["pid"]) == ("supervisor", os.getpid())
    assert (reader["role"], reader["restarts"], reader["up_s"]) == ("reader-1", 2, 61.2)
    assert reader["rss_kb"] > 10_000
    assert reader["fds"] > 3
    assert writer == {"role": "writer", "pid": None, "restarts": 1, "up_s": 0.0, "rss_kb": None, "fds": None}
    assert found["requests"] == {
        "phone": {"200": {"served": 5}, "404": {"unknown_mac": 60}}, "api": {"200": {"catalogue": 1}},
    }  # fmt: skip
    assert found["refused"] == {"400": {"no_http": 2}, "0": {"answer_not_taken": 1}}
    assert found["limited"] == 1
    assert found["old_urls"] == {"phones": 1, "of": 3}
    assert found["firmware"] == {"t54w": {"96.86.0.15": 2, "": 1}}
    assert found["store"]["store_bytes"] == (tmp_path / "store.db").stat().st_size
    assert found["store"]["access_bytes"] > 4096
    assert found["store"]["free_bytes"] > 0
    assert ACCOUNT not in got.body
    assert "198.51.100.9" not in got.body


async def test_versions_that_somebody_makes_up_do_not_fill_the_page(tmp_path: Path) -> None:
    from kazoo_provisioner.store.access import Access, Request

    access = Access(tmp_path)
    asked = [
        Request(f"{n:012x}", "", f"{n}.cfg", n, 200, "served", "", "", f"x 1.{n}.{'9' * 300}", "t54w", 0, 0)
        for n in range(500)
    ]
    access.write([*asked, asked[0]._replace(mac="f" * 12)], [], {}, 0, 1)
    access.close()
    async with Pages(tmp_path) as pages:
        versions = (await pages.curl("/status")).json["firmware"]["t54w"]
    assert len(versions) == figures.VERSIONS + 1
    assert sum(versions.values()) == 501
    assert max(map(len, versions)) <= 32


@pytest.mark.parametrize("broken", [b"no database at all, but long enough to be read as one" * 40, b"", None])
async def test_without_access_db_the_rest_of_the_page_is_there(tmp_path: Path, broken: bytes | None) -> None:
    fill(tmp_path)
    if broken is not None:
        (tmp_path / "access.db").write_bytes(broken)
    async with Pages(tmp_path) as pages:
        found = (await pages.curl("/status")).json
        assert set(found["errors"]) == {"access", "agents"}
        assert found["phones"] == 4
        assert found["requests"] is found["limited"] is found["firmware"] is found["old_urls"] is None
        assert (await pages.curl("/readyz")).status == 200
        assert "kazoo_provisioner_access_readable 0.0\n" in (await pages.curl("/metrics")).body


@pytest.mark.parametrize("broken", [b"no database at all, but long enough to be read as one" * 40, b"", None])
async def test_without_a_store_the_rest_of_the_page_is_there(tmp_path: Path, broken: bytes | None) -> None:
    remember(tmp_path)
    if broken is not None:
        (tmp_path / "store.db").write_bytes(broken)
    async with Pages(tmp_path) as pages:
        found = (await pages.curl("/status")).json
        assert set(found["errors"]) == {"store", "models"}
        assert found["limited"] == 1
        assert found["synced"] is found["phones"] is found["waiting_to_render"] is None
        assert found["source"] == {}
        status, _, said = await pages.curl("/readyz")
        assert status == 503
        assert said.startswith("store: ")
        assert (await pages.curl("/healthz")).status == 200
        page = (await pages.curl("/metrics")).body
        assert "kazoo_provisioner_store_readable 0.0\n" in page
        assert "kazoo_provisioner_ready 0.0\n" in page


@pytest.mark.parametrize("broken", [b"no database at all, but long enough to be read as one" * 40, b""])
async def test_a_broken_file_is_not_left_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    (tmp_path / "access.db").write_bytes(broken)
    (tmp_path / "store.db").write_bytes(broken)
    monkeypatch.setattr(figures, "FRESH", 0.0)
    looks = figures.Figures(tmp_path, list)
    await looks.all()
    gc.disable()  # what is only collected some time later counts as left open
    try:
        before = figures.usage(os.getpid()).fds
        for _ in range(20):
            assert isinstance((await looks.all()).counts, figures.Unread)
        after = figures.usage(os.getpid()).fds
    finally:
        gc.enable()
    assert before is not None
    assert after is not None
    assert after - before < 5
    looks.close()


async def test_a_note_of_the_writer_that_cannot_be_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.transaction():
        store.set_meta("status/source", "{half")
    async with Pages(tmp_path) as pages:
        assert (await pages.curl("/status")).json["errors"]["store"] == "DecodeError"
        with store.transaction():
            store.set_meta("status/source", '{"connected": false, "at": null, "lag_s": null}')
        await asyncio.sleep(figures.FRESH)
        found = (await pages.curl("/status")).json
        assert found["writer"]["heartbeat_s"] is None
        assert "kazoo_provisioner_source_connected 0.0\n" in (await pages.curl("/metrics")).body
    store.close()


async def test_no_folder_at_all(tmp_path: Path) -> None:
    async with Pages(tmp_path / "gone") as pages:
        found = (await pages.curl("/status")).json
        assert set(found["errors"]) == {"store", "models", "access", "agents", "disk"}
        assert found["store"] is None
        assert (await pages.curl("/metrics")).status == 200


async def test_hammering_takes_a_look_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    looks = []
    real = figures.count
    monkeypatch.setattr(
        figures, "count", lambda folder: (looks.append(threading.get_ident()), real(folder))[1]
    )
    began = time.monotonic()
    async with Pages(tmp_path) as pages:
        got = await asyncio.gather(
            *(pages.curl("/status?[1-150]", "-o", os.devnull) for _ in range(4)),
            *(pages.curl("/metrics?[1-50]", "-o", os.devnull) for _ in range(2)),
        )
    assert {one.status for one in got} == {200}
    assert len(looks) <= time.monotonic() - began + 1
    assert threading.get_ident() not in looks


async def test_a_slow_store_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    go = threading.Event()
    under_way = []

    def slow(folder: Path) -> figures.Counts:
        under_way.append(folder)
        go.wait(20)
        return real(folder)

    real = figures.count
    monkeypatch.setattr(figures, "count", slow)
    monkeypatch.setattr(figures, "PATIENCE", 0.3)
    async with Pages(tmp_path) as pages:
        asked = [asyncio.create_task(pages.curl("/status")) for _ in range(5)]
        assert (await pages.curl("/healthz")).status == 200
        assert (await pages.curl("/readyz")).status == 200
        for got in await asyncio.gather(*asked):
            assert got.json["errors"] == {"store": "not read within 0.3 s", **_no_access(got.json)}
        assert len(under_way) == 1
        go.set()
        for _ in range(100):
            got = await pages.curl("/status")
            if got.json["waiting_to_render"] == 3:
                break
            await asyncio.sleep(0.02)
        assert got.json["waiting_to_render"] == 3


def _no_access(page: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: page["errors"][name] for name in ("access", "agents")}


async def test_what_takes_long_to_count_is_shown_while_it_is_counted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = iter(range(10))
    go = threading.Event()
    go.set()
    monkeypatch.setattr(figures, "FRESH", 0.0)
    monkeypatch.setattr(figures, "SHARE", 0)
    monkeypatch.setattr(figures, "PATIENCE", 0.1)
    kept = figures.Kept(lambda: (go.wait(20), next(found))[1], patient=True)
    assert await kept.get() == 0
    go.clear()
    assert await kept.get() == 0
    assert await kept.get() == 0
    go.set()
    while await kept.get() == 0:
        await asyncio.sleep(0.01)
    kept.close()


async def test_who_asked_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look goes on when the one who asked for it has gone, and there is no second one beside it."""
    looks = []
    go = threading.Event()
    kept = figures.Kept(lambda: (looks.append(1), go.wait(20))[1])
    first = asyncio.create_task(kept.get())
    while not looks:
        await asyncio.sleep(0.01)
    first.cancel()
    second = asyncio.create_task(kept.get())
    await asyncio.sleep(0.05)
    go.set()
    assert await second is True
    assert looks == [1]
    kept.close()


async def test_hanging_clients_are_cut_and_hold_nobody_up(tmp_path: Path) -> None:
    fill(tmp_path)
    async with Pages(tmp_path, WebSettings(timeout=1, idle=1)) as pages:
        before = figures.usage(os.getpid()).fds or 0
        held = [socket.create_connection(("127.0.0.1", pages.port)) for _ in range(CONNECTIONS * 2)]
        for one in held:
            one.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\n")
        assert (await pages.curl("/status")).status == 200
        fds = figures.usage(os.getpid()).fds
        assert fds is not None
        assert fds - before < len(held) + CONNECTIONS + 10
        await asyncio.sleep(1.6)
        ends = []
        for one in held:
            one.settimeout(5)
            try:
                ends.append(await asyncio.to_thread(one.recv, 100))
            except ConnectionResetError:
                ends.append(b"")
            one.close()
        assert all(end == b"" or end.startswith(b"HTTP/1.1 408 ") for end in ends)
        assert (await pages.curl("/healthz")).status == 200


async def test_garbage_is_answered_without_a_word(tmp_path: Path) -> None:
    async with Pages(tmp_path) as pages:
        for garbage in (
            b"\x16\x03\x01\x00\xa5",
            b"GET /status HTTP/9\r\n\r\n",
            b"GET " + b"/x" * 9000 + b" HTTP/1.1\r\n\r\n",
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", pages.port)
            writer.write(garbage + b"\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(), 10)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.endswith(b"Bad request\n")
            writer.close()
        assert (await pages.curl("/healthz")).status == 200


async def test_a_fault_of_ours_is_a_500_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_found: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("kazoo_provisioner.web.status.page", broken)
    async with Pages(tmp_path) as pages:
        assert (await pages.curl("/status"))[::2] == (500, "Failed\n")
        assert (await pages.curl("/healthz")).status == 200


async def test_stopping_waits_for_nobody(tmp_path: Path) -> None:
    async with Pages(tmp_path) as pages:
        held = socket.create_connection(("127.0.0.1", pages.port))
        held.sendall(b"GET /status HTTP/1.1\r\n")
        await asyncio.sleep(0.1)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    held.close()
