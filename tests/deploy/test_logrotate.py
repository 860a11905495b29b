"""deploy/logrotate with the real logrotate: the log is moved away, and nobody is told."""

import grp
import gzip
import json
import os
import pwd
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.deploy import proxies
from tests.deploy.proxies import FILE, PATIENCE
from tests.support import runlog

EXAMPLE = "/var/log/kazoo-provisioner/kazoo-provisioner.log"


class Rotation:
    """Our snippet for a log in a folder of the test, with the user who runs the tests."""

    def __init__(self, folder: Path) -> None:
        self._program = proxies.tool("logrotate")
        self.log = folder / "logs" / "kazoo-provisioner.log"
        self.log.parent.mkdir(mode=0o750)
        me = f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
        self._state, self._snippet = folder / "state", folder / "snippet"
        text = proxies.fill(
            "logrotate", {EXAMPLE: str(self.log), "kazoo-provisioner kazoo-provisioner\n": f"{me}\n"}
        )
        self._snippet.write_text(text)
        self._snippet.chmod(0o644)

    def rotate(self) -> None:
        """As on the next day."""
        done = subprocess.run(
            [self._program, "--force", "--state", self._state, self._snippet], capture_output=True, text=True, check=False
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

    def files(self) -> dict[str, str]:
        """What is in each file, unpacked."""
        found = {}
        for path in self.log.parent.iterdir():
            data = path.read_bytes()
            found[path.name] = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
        return found


def test_days_go_by(tmp_path: Path) -> None:
    rotation = Rotation(tmp_path)
    name = rotation.log.name
    for day in range(20):
        with rotation.log.open("a") as log:
            log.write(f"day {day}\n")
        rotation.rotate()
        assert (rotation.log.stat().st_mode & 0o777, rotation.log.stat().st_size) == (0o640, 0)
    kept = {name: "", f"{name}.1": "day 19\n"}
    kept |= {f"{name}.{number}.gz": f"day {20 - number}\n" for number in range(2, 15)}
    assert rotation.files() == kept


def test_nothing_logged_is_no_new_file(tmp_path: Path) -> None:
    rotation = Rotation(tmp_path)
    rotation.rotate()  # nor is a file that is not there an error
    rotation.log.touch()
    rotation.rotate()
    assert rotation.files() == {rotation.log.name: ""}


@contextmanager
def service(folder: Path, documents: Path, log: Path) -> Iterator[str]:
    """A service that logs to a file: the address that phones ask."""
    config = folder / "settings.yaml"
    config.write_text(
        f"source: {{path: {documents}, poll: 0.1}}\nstore: {{path: {folder / 'store'}}}\n"
        f"web: {{listen: ['127.0.0.1:0'], status: '127.0.0.1:0', workers: 2}}\nlog: {{file: {log}, level: debug, format: json}}\n"
        "phones: {default: {public_url: 'http://prov.example.com/p'}}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "kazoo_provisioner", "serve", "--config", str(config)],
        stdin=subprocess.DEVNULL,
    )
    try:
        found: str = until(log, "started")["listen"][0]
        until(log, "synced")
        yield found
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def until(log: Path, event: str, **fields: Any) -> dict[str, Any]:
    """Wait for a line in the file that is at the path now."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for found in events(log.read_text()) if log.exists() else ():
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items()):
                return found
        assert time.monotonic() < deadline, f"no {event} {fields} in {log}"
        time.sleep(0.05)


def test_every_process_follows_and_no_line_is_lost(tmp_path: Path, documents: Path) -> None:
    rotation = Rotation(tmp_path)
    asked = 0

    def ask(base: str, times: int) -> None:
        nonlocal asked
        for _ in range(times):
            request = urllib.request.Request(base + FILE, headers={"User-Agent": f"phone {asked}"})
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                assert answer.status == 200
            asked += 1

    with service(tmp_path, documents, rotation.log) as base:
        for _ in range(3):
            ask(base, 50)
            rotation.rotate()
            ask(base, 50)
            # The new file is written to without a signal.
            until(rotation.log, "phone_request", agent=f"phone {asked - 1}")
    files = rotation.files()
    assert sorted(files) == [rotation.log.name + end for end in ("", ".1", ".2.gz", ".3.gz")]
    text = "".join(files.values())
    runlog.add(text)
    agents = [event["agent"] for event in events(text) if event["event"] == "phone_request"]
    assert sorted(agents) == sorted(f"phone {number}" for number in range(asked))
    last = [event["event"] for event in events(files[rotation.log.name])]
    assert last[-1] == "stopped"
