"""The log in a file: no line is lost or torn, whatever is done to the file."""

import json
import os
import signal
import stat
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from kazoo_provisioner import logs
from kazoo_provisioner.settings import LogSettings
from kazoo_provisioner.yamlfile import SettingsError
from tests.support.loggers import events, process, until
from tests.support.service import PATIENCE


def writing(file: Path, name: int) -> subprocess.Popen[bytes]:
    """A process that writes all the time, as fast as it is taken, until its input ends; it says how much it wrote."""
    return process(
        'import select\nlogs.configure(LogSettings(file=Path(sys.argv[1])), sys.argv[2], final=True)\nn = 0\n'
        'while not select.select([0], [], [], 0)[0]:\n'
        '    log.info("e", n=n, text="x" * (n % 300))\n    n += 1\n'
        '    if n % 100 == 0: logs.flush(60)\n'
        'os.write(2, str(n).encode())',
        str(file), str(name),
    )  # fmt: skip


def ended(several: list[subprocess.Popen[bytes]]) -> list[int]:
    """End the processes; how many lines each wrote."""
    found = []
    for one in several:
        _, err = one.communicate(b"", timeout=PATIENCE)
        assert one.returncode == 0
        found.append(int(err))
    return found


def grown(file: Path, size: int) -> Callable[[], bool]:
    return lambda: file.exists() and file.stat().st_size > size


@pytest.mark.parametrize("create", [True, False])
def test_no_line_is_lost_or_torn_when_the_file_is_moved_away(tmp_path: Path, create: bool) -> None:
    """As logrotate does it, with `create` and without, under three processes that write all the time."""
    file = tmp_path / "log"
    several = [writing(file, name) for name in range(3)]
    files = [file]
    for number in range(6):
        until(grown(file, 200_000))
        moved = tmp_path / f"log.{number}"
        file.rename(moved)
        if create:
            descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o640)  # who writes may be quicker
            os.fchmod(descriptor, 0o640)
            os.close(descriptor)
        files.append(moved)
    until(grown(file, 100_000))
    counts = ended(several)
    lines = [line for one in files for line in events(one.read_bytes())]
    for name, count in enumerate(counts):
        assert sorted(line["n"] for line in lines if line["process"] == str(name)) == list(range(count))
    assert not (create and stat.S_IMODE(file.stat().st_mode) != 0o640)


def test_the_file_can_be_copied_and_truncated(tmp_path: Path) -> None:
    """What is written between the two is lost, as logrotate says. No line is torn, and there is no hole."""
    file = tmp_path / "log"
    several = [writing(file, name) for name in range(2)]
    lines = []
    for _ in range(4):
        until(grown(file, 200_000))
        for one in several:
            one.send_signal(signal.SIGSTOP)
        until(
            lambda: all(Path(f"/proc/{one.pid}/stat").read_text().split(") ")[1][0] == "T" for one in several)
        )
        lines += events(file.read_bytes())
        os.truncate(file, 0)
        for one in several:
            one.send_signal(signal.SIGCONT)
    counts = ended(several)
    lines += events(file.read_bytes())
    seen = Counter((line["process"], line["n"]) for line in lines)
    assert seen == Counter((str(name), n) for name, count in enumerate(counts) for n in range(count))


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    logs.configure(LogSettings(file=tmp_path / "log"), "x")
    structlog.get_logger().info("e")
    assert logs.flush(PATIENCE)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_a_file_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"log\.file: .*none/log cannot be opened: No such file or directory"
    ):
        logs.configure(LogSettings(file=tmp_path / "none" / "log"), "x")
    with pytest.raises(SettingsError, match=r"log\.file"):
        logs.configure(LogSettings(file=tmp_path), "x")


@pytest.mark.parametrize("at_start", [False, True])
def test_standard_error_stands_in_for_a_file_that_cannot_be_opened(tmp_path: Path, at_start: bool) -> None:
    folder, away = tmp_path / "logs", tmp_path / "away"
    folder.mkdir()
    if at_start:
        folder.rename(away)
    with process(
        'logs.configure(LogSettings(file=Path(sys.argv[1])), "x", final=True)\nfor n, line in enumerate(sys.stdin):\n'
        '    log.info("e", n=n)\n    logs.flush(60)\n    print(n, flush=True)',
        str(folder / "log"),
    ) as one:  # fmt: skip
        assert one.stdin
        assert one.stdout
        assert one.stderr
        stdin, stdout = one.stdin, one.stdout

        def line() -> None:
            stdin.write(b"\n")
            stdin.flush()
            stdout.readline()

        if not at_start:
            line()
            folder.rename(away)
        line()
        line()
        found = [json.loads(one.stderr.readline()) for _ in range(3)]
        assert Counter(f["event"] for f in found) == {"e": 2, "log_file_lost": 1}
        (lost,) = [f for f in found if f["event"] == "log_file_lost"]
        assert (lost["level"], lost["path"]) == ("error", str(folder / "log"))
        assert lost["problem"] == "No such file or directory"
        away.rename(folder)
        # Without a line to write, too.
        until(lambda: (folder / "log").exists() and b"log_file_back" in (folder / "log").read_bytes())
        line()
        stdin.close()
        assert one.stderr.read() == b""
    kept = [f["event"] for f in events((folder / "log").read_bytes())]
    assert kept == (["log_file_back", "e"] if at_start else ["e", "log_file_back", "e"])


def test_a_line_that_a_full_disk_tore_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with process(
        "import resource\nhard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_123, hard))\n"
        'logs.configure(LogSettings(file=Path(sys.argv[1])), "x")\nfor n in range(30_000): log.info("e", n=n, text="x" * 200)\n'
        "os.write(2, str(os.stat(sys.argv[1]).st_size).encode())\nsys.stdin.read()\n"
        'resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\nlogs.flush(60)\nlogs.flush(60)\nlog.info("last")',
        str(file),
    ) as one:  # fmt: skip
        _, _ = one.communicate(b"", timeout=PATIENCE)
    assert one.returncode == 0
    found = []
    torn = 0
    for line in file.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            torn += 1
    (dropped,) = [line for line in found if line["event"] == "log_dropped"]
    kept = [line["n"] for line in found if line["event"] == "e"]
    assert kept == list(range(len(kept)))
    assert len(kept) + dropped["lines"] == 30_000
    assert found[-1]["event"] == "last"
    assert torn <= 1
