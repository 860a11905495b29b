"""SIGKILL, at every named point and at random moments under a burst of changes, while phones poll."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

from kazoo_provisioner.crashpoints import POINTS
from kazoo_provisioner.model.ids import db_of_account
from tests.support import kazoo
from tests.support.expected import expected
from tests.support.kazoo import Folder, account_id, fleet, mac
from tests.support.pollers import Pollers
from tests.support.service import Service

SETTINGS = "phones: {default: {public_url: 'http://prov.example.com/p'}}\n"


def assert_all_right(service: Service, folder: Folder, scratch: Path) -> None:
    """What is served becomes, and then is, exactly what the documents make."""
    deadline = time.monotonic() + 60
    while True:
        want = expected(folder, service.config, scratch)
        wrong = [key for key, data in want.items() if service.get(_path(*key))[:2] != (200, data)]
        if not wrong:
            break
        assert time.monotonic() < deadline, wrong[:5]
        time.sleep(0.1)


def _path(account: str, name: str) -> str:
    return f"/p/{account}/{name}" if account else f"/p/{name}"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_every_point(point: str, tmp_path: Path) -> None:
    """The writer dies once at the point; the reader serves on, the next writer goes on where it was."""
    folder = Folder(tmp_path / "dbs")
    fleet(folder, 2, 6)
    flag = tmp_path / "died"
    with Service(
        tmp_path / "service", folder.root, SETTINGS, {"KAZOO_PROVISIONER_CRASH": f"{point}:2:{flag}"}
    ) as service:
        for number in range(40):
            folder.edit(db_of_account(account_id(0)), f"user{0:028d}", first_name=f"Name {number}")
            service.get(f"/p/{mac(1)}.cfg")
            if flag.exists():
                break
            time.sleep(0.15)
        service.wait("process_died", role="writer", code=-signal.SIGKILL)
        service.wait("following")
        service.wait("synced") if service.get("/p/x").status == 503 else None
        folder.edit(db_of_account(account_id(1)), f"devi{1:028d}", sip__password="secret-after")
        assert_all_right(service, folder, tmp_path / "fresh")


def one_change(chance: random.Random, folder: Folder, count: int) -> None:
    """Somebody saves something."""
    number = chance.randrange(count)
    db = db_of_account(account_id(number % 3))
    device, user = f"devi{number:028d}", f"user{number:028d}"
    what = chance.randrange(8)
    if what < 3:
        folder.put(
            db, kazoo.user(user, f"Name {chance.random()}", presence_id=str(chance.randrange(1000, 1010)))
        )
    elif what < 6:
        change = {"name": f"Desk {chance.random()}", "enabled": chance.random() < 0.8}
        folder.put(
            db,
            kazoo.device(
                device,
                mac(number + 1),
                owner_id=user,
                sip={"password": f"secret-{chance.random()}"},
                **change,
            ),
        )
    elif what == 6 and folder.path(db, device).exists():
        folder.delete(db, device)
    else:
        here = account_id(number % 3)
        folder.put_account(
            kazoo.account(
                here,
                tree=() if number % 3 == 0 else (account_id(0),),
                timezone=chance.choice(["Europe/Berlin", "UTC"]),
            )
        )


def test_random_kills_under_a_burst(tmp_path: Path, soak: int) -> None:
    """Supervisor, writer or reader killed at random; the seed is printed."""
    seed = int(os.environ.get("SEED", "0")) or (time.time_ns() if soak else 20261123)
    sys.stderr.write(f"\nrandom kills with SEED={seed}\n")
    chance = random.Random(seed)
    folder = Folder(tmp_path / "dbs")
    count = 12
    fleet(folder, 3, count)
    phones = [(account_id(n % 3), mac(n + 1)) for n in range(count)]
    with Service(tmp_path / "service", folder.root, SETTINGS) as service:
        service.wait("synced")
        with Pollers(service, phones) as pollers:
            for _ in range(soak or 8):
                victim = chance.choice(["supervisor", "writer", "writer", "reader"])
                for _ in range(chance.randrange(5, 40)):
                    one_change(chance, folder, count)
                    time.sleep(chance.random() * 0.03)
                if victim == "supervisor":
                    service.kill()
                    service.start()
                else:
                    name, pid = service.newest(victim)
                    os.kill(pid, signal.SIGKILL)
                    service.wait("process_died", role=name, code=-signal.SIGKILL)
                    service.wait("following" if victim == "writer" else "serving")
        assert not pollers.wrong
        assert pollers.served > 10
        assert_all_right(service, folder, tmp_path / "fresh")
