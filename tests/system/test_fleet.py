"""Many readers: any of them may die, limits hold in all of them, and nobody is left behind."""

import http.client
import os
import signal
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from kazoo_provisioner.store.access import Access
from tests.support.kazoo import Folder, account_id, fleet, mac
from tests.support.raw import until
from tests.support.service import PATIENCE, Service, command

READERS = 4


WEB = f"workers: {READERS}"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "dbs")


class Phone(threading.Thread):
    """A phone that keeps one connection open as long as it can, and says in each request which one it is."""

    def __init__(self, service: Service, number: int, path: str) -> None:
        super().__init__(daemon=True)
        host, port = service.base.removeprefix("http://").split(":")
        self._address, self._path, self._number = (host, int(port)), path, number
        self.failed: list[str] = []
        self.wrong: list[int] = []
        self.served = 0
        self._ending = threading.Event()

    def run(self) -> None:
        turn = 0
        while not self._ending.is_set():
            turn += 1
            agent = f"phone-{self._number}-{turn}"
            connection = http.client.HTTPConnection(*self._address, timeout=PATIENCE)
            try:
                while not self._ending.is_set():
                    connection.request("GET", self._path, headers={"User-Agent": agent})
                    answer = connection.getresponse()
                    if answer.status == 200 and answer.read():
                        self.served += 1
                    else:
                        self.wrong.append(answer.status)
            except (OSError, http.client.HTTPException):
                self.failed.append(agent)
            finally:
                connection.close()

    def end(self) -> Self:
        self._ending.set()
        self.join()
        return self


def served_more(phones: list[Phone], count: int) -> bool:
    return sum(phone.served for phone in phones) > count


def nobody(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_readers_and_writer_die_in_turn(tmp_path: Path, folder: Folder) -> None:
    """No request fails but those of the process that was killed; it comes back, and so does its share."""
    fleet(folder, 2, 12)
    with Service(tmp_path / "service", folder.root, web=WEB) as service:
        service.wait("synced")
        phones = [Phone(service, n, f"/p/{mac(n % 12 + 1)}.cfg") for n in range(16)]
        for phone in phones:
            phone.start()
        killed: list[str] = []
        for name in (*sorted(service.readers()), "writer"):
            pid = service.pids("writer") if name == "writer" else service.readers()[name]
            before = sum(phone.served for phone in phones)
            until(partial(served_more, phones, before + 50), "phones are served")
            os.kill(pid, signal.SIGKILL)
            service.wait("process_died", role=name, code=-signal.SIGKILL)
            service.wait("process_started", role=name)
            killed.append(name)
            assert not Path(f"/proc/{pid}").exists()
        service.until(f"/p/{mac(1)}.cfg", lambda got: got.status == 200)
        for phone in phones:
            phone.end()
        assert service.stop() == 0
        asked = [e for e in service.events if e["event"] == "phone_request"]
        process_of = {e["agent"]: e["process"] for e in asked}
        assert {e["process"] for e in asked} == set(killed[:-1])  # each of the readers had its share
        failed = [agent for phone in phones for agent in phone.failed]
        assert failed, "nobody was talking to what was killed: nothing was tried"
        assert {process_of[agent] for agent in failed if agent in process_of} <= set(killed[:-1])
        assert len(failed) <= len(phones) * READERS
        assert not [status for phone in phones for status in phone.wrong]
        assert all(phone.served for phone in phones)
        # Of the connections that were never cut, no request is missing.
        for process in killed[:-1]:
            deaths = sum(e["event"] == "process_died" and e["role"] == process for e in service.events)
            assert deaths == 1


def test_a_killed_supervisor_takes_all_with_it(tmp_path: Path, folder: Folder) -> None:
    """No orphan, no stale socket: the same port is free for the next start."""
    fleet(folder, 1, 2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = Service(tmp_path / "service", folder.root, web=WEB)
    settings = service.config.read_text()
    service.config.write_text(settings.replace("listen: ['127.0.0.1:0']", f"listen: ['127.0.0.1:{port}']"))
    with service:
        service.wait("synced")
        children = [*service.readers().values(), service.pids("writer")]
        assert len(children) == READERS + 1
        for _ in range(2):
            service.kill()
            until(partial(nobody, children), "the children end")
            service.start()
            assert service.base.endswith(f":{port}")
            assert service.get(f"/p/{mac(1)}.cfg").status == 200
            children = [*service.readers().values(), service.pids("writer")]


def curl(service: Service, source: str, path: str) -> int:
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--interface", source, service.base + path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


def test_limits_hold_in_all_readers(tmp_path: Path, folder: Folder) -> None:
    fleet(folder, 2, 6)
    path = f"/p/{account_id(0)}/{mac(1)}.cfg"
    with Service(tmp_path / "service", folder.root, web=f"{WEB}, miss_limit: 10") as service:
        service.wait("synced")
        guesser, known = "127.0.0.5", f"/p/{account_id(1)}/{mac(2)}.cfg"
        assert curl(service, guesser, known) == 200
        # Written at the latest a second later; only what is written is known elsewhere.
        access = Access(tmp_path / "service" / "store", read_only=True)
        until(lambda: guesser in access.places(mac(2)), "the phone is known here")
        for _ in range(3):  # the same name again is one name
            assert curl(service, guesser, "/p/0015659900ff.cfg") == 404
        for number in range(9):
            assert curl(service, guesser, f"/p/00156599{number:04x}.cfg") in (404, 429)
        limited = service.wait("address_limited")
        assert (limited["remote"], limited["limit"]) == (guesser, 10)

        def refused_everywhere() -> bool:
            # A phone that is served even once at this address is one of those that are served on.
            return all(curl(service, guesser, "/p/0015659901ff.cfg") == 429 for _ in range(8 * READERS))

        until(refused_everywhere, "all readers refuse")
        assert (
            curl(service, guesser, "/p/0015659901ff.cfg") == 429
        )  # which names there are is not told either
        assert curl(service, guesser, known) == 200  # a phone that was served here before
        assert curl(service, guesser, "/p/y000000000028.cfg") == 200  # a file without secrets
        assert curl(service, "127.0.0.6", path) == 200
        os.kill(service.readers()["reader-1"], signal.SIGKILL)
        service.wait("process_died", role="reader-1")
        service.wait("serving", process="reader-1")
        until(refused_everywhere, "all readers refuse")  # whoever is born later knows it too
        done = command("forgive", guesser, config=service.config)
        assert (done.returncode, done.stdout) == (0, f"{guesser}: forgiven\n")
        until(lambda: all(curl(service, guesser, path) == 200 for _ in range(8 * READERS)), "all forgive")
        assert command("forgive", guesser, config=service.config).returncode == 4
        assert sum(e["event"] == "address_limited" for e in service.drain()) == 1
        access.close()


@pytest.mark.parametrize("through", ["nat", "proxy"])
def test_known_phones_at_one_address_are_not_limited(tmp_path: Path, folder: Folder, through: str) -> None:
    """However many files they ask for that need not be there."""
    fleet(folder, 2, 60)
    more = ", miss_limit: 5" + (", trusted_proxies: ['127.0.0.1']" if through == "proxy" else "")
    with Service(tmp_path / "service", folder.root, web=f"{WEB}{more}") as service:
        service.wait("synced")
        for number in range(60):
            own, account = mac(number + 1), account_id(number % 2)
            for name in (f"{own}-local.cfg", f"{own}.boot", "000000000000-license.cfg", f"{own}-app.log"):
                assert service.get(f"/p/{account}/{name}").status in (200, 404), name
            assert service.get(f"/p/{account}/{own}.cfg").status == 200
        assert not [e for e in service.drain() if e["event"] == "address_limited"]


def test_a_stop_lets_replies_end(tmp_path: Path, folder: Folder) -> None:
    """SIGTERM under load: what was asked is answered whole, then the connection is closed."""
    fleet(folder, 1, 6)
    with Service(tmp_path / "service", folder.root, web=WEB) as service:
        service.wait("synced")
        phones = [Phone(service, n, f"/p/{mac(n % 6 + 1)}.cfg") for n in range(8)]
        for phone in phones:
            phone.start()
        until(lambda: all(phone.served > 5 for phone in phones), "all are served")
        assert service.stop() == 0
        for phone in phones:
            phone.end()
        assert not [status for phone in phones for status in phone.wrong]
        assert not [e for e in service.events if e["event"] in ("process_killed", "request_failed")]
