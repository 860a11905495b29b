"""Named places between two steps of the writer where a test can kill it.

``KAZOO_PROVISIONER_CRASH=name:3:/path/to/flag`` sends SIGKILL the third time that a point is passed, as a
power cut would, once: the flag file is made before, and where it exists nothing happens. In-process tests
set `hook` instead. Unset, a point costs one comparison.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

POINTS = (
    "ingest.begin",
    "ingest.documents",
    "ingest.marks",
    "ingest.position",
    "ingest.committed",
    "reconcile.begin",
    "reconcile.claimed",
    "reconcile.rendered",
    "reconcile.blobs",
    "reconcile.released",
    "reconcile.served",
    "reconcile.cleared",
    "reconcile.committed",
)


def _from_environment() -> Callable[[str], None] | None:
    wanted, _, rest = os.environ.get("KAZOO_PROVISIONER_CRASH", "").partition(":")
    count, _, flag = rest.partition(":")
    if wanted not in POINTS or not count.isdecimal() or not flag or Path(flag).exists():
        return None
    left = int(count)

    def die(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left <= 0:
                Path(flag).touch()
                os.kill(os.getpid(), signal.SIGKILL)

    return die


hook: Callable[[str], None] | None = _from_environment()


def crash_point(name: str) -> None:
    """Pass a named point."""
    if hook is not None:
        hook(name)
