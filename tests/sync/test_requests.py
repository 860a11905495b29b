"""What an operator is told of a phone's last requests, whatever the phone, or whoever it was, said."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner.catalogue.identify import Identifier
from kazoo_provisioner.catalogue.load import load
from kazoo_provisioner.model.text import is_clean
from kazoo_provisioner.store.access import FILE, PER_PHONE, Access, Request
from kazoo_provisioner.sync.requests import _line, last_requests
from tests.support.kazoo import account_id

WHO = Identifier(load())
MAC = "001565aabbcc"
NOW = 1_700_000_000


def request(at: int = NOW, **fields: Any) -> Request:
    told = Request(
        MAC, account_id(1), f"{MAC}.cfg", at, 200, "served", "192.0.2.1", "prov.example.com", "Yealink SIP-T46G", "t46", 0, 1
    )  # fmt: skip
    return told._replace(**fields)


def note(folder: Path, *requests: Request) -> None:
    access = Access(folder)
    access.write(requests, [], {}, 0, 1)
    access.close()


def test_nothing_was_noted(tmp_path: Path) -> None:
    assert last_requests(tmp_path, MAC, WHO) == []
    note(tmp_path, request(mac="001565aabbdd"))
    assert last_requests(tmp_path, MAC, WHO) == ["", "Last requests: none."]


def test_lines(tmp_path: Path) -> None:
    """The latest first."""
    note(
        tmp_path,
        request(),
        request(
            NOW + 61,
            file="x.xml",
            account="",
            status=404,
            reason="no_such_file",
            agent="",
            remote="2001:db8::9",
        ),
        request(NOW + 2, file="", account="", status=404, reason="no_such_path"),
    )
    assert last_requests(tmp_path, MAC, WHO) == [
        "",
        "Last requests, one for each file",
        "  2023-11-14 22:14:21 UTC  404 no_such_file  x.xml  no account, from 2001:db8::9, no User-Agent",
        "  2023-11-14 22:13:22 UTC  404 no_such_path  -  no account, from 192.0.2.1, Yealink SIP-T46G",
        f"  2023-11-14 22:13:20 UTC  200 served  {MAC}.cfg  account accoun…0001, from 192.0.2.1, Yealink SIP-T46G",
    ]


def test_old_urls(tmp_path: Path) -> None:
    old = request(NOW + 1, file="x.cfg", host="prov.old.example.com:8080", legacy=1)
    note(tmp_path, request(), old, request(mac="001565aabbdd"))
    lines = last_requests(tmp_path, MAC, WHO)
    assert ", old URL at prov.old.example.com:8080, from 192.0.2.1, " in lines[2]
    assert lines[-2:] == [
        "This phone still asks by an old URL (web.legacy_paths).",
        "1 of 2 phones that got a file asked by an old URL last.",
    ]
    note(tmp_path, request(NOW + 2))
    assert last_requests(tmp_path, MAC, WHO)[-1].endswith("Yealink SIP-T46G")
    note(tmp_path, old._replace(mac="001565aabbee"))
    lines = last_requests(tmp_path, MAC, WHO)
    assert lines[-1] == "1 of 3 phones that got a file asked by an old URL last."
    assert "still" not in lines[-2]


def test_so_many_lines_at_most(tmp_path: Path) -> None:
    note(tmp_path, *(request(NOW + n, file=f"{n}.cfg") for n in range(PER_PHONE + 5)))
    assert len(last_requests(tmp_path, MAC, WHO)) == PER_PHONE + 2


@pytest.mark.parametrize(
    "text",
    ["\x1b[2J\x1b]0;x\x07", "a\r\nb", "\u202egnp.exe", "\x00", "\u2028", "\x9b31m", "x" * 256, "\ufffd"],
)
def test_hostile_text(tmp_path: Path, text: str) -> None:
    note(tmp_path, request(agent=text, host=text, legacy=1))
    lines = last_requests(tmp_path, MAC, WHO)
    assert len(lines) == 5
    assert all(is_clean(line) for line in lines)
    assert max(map(len, lines)) < 400


@given(st.text(), st.text())
def test_any_text(agent: str, host: str) -> None:
    line = _line(request(agent=agent, host=host, legacy=1))
    assert is_clean(line)
    assert len(line) < 400


@pytest.mark.parametrize("data", [b"", b"no database at all" * 1000])
def test_a_file_that_cannot_be_read(tmp_path: Path, data: bytes) -> None:
    """Nothing but this part is missing of what the operator is told."""
    (tmp_path / FILE).write_bytes(data)
    assert last_requests(tmp_path, MAC, WHO) == []


def test_a_file_that_breaks(tmp_path: Path) -> None:
    note(tmp_path, *(request(file=f"{n}.cfg") for n in range(500)))
    path = tmp_path / FILE
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"x" * (len(data) - 4096))
    lines = last_requests(tmp_path, MAC, WHO)
    assert lines[0] == ""
    assert lines[1].startswith("Last requests: not readable: ")
    assert len(lines) == 2


def test_who_calls_itself_another_model_is_named(tmp_path: Path) -> None:
    note(tmp_path, request(agent="Yealink SIP-T48S 66.86.0.15 00:15:65:aa:bb:cc"))
    assert "It calls itself yealink t48s, but gets the files of t46, as its document says." in last_requests(
        tmp_path, MAC, WHO
    )
