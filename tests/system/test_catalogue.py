"""The catalogue as operators and tenants use it: families by data alone, free settings, phones with several lines."""

import re
import shutil
import signal
from pathlib import Path

import pytest

from kazoo_provisioner.model.ids import db_of_account
from tests.support import kazoo
from tests.support.kazoo import Folder, account_id, mac
from tests.support.service import PHONES, Service, command

HERE = account_id(1)
DB = db_of_account(HERE)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "dbs")
    made.put_account(kazoo.account(HERE))
    return made


FAMILY = """
brand: zeta
family: z1
name: Zeta Z1
syntax: key-value
codecs: [PCMU]
parameter: "{name} = {value}"
files: [{name: "zeta-{mac}.cfg", template: phone.j2}]
models: {zeta1: {lines: 1, keys: 0, sources: [Zeta's guide]}}
"""


def test_a_family_is_added_served_and_removed_by_data_alone(tmp_path: Path, folder: Folder) -> None:
    own = tmp_path / "own"
    own.mkdir()
    folder.put(DB, kazoo.device("devi1", mac(1), brand="zeta", model="zeta1"))
    extra = f"templates: {{folders: [{{path: {own}}}]}}\n{PHONES}"
    with Service(tmp_path / "service", folder.root, extra) as service:
        service.wait("synced")
        path = f"/p/{HERE}/zeta-{mac(1)}.cfg"
        assert service.get(path).status == 404
        family = own / "zeta" / "z1"
        family.mkdir(parents=True)
        (family / "family.yaml").write_text(FAMILY)
        (family / "phone.j2").write_text(
            "{% for line in phone.lines %}\nuser = {{ line.username }}\n{% endfor %}\nend = 1\n{{ parameters }}\n"
        )
        service.signal(signal.SIGHUP)
        service.until(path, lambda got: got.status == 200 and b"user = user_" in got.body)
        # Broken: refused, and the old is kept.
        (family / "phone.j2").write_text("{{ phone.__class__.__mro__ }}\n")
        service.signal(signal.SIGHUP)
        assert "zeta/z1/phone.j2" in service.wait("reload_refused")["problem"]
        folder.edit(DB, "devi1", sip__username="other")
        service.until(path, lambda got: b"user = other" in got.body)
        shutil.rmtree(own / "zeta")
        service.signal(signal.SIGHUP)
        service.until(path, lambda got: got.status == 404)
        assert "unknown_model" in command("explain", mac(1), config=service.config).stdout


OPERATOR = """
phones:
  default:
    public_url: http://prov.example.com/p
    provisioning_username: prov
    provisioning_password: pr0v-Secret
    firmware: {yealink/t46: {url: "http://fw.example.com/t46.rom", version: "1.2"}}
    parameters:
      yealink:
        features.dnd.allow: 0
        phone_setting.backlight_time: {value: 60, override: true}
        sip.notify_reboot_enable: {value: 7, override: true}
"""


def test_free_settings_and_what_a_tenant_cannot_reach(tmp_path: Path, folder: Folder) -> None:
    """Operators override, accounts and devices add; nothing of the operator's own is in a tenant's reach."""
    stolen = "evil.example.com"
    tenant = {
        "account.1.sip_server.1.address": stolen, "account.1.outbound_proxy.1.address": stolen, "account.1.password": "x",
        "static.auto_provision.server.url": f"http://{stolen}/", "auto_provision.server.url": f"http://{stolen}/",
        "static.firmware.url": f"http://{stolen}/fw", "firmware.url": f"http://{stolen}/fw", "static.security.user_password": "admin:x",
        "static.auto_provision.server.username": "x", "static.network.vpn_enable": 1, "openvpn.url": f"http://{stolen}/vpn",
        "STATIC.Auto_Provision.server.url": f"http://{stolen}/", "phone_setting.ring_type": "Ring3.wav", "bad name": "x",
        "features.dnd.allow": {"value": 1, "override": True}, "x\nstatic.firmware.url": f"http://{stolen}/fw",
    }  # fmt: skip
    account = kazoo.account(HERE) | {"provision": {"parameters": tenant | {"screensaver.type": 1}}}
    folder.put_account(account)
    provision = {"parameters": tenant | {"phone_setting.backlight_time": 5, "screensaver.type": 2}}
    folder.put(DB, kazoo.device("devi1", mac(1), model="t46g", provision=provision))
    with Service(tmp_path / "service", folder.root, OPERATOR) as service:
        service.wait("synced")
        got = service.get(f"/p/{HERE}/{mac(1)}.cfg").body.decode()
        explained = command("explain", mac(1), config=service.config).stdout
        service.stop()
        events = [e for e in service.drain() if e.get("code") == "parameter_guarded"]
    assert stolen not in got
    lines = got.splitlines()
    assert "phone_setting.ring_type = Ring3.wav" in lines
    assert "screensaver.type = 2" in lines
    assert "phone_setting.backlight_time = 60" in lines
    assert "features.dnd.allow = 0" in lines
    assert any(
        re.fullmatch(r"(static\.)?firmware.url = http://fw.example.com/t46.rom", line) for line in lines
    )
    assert any("server.password = pr0v-Secret" in line for line in lines)
    assert events
    for said in (
        "phone_setting.ring_type  from device document: added", "screensaver.type  from device document: added",
        "features.dnd.allow  from settings default: added", "operators alone may set it",
    ):  # fmt: skip
        assert said in explained
    assert "pr0v-Secret" not in explained


SEVERAL = [
    ("yealink", "w60b", 5),
    ("grandstream", "ht802", 2),
    ("yealink", "t46", 3),
    ("yealink", "t46u", 16),
]


@pytest.mark.parametrize(("brand", "model", "count"), SEVERAL, ids=[f"{m}-{n}" for _, m, n in SEVERAL])
def test_several_lines(tmp_path: Path, folder: Folder, brand: str, model: str, count: int) -> None:
    """Handsets of a DECT base, ports of an ATA, accounts of a phone: each is a device of its own in Kazoo."""
    others = {str(n): {"device_id": f"devi{n:028d}"} for n in range(2, count + 1)}
    folder.put(
        DB, kazoo.device(f"devi{1:028d}", mac(1), brand=brand, model=model, provision={"lines": others})
    )
    for n in range(2, count + 1):
        folder.put(
            DB,
            kazoo.device(f"devi{n:028d}", None, sip={"username": f"handset{n}", "password": f"s3cret-{n}"}),
        )
    with Service(tmp_path / "service", folder.root) as service:
        service.wait("synced")
        name = "cfg{}.xml" if brand == "grandstream" else "{}.cfg"
        path = f"/p/{HERE}/{name.format(mac(1))}"
        body = service.get(path).body.decode()
        for n in range(2, count + 1):
            assert re.search(rf"\bhandset{n}\b", body), n
            assert f"s3cret-{n}" in body
        folder.edit(DB, f"devi{count:028d}", sip__password="n3w-Secret")
        service.until(
            path, lambda got: b"n3w-Secret" in got.body and f"s3cret-{count}".encode() not in got.body
        )
        folder.put(
            DB,
            folder.get(DB, f"devi{1:028d}")
            | {"provision": {"endpoint_brand": brand, "endpoint_model": model}},
        )
        service.until(path, lambda got: b"n3w-Secret" not in got.body)
