"""The real service on a CouchDB: everything that people do arrives, and no phone notices when CouchDB is away."""

import contextlib
import http.client
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from kazoo_provisioner.model.ids import db_of_account
from tests.support import kazoo
from tests.support.clusters import MODES, REAL, Cluster
from tests.support.couchdb import Couch, CouchServer
from tests.support.expected import expected
from tests.support.kazoo import account_id, fleet, mac
from tests.support.pollers import Pollers
from tests.support.service import Got, Service

QUICK = {"confirm": 1, "sweep": 5, "sweep_alone": 0.5, "listing": 1, "heartbeat": 1, "timeout": 5}
"""Everything that takes its time in production, soon; the numbers are no part of what is tested."""

own_server = pytest.mark.skipif(REAL is not None, reason="a real server is not ours to stop or to turn back")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(MODES[0], tmp_path / "couch") as made:
        made.clear()
        yield made


def right(service: Service, cluster: Cluster, scratch: Path) -> None:
    """Every file that the documents make is served as a fresh start would."""
    for (account, name), data in expected(cluster.couch, service.config, scratch).items():
        path = f"/p/{account}/{name}" if account else f"/p/{name}"
        service.until(path, lambda got, data=data: (got.status, got.body) == (200, data))


def gone(got: Got) -> bool:
    return got.status == 404


def test_everything_that_people_do(cluster: Cluster, tmp_path: Path) -> None:
    """200 accounts, 2,000 devices, and then each kind of change, without a restart."""
    couch = cluster.couch
    with couch.collect():
        made = fleet(couch, 200, 2000)
    with Service(tmp_path / "service", cluster.source(**QUICK)) as service:
        service.wait("synced")
        right(service, cluster, tmp_path / "first")
        one, device, address = made[1]
        db, path = db_of_account(one), f"/p/{one}/{address}.cfg"
        couch.edit(db, device, sip__password="secret-new")
        service.until(path, lambda got: b"secret-new" in got.body)
        couch.edit(db, f"user{1:028d}", first_name="Renamed")
        service.until(path, lambda got: b"Renamed" in got.body)
        service.until(f"/p/{one}/yealink-t4x-phonebook.xml", lambda got: b"Renamed" in got.body)
        couch.edit(db, one, realm="moved.example.com")
        service.until(path, lambda got: b"moved.example.com" in got.body)
        # The first account is everybody's reseller and parent.
        couch.edit(db_of_account(account_id(0)), account_id(0), timezone="Asia/Kolkata")
        service.until(path, lambda got: b"+5:30" in got.body)
        couch.put(db, kazoo.parking(f"park{1:028d}", "7"))
        service.until(path, lambda got: b"*71" in got.body)
        couch.edit(db, device, mac_address="00:15:65:ff:00:01")
        service.until(f"/p/{one}/001565ff0001.cfg", lambda got: b"secret-new" in got.body)
        service.until(path, gone)
        two, soft, soft_mac = made[2]
        couch.edit(db_of_account(two), soft, pvt_deleted=True)
        service.until(f"/p/{two}/{soft_mac}.cfg", gone)
        three, hard, hard_mac = made[3]
        couch.delete(db_of_account(three), hard)
        service.until(f"/p/{three}/{hard_mac}.cfg", gone)
        _databases_come_and_go(service, cluster, made)
        right(service, cluster, tmp_path / "last")
        source = service.status()["source"]
        assert source["connected"], source
        assert service.stop() == 0


def _databases_come_and_go(service: Service, cluster: Cluster, made: list[tuple[str, str, str]]) -> None:
    couch, (four, device, address) = cluster.couch, made[4]
    db, path = db_of_account(four), f"/p/{four}/{address}.cfg"
    couch.delete_database(db)
    couch.delete(kazoo.ACCOUNTS, four)
    service.until(path, gone)
    # Recreated with one of its devices; and one whose database is deleted and made anew at once.
    couch.put_account(kazoo.account(four, tree=(account_id(0),)))
    couch.put(db, kazoo.device(device, address))
    service.until(path, lambda got: got.status == 200)
    five, kept, kept_mac = made[5]
    lost_mac = made[205][2]
    couch.delete_database(db_of_account(five))
    couch.put(db_of_account(five), kazoo.account(five, tree=(account_id(0),)))
    couch.put(db_of_account(five), kazoo.device(kept, kept_mac, sip={"password": "secret-anew"}))
    service.until(f"/p/{five}/{kept_mac}.cfg", lambda got: b"secret-anew" in got.body)
    service.until(f"/p/{five}/{lost_mac}.cfg", gone)
    if cluster.server:
        _restored(service, cluster, made[7])
    new = "n" * 32
    couch.put_account(kazoo.account(new, tree=(account_id(0),)))
    couch.put(db_of_account(new), kazoo.device("first", "0015659999aa"))
    service.until(f"/p/{new}/0015659999aa.cfg", lambda got: b"secret-" in got.body)


def _restored(service: Service, cluster: Cluster, phone: tuple[str, str, str]) -> None:
    """An older copy is put back: what was edited since is as it was, what was made since is gone, and so on."""
    couch, server, (account, device, address) = cluster.couch, cluster.server, phone
    assert server
    db, path = db_of_account(account), f"/p/{account}/{address}.cfg"
    server.control(snapshot=db)
    for number in range(5):
        couch.edit(db, device, sip__password=f"secret-after-{number}")
    couch.put(db, kazoo.device("later", "0015659999bb"))
    service.until(path, lambda got: b"secret-after-4" in got.body)
    service.until(f"/p/{account}/0015659999bb.cfg", lambda got: got.status == 200)
    server.control(restore=db)
    couch._revisions.clear()
    service.until(path, lambda got: b"secret-after" not in got.body)
    service.until(f"/p/{account}/0015659999bb.cfg", gone)
    couch.edit(db, device, sip__password="secret-hidden")  # below the old sequence: no feed shows it
    service.until(path, lambda got: b"secret-hidden" in got.body)


def beside(cluster: Cluster) -> CouchServer:
    """The same databases at another address: what another node of the cluster would be."""
    assert cluster.folder
    return CouchServer(cluster.folder, cluster.mode)


@own_server
def test_phones_do_not_notice_that_couchdb_is_away(cluster: Cluster, tmp_path: Path) -> None:
    couch, server = cluster.couch, cluster.server
    assert server
    with couch.collect():
        made = fleet(couch, 5, 40)
    phones = [(account, address) for account, _, address in made]
    (account, device, address), (other, hard, hard_mac) = made[0], made[1]
    with Service(tmp_path / "service", cluster.source(**QUICK)) as service:
        service.wait("synced")
        before = {path: service.get(path).body for path in (f"/p/{a}/{m}.cfg" for a, m in phones)}
        with Pollers(service, phones) as pollers:
            server.stop()
            service.wait("source_lost")
            polled = pollers.served
            while pollers.served < polled + 300:
                time.sleep(0.01)
            assert service.status()["source"]["connected"] is False
            assert {path: service.get(path).body for path in before} == before
            with beside(cluster) as meanwhile, meanwhile.couch() as elsewhere:
                elsewhere.edit(db_of_account(account), device, sip__password="secret-away")
                elsewhere.delete(db_of_account(other), hard)
                meanwhile.stop()
            server.start()
            service.wait("source_connected")
            service.until(f"/p/{account}/{address}.cfg", lambda got: b"secret-away" in got.body)
            service.until(f"/p/{other}/{hard_mac}.cfg", gone)
        assert not [wrong for wrong in pollers.wrong if hard_mac not in wrong]
        right(service, cluster, tmp_path / "fresh")


def somebody_saves(chance: random.Random, couch: Couch, count: int) -> None:
    """One change; while the server is dead it is made again until it is known to be made."""
    number = chance.randrange(count)
    db = db_of_account(account_id(number % 3))
    device, user = f"devi{number:028d}", f"user{number:028d}"
    what = chance.randrange(8)
    while True:
        try:
            if what < 3:
                couch.put(db, kazoo.user(user, f"Name {chance.random()}"))
            elif what < 7:
                fields = {"owner_id": user, "sip": {"password": f"secret-{chance.random()}"}}
                couch.put(db, kazoo.device(device, mac(number + 1), **fields))
            else:
                with contextlib.suppress(KeyError):
                    couch.delete(db, device)
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        else:
            return


@own_server
def test_kills_of_service_and_server_under_a_burst(cluster: Cluster, tmp_path: Path, soak: int) -> None:
    seed = int(os.environ.get("SEED", "0")) or (time.time_ns() if soak else 20261123)
    sys.stderr.write(f"\nrandom kills with SEED={seed}\n")
    chance, count = random.Random(seed), 24
    couch, server = cluster.couch, cluster.server
    assert server
    fleet(couch, 3, count)
    phones = [(account_id(n % 3), mac(n + 1)) for n in range(count)]
    with Service(tmp_path / "service", cluster.source(**QUICK)) as service:
        service.wait("synced")
        with Pollers(service, phones) as pollers:
            for _ in range(soak or 8):
                burst = threading.Thread(
                    target=lambda: [
                        somebody_saves(chance, couch, count) for _ in range(chance.randrange(20, 80))
                    ]
                )
                burst.start()
                time.sleep(chance.random() * 0.3)
                _kill(chance.choice(["server", "server", "writer", "supervisor"]), service, server)
                burst.join()
        assert not pollers.wrong
        assert pollers.served > 10
        right(service, cluster, tmp_path / "fresh")
        wanted = {name for _, name in expected(couch, service.config, tmp_path / "again")}
        for account, address in phones:
            if f"{address}.cfg" not in wanted:
                service.until(f"/p/{account}/{address}.cfg", gone)


def _kill(victim: str, service: Service, server: CouchServer) -> None:
    if victim == "server":
        server.kill()
        server.start()
    elif victim == "supervisor":
        service.kill()
        service.start()
    else:
        os.kill(service.pids("writer"), signal.SIGKILL)
        service.wait("process_died", role="writer", code=-signal.SIGKILL)
        service.wait("following")


def test_many_databases_and_many_that_write(tmp_path: Path) -> None:
    """2,000 account databases, 200 of them written to at once, with few feeds."""
    with Cluster(MODES[0]) as cluster:
        cluster.clear()
        couch = cluster.couch
        with couch.collect():
            made = fleet(couch, 2000, 2000)
        with Service(tmp_path / "service", cluster.source(**QUICK | {"feeds": 50, "sweep": 60})) as service:
            service.wait("synced")
            writing = made[100:300]
            most = Most(service, cluster)
            with most, ThreadPoolExecutor(8) as pool:
                for round_ in range(3):
                    edits = [
                        pool.submit(couch.edit, db_of_account(a), d, sip__password=f"secret-round-{round_}")
                        for a, d, _ in writing
                    ]
                    for edit in edits:
                        edit.result()
            for number, (account, _, address) in enumerate(writing, 100):
                name = f"{address}-reg.cfg" if number % 7 > 4 else f"{address}.cfg"  # a VVX, or a Yealink
                service.until(f"/p/{account}/{name}", lambda got: b"secret-round-2" in got.body)
            assert most.descriptors < 50 + 4 + 60  # feeds, readers, and what a process has anyway
            if cluster.server:
                assert 0 < most.feeds <= 50 + 1  # and _db_updates


class Most:
    """Watches how many descriptors and feeds there are at most."""

    def __init__(self, service: Service, cluster: Cluster) -> None:
        self._fds = Path(f"/proc/{service.pids('writer')}/fd")
        self._server = cluster.server
        self.descriptors = self.feeds = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._stop.wait(0.1)
            self.descriptors = max(self.descriptors, len(list(self._fds.iterdir())))
            if self._server:
                self.feeds = max(self.feeds, self._server.stats()["open_feeds"])
            if last:
                return
