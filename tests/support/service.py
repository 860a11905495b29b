"""The real service, started as an operator starts it: processes, sockets, signals, log."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.support import runlog

PHONES = "phones: {default: {public_url: 'http://prov.example.com/p'}}\n"
PATIENCE = 60.0
"""Seconds after which something that must come is missing. Nothing is measured by it."""


class Got(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class Service:
    """One running `kazoo-provisioner serve`."""

    def __init__(
        self,
        folder: Path,
        documents: Path | str,
        extra: str = "",
        env: dict[str, str] | None = None,
        web: str = "",
    ) -> None:
        """Of a folder of documents, or of a source written as in the settings (``{type: couch, …}``).

        `extra` stands in place of PHONES, `web` adds to what stands under ``web`` (``workers: 1, idle: 3``).
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "settings.yaml"
        source = documents if isinstance(documents, str) else f"{{path: {documents}, poll: 0.1}}"
        if not self.config.exists() or extra or web:
            self.config.write_text(
                f"source: {source}\nstore: {{path: {folder / 'store'}}}\n"
                f"web: {{listen: ['127.0.0.1:0'], status: '127.0.0.1:0'{f', {web}' if web else ''}}}\n"
                f"log: {{level: debug, format: json}}\n{extra or PHONES}"
            )
        self._env = os.environ | (env or {})
        self.events: list[dict[str, Any]] = []
        self._next = 0
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.base = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kazoo_provisioner", "serve", "--config", str(self.config)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._env, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process, self._lines), daemon=True)
        self._reader.start()
        started = self.wait("started")
        self.base, self._status = started["listen"][0], started["status"]
        since = self._next
        self.wait("serving")
        self._next = since  # what another process said meanwhile can still be waited for

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: "queue.Queue[dict[str, Any] | None]") -> None:
        assert process.stdout
        for line in process.stdout:
            runlog.add(line)
            try:
                lines.put(json.loads(line))
            except ValueError:
                lines.put({"event": "not_json", "line": line})
        process.stdout.close()
        lines.put(None)

    def wait(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for the next log line of a kind, after the one that was waited for last."""
        deadline = time.monotonic() + PATIENCE
        while True:
            while self._next < len(self.events):
                got = self.events[self._next]
                self._next += 1
                if got["event"] == event and all(got.get(k) == v for k, v in fields.items()):
                    return got
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            assert line is not None, f"the service ended before {event}: {self.events[-3:]}"
            self.events.append(line)

    def drain(self) -> list[dict[str, Any]]:
        """Take the lines that are there."""
        while True:
            try:
                got = self._lines.get_nowait()
            except queue.Empty:
                return self.events
            if got is not None:
                self.events.append(got)

    def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Got:
        request = urllib.request.Request(self.base + path, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return Got(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Got(error.code, error.read(), dict(error.headers))

    def status(self) -> dict[str, Any]:
        """The operator's page."""
        with urllib.request.urlopen(self._status, timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def until(self, path: str, good: Callable[[Got], bool]) -> Got:
        """Ask until the answer is good."""
        deadline = time.monotonic() + PATIENCE
        while True:
            got = self.get(path)
            if good(got):
                return got
            assert time.monotonic() < deadline, f"{path}: {got.status} {got.body[:2000]!r}"
            time.sleep(0.02)

    def pids(self, role: str) -> int:
        """The newest process of a role; of readers, the newest one."""
        return self.newest(role)[1]

    def newest(self, role: str) -> tuple[str, int]:
        """The newest process of a role: its name and its id."""
        self.drain()
        return next(
            (e["role"], int(e["pid"]))
            for e in reversed(self.events)
            if e["event"] == "process_started" and e["role"].partition("-")[0] == role
        )

    def readers(self) -> dict[str, int]:
        """The ids of the readers, by name."""
        self.drain()
        started = [e for e in self.events if e["event"] == "process_started"]
        return {e["role"]: int(e["pid"]) for e in started if e["role"].startswith("reader-")}

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.drain()
        return code

    def kill(self) -> None:
        """SIGKILL to the supervisor; its children end because it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)  # ends when the last process has let go of the pipe
        assert not self._reader.is_alive(), "a child outlived the supervisor"
        self.drain()


def command(*arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the commands."""
    extra = ["--config", str(config)] if config else []
    done = subprocess.run(
        [sys.executable, "-m", "kazoo_provisioner", *arguments, *extra],
        capture_output=True, text=True, check=False, timeout=PATIENCE * 2,
    )  # fmt: skip
    runlog.add(done.stderr)
    return done
