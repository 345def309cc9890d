"""What any model has to beat: four simple methods and XGBoost as it comes, scored on the same held-out days."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from occupancy.reading import NAMES

Array = np.ndarray[Any, Any]
Method = Callable[[Array, Array, Array], Array]
LIGHT_LUX = 365


def majority(values: Array, label: Array, new: Array) -> Array:
    """Give the share of occupied rows, whatever the reading."""
    return np.full(len(new), label.mean(), dtype=values.dtype)


def light_rule(values: Array, label: Array, new: Array) -> Array:
    """Look at the lamp alone: Light > 365 lux, with the share of occupied rows on either side."""
    light = NAMES.index("Light")
    lit = values[:, light] > LIGHT_LUX
    share = [(label[side].sum() + 1) / (side.sum() + 2) for side in (~lit, lit)]  # Laplace's rule of succession
    probability: Array = np.where(new[:, light] > LIGHT_LUX, share[1], share[0])
    return probability


def logistic_regression(values: Array, label: Array, new: Array) -> Array:
    """Fit scikit-learn's logistic regression on standardised values."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(values.astype(float), label)
    return np.asarray(model.predict_proba(new.astype(float))[:, 1])


def discriminant_analysis(values: Array, label: Array, new: Array) -> Array:
    """Fit scikit-learn's linear discriminant analysis."""
    if not values.std(axis=0).any():  # all sensors constant: there is nothing to discriminate by
        return majority(values, label, new)
    model = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis()).fit(values.astype(float), label)
    return np.asarray(model.predict_proba(new.astype(float))[:, 1])


def default_xgboost(values: Array, label: Array, new: Array) -> Array:
    """Fit XGBoost with the parameters it comes with (100 trees of depth 6)."""
    matrix = xgboost.DMatrix(values, label=label, nthread=1)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, num_boost_round=100)
    return np.asarray(booster.inplace_predict(new))


BASELINES: dict[str, Method] = {
    "majority": majority,
    f"Light > {LIGHT_LUX} lux": light_rule,
    "logistic regression": logistic_regression,
    "linear discriminant analysis": discriminant_analysis,
    "default XGBoost": default_xgboost,
}


def out_of_fold(method: Method, values: Array, label: Array, day: Array) -> Array:
    """Predict every day by a method fitted on the other days, shape (rows,)."""
    probability = np.empty(len(label))
    for held_out in sorted(set(day)):
        test = day == held_out
        probability[test] = method(values[~test], label[~test], values[test])
    return probability
