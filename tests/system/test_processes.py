"""Children: kept alive, also where one cannot be started for a while, hangs, or does not end."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from kazoo_provisioner import processes

Lines = list[MutableMapping[str, Any]]

STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
beat = int(sys.argv[sys.argv.index("--beat") + 1]) if "--beat" in sys.argv else -1
if beat >= 0:
    os.write(beat, b".")
open(sys.argv[-1], "w").close()
time.sleep(600)
"""


async def seen(logs: Lines, event: str, count: int = 1) -> None:
    async with asyncio.timeout(60):
        while sum(line["event"] == event for line in logs) < count:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def kept(child: processes.Child) -> AsyncIterator[Lines]:
    with structlog.testing.capture_logs() as logs:
        keeper = asyncio.create_task(child.keep())
        yield logs
        await child.stop(5)
        await keeper


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a program in the place of our children."""

    def put(text: str) -> None:
        script = tmp_path / "program.py"
        script.write_text(text)
        starter = tmp_path / "python"
        starter.write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
        starter.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(starter))

    return put


async def test_a_child_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while an upgrade replaces the interpreter, or no process is to be had."""
    python = sys.executable
    monkeypatch.setattr(processes, "_BACK_OFF", (0.05,))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    async with kept(processes.Child("reader", "reader-1", [], [])) as logs:
        await seen(logs, "child_not_started", 3)
        monkeypatch.setattr(sys, "executable", python)
        await seen(logs, "process_started")
        await seen(logs, "process_died")  # it is told nothing of a store, so it says what it needs and ends


async def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_BACK_OFF", (0.01, 0.02, 0.03))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    child = processes.Child("reader", "reader-1", [], [])
    async with kept(child) as logs:
        await seen(logs, "child_not_started", 5)
        pauses = [line["restart_s"] for line in logs if line["event"] == "child_not_started"]
    assert pauses[:5] == [0.01, 0.02, 0.03, 0.03, 0.03]
    assert child.restarts >= 4


async def test_a_child_that_hangs_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[[str], None]
) -> None:
    """One sign of life, and none any more."""
    monkeypatch.setattr(processes, "SILENT", 0.3)
    monkeypatch.setattr(processes, "_BEAT", 0.05)
    monkeypatch.setattr(processes, "_BACK_OFF", (0.01,))
    program(STUBBORN)
    async with kept(processes.Child("reader", "reader-1", [str(tmp_path / "up")], [], beats=True)) as logs:
        await seen(logs, "process_hangs")
        await seen(logs, "process_died")
        await seen(logs, "process_started", 2)
    died = next(line for line in logs if line["event"] == "process_died")
    assert (died["role"], died["code"]) == ("reader-1", -signal.SIGKILL)


async def test_a_child_that_never_gave_a_sign_is_let_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Callable[[str], None]
) -> None:
    monkeypatch.setattr(processes, "SILENT", 0.0)
    monkeypatch.setattr(processes, "_BEAT", 0.01)
    program(STUBBORN.replace('os.write(beat, b".")', "pass"))
    up = tmp_path / "up"
    child = processes.Child("reader", "reader-1", [str(up)], [], beats=True)
    with structlog.testing.capture_logs() as logs:
        keeper = asyncio.create_task(child.keep())
        async with asyncio.timeout(60):
            while not up.exists():
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # many looks
        assert not [line for line in logs if line["event"] == "process_hangs"]
        await child.stop(0.1)
        await keeper
    assert [line["role"] for line in logs if line["event"] == "process_killed"] == ["reader-1"]
