"""Options and profiles of the whole test run, and the one log that it leaves."""

from pathlib import Path

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
