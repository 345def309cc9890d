"""Trackers are told what a run does. A tracker is one small file here with a class of these four methods.

To add one (TensorBoard, Weights & Biases): write `training/trackers/NAME.py` with a class `Tracker` whose constructor
takes SAVE_PATH as a Path, and add NAME to NAMES below. A tracker that fails is left out from then on; the training goes on.
"""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from occupancy.errors import InputError

NAMES = ("jsonl", "mlflow")


class Tracker(Protocol):
    """What a tracker does; `status` is finished, refused, failed or terminated."""

    def start(self, settings: Mapping[str, Any]) -> None:
        """A run begins, with these settings."""

    def metric(self, name: str, value: float) -> None:
        """A number is known."""

    def artifact(self, path: Path) -> None:
        """A file was saved."""

    def end(self, status: str) -> None:
        """The run is over."""


class UnknownTracker(InputError):
    """TRACKERS names a tracker that does not exist, or whose package is not installed."""


class Trackers:
    """Several trackers as one; each may fail without harm to the training or the others."""

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        """Take trackers by name."""
        self._trackers = dict(trackers)
        self._started = False

    def start(self, settings: Mapping[str, Any]) -> None:
        """Tell all that a run begins."""
        self._started = True
        self._tell("start", settings)

    def metric(self, name: str, value: float) -> None:
        """Tell all a number."""
        self._tell("metric", name, value)

    def artifact(self, path: Path) -> None:
        """Tell all of a file."""
        self._tell("artifact", path)

    def end(self, status: str) -> None:
        """Tell all that the run is over; one that never began has nobody to tell."""
        if self._started:
            self._tell("end", status)

    def _tell(self, what: str, *arguments: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                getattr(tracker, what)(*arguments)
            except Exception as error:  # noqa: BLE001 -- whatever a tracker does, the training goes on
                print(f"training: tracker {name} failed and is left out: {error!r}", file=sys.stderr)  # noqa: T201
                del self._trackers[name]


def load(names: str, save_path: str) -> Trackers:
    """Load trackers by their names, parted by commas; raises UnknownTracker."""
    found: dict[str, Tracker] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in NAMES:
            raise UnknownTracker(f"TRACKERS={names}: {name!r} is not a tracker; there are {', '.join(NAMES)}")
        try:
            found[name] = importlib.import_module(f"training.trackers.{name}").Tracker(Path(save_path))
        except ImportError as error:
            raise UnknownTracker(
                f"TRACKERS={names}: {name} needs a package that is not installed: {error.name}; "
                f"`make {name}` installs it in .venv-{name}"
            ) from None
    return Trackers(found)
