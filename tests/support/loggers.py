"""Processes that log, for tests of the log."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.support.service import PATIENCE

START = """
import sys, os, time
from pathlib import Path
import structlog
from kazoo_provisioner import logs
from kazoo_provisioner.settings import LogSettings
log = structlog.get_logger()
"""


def process(code: str, *arguments: str, **how: Any) -> subprocess.Popen[bytes]:
    """A process that logs to its standard output, or to a file."""
    kept = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    return subprocess.Popen([sys.executable, "-c", START + code, *arguments], **kept)


def said(code: str, **how: Any) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[bytes]]:
    """What a process logs until it ends, and how it ended."""
    with process(code, **how) as one:
        out, err = one.communicate(timeout=PATIENCE)
    return events(out), subprocess.CompletedProcess(one.args, one.returncode, out, err)


def events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def until(good: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := good()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
