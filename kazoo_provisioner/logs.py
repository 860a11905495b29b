"""Logs: one structlog pipeline into a sink. docs/logs.md names and describes every event.

No document, no rendered file and no exception message from outside ever goes into a log line: they can
hold passwords.
"""

import atexit
import logging
import os
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog

from kazoo_provisioner.columns import printable, row
from kazoo_provisioner.settings import LogSettings
from kazoo_provisioner.sink import LINE_LIMIT, STDERR, Output, Sink
from kazoo_provisioner.yamlfile import SettingsError

STDOUT = 1
AT_EXIT = 3.0
"""Seconds that the last lines may take at the end of a process."""

_sink = Sink()


def configure(settings: LogSettings, process: str, *, quiet: bool = False, final: bool = False) -> None:
    """Set logging up for this process: JSON lines, or columns on a terminal.

    `quiet`: errors only, to standard error. `final`: it stays so, which makes a line that is not written cost
    nothing; and a file that cannot be opened holds nothing up, lines go to standard error until it can.

    Raises:
        SettingsError: `log.file` cannot be opened.
    """
    descriptor = STDERR if quiet else STDOUT
    output = Output(descriptor, None if quiet else settings.file)
    try:
        output.open()
    except OSError as error:
        if not final:
            raise SettingsError(
                f"log.file: {settings.file} cannot be opened: {error.strerror or type(error).__name__}"
            ) from None
    _sink.start(output)
    terminal = (quiet or settings.file is None) and os.isatty(descriptor)
    console = settings.format == "console" or (settings.format == "auto" and terminal)
    finish = _columns(descriptor if terminal else None) if console else _json
    pipeline = _pipeline(process, finish)
    structlog.configure(
        processors=[pipeline],
        wrapper_class=_direct("error" if quiet else settings.level, pipeline),
        logger_factory=_Logger,
        cache_logger_on_first_use=final,
    )
    # Libraries speak through logging; what they say can quote a request. Only that they said it counts.
    logging.basicConfig(handlers=[_Library()], level=logging.WARNING, force=True)


def flush(timeout: float = AT_EXIT) -> bool:
    """Wait until what was logged is written; return whether that came within so many seconds."""
    return _sink.flush(timeout)


atexit.register(flush)


class _Logger:
    """Takes finished lines of a level each. What is wrong somewhere is written at once."""

    def __init__(self, *_: Any) -> None:
        self.debug = self.info = _sink.append
        self.warning = self.error = self.critical = _sink.append_now


def _pipeline(process: str, finish: Callable[[dict[str, Any]], bytes]) -> Any:
    now = datetime.now

    def render(_logger: Any, level: str, event: MutableMapping[str, Any]) -> bytes:
        return finish(
            {"time": now(UTC), "level": level, "event": event.pop("event", ""), "process": process, **event}
        )

    return render


def _direct(least: str, pipeline: Callable[..., bytes]) -> type:
    """Make structlog's logger for this level, but that `info`, one line for each request, takes the short way.

    It leads through the same pipeline; structlog's own steps to it take longer than all of ours. Where another
    pipeline was put in place (by tests), it is theirs.
    """
    usual = structlog.make_filtering_bound_logger(getattr(logging, least.upper()))
    if least not in ("debug", "info"):
        return usual
    take = _sink.append

    class Direct(usual):  # type: ignore[valid-type, misc]
        def info(self, event: str, /, **fields: Any) -> Any:
            if self._processors[0] is not pipeline:
                return super().info(event, **fields)
            fields["event"] = event
            return take(pipeline(None, "info", fields))

    return Direct


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _json(line: dict[str, Any]) -> bytes:
    try:
        data = _encode(line)
        # Nothing had to be escaped, and nothing is left to be.
        plain = data.isascii() and b"\x7f" not in data
        if b"\\" not in data and len(data) < LINE_LIMIT and (plain or data.decode().isprintable()):
            return data + b"\n"
    except Exception:  # noqa: BLE001, S110 - a line must never end what it tells of
        pass
    for most in (LINE_LIMIT, 512, 128, 32):
        data = _encode(_harmless(line, most))
        if len(data) < LINE_LIMIT:
            break
    return data + b"\n"


def _harmless(value: Any, most: int) -> Any:
    """Make hostile text (headers are any bytes) harmless to a terminal, and to whoever encodes it."""
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 64 else hex(value)[:most]
    if isinstance(value, dict):
        return {_harmless(str(k), most): _harmless(v, most) for k, v in list(value.items())[:most]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(one, most) for one in list(value)[:most]]
    text = printable(value if isinstance(value, str) else str(value))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _columns(terminal: int | None) -> Callable[[dict[str, Any]], bytes]:
    colours = terminal is not None and not os.environ.get("NO_COLOR")

    def render(line: dict[str, Any]) -> bytes:
        width = None
        if terminal is not None:
            try:
                width = os.get_terminal_size(terminal).columns or None
            except OSError:  # it was closed
                width = None
        at = line["time"].isoformat()
        shown = row({**_harmless(line, LINE_LIMIT // 4), "time": at}, colours=colours, width=width)
        data = shown.encode()
        if len(data) >= LINE_LIMIT:  # no half characters
            data = data[: LINE_LIMIT - 1].decode(errors="ignore").encode()
        return data + b"\n"

    return render


class _Library(logging.Handler):
    """Passes a library's warning on as an event of ours, without its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log where a library complained."""
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger().warning(
            "library_warning", library=record.name, function=record.funcName, error=kind
        )
