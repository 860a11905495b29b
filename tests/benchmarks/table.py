"""What a benchmark found: rows of one table, printed and kept as JSON."""

import os
import platform
import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

WIDTHS = (44, 40, 44, 16, 5)
HEAD = ("what", "against", "figures", "target", "met")


@dataclass
class Row:
    """One thing that was measured. `met` is "yes", "goal" (better than required), "no", or "" without a target."""

    what: str
    against: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    target: str = ""
    met: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        figures = ", ".join(f"{name} {number(value)}" for name, value in self.figures.items())
        return (self.what, self.against, "; ".join(filter(None, (figures, self.note))), self.target, self.met)


def number(value: float) -> str:
    """As many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def at_least(value: float, required: float, goal: float | None = None) -> str:
    if goal is not None and value >= goal:
        return "goal"
    return "yes" if value >= required else "no"


def at_most(value: float, limit: float) -> str:
    return "yes" if value <= limit else "no"


def median_ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """Of two series that were measured in turn: the median of each round's ratio."""
    return statistics.median(one / other for one, other in zip(some, others, strict=True))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def show(rows: Sequence[Row]) -> str:
    """Return the table as text, long cells wrapped."""
    lines = []
    for line, cells in enumerate([HEAD, *(row.cells() for row in rows)]):
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS, strict=True)]
        for at in range(max(map(len, wrapped))):
            parts = (
                (part[at] if at < len(part) else "").ljust(width)
                for part, width in zip(wrapped, WIDTHS, strict=True)
            )
            lines.append(" | ".join(parts).rstrip())
        if line == 0:
            lines.append("-+-".join("-" * width for width in WIDTHS))
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
