"""A real softphone on the real service: Debian's linphonec fetches its file and registers with a real Kamailio."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kazoo_provisioner.model.ids import db_of_account
from tests.support.clusters import MODES, Cluster
from tests.support.couchdb import Couch, free_port
from tests.support.kazoo import account, account_id, device
from tests.support.service import Service
from tests.support.softphone import Kamailio, Linphone

HERE, REALM, MAC = account_id(1), "acme.sip.example.com", "001565abcdef"
NAME = f"/p/{HERE}/{MAC}.xml"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(MODES[0], tmp_path / "couch") as made:
        made.clear()
        yield made


def write(couch: Couch) -> None:
    """An account with one softphone."""
    provision = {"endpoint_family": "softphone"}
    sip = {"username": "ada", "password": "first secret: <&>"}
    couch.put_account(account(HERE, realm=REALM))
    couch.put(
        db_of_account(HERE),
        device("softphone", MAC, brand="linphone", model="linphone", provision=provision, sip=sip),
    )


def settings(folder: Path, source: str, kamailio: Kamailio, transport: str) -> str:
    """Write the service's settings, which name its own address; returns that."""
    listen = f"127.0.0.1:{free_port()}"
    first_hop = {"host": "127.0.0.1", "port": kamailio.port, "transport": transport}
    phones = {"public_url": f"http://{listen}/p", "outbound_proxies": [first_hop]}
    folder.mkdir()
    (folder / "settings.yaml").write_text(
        f"source: {source}\nstore: {{path: {folder / 'store'}}}\n"
        f"web: {{listen: ['{listen}'], status: '127.0.0.1:0'}}\nlog: {{level: debug, format: json}}\n"
        f"phones: {{default: {json.dumps(phones)}}}\n"
    )
    return f"http://{listen}"


def ha1(password: str) -> bytes:
    return hashlib.md5(f"ada:{REALM}:{password}".encode()).hexdigest().encode()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_softphone_registers_and_follows_its_password(
    cluster: Cluster, tmp_path: Path, transport: str
) -> None:
    """It is told one address. A new password in CouchDB reaches it at its next start, the old one lets it in no more."""
    write(cluster.couch)
    registered = f"REGISTERED sip:ada@{REALM} to sip:{REALM} as ada over {transport} for"
    kamailio = Kamailio(tmp_path / "kamailio")
    kamailio.knows("ada", REALM, "first secret: <&>".replace(":", "\\:"))
    base = settings(tmp_path / "service", cluster.source(), kamailio, transport)
    softphone = Linphone(tmp_path / "linphone", base + NAME)
    with kamailio, Service(tmp_path / "service", cluster.source()) as service:
        service.until(NAME, lambda got: ha1("first secret: <&>") in got.body)
        with softphone:
            kamailio.wait(f"{registered} 300", since=0)
        kamailio.wait(f"{registered} 0", since=1)
        kamailio.knows("ada", REALM, "second")
        before = len(kamailio.said())
        with softphone:
            kamailio.wait("REFUSED ada", before)
        assert not any(line.startswith("REGISTERED") for line in kamailio.said()[before:])
        cluster.couch.edit(db_of_account(HERE), "softphone", sip__password="second")
        service.until(NAME, lambda got: ha1("second") in got.body)
        before = len(kamailio.said())
        with softphone:
            kamailio.wait(f"{registered} 300", before)
        assert not any(line.startswith("REFUSED") for line in kamailio.said()[before:])
        service.stop()
    # On its very first start it calls itself "Unknown".
    asked = [e for e in service.events if e["event"] == "phone_request" and "urllib" not in e["agent"]]
    assert [e["status"] for e in asked if e["file"] == f"{MAC}.xml"] == [200] * 3
    assert all(e["agent"] == "Unknown" or e["agent"].startswith("Linphonec/") for e in asked)
    assert all(e["status"] == 200 for e in asked if e["file"] == "linphone-phonebook.vcf")
    assert "secret" not in softphone.settings.read_text()
