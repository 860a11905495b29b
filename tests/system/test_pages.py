"""The operator's pages of the real service, while processes die."""

import os
import re
import signal
import time
from pathlib import Path

from tests.support import kazoo
from tests.support.kazoo import Folder, mac
from tests.support.service import PATIENCE, Got, Service

ACCOUNT = kazoo.account_id(1)


class Pages(Service):
    """The service, and its second address."""

    def page(self, path: str) -> Got:
        phones, self.base = self.base, self._status.removesuffix("/status")
        try:
            return self.get(path)
        finally:
            self.base = phones

    def until_page(self, path: str, status: int, wanted: str) -> Got:
        deadline = time.monotonic() + PATIENCE
        while True:
            got = self.page(path)
            if got.status == status and re.search(wanted, got.body.decode(), re.MULTILINE):
                return got
            assert time.monotonic() < deadline, f"{path}: {got.status} {got.body[:2000]!r}"
            time.sleep(0.02)


def test_the_pages_tell_what_happens(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "dbs")
    folder.put_account(kazoo.account(ACCOUNT))
    folder.put(kazoo.db_of_account(ACCOUNT), kazoo.device(f"devi{1:028d}", mac(1)))
    with Pages(tmp_path / "service", folder.root, web="workers: 2") as service:
        service.until_page("/readyz", 200, "^ok$")
        service.until_page("/healthz", 200, "^ok$")
        for _ in range(3):
            assert service.get(f"/p/{ACCOUNT}/{mac(1)}.cfg").status == 200
        served = r'^kazoo_provisioner_requests_total{kind="phone",reason="served",status="200"} '
        service.until_page("/metrics", 200, served + "3.0$")
        assert service.status()["phones"] == 1

        # All but one reader may die: phones are served, and nothing that was counted is lost.
        pids = {one["role"]: one["pid"] for one in service.status()["processes"]}
        os.kill(pids["writer"], signal.SIGKILL)
        os.kill(pids["reader-1"], signal.SIGKILL)
        service.wait("process_died")
        assert service.page("/readyz").status == 200
        assert service.get(f"/p/{ACCOUNT}/{mac(1)}.cfg").status == 200
        for role in ("writer", "reader-1"):
            service.until_page(
                "/metrics", 200, rf'^kazoo_provisioner_process_restarts_total{{role="{role}"}} [1-9]'
            )
        service.until_page("/healthz", 200, "^ok$")
        service.until_page("/metrics", 200, served + "4.0$")
        assert service.stop() == 0

        # Nor by a restart of the service.
        service.start()
        service.until_page("/metrics", 200, served + "4.0$")
        found = service.status()
        assert found["errors"] == {}
        assert [one["role"] for one in found["processes"]] == [
            "supervisor", "reader-1", "reader-2", "writer",
        ]  # fmt: skip
        assert found["requests"]["phone"]["200"]["served"] == 4
        body = service.page("/status").body.decode() + service.page("/metrics").body.decode()
        assert mac(1) not in body
        assert ACCOUNT not in body
        assert service.stop() == 0
