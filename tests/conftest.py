"""Options and profiles of the whole test run, and the one log that it leaves."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import looptime
import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support import runlog

settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "soak", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", type=int, default=0, help="how many random cases or crashes; 0: the few of CI")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if config.getoption("--soak") else "ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What reads the log of the whole run comes last."""
    items.sort(key=lambda item: "test_log_of_the_run" in item.nodeid)


FakeTimeLoop = looptime.make_event_loop_class(asyncio.SelectorEventLoop)
"""A loop in which time jumps to the next thing that is due. Not the library's plugin: that patches all loops."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of the CouchDB source live in fake time."""
    if "tests/sources/couch/" in item.path.as_posix():
        return {"fake": lambda: FakeTimeLoop(start=1000)}
    return {"real": asyncio.new_event_loop}


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> int:
    """How much random work is wanted: 0 in CI."""
    wanted: int = request.config.getoption("--soak")
    return wanted


@pytest.fixture(autouse=True, scope="session")
def _one_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Everything that the code under test logs goes to one file, at level debug."""
    runlog.start(Path(tmp_path_factory.mktemp("log")) / "run.log")


@pytest.fixture(autouse=True)
def _log_again() -> None:
    """Tests that set logging up leave it as it was."""
    yield
    if not structlog.is_configured() or not runlog.is_ours():
        runlog.configure()
