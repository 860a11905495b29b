"""Children: kept alive, also where one cannot be started for a while."""

import asyncio
import sys

import pytest
import structlog.testing

from kazoo_provisioner import processes


async def test_a_child_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As while an upgrade replaces the interpreter, or no process is to be had."""
    python = sys.executable
    monkeypatch.setattr(processes, "_BACK_OFF", (0.05,))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    child = processes.Child("reader", "reader-1", [], [])
    with structlog.testing.capture_logs() as logs:
        keeper = asyncio.create_task(child.keep())

        async def seen(event: str, count: int) -> None:
            async with asyncio.timeout(60):
                while sum(line["event"] == event for line in logs) < count:
                    assert not keeper.done()
                    await asyncio.sleep(0.01)

        await seen("child_not_started", 3)
        monkeypatch.setattr(sys, "executable", python)
        await seen("process_started", 1)
        await seen("process_died", 1)  # it is told nothing of a store, so it says what it needs and ends
        await child.stop(5)
        await keeper
