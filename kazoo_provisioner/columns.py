"""Log lines for people: one event as columns, the most telling first. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_RED, _GREEN, _YELLOW, _CYAN, _DIM, _BOLD = 31, 32, 33, 36, 2, 1
_LEVELS = {
    "debug": ("debug", _DIM),
    "info": ("info", 0),
    "warning": ("WARN", _YELLOW),
    "error": ("ERROR", _RED),
    "critical": ("ERROR", _RED),
}
_STATUS = {2: _GREEN, 3: _CYAN, 4: _YELLOW, 5: _RED}

_PLAIN = (
    "status", "reason", "outcome", "role", "code", "problem", "type", "mac", "phone", "subject", "db", "doc",
    "file", "path", "account", "url", "remote", "ms",
)  # fmt: skip
"""Fields that need no name in front of them, in this order."""
_LAST = ("agent", "detail", "problem")
"""The last column is the first of these that there is: it may be cut."""
_WIDTHS = {"status": 3, "reason": 13, "mac": 17, "file": 18, "account": 11, "remote": 15, "ms": 7}
"""Columns of requests."""
_SPARE = ("host", "bytes")
"""Left out of requests where the terminal is too narrow for columns."""
_USUAL = (("method", "GET"), ("deleted", False))
"""What is shown only where it is something else."""
_EVENT = 16
_AGENT_LEAST = 12
_LAST_LEAST = 40
"""Characters of a sentence that are shown however narrow the terminal is."""

_ACCOUNT = re.compile(r"[0-9a-z]{32}")
_DB = re.compile(r"account/([0-9a-z]{2})/([0-9a-z]{2})/([0-9a-z]{28})")
_MAC = re.compile(r"[0-9a-f]{12}")

Cell = tuple[str, int]
"""What a column says, and its colour."""


def printable(text: str) -> str:
    """Return text that is harmless to a terminal, on one line, and fit for any encoder."""
    return text if text.isprintable() else ascii(text)[1:-1]


def row(fields: Mapping[str, Any], *, colours: bool = False, width: int | None = None) -> str:
    """Return one event as a line of columns. The last column is cut to the width, where there is one."""
    event = fields.get("event")
    padded = isinstance(event, str) and event.endswith("_request")
    last = next((name for name in _LAST if fields.get(name)), None)
    cells = _cells(fields, last, padded=padded)
    if width is not None and padded and _length(cells) + _AGENT_LEAST > width:
        short = {name: value for name, value in fields.items() if name not in _SPARE}
        cells = _cells(short, last, padded=True)
        if _length(cells) + _AGENT_LEAST > width:
            cells = _cells(short, last, padded=False)
    if last is not None:
        text = _text(fields[last])
        if width is not None:
            room = max(width - _length(cells) - 1, 0 if last == "agent" else _LAST_LEAST)
            text = text if len(text) <= room else f"{text[: room - 1]}…" if room else ""
        cells.append((text, _DIM if last == "agent" else 0))
    shown = [(text, colour) for text, colour in cells if text]
    return " ".join(_coloured(text, colour if colours else 0) for text, colour in shown).rstrip()


def _length(cells: list[Cell]) -> int:
    return sum(len(text) + 1 for text, _ in cells if text) - 1


def _coloured(text: str, colour: int) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def _head(fields: Mapping[str, Any]) -> list[Cell]:
    level = fields.get("level")
    word, colour = _LEVELS.get(level if isinstance(level, str) else "", (_text(level or ""), 0))
    event = _text(fields.get("event", ""))
    return [
        (_clock(fields.get("time")), _DIM),
        (f"{word:<5}", colour),
        (f"{event:<{_EVENT}}", colour if colour > _DIM else _BOLD),
    ]


def _clock(at: Any) -> str:
    """Return the local time of day."""
    if isinstance(at, str):
        try:
            return datetime.fromisoformat(at).astimezone().strftime("%H:%M:%S")
        except (ValueError, OverflowError, OSError):
            return _text(at)
    return " " * 8 if at is None else _text(at)


def _cells(fields: Mapping[str, Any], last: str | None, *, padded: bool) -> list[Cell]:
    done = {"time", "level", "event", "process", last}
    cells = _head(fields)
    if not isinstance(fields.get("status", 0), int):
        done.add("status")
        cells.append((f"status={_text(fields['status'])}", 0))
    for name in _PLAIN:
        if name in done or (fields.get(name) in (None, "") and not (padded and name in _WIDTHS)):
            continue
        if padded and name == "file" and "path" in fields:
            continue  # a path stands in place of it
        done.add(name)
        text, colour = _plain(name, fields.get(name, ""))
        width = _WIDTHS.get("file" if name == "path" else name, 0) if padded else 0
        cells.append((f"{text:>{width}}" if name == "ms" else f"{text:<{width}}", colour))
    for name, value in fields.items():
        if name in done or value is None or value == "" or (name, value) in _USUAL:
            continue
        cells.append((f"{_text(name)}={_value(name, value)}", 0))
    return cells


def _plain(name: str, value: Any) -> Cell:
    if name == "status" and isinstance(value, int) and not isinstance(value, bool):
        return _text(value), _STATUS.get(value // 100, 0)
    if name == "ms" and value != "":
        return f"{_text(value)}ms", 0
    if name == "code" and not isinstance(value, str):
        return f"code={_text(value)}", 0
    return _short(name, _text(value)), 0


def _short(name: str, text: str) -> str:
    """Shorten account ids to their ends, and write MAC addresses as people do."""
    if name == "mac" and _MAC.fullmatch(text):
        return ":".join(text[at : at + 2] for at in range(0, 12, 2))
    if name == "db":
        found = _DB.fullmatch(text)
        return _ends("".join(found.groups())) if found else text
    if name in ("phone", "subject"):
        account, slash, rest = text.partition("/")
        return f"{_ends(account)}{slash}{rest}"
    return _ends(text) if name.endswith("account") or name == "scope" else text


def _ends(account: str) -> str:
    return f"{account[:6]}…{account[-4:]}" if _ACCOUNT.fullmatch(account) else account


def _value(name: str, value: Any) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
        return ",".join(_text(one) for one in value)
    text = _short(name, _text(value))
    return f'"{text}"' if isinstance(value, str) and " " in text else text


def _text(value: Any) -> str:
    """Return any value as text on one line."""
    if isinstance(value, str):
        return printable(value)
    try:
        return printable(json.dumps(value, ensure_ascii=False, default=str))
    except (ValueError, RecursionError):  # a number of thousands of digits, nested too deeply
        return "…"
