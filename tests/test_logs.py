"""The log of a process: what a line looks like, that none is lost, and that nobody is held up by who reads it."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import structlog.testing

from kazoo_provisioner import logs, sink
from kazoo_provisioner.model.ids import db_of_account
from kazoo_provisioner.settings import LogSettings
from tests.support import kazoo
from tests.support.kazoo import Folder, account_id, mac
from tests.support.loggers import events, process, said, until
from tests.support.service import PATIENCE, Service

# A line


def test_a_line_begins_with_time_level_event_and_process() -> None:
    lines, _ = said(
        'logs.configure(LogSettings(), "reader")\nlog.info("one", b=1, a="x")\nlog.warning("two")\n'
        'log.debug("not this")\nlog.log(40, "three")'
    )
    assert [list(line)[:4] for line in lines] == [["time", "level", "event", "process"]] * 3
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "one"), ("warning", "two"), ("error", "three"),
    ]  # fmt: skip
    assert list(lines[0])[4:] == ["b", "a"]
    assert {line["process"] for line in lines} == {"reader"}
    assert all(len(line["time"]) == 27 and line["time"].endswith("Z") for line in lines)


@pytest.mark.parametrize(
    "value",
    [
        "\x1b[31m", "a\nb", "\x7f", "\x9b", "\u202e", "\udcff", "ä\x00", '"\\"', "x" * 10_000, 10**40, -(10**40), float("nan"),
        Path("/x\n"), ["\u202e", {"\x1b": ["\x9b"]}], {"a": {"b": "\udcff"}}, ["x" * 3000] * 3000, {"\ud800"}, None,
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["json", "console"])
def test_whatever_is_logged_is_one_whole_harmless_line(tmp_path: Path, value: Any, form: Any) -> None:
    file = tmp_path / "log"
    logs.configure(LogSettings(file=file, format=form), "reader")
    log = structlog.get_logger()
    log.info("before")
    log.info("odd", value=value, agent=value, **{"\x9b": value})
    log.info("after")
    assert logs.flush(PATIENCE)
    first, odd, last, end = file.read_bytes().split(b"\n")
    assert odd.decode().isprintable()
    assert len(odd) < sink.LINE_LIMIT
    assert not end
    if form == "json":
        assert [json.loads(one)["event"] for one in (first, odd, last)] == ["before", "odd", "after"]


def test_text_is_kept_where_it_is_harmless() -> None:
    lines, _ = said(
        'logs.configure(LogSettings(), "x")\nlog.info("e", a="ä € 漢", b="a\\tb", c=["\\u202e"], d="\\\\")'
    )
    assert (lines[0]["a"], lines[0]["b"], lines[0]["c"], lines[0]["d"]) == (
        "ä € 漢",
        "a\\tb",
        ["\\u202e"],
        "\\",
    )


def test_quiet_is_errors_on_standard_error() -> None:
    _, done = said(
        'logs.configure(LogSettings(level="debug", file=Path("/nowhere/x")), "command", quiet=True)\n'
        'log.warning("w")\nlog.error("e")'
    )
    assert done.stdout == b""
    assert [line["event"] for line in events(done.stderr)] == ["e"]


def test_a_library_is_not_quoted() -> None:
    lines, done = said(
        'import logging\nlogs.configure(LogSettings(), "x")\nlogging.getLogger("lib").warning("secret")\n'
        'try:\n    1/0\nexcept ZeroDivisionError:\n    logging.getLogger("lib").exception("secret")'
    )
    assert [(line["event"], line["library"], line["error"]) for line in lines] == [
        ("library_warning", "lib", None), ("library_warning", "lib", "ZeroDivisionError"),
    ]  # fmt: skip
    assert b"secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("final", [False, True])
def test_tests_can_look_at_what_is_logged(tmp_path: Path, final: bool) -> None:
    logs.configure(LogSettings(file=tmp_path / "log"), "x", final=final)
    log = structlog.get_logger()
    with structlog.testing.capture_logs() as seen:
        log.info("one", a=1)
    assert seen == [{"event": "one", "a": 1, "log_level": "info"}]
    log.info("two")
    assert logs.flush(PATIENCE)
    assert [line["event"] for line in events((tmp_path / "log").read_bytes())] == ["two"]


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_columns(env: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    code = 'logs.configure(LogSettings(), "x")\nlog.error("phone_request", status=404, agent="\\x1b[0m" * 99)'
    with process(code, stdout=theirs, env={"TERM": "xterm", **env}) as one:
        os.close(theirs)
        shown = b""
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # how a terminal ends
            pass
    os.close(ours)
    assert one.returncode == 0
    assert (b"\x1b[33m404" in shown) == coloured
    assert (b"\x1b" in shown) == coloured
    assert b"ERROR" in shown
    assert b"\x1b[0m\x1b[0m" not in shown


# The end of a process


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError"])
def test_the_last_lines_are_not_lost(end: str) -> None:
    lines, done = said(f'logs.configure(LogSettings(), "x")\nfor n in range(5000): log.info("e", n=n)\n{end}')
    assert [line["n"] for line in lines] == list(range(5000))
    assert done.returncode == {"": 0, "sys.exit(3)": 3}.get(end, 1)


# Who reads


def test_a_reader_that_stopped_holds_nobody_up(tmp_path: Path) -> None:
    """The process goes on, what does not fit is dropped and counted; when the reader goes on, it hears how much."""
    count = 60_000
    with process(
        f'logs.configure(LogSettings(), "x", final=True)\n'
        f'for n in range({count}): log.info("e", n=n, text="x" * 200)\n'
        'os.write(2, b"done")\nsys.stdin.read()\nlog.info("last")'
    ) as one:
        assert one.stdin
        assert one.stdout
        assert one.stderr
        assert one.stderr.read(4) == b"done"  # and not a line was read
        lines = []
        while not lines or lines[-1]["event"] != "log_dropped":
            lines.append(json.loads(one.stdout.readline()))
        dropped = lines.pop()
        assert dropped["level"] == "warning"
        assert [line["n"] for line in lines] == list(range(len(lines)))
        assert len(lines) + dropped["lines"] == count
        assert sum(len(json.dumps(line, separators=(",", ":"))) + 1 for line in lines) > sink.LIMIT
        one.stdin.close()
        assert [line["event"] for line in events(one.stdout.read())] == ["last"]
    assert one.returncode == 0


def test_a_reader_that_stays_away_does_not_keep_a_process_from_ending() -> None:
    with process(
        'logs.configure(LogSettings(), "x")\nfor n in range(5000): log.info("e", n=n)\n'
        "import atexit\natexit.unregister(logs.flush)\natexit.register(logs.flush, 0.1)"
    ) as one:
        assert one.wait(PATIENCE) == 0


def test_a_reader_that_is_gone_is_no_end() -> None:
    with process(
        'logs.configure(LogSettings(), "x")\nsys.stdin.read()\n'
        'for n in range(30_000): log.warning("e", n=n, text="x" * 200)\nos.write(2, b"done")'
    ) as one:
        assert one.stdin
        assert one.stdout
        assert one.stderr
        one.stdout.close()
        one.stdin.close()
        assert one.stderr.read() == b"done"
    assert one.returncode == 0


def test_a_pipe_that_somebody_made_nonblocking_gets_every_line() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    with process(
        'logs.configure(LogSettings(), "x")\nfor n in range(9000): log.info("e", n=n)', stdout=theirs
    ):
        os.close(theirs)
        with os.fdopen(ours, "rb") as stream:
            select.select([stream], [], [], PATIENCE)
            lines = events(stream.read())
    assert [line["n"] for line in lines] == list(range(9000))


def test_processes_share_a_pipe_without_tearing_lines() -> None:
    ours, theirs = os.pipe()
    code = 'logs.configure(LogSettings(), sys.argv[1])\nfor n in range(8000): log.info("e", n=n, text="x" * (n % 900))'
    several = [process(code, str(name), stdout=theirs) for name in range(3)]
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        lines = events(stream.read())
    for name, one in enumerate(several):
        one.communicate()
        assert [line["n"] for line in lines if line["process"] == str(name)] == list(range(8000))


def test_a_full_device_is_no_end() -> None:
    with Path("/dev/full").open("wb") as full, process(
        'logs.configure(LogSettings(), "x")\nfor n in range(30_000): log.info("e", n=n, text="x" * 200)', stdout=full
    ) as one:  # fmt: skip
        _, err = one.communicate(timeout=PATIENCE)
    assert (one.returncode, err) == (0, b"")


# The service


def test_the_service_logs_to_a_file_and_tells_its_first_pass_as_a_whole(tmp_path: Path) -> None:
    documents, here = Folder(tmp_path / "dbs"), account_id(1)
    documents.put_account(kazoo.account(here))
    for number in range(1, 30):
        documents.put(db_of_account(here), kazoo.device(f"d{number}", mac(number)))
    file = tmp_path / "log"
    with Service(tmp_path / "service", documents.root) as service:
        service.wait("synced")
        assert service.stop() == 0
        seen = {(e["event"], e["level"]) for e in service.events}
        assert ("phone_rendered", "debug") in seen
        assert not {("phone_rendered", "info"), ("book_rendered", "info")} & seen
        service.config.write_text(f"{service.config.read_text().replace('log: {', f'log: {{file: {file}, ')}")
        service.events.clear()
        other = subprocess.Popen(
            [sys.executable, "-m", "kazoo_provisioner", "serve", "-c", str(service.config)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            until(
                lambda: (
                    file.exists()
                    and b'"caught_up"' in file.read_bytes()
                    and b'"serving"' in file.read_bytes()
                )
            )
            documents.put(db_of_account(here), kazoo.device("d1", mac(1), name="Somebody else"))
            until(lambda: b'"phone_rendered"' in file.read_bytes())
        finally:
            other.terminate()
            out, _ = other.communicate(timeout=PATIENCE)
    assert (other.returncode, out) == (0, b"")
    lines = events(file.read_bytes())
    assert lines[-1]["event"] == "stopped"
    assert {line["process"].partition("-")[0] for line in lines} == {"supervisor", "reader", "writer"}
    (changed,) = [line for line in lines if line["event"] == "document_changed"]
    (rendered,) = [line for line in lines if line["event"] == "phone_rendered"]
    assert (changed["mac"], changed["level"]) == (mac(1), "info")
    assert (rendered["mac"], rendered["level"], rendered["subject"]) == (mac(1), "info", f"{here}/d1")


def test_the_service_names_the_setting_when_it_cannot_log(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(
        "log: {file: nowhere/log}\nstore: {path: store}\nweb: {status: null, listen: []}\n"
        "phones: {default: {public_url: 'http://prov.example.com/p'}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "kazoo_provisioner", "serve", "-c", str(config)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"error: log.file: " in done.stderr
    assert b"nowhere/log cannot be opened: No such file or directory" in done.stderr
