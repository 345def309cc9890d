import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no test judges a machine by the clock, nor does hypothesis
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="a skipped test fails the run: every service is to be there"
    )
    parser.addoption(
        "--soak",
        type=int,
        default=3000,
        metavar="N",
        help="how many bad requests the service must bear (tests/inference/test_abuse.py); `make soak` sends 50,000",
    )
    parser.addoption(
        "--load",
        type=int,
        default=1500,
        metavar="N",
        help="how many requests are sent while something is done to the cluster (tests/integration/test_cluster.py); "
        "`make soak` sends 20,000",
    )
    parser.addoption(
        "--outage",
        type=float,
        default=8.0,
        metavar="SECONDS",
        help="how long Elasticsearch is away (tests/monitoring/store/test_faults.py); `make soak` takes ten minutes",
    )


def pytest_configure() -> None:
    # in a shell's background the programs that tests start would inherit that SIGINT is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _real(variable: str, default: str) -> Path:
    path = Path(os.environ.get(variable) or default)
    if not path.is_file():
        pytest.skip(f"{path} is missing: `make data` fetches the real data, or {variable} says where it is")
    return path


@pytest.fixture(scope="session")
def training_path() -> Path:
    return _real("TRAINING_DATA", "data/original/datatraining.txt")


@pytest.fixture(scope="session")
def test_path() -> Path:
    return _real("TEST_DATA", "data/original/datatest.txt")
