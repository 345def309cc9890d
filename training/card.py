"""The model's card: what a model says about itself, written into its file."""

import hashlib
from importlib import metadata
from typing import Any

import msgspec
import numpy as np
import xgboost

from occupancy import model
from occupancy.preprocess import STEPS
from occupancy.reading import NAMES
from training import report

Array = np.ndarray[Any, Any]
GOLDEN = 8


def describe(result: report.Result, reference_json: bytes) -> model.Card:
    """Fill in what the model says about itself."""
    settings, inputs = result.settings, result.inputs
    return model.Card(
        preprocessing=settings.preprocessing,
        band=result.band,
        timezone=inputs.training.timezone,
        simulated=inputs.simulated,
        seed=settings.seed,
        hyperparameters=result.found.winner.candidate,
        search={
            "candidates": len(result.found.scored),
            **({} if inputs.weight is None else {"recent_weight": float(inputs.weight[-1])}),
        },
        data={role: each.sha256 for role, each in inputs.sets.items()},
        reference=hashlib.sha256(reference_json).hexdigest(),
        training_range={n: (float(inputs.frame[n].min()), float(inputs.frame[n].max())) for n in NAMES},
        metrics=report.metrics(result),
        gate=msgspec.to_builtins(result.decision._asdict()),
        packages={
            "xgboost": xgboost.__version__,
            **{p: metadata.version(p) for p in ("numpy", "scikit-learn", "scipy")},
        },
        golden=golden(result.booster, STEPS[settings.preprocessing], inputs.given),
        created=settings.created,
        revision=settings.revision,
    )


def golden(booster: xgboost.Booster, step: Any, values: Array) -> list[model.Golden]:
    """Choose readings from the least to the most probable, for the loader to score again."""
    probability = booster.inplace_predict(step(values), validate_features=False)
    rows = np.argsort(probability, kind="stable")[np.linspace(0, len(values) - 1, GOLDEN).astype(int)]
    return [model.Golden(tuple(map(float, values[row])), float(probability[row])) for row in rows]
