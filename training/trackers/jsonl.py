"""The default tracker: one JSON object a line in SAVE_PATH/runs.jsonl, which grows by each run."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Tracker:
    """Appends what happens to runs.jsonl."""

    def __init__(self, save_path: Path) -> None:
        """Write under SAVE_PATH."""
        self._path, self._run = save_path / "runs.jsonl", uuid.uuid4().hex[:12]

    def start(self, settings: Mapping[str, Any]) -> None:
        """Write the settings."""
        self._append(event="start", settings=dict(settings))

    def metric(self, name: str, value: float) -> None:
        """Write a number."""
        self._append(event="metric", name=name, value=value)

    def artifact(self, path: Path) -> None:
        """Write where a file is."""
        self._append(event="artifact", path=str(path))

    def end(self, status: str) -> None:
        """Write how the run ended."""
        self._append(event="end", status=status)

    def _append(self, **fields: Any) -> None:
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "run": self._run, **fields}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
