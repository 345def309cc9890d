"""What training works on: the data files read, checked as a whole, and preprocessed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from occupancy import dataset
from occupancy.dataset import BadRow, Dataset
from occupancy.errors import InputError
from occupancy.mapping import ColumnMapping, load_mapping
from occupancy.preprocess import STEPS
from training import save
from training.settings import Settings

Array = np.ndarray[Any, Any]
MIN_DAYS = 3
RECENT = "recent.csv"  # in a model's set: the recent readings that it learned from


class TooFewDays(InputError):
    """The training data does not span the days that honest validation needs."""


class UnknownStep(InputError):
    """PREPROCESSING names a step that does not exist."""


class ChangedData(InputError):
    """A file is not what it was when it was read."""


class SeveralRooms(InputError):
    """The training data is of several rooms: the reference that monitoring compares with is of one."""


class WrongShape(InputError):
    """PREPROCESSING names a step that does not give one value for each sensor of each reading."""


@dataclass(frozen=True)
class Inputs:
    """What training works on: given and values (rows, sensors) float32, label (rows,), day (rows,), and the data sets they are from.

    `given` is what the sensors said, `values` the same preprocessed. Rows of the recent data, where there are any, come after those of the training data; `weight` (rows,) is None where
    there are none: all weigh the same.
    """

    training: Dataset
    test: Dataset
    given: Array
    values: Array
    label: Array
    day: Array
    simulated: bool
    recent: Dataset | None = None
    weight: Array | None = None

    @property
    def sets(self) -> dict[str, Dataset]:
        """All data sets by the part that they play."""
        return {"training": self.training, **({"recent": self.recent} if self.recent else {}), "test": self.test}

    @property
    def frame(self) -> pd.DataFrame:
        """The rows that are learned from, as `label` and the others have them."""
        return (
            pd.concat([self.training.frame, self.recent.frame], ignore_index=True)
            if self.recent
            else self.training.frame
        )

    @property
    def quarantine(self) -> list[BadRow]:
        """The rows left out of all files."""
        return [row for each in self.sets.values() for row in each.quarantine]


def read(settings: Settings) -> tuple[Dataset, Dataset, Dataset | None]:
    """Read training, test and recent data; where none is named, what DATA_HOME holds, the real files before simulated ones."""
    mapping, home = load_mapping(settings.data_mapping), Path(settings.data_home)

    try:
        training = one(settings.training_data, home, dataset.TRAINING, mapping)
        test = one(settings.test_data, home, dataset.TEST, mapping)
        recent = collected(settings.recent_data, mapping.timezone) if settings.recent_data else None
    except dataset.TooManyBadRows as error:
        kept = save.keep_refused(
            Path(settings.save_path), {"quarantine.csv": dataset.quarantine_csv(error.quarantine).encode()}
        )
        raise dataset.InvalidDataset(f"{error}; all of them: {kept}/quarantine.csv") from None
    return training, test, recent


def one(named: str, home: Path, name: str, mapping: ColumnMapping) -> Dataset:
    """Read the file that the user named, as the mapping says, or the data set's own in `home`."""
    return dataset.read(named, mapping) if named else dataset.read(default_file(home, name))


def collected(path: str | Path, timezone: str) -> Dataset:
    """Read readings with their truth as `monitoring collect` writes them: our own names and units, whatever a mapping says."""
    return dataset.read(path, ColumnMapping(timezone=timezone))


def recent_file(recent: Dataset | None) -> dict[str, bytes]:
    """Give the recent data's file as a model's set keeps it, by its name there; raises ChangedData."""
    if recent is None:
        return {}
    raw = Path(recent.path).read_bytes() if Path(recent.path).is_file() else b""
    if hashlib.sha256(raw).hexdigest() != recent.sha256:
        raise ChangedData(f"{recent.path} was changed while it was learned from; train again")
    return {RECENT: raw}


def default_file(home: Path, name: str) -> Path:
    """Name the real file in `home`, or the simulated one where there is no real one."""
    simulated = home / f"{dataset.SIMULATED_PREFIX}{name}"
    return simulated if simulated.exists() and not (home / name).exists() else home / name


def prepare(
    training: Dataset, test: Dataset, preprocessing: str, recent: Dataset | None = None, recent_share: float = 0.5
) -> Inputs:
    """Validate what only the whole shows, and apply the preprocessing step; `recent_share` of all weight is the recent data's."""
    if preprocessing not in STEPS:
        raise UnknownStep(f"PREPROCESSING={preprocessing}: expected one of {', '.join(STEPS)}")
    if len(rooms := sorted(set(training.room))) > 1:
        raise SeveralRooms(
            f"{training.path} is of {len(rooms)} rooms ({', '.join(map(repr, rooms[:3]))}...): monitoring's reference is of one; "
            "train on one room's file, and give the readings of others as RECENT_DATA"
        )
    learned = [training, recent] if recent else [training]
    simulated = dataset.refuse_mixture([*learned, test])
    label, day, given = (
        np.concatenate(parts) for parts in zip(*((d.label, d.day.to_numpy(), d.values) for d in learned), strict=True)
    )
    weight = None
    if recent:
        rows, more = len(training.frame), len(recent.frame)
        weight = np.repeat([1.0, recent_share / (1 - recent_share) * rows / more], [rows, more])
    days = sorted(set(day))
    if len(days) < MIN_DAYS:
        raise TooFewDays(
            f"{training.path} has {len(days)} dates: whole days are held out, so at least {MIN_DAYS} are needed"
        )
    for left_out in days:
        if len(set(label[day != left_out])) == 1:
            raise TooFewDays(
                f"{training.path}: without {left_out} only one class is left; occupied and empty readings must "
                "come from several days"
            )
    values = STEPS[preprocessing](given)
    if values.shape != given.shape:  # the search calls the columns by the sensors' names and constrains two of them
        raise WrongShape(
            f"PREPROCESSING={preprocessing} turns values of shape {given.shape} into {values.shape}; a step gives one "
            "value for each sensor of each reading"
        )
    return Inputs(training, test, given, values, label, day, simulated, recent, weight)
