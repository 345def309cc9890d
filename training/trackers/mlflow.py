"""MLflow's tracker: MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where, as for any MLflow client."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow


class Tracker:
    """Tells an MLflow server or store."""

    def __init__(self, save_path: Path) -> None:
        """Start nothing yet; MLflow keeps its own place, not SAVE_PATH."""

    def start(self, settings: Mapping[str, Any]) -> None:
        """Start a run and log the settings as its parameters."""
        mlflow.start_run()
        mlflow.log_params(dict(settings))

    def metric(self, name: str, value: float) -> None:
        """Log a metric."""
        mlflow.log_metric(name, value)

    def artifact(self, path: Path) -> None:
        """Upload a file."""
        mlflow.log_artifact(str(path))

    def end(self, status: str) -> None:
        """End the run."""
        mlflow.set_tag("occupancy.status", status)
        mlflow.end_run({"finished": "FINISHED", "terminated": "KILLED"}.get(status, "FAILED"))
