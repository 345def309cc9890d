"""A model's recipe tried again: what it would have said of each day, had it not learnt from that day."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.model import Model
from occupancy.preprocess import STEPS
from training import search
from training.inputs import RECENT, collected

Array = np.ndarray[Any, Any]


class OtherData(InputError):
    """The recent readings beside a model's file are not those that it learnt from."""


def out_of_fold(model: Model, path: str, old: Dataset) -> Array:
    """Predict each old day by the model's own recipe without that day; shape (rows of `old`,).

    The old days need not be those that it learnt from: it is the recipe that is tried. Recent readings that it learnt from besides
    lie beside its file, in recent.csv. Raises OtherData.
    """
    learned, weight = [old], [np.ones(len(old.frame))]
    if "recent" in model.card.data:
        recent = collected(Path(path).parent / RECENT, old.timezone)
        if recent.sha256 != model.card.data["recent"]:
            raise OtherData(f"{recent.path} is not what model {model.version} learnt from; copy its whole folder again")
        learned.append(recent)
        weight.append(np.full(len(recent.frame), model.card.search["recent_weight"]))
    values = STEPS[model.card.preprocessing](np.concatenate([data.values for data in learned]))
    label, day = (np.concatenate(parts) for parts in zip(*((d.label, d.day.to_numpy()) for d in learned), strict=True))
    folds = search.fold_by_day(values, label, day, np.concatenate(weight) if len(learned) > 1 else None)
    own = old.day.to_numpy()
    given = np.empty(len(own))

    def predict(date: str) -> None:
        fold = folds.days.index(date)
        booster = search.fit(model.card.hyperparameters, folds.train[fold], model.card.seed)
        held_out = STEPS[model.card.preprocessing](old.values[own == date])
        given[own == date] = booster.inplace_predict(held_out, validate_features=False)

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        list(pool.map(predict, sorted(set(own))))
    return given
