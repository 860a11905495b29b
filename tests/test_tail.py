"""`kazoo-provisioner tail`: which lines it shows, from files that are moved and truncated, and from a pipe."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kazoo_provisioner import tail
from tests.support.service import PATIENCE

HERE, OTHER = "a1b2c3d4e5f60718293a4b5c6d7e8f90", "0" * 32
DB = f"account/a1/b2/{HERE[4:]}"
MAC = "001565200101"


def line(event: str, level: str = "info", **fields: Any) -> bytes:
    return json.dumps({"time": "2026-01-02T03:04:05.6Z", "level": level, "event": event} | fields).encode()


def tailing(*arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    kept = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen([sys.executable, "-m", "kazoo_provisioner", "tail", *arguments], **kept)


def shown(*arguments: str, data: bytes | None = None) -> str:
    """What it shows of what is there, or of what comes to its standard input."""
    how = {"stdin": subprocess.PIPE} if data is not None else {}
    with tailing(*arguments, "--no-follow", **how) as one:
        out, err = one.communicate(data, timeout=PATIENCE)
    assert (one.returncode, err) == (0, b"")
    return out.decode()


class Shown:
    """Lines of a process, as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._lines: Queue[bytes] = Queue()
        self._thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._thread.start()

    def _read(self, stream: Any) -> None:
        for one in stream:
            self._lines.put(one)

    def next(self) -> str:
        return self._lines.get(timeout=PATIENCE).decode().strip()


@contextmanager
def following(*arguments: str, **how: Any) -> Iterator[tuple[subprocess.Popen[bytes], Shown]]:
    with tailing(*arguments, **how) as one:
        try:
            yield one, Shown(one)
        finally:
            one.terminate()


def append(file: Path, *lines: bytes, end: bytes = b"\n") -> None:
    with file.open("ab") as stream:
        stream.write(b"\n".join(lines) + end)


# Which lines

REQUEST = {"account": HERE, "mac": MAC, "file": "x.cfg"}
ABOUT_THE_PHONE = [
    line("phone_request", status=200, reason="served", **REQUEST),
    line("phone_request", status=404, reason="no_such_file", **REQUEST),
    line("phone_rendered", subject=f"{HERE}/d1", mac=MAC, outcome="changed"),
    line("document_changed", db=DB, doc="d1", mac=MAC),
    line("phone_problem", "warning", phone=f"{HERE}/d1", mac=MAC, problem="no_realm"),
    line("document_unreadable", "warning", db=DB, doc="d1"),
]
ABOUT_THE_ACCOUNT = [
    line("book_rendered", subject=f"{HERE}/yealink/t4x"),
    line("database_unreadable", "warning", db=DB),
    line("phone_request", status=404, reason="unknown_mac", account=HERE, mac="001565209999"),
    line("mac_conflict", "warning", account=OTHER, owner_account=HERE, mac="001565209999"),
    line("mac_claimed", "warning", account=HERE, device="d9", scope=HERE, mac="001565209998"),
]
ABOUT_OTHERS = [
    line("phone_request", status=405, reason="method", account=OTHER, mac="001565208888"),
    line("document_changed", db="account/00/00/" + "0" * 28, doc="d1"),
]
ABOUT_THE_SERVICE = [
    line("store_unavailable", "error", problem="database is locked"),
    line("process_died", "error", role="writer", code=-9),
    line("started", listen=["http://127.0.0.1:8080"]),
    line("phone_request", status=404, reason="no_such_path", path="/x"),
    b"Traceback (most recent call last):",
    b'["json", "but no object"]',
]
EVERY = [*ABOUT_THE_PHONE, *ABOUT_THE_ACCOUNT, *ABOUT_OTHERS, *ABOUT_THE_SERVICE]


def chosen(**how: Any) -> list[bytes]:
    wanted = tail.Filter(**how)
    return [one for one in EVERY if wanted.wants(tail.parse(one))]


def wrong(lines: list[bytes]) -> list[bytes]:
    ordinary = (b'"info"', b'"no_such_file"')
    bad = (b'"warning"', b'"error"', b"unknown_mac", b"method", b"no_such_path", b"Traceback", b"no object")
    return [
        one for one in lines if any(mark in one for mark in bad) and not all(mark in one for mark in ordinary)
    ]


def test_filters_choose_lines() -> None:
    assert chosen() == EVERY
    assert chosen(mac=MAC) == ABOUT_THE_PHONE
    assert chosen(account=HERE) == ABOUT_THE_PHONE + ABOUT_THE_ACCOUNT
    assert chosen(account=OTHER) == [ABOUT_THE_ACCOUNT[3], *ABOUT_OTHERS]
    assert chosen(account=HERE, mac=MAC) == ABOUT_THE_PHONE
    assert chosen(account=OTHER, mac=MAC) == []
    assert chosen(errors=True) == wrong(EVERY)


def test_with_errors_the_faults_of_the_service_are_everybodys() -> None:
    service = [one for one in wrong(ABOUT_THE_SERVICE) if b"no_such_path" not in one]
    assert chosen(mac=MAC, errors=True) == wrong(ABOUT_THE_PHONE) + service
    assert chosen(account=HERE, errors=True) == wrong(ABOUT_THE_PHONE) + wrong(ABOUT_THE_ACCOUNT) + service


JUNK = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
FIELDS = (
    "time",
    "level",
    "event",
    "mac",
    "account",
    "phone",
    "subject",
    "db",
    "doc",
    "device",
    "scope",
    "status",
    "reason",
)


@given(st.dictionaries(st.sampled_from(FIELDS), JUNK) | JUNK | st.binary())
def test_any_line_can_be_shown(data: Any) -> None:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    raw = raw.replace(b"\n", b"")
    out = BytesIO()
    for wanted in (tail.Filter(), tail.Filter(HERE, MAC, errors=True)):
        tail.Tail(wanted, 5, follow=False, as_json=False, out=out).stream(BytesIO(raw + b"\n"))
    assert all(one.isprintable() for one in out.getvalue().decode().split("\n"))


# A file


@given(
    st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one), max_size=30),
    st.integers(1, 40),
    st.binary(max_size=5).filter(lambda one: b"\n" not in one),
)
def test_reading_backwards_is_reading(lines: list[bytes], block: int, rest: bytes) -> None:
    whole = b"".join(one + b"\n" for one in lines)
    stream = BytesIO(whole + rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "BLOCK", block)
        end = tail.last_line_end(stream)
        assert end == len(whole)
        assert list(tail.backwards(stream, end))[::-1] == [one for one in lines if one]


def test_the_end_of_a_large_file_is_read_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("wb") as stream:
        stream.truncate(50_000_000_000)  # a hole: nobody could read it
        stream.seek(0, os.SEEK_END)
        for number in range(5000):
            stream.write(line("e", n=number) + b"\n")
    out = shown(str(file), "-n", "3", "--json").splitlines()
    assert [json.loads(one)["n"] for one in out] == [4997, 4998, 4999]


def test_the_last_lines_that_match_are_shown(tmp_path: Path) -> None:
    file = tmp_path / "log"
    append(file, *(line("e", n=n, mac=MAC if n % 100 == 0 else "001565200102") for n in range(5000)))
    out = shown(str(file), "-n", "3", "--mac", "00-15-65-20-01-01")
    assert [one.split()[-1] for one in out.splitlines()] == ["n=4700", "n=4800", "n=4900"]
    assert len(shown(str(file)).splitlines()) == 20
    assert shown(str(file), "-n", "0") == ""


def test_a_line_of_unknown_shape_is_shown_as_it_is_and_harmless(tmp_path: Path) -> None:
    file = tmp_path / "log"
    append(
        file,
        b"Traceback \x1b[31m\xff\t!",
        b'{"no": "event"}',
        b"",
        line("e", agent="\x1b[2J"),
        b"half a line",
        end=b"",
    )
    first, second, third, last = shown(str(file)).splitlines()
    assert first.replace("\\\\", "\\").startswith("Traceback \\x1b[31m\\xff")
    assert (second, last) == ('{"no": "event"}', "half a line")
    assert third.endswith(" \\x1b[2J")
    assert "\x1b" not in shown(str(file))
    assert [json.loads(one)["event"] for one in shown(str(file), "--json").splitlines()] == ["e"]


def test_a_file_is_followed_through_what_logrotate_does(tmp_path: Path) -> None:
    file = tmp_path / "log"
    append(file, line("e", n=0))
    append(file, b'{"event": "e", ', end=b"")
    with following(str(file), "--json") as (_, seen):

        def numbers(count: int) -> list[int]:
            return [json.loads(seen.next())["n"] for _ in range(count)]

        assert numbers(1) == [0]
        append(file, b'"n": 1}')  # the rest of the line
        assert numbers(1) == [1]
        with file.open("ab") as old:
            file.rename(tmp_path / "log.1")
            old.write(line("e", n=2) + b"\n")
            old.flush()
            assert numbers(1) == [2]
            append(file, line("e", n=4))
            old.write(line("e", n=3) + b"\n")  # a writer that has not noticed yet
        assert numbers(2) == [3, 4]
        os.truncate(file, 0)
        append(file, line("e", n=5))
        assert numbers(1) == [5]


def test_an_end_that_nobody_complains_about(tmp_path: Path) -> None:
    file = tmp_path / "log"
    append(file, *(line("e", n=n) for n in range(5000)))
    with tailing(str(file), "-n", "1") as one:
        assert one.stdout
        assert one.stdout.readline()
        one.send_signal(signal.SIGINT)
        _, err = one.communicate(timeout=PATIENCE)
    assert err == b""
    with tailing(str(file), "-n", "5000") as one:
        assert one.stdout
        assert one.stderr
        assert one.stdout.readline()
        one.stdout.close()
        append(file, *(line("e", n=n) for n in range(5000)))
        assert one.wait(PATIENCE) == 0
        assert one.stderr.read() == b""


# Standard input


def test_standard_input_is_shown_as_it_comes() -> None:
    with following("-", "--mac", MAC, "--json", stdin=subprocess.PIPE) as (one, seen):
        assert one.stdin
        for number in range(50):
            one.stdin.write(line("e", n=number, mac=MAC) + b"\n" + line("other") + b"\n")
            one.stdin.flush()
            assert json.loads(seen.next())["n"] == number
        one.stdin.close()
        assert one.wait(PATIENCE) == 0


def test_the_end_of_standard_input(tmp_path: Path) -> None:
    data = b"\n".join(line("e", n=n) for n in range(100))
    assert [one.split()[-1] for one in shown("-", "-n", "2", data=data).splitlines()] == ["n=98", "n=99"]


def test_where_the_log_is(tmp_path: Path) -> None:
    config, file = tmp_path / "settings.yaml", tmp_path / "here.log"
    append(file, line("from_the_file"))
    config.write_text("log: {file: here.log}\n")
    assert "from_the_file" in shown("-c", str(config), data=line("piped"))
    assert "piped" in shown("-", "-c", str(config), data=line("piped"))
    config.write_text("{}\n")
    assert "piped" in shown("-c", str(config), data=line("piped"))
    assert "piped" in shown("-c", str(tmp_path / "none.yaml"), data=line("piped"))
    file.unlink()
    config.write_text("log: {file: here.log}\n")
    with tailing("-c", str(config)) as one:
        _, err = one.communicate(timeout=PATIENCE)
    assert (one.returncode, err) == (2, f"error: {file}: No such file or directory\n".encode())


def test_nothing_to_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("{}\n")
    ours, theirs = pty.openpty()
    with tailing("-c", str(config), stdin=theirs) as one:
        _, err = one.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert one.returncode == 2
    assert b"error: log.file is not set" in err
    assert b"journalctl -u kazoo-provisioner -o cat -f | kazoo-provisioner tail" in err


def test_a_terminal_gets_colours_and_its_width(tmp_path: Path) -> None:
    file = tmp_path / "log"
    append(file, line("phone_request", "error", status=404, agent="x" * 500))
    ours, theirs = pty.openpty()
    with tailing(str(file), "--no-follow", stdout=theirs, env={"COLUMNS": "90", "TERM": "xterm"}) as one:
        os.close(theirs)
        data = os.read(ours, 4096)
    os.close(ours)
    assert one.returncode == 0
    assert b"\x1b[33m404" in data
    assert b"x" * 500 not in data
    assert shown(str(file)).endswith("x" * 500 + "\n")


def test_a_mac_that_is_none_is_refused() -> None:
    with tailing("--mac", "xyz") as one:
        _, err = one.communicate(timeout=PATIENCE)
    assert one.returncode == 2
    assert b"'xyz' is not a MAC address" in err
