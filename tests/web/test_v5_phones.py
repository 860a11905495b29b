"""Phones that were set up by provisioner-v5 get their files where they ask for them, and learn the new URL."""

import http.client
from pathlib import Path

import pytest

from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.settings import LegacyPath
from kazoo_provisioner.web.agents import mac_of_agent
from kazoo_provisioner.web.paths import Paths
from tests.support import kazoo
from tests.support.service import PATIENCE, Service
from tests.web.v5_requests import ACCOUNT, FOLDER, HOST, LEGACY, PHONES, REQUESTS, T46, VVX

OTHER = "1f1e2d3c4b5a69788796a5b4c3d2e1f0"
PATHS = Paths((LegacyPath(host=HOST), LegacyPath(prefix=FOLDER)))


def documents(folder: Path) -> Path:
    """Two accounts; one of them has the phones."""
    made = kazoo.Folder(folder)
    for account in (ACCOUNT, OTHER):
        made.put_account(kazoo.account(account))
    db = db_of_account(ACCOUNT)
    made.put(db, kazoo.user("ada", presence_id="1001"))
    made.put(db, kazoo.callflow("flow", ["1001"], "ada"))
    for phone in PHONES:
        made.put(
            db,
            kazoo.device(
                f"device{phone.model}", phone.mac, brand=phone.brand, model=phone.model, owner_id="ada"
            ),
        )
    return folder


def ask(service: Service, host: str, path: str, agent: str) -> tuple[int, bytes, str]:
    """Ask as a phone does: no redirect is followed. Return status, body and ETag."""
    address, port = service.base.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(address, int(port), timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host, "User-Agent": agent})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("ETag", "")
    finally:
        connection.close()


@pytest.mark.parametrize("brand", sorted({request.brand for request in REQUESTS}))
def test_requests_are_read(brand: str) -> None:
    wrong = []
    for request in REQUESTS:
        if request.brand != brand:
            continue
        asked = PATHS.parse(request.host, request.path.partition("?")[0])
        if asked is None or asked != (request.account, request.file, request.mac, True):
            wrong.append((request.host, request.path, asked))
    assert not wrong


def test_agents_do_not_contradict() -> None:
    told = {(request.mac, mac_of_agent(request.agent)) for request in REQUESTS if request.mac}
    assert all(said in ("", mac) for mac, said in told)
    assert {mac for mac, said in told if said} >= {phone.mac for phone in PHONES if phone.brand == "yealink"}


@pytest.mark.parametrize("host", [HOST, f"{HOST}:8080", "192.0.2.1", ""])
def test_new_urls_are_read_as_ever(host: str) -> None:
    """Also on the old host: it may well be that of the new URL."""
    for path, expected in (
        (f"/p/{ACCOUNT}/{T46.mac}.cfg", (ACCOUNT, f"{T46.mac}.cfg", T46.mac, False)),
        (f"/p/{ACCOUNT}/yealink-t4x-phonebook.xml", (ACCOUNT, "yealink-t4x-phonebook.xml", "", False)),
        (f"/p/{T46.mac}.cfg", ("", f"{T46.mac}.cfg", T46.mac, False)),
    ):
        assert PATHS.parse(host, path) == expected


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("192.0.2.1", f"/{ACCOUNT}/{T46.mac}.cfg"), (f"x.{HOST}", f"/{T46.mac}.cfg"), (f"{HOST}.x", f"/{T46.mac}.cfg"),
        ("", f"/{T46.mac}.cfg"), ("192.0.2.1", f"/provisionerx/{T46.mac}.cfg"), ("192.0.2.1", f"{FOLDER}"),
        (HOST, "/"), (HOST, f"/{ACCOUNT}/"), (HOST, "/../etc/passwd%00"), (HOST, "/.cfg"), (HOST, "/x/..%2f..%2f"),
    ],
)  # fmt: skip
def test_what_is_no_old_url(host: str, path: str) -> None:
    assert PATHS.parse(host, path) is None


def test_every_phone_gets_its_files(tmp_path: Path) -> None:
    """At the old URLs the same bytes as at the new ones, at once; and none of the optional files is held against it."""
    with Service(tmp_path / "service", documents(tmp_path / "dbs"), web=f"legacy_paths: {LEGACY}") as service:
        service.wait("synced")
        wrong = []
        for request in REQUESTS:
            if not request.status:
                continue
            status, body, etag = ask(service, request.host, request.path, request.agent)
            if status == request.status == 200:
                below = f"{request.account}/" if request.account else ""
                new = ask(service, "prov.example.com", f"/p/{below}{request.file}", request.agent)
                if (body, etag) != new[1:] or not body:
                    wrong.append((request, "another file"))
            elif status != request.status:
                wrong.append((request, status))
        assert not wrong
        assert sum(request.status == 200 for request in REQUESTS) > 100


def test_new_files_carry_the_new_url(tmp_path: Path) -> None:
    with Service(tmp_path / "service", documents(tmp_path / "dbs"), web=f"legacy_paths: {LEGACY}") as service:
        service.wait("synced")
        for phone in PHONES:
            file = f"{phone.mac}-reg.cfg" if phone is VVX else f"{phone.mac}.cfg"
            status, body, _ = ask(service, HOST, f"/{ACCOUNT}/{file}", "")
            assert status == 200
            assert f"prov.example.com/p/{ACCOUNT}/".encode() in body
            assert HOST.encode() not in body


def test_old_urls_open_nothing_else(tmp_path: Path) -> None:
    """Another account's phone, the bare form where it is off, other hosts: the same 404 as everywhere."""
    off = f"serve_without_account: false, legacy_paths: {LEGACY}"
    with Service(tmp_path / "service", documents(tmp_path / "dbs"), web=off) as service:
        service.wait("synced")
        found = f"/{ACCOUNT}/{T46.mac}.cfg"
        assert ask(service, HOST, found, "")[0] == 200
        for host, path in (
            (HOST, f"/{OTHER}/{T46.mac}.cfg"),
            (HOST, f"/{T46.mac}.cfg"),
            (HOST, f"/directory/{T46.mac}/{T46.mac}.cfg"),
            (HOST, f"{FOLDER}{T46.mac}.cfg"),
            ("192.0.2.1", found),
            ("192.0.2.1", f"{FOLDER}{T46.mac}.cfg"),
        ):
            status, body, _ = ask(service, host, path, "Yealink SIP-T46G 28.72.0.1 00:15:65:00:00:46")
            assert (status, body) == (404, b"Not found\n"), path
