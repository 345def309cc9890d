"""Why: each sensor's contribution to an answer, by XGBoost's own SHAP values (Lundberg and others, 2020)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xgboost

from occupancy.model import Model
from occupancy.preprocess import STEPS
from occupancy.reading import FEATURES, NAMES


def explain(model: Model, rows: Sequence[tuple[float, ...]]) -> list[dict[str, Any]]:
    """Explain the probabilities of some readings, their values in the contract's order.

    Contributions and bias are in log-odds and sum to `margin`; the probability is 1 / (1 + exp(-margin)).
    """
    inputs = STEPS[model.card.preprocessing](np.array(rows, np.float32))
    matrix = xgboost.DMatrix(inputs, feature_names=list(NAMES), nthread=1)
    found = model.booster.predict(matrix, pred_contribs=True).tolist()
    return [_explanation(row, contributions, bias) for row, (*contributions, bias) in zip(rows, found, strict=True)]


def _explanation(row: tuple[float, ...], contributions: list[float], bias: float) -> dict[str, Any]:
    return {
        "contributions": dict(zip(NAMES, contributions, strict=True)),
        "bias": bias,
        "margin": sum(contributions) + bias,
        "words": words(row, contributions, bias),
    }


def words(row: tuple[float, ...], contributions: Sequence[float], bias: float) -> str:
    """Say in one sentence what spoke for which answer, the strongest first."""
    parts = [
        f"{feature.name} of {value:g} {feature.unit} speaks for {'occupied' if weight > 0 else 'empty'} ({weight:+.2f})"
        for feature, value, weight in sorted(
            zip(FEATURES, row, contributions, strict=True), key=lambda part: -abs(part[2])
        )
        if round(weight, 2)
    ]
    start = f"without any sensor the log-odds are {bias:+.2f}"
    return "; ".join([*parts, start]) + "."
