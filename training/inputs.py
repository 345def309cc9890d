"""What training works on: the data files read, checked as a whole, and preprocessed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from occupancy import dataset
from occupancy.dataset import BadRow, Dataset
from occupancy.errors import InputError
from occupancy.mapping import load_mapping
from occupancy.preprocess import STEPS
from training import save
from training.settings import Settings

Array = np.ndarray[Any, Any]
MIN_DAYS = 3


class TooFewDays(InputError):
    """The training data does not span the days that honest validation needs."""


class UnknownStep(InputError):
    """PREPROCESSING names a step that does not exist."""


class WrongShape(InputError):
    """PREPROCESSING names a step that does not give one value for each sensor of each reading."""


@dataclass(frozen=True)
class Inputs:
    """What training works on: values (rows, 5) float32, label (rows,), day (rows,), and the data sets they are from."""

    training: Dataset
    test: Dataset
    values: Array
    label: Array
    day: Array
    simulated: bool

    @property
    def quarantine(self) -> list[BadRow]:
        """The rows left out of both files."""
        return [*self.training.quarantine, *self.test.quarantine]


def read(settings: Settings) -> tuple[Dataset, Dataset]:
    """Read training and test data; where none is named, what DATA_HOME holds, the real files before simulated ones."""
    mapping, home = load_mapping(settings.data_mapping), Path(settings.data_home)

    def one(named: str, name: str) -> Dataset:
        """Read the file that the user named, as the mapping says, or the data set's own in `home`."""
        return dataset.read(named, mapping) if named else dataset.read(default_file(home, name))

    try:
        training, test = one(settings.training_data, dataset.TRAINING), one(settings.test_data, dataset.TEST)
    except dataset.TooManyBadRows as error:
        kept = save.keep_refused(
            Path(settings.save_path), {"quarantine.csv": dataset.quarantine_csv(error.quarantine).encode()}
        )
        raise dataset.InvalidDataset(f"{error}; all of them: {kept}/quarantine.csv") from None
    return training, test


def default_file(home: Path, name: str) -> Path:
    """Name the real file in `home`, or the simulated one where there is no real one."""
    simulated = home / f"{dataset.SIMULATED_PREFIX}{name}"
    return simulated if simulated.exists() and not (home / name).exists() else home / name


def prepare(training: Dataset, test: Dataset, preprocessing: str) -> Inputs:
    """Validate what only the whole shows, and apply the preprocessing step."""
    if preprocessing not in STEPS:
        raise UnknownStep(f"PREPROCESSING={preprocessing}: expected one of {', '.join(STEPS)}")
    simulated = dataset.refuse_mixture([training, test])
    label, day = training.label, training.day.to_numpy()
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
    given = training.values
    values = STEPS[preprocessing](given)
    if values.shape != given.shape:  # the search calls the columns by the sensors' names and constrains two of them
        raise WrongShape(
            f"PREPROCESSING={preprocessing} turns values of shape {given.shape} into {values.shape}; a step gives one "
            "value for each sensor of each reading"
        )
    return Inputs(training, test, values, label, day, simulated)
