import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

PYTHON = Path(".venv-mlflow/bin/python")


@pytest.mark.mlflow
@pytest.mark.skipif(
    not (PYTHON.parent.parent / "ready").exists(), reason="no MLflow here; `make mlflow` installs it apart"
)
def test_mlflow_gets_settings_metrics_artifacts_and_status(room: tuple[Path, Path], tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{store}",
        "TRACKERS": "mlflow",
        "TRAINING_DATA": str(room[0]),
        "TEST_DATA": str(room[1]),
        "SAVE_PATH": str(tmp_path / "out"),
        "CANDIDATES": "4",
    }
    root = Path.cwd()
    done = subprocess.run(
        [root / PYTHON, "-m", "training"],
        env={**environment, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tracker mlflow failed" not in done.stderr
    with sqlite3.connect(store) as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        assert dict(database.execute("select key, value from params"))["candidates"] == "4"
        metrics = {key for (key,) in database.execute("select key from metrics")}
        assert {"out_of_fold.log_loss", "back_test.accuracy"} <= metrics
        (uri,) = database.execute("select artifact_uri from runs").fetchone()
    assert sorted(p.name for p in Path(uri.removeprefix("file://")).iterdir()) == sorted(
        ["model.ubj", "quarantine.csv", "reference.json", "report.html", "report.json"]
    )
