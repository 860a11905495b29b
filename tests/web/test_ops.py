"""The operator's page, as curl sees it."""

import json
import socket
import subprocess
from pathlib import Path

from kazoo_provisioner.store.reader import Reader
from kazoo_provisioner.store.writer import Store
from kazoo_provisioner.web.ops import Ops


async def test_status(tmp_path: Path) -> None:
    import asyncio

    store = Store(tmp_path)
    reader = Reader(tmp_path)
    ops = Ops(reader)
    listening = socket.create_server(("127.0.0.1", 0))
    base = f"http://127.0.0.1:{listening.getsockname()[1]}"
    await ops.start([listening])

    async def curl(path: str, *more: str) -> tuple[str, bytes]:
        command = ["curl", "-s", "-w", "\n%{http_code} %{content_type}", *more, base + path]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        body, _, told = done.stdout.rpartition(b"\n")
        return told.decode(), body

    told, body = await curl("/status")
    assert told == "200 application/json; charset=utf-8"
    assert json.loads(body) == {
        "synced": False, "phones": 0, "problems": {}, "waiting_to_render": 0, "source": {},
    }  # fmt: skip
    with store.transaction():
        store.set_meta("synced", "1")
        store.set_meta("status/source", '{"type": "couch", "lag_s": 0.5}')
        store.queue.mark(["phone/a/b"], store.queue.cause("document", "a/b", "1", 1), 0, 1)
    found = json.loads((await curl("/status"))[1])
    assert found["synced"] is True
    assert found["waiting_to_render"] == 1
    assert found["source"] == {"type": "couch", "lag_s": 0.5}
    assert (await curl("/"))[0].startswith("404 ")
    assert (await curl("/status", "-X", "POST"))[0].startswith("405 ")
    await ops.stop()
    reader.close()
    store.close()
