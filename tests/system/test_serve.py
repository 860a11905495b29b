"""The whole service on a folder of dumps, as an operator and phones see it."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from kazoo_provisioner.model.ids import db_of_account
from tests.support import kazoo, tiny
from tests.support.expected import expected
from tests.support.kazoo import Folder, account_id, fleet, mac
from tests.support.service import Service, command

EXTRA = "phones: {default: {public_url: 'http://prov.example.com/p', admin_password: adm1n-Secret}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "dbs")


def served_everywhere(service: Service, want: dict[tuple[str, str], bytes]) -> None:
    """Every name answers with its bytes: below its account, or without one."""
    for (account, name), data in want.items():
        got = service.get(f"/p/{account}/{name}" if account else f"/p/{name}")
        assert (got.status, got.body) == (200, data), (account, name)


def test_two_hundred_accounts_and_every_kind_of_change(tmp_path: Path, folder: Folder) -> None:
    made = fleet(folder, 200, 2000)
    with Service(tmp_path / "service", folder.root, EXTRA) as service:
        assert service.get("/p/001565000001.cfg").status in (200, 503)
        synced = service.wait("synced")
        assert synced["phones"] == 2000
        served_everywhere(service, expected(folder, service.config, tmp_path / "fresh"))
        every_kind_of_change(service, folder)
        want = expected(folder, service.config, tmp_path / "fresh")
        served_everywhere(service, want)
        assert service.stop() == 0
        # Restart: serves at once, renders nothing.
        service.start()
        served_everywhere(service, dict(list(want.items())[:20]))
        service.wait("caught_up") if service.get("/p/x").status == 503 else time.sleep(1.0)
        service.drain()
        start = max(i for i, e in enumerate(service.events) if e["event"] == "started")
        assert not [e for e in service.events[start:] if e["event"].endswith("_rendered")]
    assert len(made) == 2000


def every_kind_of_change(service: Service, folder: Folder) -> None:
    one, db = account_id(1), db_of_account(account_id(1))
    device, user, address = f"devi{1:028d}", f"user{1:028d}", mac(2)
    path = f"/p/{one}/{address}.cfg"
    # device edit
    folder.edit(db, device, sip__password="secret-new")
    service.until(path, lambda got: b"secret-new" in got.body)
    # user rename
    folder.edit(db, user, first_name="Renamed")
    service.until(path, lambda got: b"Renamed" in got.body)
    service.until(f"/p/{one}/yealink-t4x-phonebook.xml", lambda got: b"Renamed" in got.body)
    # realm change
    folder.put_account(folder.get(db, one) | {"realm": "moved.example.com"})
    service.until(path, lambda got: b"moved.example.com" in got.body)
    # the parent's time zone
    top = account_id(0)
    folder.put_account(folder.get(db_of_account(top), top) | {"timezone": "Asia/Kolkata"})
    service.until(path, lambda got: b"+5:30" in got.body)
    # the parking callflow's number
    assert b"*31" in service.get(path).body
    folder.put(db, kazoo.parking(f"park{1:028d}", "7"))
    service.until(path, lambda got: b"*71" in got.body)
    # the MAC
    folder.edit(db, device, mac_address="00:15:65:FF:00:01")
    service.until(f"/p/{one}/001565ff0001.cfg", lambda got: b"secret-new" in got.body)
    service.until(path, lambda got: got.status == 404)
    # soft delete
    folder.edit(db, device, pvt_deleted=True)
    service.until(f"/p/{one}/001565ff0001.cfg", lambda got: got.status == 404)
    # a file removed
    folder.delete(db_of_account(account_id(2)), f"devi{2:028d}")
    service.until(f"/p/{account_id(2)}/{mac(3)}.cfg", lambda got: got.status == 404)
    # an account removed
    folder.delete_database(db_of_account(account_id(3)))
    service.until(f"/p/{account_id(3)}/{mac(4)}.cfg", lambda got: got.status == 404)
    service.until(f"/p/{mac(4)}.cfg", lambda got: got.status == 404)
    # an account added
    new = account_id(900)
    folder.put_account(kazoo.account(new, tree=(top,)))
    folder.put(db_of_account(new), kazoo.device("newdevice", "0015659999aa"))
    service.until(f"/p/{new}/0015659999aa.cfg", lambda got: b"secret-" in got.body)


def test_protocol(tmp_path: Path, folder: Folder) -> None:
    """Methods, validators, cases, paths, the UIs' catalogue; and one log line with a reason for each request."""
    fleet(folder, 2, 4)
    here, other = account_id(0), account_id(1)
    with Service(tmp_path / "service", folder.root, EXTRA) as service:
        service.wait("synced")
        path = f"/p/{here}/{mac(1)}.cfg"
        got = service.get(path)
        etag = got.headers["ETag"]
        assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert service.get(path, {"If-None-Match": etag}).status == 304
        assert service.get(path, {"If-None-Match": f'W/{etag}, "x"'}).status == 304
        assert service.get(path, {"If-None-Match": '"x"'}).status == 200
        head = service.get(path, method="HEAD")
        assert (head.status, head.body, head.headers["ETag"]) == (200, b"", etag)
        assert int(head.headers["Content-Length"]) == len(got.body)
        for same in (
            path.upper().replace("/P/", "/p/"),
            f"/p/{mac(1)}.cfg",
            f"/p/{here}/{mac(1).upper()}/{mac(1)}.cfg",
            f"/p//{here}//{mac(1)}.cfg",
            f"{path}?x=1",
        ):
            assert service.get(same).body == got.body, same
        common = service.get("/p/y000000000028.cfg")
        assert common.status == 200
        assert service.get(f"/p/{here}/y000000000028.cfg").body == common.body
        misses = {
            f"/p/{other}/{mac(1)}.cfg": "wrong_account", f"/p/{here}/00156511aabb.cfg": "unknown_mac", f"/p/{here}/{mac(1)}-license.cfg": "no_such_file",
            f"/p/{here}/{mac(2)}/{mac(1)}.cfg": "no_such_path", "/p/": "no_such_path", "/": "no_such_path", "/p/..%2f..%2fetc%2fpasswd": "no_such_path",
            "/p/%00": "no_such_path", "/p/%ff": "no_such_path", f"/p/{here}/": "no_such_path", f"/p/{here}/x/y/z": "no_such_path", "/p/" + "a" * 5000: "no_such_path",
        }  # fmt: skip
        answers = {service.get(miss)[:2] for miss in misses}
        assert answers == {(404, b"Not found\n")}
        assert service.get(path, method="PUT").status == 405
        service.stop()
        asked = [e for e in service.events if e["event"] == "phone_request"]
        reasons = [e["reason"] for e in asked if e["status"] == 404]
        assert sorted(reasons) == sorted(misses.values())  # several readers write
        assert {e["reason"] for e in asked if e["status"] == 200} == {"served"}
        assert all(e["event"] != "not_json" for e in service.events)


def test_any_bytes_in_a_header(tmp_path: Path, folder: Folder) -> None:
    """A phone that sends what is no text gets its file all the same, and its line in the log."""
    fleet(folder, 1, 1)
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")
        host, port = service.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as phone:
            phone.sendall(
                f"GET /p/{mac(1)}.cfg HTTP/1.1\r\nConnection: close\r\n".encode()
                + b"Host: \xff\r\nUser-Agent: Yealink \xe9\xff \xc2\x9b31m\r\n\r\n"
            )
            assert phone.recv(100).startswith(b"HTTP/1.1 200")
        line = service.wait("phone_request", status=200)
        assert line["agent"].startswith("Yealink ")
        assert line["agent"].isprintable()


def test_catalogue_for_kazoo_ui(tmp_path: Path, folder: Folder) -> None:
    fleet(folder, 1, 1)
    with Service(tmp_path / "service", folder.root) as service:
        for path in ("/p/api/phones/", "/p/api/phones"):
            got = service.get(path)
            assert got.status == 200
            assert got.headers["Access-Control-Allow-Origin"] == "*"
            data = json.loads(got.body)["data"]
            assert data["yealink"]["families"]["t2x"]["models"]["t22"]["name"] == "SIP-T22P"
            assert {"id", "template_id", "name", "settings"} <= set(
                data["polycom"]["families"]["vvx"]["models"]["vvx411"]
            )
        preflight = service.get(
            "/p/api/phones/", method="OPTIONS", headers={"Access-Control-Request-Headers": "X-Auth-Token"}
        )
        assert (preflight.status, preflight.body) == (200, b"")
        assert "X-Auth-Token" in preflight.headers["Access-Control-Allow-Headers"]
        assert json.loads(service.get("/p/api/nothing").body) == {
            "error": {"code": 404, "message": "Not found"}
        }


def test_not_synced_is_503_for_names_not_known(tmp_path: Path, folder: Folder) -> None:
    """Until the first full pass ended nothing is a 404; what is broken does not stop it."""
    broken = folder.path(db_of_account(account_id(0)), "broken")
    with Service(tmp_path / "service", folder.root / "not-there") as service:
        got = service.get("/p/001565000001.cfg")
        assert got.status == 503
        assert int(got.headers["Retry-After"]) > 0
        service.wait("source_unreadable")
        fleet(Folder(folder.root / "not-there"), 2, 4)
        target = Folder(folder.root / "not-there").path(*("account/xx", "x"))
        assert target != broken
        service.wait("synced")
        assert service.get("/p/001565000001.cfg").status == 200
        assert service.get("/p/001565aaaaaa.cfg").status == 404


def test_broken_files_are_reported_and_keep_the_last_good(tmp_path: Path, folder: Folder) -> None:
    fleet(folder, 1, 2)
    here = account_id(0)
    db = db_of_account(here)
    good = folder.path(db, f"devi{0:028d}")
    text = good.read_text()
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")
        path = f"/p/{here}/{mac(1)}.cfg"
        before = service.get(path).body
        for number, junk in enumerate(
            (text[: len(text) // 2], "", "[1]", "nul", '{"a": 1e999}', "[" * 100_000, '"\\ud800"')
        ):
            good.write_text(junk)
            # The other phone's edit comes later, so when it is there the junk was read.
            folder.edit(db, f"devi{1:028d}", sip__password=f"secret-later-{number}")
            service.until(
                f"/p/{here}/{mac(2)}.cfg", lambda got, n=number: f"secret-later-{n}".encode() in got.body
            )
            assert service.get(path).body == before
        told = {e["problem"] for e in service.drain() if e["event"] == "document_unreadable"}
        assert told == {"is not JSON (half-written?)", "is JSON, but no object"}
        assert service.get(path).body == before
        good.write_text(text.replace("secret-", "secret-again-"))
        service.until(path, lambda got: b"secret-again-" in got.body)


def test_an_unmounted_folder_takes_no_phone(tmp_path: Path, folder: Folder) -> None:
    fleet(folder, 2, 4)
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")
        folder.root.rename(tmp_path / "elsewhere")
        service.wait("source_unreadable")
        folder.root.mkdir()
        service.wait("source_unreadable")
        assert service.get(f"/p/{mac(1)}.cfg").status == 200
        folder.root.rmdir()
        (tmp_path / "elsewhere").rename(folder.root)
        service.wait("source_readable")
        assert service.get(f"/p/{mac(1)}.cfg").status == 200


def test_reload(tmp_path: Path, folder: Folder) -> None:
    """SIGHUP: new settings re-render; broken ones are refused and the old kept."""
    fleet(folder, 1, 3)
    with Service(tmp_path / "service", folder.root, EXTRA) as service:
        service.wait("synced")
        path = f"/p/{account_id(0)}/{mac(1)}.cfg"
        text = service.config.read_text()
        service.config.write_text(text.replace("phones:", "phoney:"))
        service.signal(signal.SIGHUP)
        assert "phoney" in service.wait("reload_refused")["problem"]
        service.config.write_text(text.replace("prov.example.com", "new.example.com"))
        service.signal(signal.SIGHUP)
        service.wait("reloading")
        service.until(path, lambda got: b"new.example.com" in got.body)
        service.config.write_text(text)
        service.signal(signal.SIGHUP)
        service.until(path, lambda got: b"prov.example.com" in got.body)


def test_a_template_that_fails_keeps_the_old_files(tmp_path: Path, folder: Folder) -> None:
    """A render error stops one phone; a reload that would break templates is refused; mended, all goes on."""
    here = account_id(0)
    db = db_of_account(here)
    templates = tiny.write(tmp_path / "templates")
    # It fails for phones with a hotline that no sample phone has, so no check can see it coming.
    mac_j2 = templates / "acme" / "one" / "mac.j2"
    good = mac_j2.read_text()
    mac_j2.write_text(good + "{% if phone.hotline == '666' %}{{ phone.nothing }}{% endif %}")
    folder.put_account(kazoo.account(here))
    for number, model in ((1, "onea"), (2, "onea"), (3, "twoa")):
        folder.put(db, kazoo.device(f"devi{number}", mac(number), brand="acme", model=model))
    with Service(
        tmp_path / "service",
        folder.root,
        f"templates: {{folders: [{{path: {templates}, trusted: true}}], shipped: false}}\n{EXTRA}",
    ) as service:
        service.wait("synced")
        path = f"/p/{here}/{mac(1)}.cfg"
        before = service.get(path).body
        folder.edit(db, "devi1", provision__hotline="666")
        folder.put(
            db, kazoo.device("devi9", mac(9), brand="acme", model="onea", provision={"hotline": "666"})
        )
        waiting = {f"{here}/devi1", f"{here}/devi9"}
        while waiting:  # in either order, and each again and again
            failed = service.wait("render_failed")
            assert "mac.j2 line" in failed["detail"]
            waiting.discard(failed["subject"])
        folder.edit(db, "devi2", name="Other")
        service.until(f"/p/{here}/{mac(2)}.cfg", lambda got: b"Other" in got.body)
        assert service.get(path).body == before
        assert service.get(f"/p/{here}/{mac(9)}.cfg").status == 404
        service.wait("phone_request", status=404, reason="render_failed")
        old = command("explain", mac(1), config=service.config).stdout
        assert "the last good files are still served: render_failed: acme/one/mac.j2 line" in old
        new = command("explain", f"{service.base}/p/{here}/{mac(9)}.cfg", config=service.config).stdout
        assert "404: render_failed" in new
        # Broken for every phone: refused.
        mac_j2.write_text(good + "{{ phone.nothing }}")
        service.signal(signal.SIGHUP)
        assert "mac.j2" in service.wait("reload_refused")["problem"]
        mac_j2.write_text(good)
        service.signal(signal.SIGHUP)
        service.until(path, lambda got: b"666" in got.body)
        service.until(f"/p/{here}/{mac(9)}.cfg", lambda got: got.status == 200)


def test_sigterm_finishes_and_leaves_nobody(tmp_path: Path, folder: Folder) -> None:
    """Idle keep-alive connections do not hold the stop up; all processes are gone; a second start finds the store free."""
    fleet(folder, 1, 2)
    with Service(tmp_path / "service", folder.root, EXTRA) as service:
        service.wait("synced")
        host, port = service.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(f"GET /p/{mac(1)}.cfg HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert idle.recv(100).startswith(b"HTTP/1.1 200")
            pids = [service.pids("reader"), service.pids("writer")]
            second = command("serve", config=service.config)
            assert second.returncode == 2
            assert "another instance of this service uses this store" in second.stderr
            assert service.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        service.start()
        assert service.get(f"/p/{mac(1)}.cfg").status == 200


def test_explain_answers_why_there_was_a_404(tmp_path: Path, folder: Folder) -> None:
    fleet(folder, 2, 4)
    here, other = account_id(0), account_id(1)
    db = db_of_account(here)
    folder.put(db, kazoo.device("nobrand", "0015650000b1", brand=""))
    folder.put(db, kazoo.device("unknown", "0015650000b2", model="t1000"))
    folder.put(db, kazoo.device("twin", mac(1), pvt_created=99_000_000_000))
    folder.put(db, kazoo.device("badone", "0015650000b4", sip={"password": "secret-\nline"}))
    templates = tmp_path / "templates"
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")

        def explain(*arguments: str) -> str:
            return command("explain", *arguments, config=service.config).stdout

        assert "no device document has the MAC" in explain("00:15:65:99:99:99")
        wrong = explain(f"/p/{other}/{mac(1)}.cfg")
        assert "404 under account" in wrong
        assert f"It belongs to {here}" in wrong
        assert "no_model" in explain("0015650000b1")
        assert "unknown_model" in explain("0015650000b2")
        twin = explain(mac(1))
        assert "MAC conflict: 2 devices" in twin
        assert "mac_conflict" in twin
        assert "result     200" in twin
        bad = explain("0015650000b4")
        assert "unusable_value: sip.password holds a control character" in bad
        assert "secret-" not in bad + twin + wrong
    assert not templates.exists()


def test_a_hangup_during_the_start_is_not_lost(tmp_path: Path, folder: Folder) -> None:
    """To load templates takes a second: what was changed meanwhile counts, whenever the SIGHUP comes."""
    fleet(folder, 1, 2)
    extra = "phones: {default: {public_url: 'http://old.example.com/p'}}\n"
    with Service(tmp_path / "service", folder.root, extra) as service:
        service.wait("synced")
        path = f"/p/{account_id(0)}/{mac(1)}.cfg"
        before = "old"
        for number in range(4):
            os.kill(service.pids("writer"), signal.SIGKILL)
            service.wait("process_started", role="writer")
            time.sleep(0.3 * number)  # while it starts, wherever it is then
            after = f"new{number}"
            service.config.write_text(service.config.read_text().replace(before, after))
            service.signal(signal.SIGHUP)
            service.until(path, lambda got, after=after: f"{after}.example.com".encode() in got.body)
            before = after
