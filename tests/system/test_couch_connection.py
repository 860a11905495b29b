"""The real service and a CouchDB that is hard to reach, or sends what nobody wants."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from kazoo_provisioner.model.ids import db_of_account
from tests.support.clusters import MODES, REAL, Cluster
from tests.support.couchdb import CouchServer
from tests.support.kazoo import account_id, fleet, mac
from tests.support.service import PHONES, Service, command

pytestmark = pytest.mark.skipif(REAL is not None, reason="a real server is not ours to start in other ways")
HERE = account_id(1)
DB = db_of_account(HERE)
PASSWORD = CouchServer.password


def source(urls: list[str], **couch: object) -> str:
    given = {"urls": urls, "user": "admin", "password": PASSWORD, "confirm": 0.5, "sweep_alone": 0.5} | couch
    return json.dumps({"type": "couch", "couch": given})


def checked(tmp_path: Path, source: str) -> subprocess.CompletedProcess[str]:
    """`check --source`, and that it never says the password."""
    config = tmp_path / "check.yaml"
    config.write_text(f"source: {source}\n{PHONES}")
    config.chmod(0o600)  # or that would be noted too
    done = command("check", "--source", config=config)
    assert PASSWORD not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("user", "auth"), [("admin", "basic"), ("admin", "session"), ("reader", "basic")])
def test_whoever_may_read_is_served(tmp_path: Path, mode: str, user: str, auth: str) -> None:
    with Cluster(mode) as cluster:
        fleet(cluster.couch, 2, 4)
        here = source([cluster.couch.url], user=user, auth=auth)
        said = checked(tmp_path, here)
        assert said.returncode == 0, said.stderr
        assert "2 account databases, 4 devices with a MAC address" in said.stdout
        assert ("note: " in said.stdout) == (user == "reader" or mode in ("couch1", "bigcouch"))
        assert cluster.server
        cluster.server.control(cookie_life=1)
        with Service(tmp_path / "service", here) as service:
            service.wait("synced")
            path = f"/p/{HERE}/{mac(2)}.cfg"
            for number in range(3):
                cluster.couch.edit(DB, f"devi{1:028d}", sip__password=f"secret-{number}-x")
                service.until(path, lambda got, n=number: f"secret-{n}-x".encode() in got.body)
            assert service.stop() == 0


def test_a_private_authority(tmp_path: Path) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with CouchServer(tls=(certificate, key)) as server, server.couch() as couch:
        fleet(couch, 2, 4)
        unknown = checked(tmp_path, source([server.url]))
        assert unknown.returncode == 2
        assert "certificate" in unknown.stderr
        assert "source.couch.ca" in unknown.stderr
        trusted = source([server.url], ca=str(certificate))
        assert checked(tmp_path, trusted).returncode == 0
        with Service(tmp_path / "service", trusted) as service:
            service.wait("synced")
            assert service.get(f"/p/{HERE}/{mac(2)}.cfg").status == 200
        missing = checked(tmp_path, source([server.url], ca=str(tmp_path / "nothing.pem")))
        assert missing.returncode == 2
        assert "source.couch.ca" in missing.stderr


def test_wrong_password_and_wrong_port(tmp_path: Path) -> None:
    with CouchServer() as server, server.couch() as couch:
        fleet(couch, 2, 4)
        wrong = checked(tmp_path, source([server.url], password="s3cret-no"))
        assert wrong.returncode == 2
        assert "refuses user and password" in wrong.stderr
        assert "s3cret-no" not in wrong.stderr
        url = server.url
        empty = checked(tmp_path, source([url]))
        assert empty.returncode == 0
    gone = checked(tmp_path, source([url]))
    assert gone.returncode == 2
    assert "Connection refused" in gone.stderr


def test_an_empty_server_is_no_cluster(tmp_path: Path) -> None:
    with CouchServer() as server:
        done = checked(tmp_path, source([server.url]))
        assert done.returncode == 2
        assert "holds no account database" in done.stderr


def test_a_server_that_was_emptied_takes_no_phone_away(tmp_path: Path) -> None:
    with CouchServer() as server, server.couch() as couch:
        fleet(couch, 2, 4)
        with Service(tmp_path / "service", source([server.url], listing=0.5, sweep=0.5)) as service:
            service.wait("synced")
            couch.empty()
            lost = service.wait("source_lost")
            assert "holds no account database" in lost["problem"]
            for number in range(4):
                assert service.get(f"/p/{account_id(number % 2)}/{mac(number + 1)}.cfg").status == 200
            fleet(couch, 2, 4)
            couch.edit(DB, f"devi{1:028d}", sip__password="secret-back")
            service.until(f"/p/{HERE}/{mac(2)}.cfg", lambda got: b"secret-back" in got.body)


def test_the_next_node_takes_over(tmp_path: Path) -> None:
    """The first is not there, the second ends, the third has the same databases."""
    with CouchServer(tmp_path / "data") as second, second.couch() as couch:
        fleet(couch, 2, 4)
        third = CouchServer(tmp_path / "data")
        nodes = source(["http://127.0.0.1:9", second.url, third.url])
        with Service(tmp_path / "service", nodes) as service:
            service.wait("source_connected", url=second.url)
            service.wait("synced")
            second.stop()
            with third, third.couch() as elsewhere:
                service.wait("source_connected", url=third.url)
                elsewhere.edit(DB, f"devi{1:028d}", sip__password="secret-third")
                service.until(f"/p/{HERE}/{mac(2)}.cfg", lambda got: b"secret-third" in got.body)
                deadline = time.monotonic() + 60
                while service.status()["source"].get("url") != third.url:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)


def test_documents_that_are_too_large_or_no_documents(tmp_path: Path) -> None:
    """One of 10 MB is read; one of 40 is skipped and said so, keeps its last good state, and hides nobody."""
    with CouchServer() as server, server.couch() as couch:
        fleet(couch, 2, 4)
        with Service(tmp_path / "service", source([server.url])) as service:
            service.wait("synced")
            path = f"/p/{HERE}/{mac(2)}.cfg"
            couch.edit(DB, f"devi{1:028d}", sip__password="secret-large", notes="x" * 10_000_000)
            service.until(path, lambda got: b"secret-large" in got.body)
            couch.edit(DB, f"devi{1:028d}", sip__password="secret-huge", notes="x" * 40_000_000)
            for number, junk in enumerate(
                [
                    {"pvt_type": 7},
                    {"pvt_type": "device", "sip": []},
                    {"a": [[[]]]},
                    {"pvt_type": "device", "provision": _deep(40)},
                ]
            ):
                couch.put(DB, {"_id": f"junk{number}"} | junk)
            told = service.wait("document_unreadable")
            assert told["doc"] == f"devi{1:028d}"
            assert "max_document" in told["problem"]
            couch.edit(DB, f"devi{3:028d}", sip__password="secret-after")
            service.until(f"/p/{HERE}/{mac(4)}.cfg", lambda got: b"secret-after" in got.body)
            assert b"secret-large" in service.get(path).body
            couch.edit(DB, f"devi{1:028d}", sip__password="secret-small", notes="")
            service.until(path, lambda got: b"secret-small" in got.body)
            # Nothing but what the phones need is kept.
            stored = sum(file.stat().st_size for file in (tmp_path / "service" / "store").iterdir())
            assert stored < 9_000_000


def _deep(depth: int) -> object:
    made: object = 1
    for _ in range(depth):
        made = {"a": made}
    return made


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    done = checked(tmp_path, json.dumps({"type": "couch", "couch": {"urls": ["ftp://x"]}}))
    assert done.returncode == 2
    assert "source.couch.urls" in done.stderr
    alone = checked(tmp_path, json.dumps({"type": "couch", "couch": {"user": "x"}}))
    assert "give user and password" in alone.stderr
