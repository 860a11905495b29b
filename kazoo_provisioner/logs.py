"""Logs: one structlog pipeline to standard output. docs/logs.md names and describes every event.

No document, no rendered file and no exception message from outside ever goes into a log line: they can
hold passwords.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import msgspec
import structlog

from kazoo_provisioner.settings import LogSettings


def configure(settings: LogSettings, process: str, *, quiet: bool = False, final: bool = False) -> None:
    """Set logging up for this process: JSON lines, or columns on a terminal.

    `quiet`: errors only, to stderr. `final`: it stays so, which makes a line that is not written cost nothing.
    """
    stream = sys.stderr if quiet else sys.stdout
    level = "error" if quiet else settings.level
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    processors: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _named(process),
        _printable,
    ]
    if console:
        processors += [
            structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="time"),
        ]
    else:
        processors.append(_json)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=final,
    )
    # Libraries speak through logging; what they say can quote a request. Only that they said it counts.
    logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)


def _named(process: str) -> Any:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return add


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make hostile text (headers are any bytes) harmless to a terminal, and to whoever encodes it."""
    return {k: v if not isinstance(v, str) or v.isprintable() else ascii(v)[1:-1] for k, v in event.items()}


def _json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {key: event.pop(key) for key in ("time", "level", "event", "process") if key in event}
    return msgspec.json.encode({**ordered, **event}, enc_hook=str).decode()


class _Library(logging.Handler):
    """Passes a library's warning on as an event of ours, without its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log where a library complained."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger().warning(
            "library_warning", library=record.name, function=record.funcName, error=kind
        )
