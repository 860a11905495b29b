"""The log of the whole test run: in one file, to be searched for secrets at its end."""

import logging
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog

_file: TextIO
_path: Path


def start(path: Path) -> None:
    """Begin the log."""
    global _file, _path  # noqa: PLW0603 - one run, one log
    _path = path
    _file = path.open("a", buffering=1)
    configure()


def configure() -> None:
    """Let everything in this process log there."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        processors=[structlog.processors.add_log_level, _write],
        logger_factory=structlog.WriteLoggerFactory(_file),
        cache_logger_on_first_use=False,
    )


def is_ours() -> bool:
    """Whether this process still logs there."""
    return _write in structlog.get_config()["processors"]


def _write(_logger: Any, _method: str, event: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def add(line: str) -> None:
    """Add a line that a process of ours printed."""
    _file.write(line if line.endswith("\n") else f"{line}\n")


def path() -> Path:
    """Where the log is."""
    _file.flush()
    return _path
