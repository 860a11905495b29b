"""Every story has an end in real time: a loop that never yields would hang the whole run."""

import signal
from collections.abc import Iterator

import pytest

LONGEST = 10.0


class HungError(BaseException):
    """The event loop got stuck, or goes round for ever."""


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def stuck(*_: object) -> None:
        raise HungError(f"after {LONGEST:.0f} s of real time")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
