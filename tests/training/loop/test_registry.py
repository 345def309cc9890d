import os
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.training.loop.conftest import Put
from training.loop.deploy import deploy
from training.loop.journal import Journal
from training.loop.registry import NoMlflow, Told, told
from training.loop.targets import Pointer

PYTHON = Path(".venv-mlflow/bin/python")


@pytest.mark.mlflow
@pytest.mark.skipif(
    not (PYTHON.parent.parent / "ready").exists(), reason="no MLflow here; `make mlflow` installs it apart"
)
def test_mlflow_knows_which_model_is_live(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "LOOP_TRACKER": "mlflow",
        "LOOP_MODELS": str(models),
        "LOOP_FOLDER": str(tmp_path / "loop"),
    }

    def live(*command: str, **variables: str) -> list[tuple[str, str]]:
        """Run a command; gives each alias with the version of ours that it stands for."""
        done = subprocess.run(
            [PYTHON, "-m", "training.loop", *command],
            env={**environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert ("MLflow was not told" in done.stderr) == bool(variables)
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            return database.execute(
                "select alias, value from registered_model_aliases join model_version_tags using (name, version) "
                "where key = 'occupancy.version'"
            ).fetchall()

    assert live("deploy", first) == [("live", first)]
    assert live("deploy", second) == [("live", second)]
    assert live("undo") == [("live", first)]
    down = live("deploy", second, MLFLOW_TRACKING_URI="http://127.0.0.1:1", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    assert down == [("live", first)]
    assert Pointer(models, "", "", 1.0).live() == second


class Slow(NamedTuple):
    """An MLflow that takes so long that a signal comes first, or fails; it stands for the network's bad days."""

    error: BaseException

    def search_registered_models(self, _: str) -> None:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("too many retries")])
def test_what_is_live_is_written_down_before_mlflow_is_told(
    models: Path, put: Put, journal: Journal, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    version, pointer = put(1), Pointer(models, "", "", 1.0)
    target = Told(pointer, models, Slow(error))
    entry = deploy(target, journal, models, version, by="me", why="better", at=datetime(2026, 11, 21, tzinfo=UTC))
    assert (pointer.live(), journal.deployments()) == (version, [entry])
    reason = str(error) or "ended by a signal"
    assert capsys.readouterr().err == f"MLflow was not told that {version} is live: {reason}\n"


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="MLflow is here")
def test_without_mlflow_it_says_how_to_get_it(models: Path) -> None:
    with pytest.raises(NoMlflow, match="make mlflow"):
        told(Pointer(models, "", "", 1.0), models)
