"""Named places between two steps of the writer where a test can kill it.

``KAZOO_PROVISIONER_CRASH=name`` or ``name:3`` (the third time) sends SIGKILL there, as a power cut would.
In-process tests set `hook` instead. Unset, a point costs one comparison.
"""

import os
import signal
from collections.abc import Callable

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
    wanted, _, count = os.environ.get("KAZOO_PROVISIONER_CRASH", "").partition(":")
    if wanted not in POINTS:
        return None
    left = int(count or 1)

    def die(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return die


hook: Callable[[str], None] | None = _from_environment()


def crash_point(name: str) -> None:
    """Pass a named point."""
    if hook is not None:
        hook(name)
