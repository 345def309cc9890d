"""Evaluation: what is predicted for rows not seen, and how good that is, with the model beside the baselines."""

from typing import Any, NamedTuple

import numpy as np
import xgboost
from scipy import stats
from sklearn.metrics import roc_auc_score

from occupancy.model import THRESHOLD
from occupancy.preprocess import STEPS
from training import baselines, search
from training.baselines import BASELINES
from training.inputs import Inputs
from training.space import Candidate

Array = np.ndarray[Any, Any]
Band = tuple[float, float]


def predict_held_out(winner: Candidate, folds: search.Folds, inputs: Inputs, seed: int) -> dict[str, Array]:
    """Predict each day by what was fitted on the others, shape (rows,): the model first, then the baselines."""
    model = np.empty(len(inputs.label))
    for fold, day in enumerate(folds.days):
        model[inputs.day == day] = search.out_of_fold(winner, folds, seed, fold)
    return {
        "model": model,
        **{
            name: baselines.out_of_fold(method, inputs.values, inputs.label, inputs.day)
            for name, method in BASELINES.items()
        },
    }


def predict_test(booster: xgboost.Booster, inputs: Inputs, preprocessing: str) -> dict[str, Array]:
    """Predict the test file by what was fitted on all training data; only reported, never used to choose."""
    new = STEPS[preprocessing](inputs.test.values)
    return {
        "model": np.asarray(booster.inplace_predict(new, validate_features=False)),
        **{name: method(inputs.values, inputs.label, new) for name, method in BASELINES.items()},
    }


class Score(NamedTuple):
    """How good predictions are: `error_outside` is the share of wrong answers among those outside the band."""

    rows: int
    log_loss: float
    brier: float
    accuracy: float
    errors: int
    roc_auc: float | None
    uncertain: float
    error_outside: float | None


def score(label: Array, probability: Array, band: Band) -> Score:
    """Score predictions; label and probability of shape (rows,)."""
    wrong = (probability >= THRESHOLD) != (label == 1)
    uncertain = (probability >= band[0]) & (probability <= band[1])
    return Score(
        rows=len(label),
        log_loss=_round(search.log_loss(label, probability).mean()),
        brier=_round(((probability - label) ** 2).mean()),
        accuracy=_round(1 - wrong.mean()),
        errors=int(wrong.sum()),
        roc_auc=_round(roc_auc_score(label, probability)) if 0 < label.mean() < 1 else None,
        uncertain=_round(uncertain.mean()),
        error_outside=_round(wrong[~uncertain].mean()) if (~uncertain).any() else None,
    )


def by_day(label: Array, probability: Array, day: Array, band: Band) -> dict[str, Score]:
    """Score each date alone."""
    return {str(d): score(label[day == d], probability[day == d], band) for d in sorted(set(day))}


class Difference(NamedTuple):
    """One method's mean loss minus another's, pooled over rows, with its uncertainty across days.

    `low` and `high` are the two-sided 90 % interval, by Student's t here and by the bootstrap in training.compare: beyond
    one of its ends is one-sided 95 % evidence.
    """

    mean: float
    standard_error: float
    low: float
    high: float


def paired_difference(loss: Array, other: Array, day: Array, weight: Array | None = None) -> Difference:
    """Compare two methods' losses per row on the same rows, day by day; shapes (rows,). Without weights all rows weigh 1."""
    days = sorted(set(day))
    weight = np.ones(len(day)) if weight is None else weight
    sums = np.array([((loss - other) * weight)[day == d].sum() for d in days])
    rows = np.array([weight[day == d].sum() for d in days])
    mean = float(sums.sum() / rows.sum())
    error = search.standard_error(sums, rows)
    reach = float(stats.t.ppf(0.95, len(days) - 1)) * error
    return Difference(_round(mean), _round(error), _round(mean - reach), _round(mean + reach))


class Bin(NamedTuple):
    """One bin of a calibration curve."""

    predicted: float
    observed: float
    rows: int


def calibration(label: Array, probability: Array, bins: int = 10) -> list[Bin]:
    """Compare predicted probability with the share really occupied, in bins of equal width; empty bins are left out."""
    which = np.clip((probability * bins).astype(int), 0, bins - 1)
    return [
        Bin(_round(probability[which == b].mean()), _round(label[which == b].mean()), int((which == b).sum()))
        for b in range(bins)
        if (which == b).any()
    ]


def _round(value: float) -> float:
    return round(float(value), 6)
