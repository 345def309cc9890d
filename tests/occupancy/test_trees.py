import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.settings import SHIPPED_MODEL
from occupancy.dataset import read
from occupancy.model import Golden, Model, label, load
from occupancy.reading import FEATURES, NAMES
from occupancy.trees import Scorer, Unscorable, prove

RANDOM = np.random.default_rng(0)
LOW, HIGH = np.array([f.low for f in FEATURES]), np.array([f.high for f in FEATURES])
TOLERANCE = 1e-6
Train = Callable[..., xgboost.Booster]


def by_xgboost(booster: xgboost.Booster, rows: Any) -> Any:
    return booster.inplace_predict(np.asarray(rows, np.float32), validate_features=False)


def check(booster: xgboost.Booster, rows: Any) -> None:
    scorer = Scorer(booster, "identity")
    expected = by_xgboost(booster, rows)
    given = np.array([scorer.probability(row) for row in np.asarray(rows).tolist()])
    assert np.abs(given - expected).max() <= TOLERANCE
    assert [label(p) for p in given] == [label(p) for p in expected.tolist()]


def edges(booster: xgboost.Booster) -> Any:
    """Make readings that lie on a threshold, and just beside it."""
    trees = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]["model"]["trees"]
    rows = []
    for tree in trees:
        for feature, threshold, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        ):
            if left >= 0:
                at = np.float32(threshold)
                for value in (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf))):
                    row = RANDOM.uniform(LOW, HIGH)
                    row[feature] = value
                    rows.append(row)
    return np.array(rows)


@pytest.fixture(scope="session")
def model() -> Model:
    return load(SHIPPED_MODEL)


@pytest.fixture(scope="session")
def train() -> Train:
    """Train on readings whose label depends on all sensors."""

    def fit(rounds: int = 40, rows: int = 400, **parameters: Any) -> xgboost.Booster:
        values = RANDOM.uniform(LOW, HIGH, (rows, len(NAMES))).astype(np.float32)
        score = ((values - LOW) / (HIGH - LOW)) @ np.resize([1, -1, 3, 2, -1], len(NAMES)) + RANDOM.normal(0, 0.3, rows)
        data = xgboost.DMatrix(values, (score > np.median(score)).astype(int))
        return xgboost.train({"objective": "binary:logistic", "nthread": 1, **parameters}, data, rounds)

    return fit


@pytest.mark.real_data
def test_the_test_set(model: Model, test_path: Path) -> None:
    check(model.booster, read(test_path).values)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_depth": 1},
        {"max_depth": 3},
        {"max_depth": 8, "min_child_weight": 0},
        {"max_depth": 2, "gamma": 30},  # most trees are a single leaf
        {"max_depth": 0, "max_leaves": 20, "grow_policy": "lossguide", "tree_method": "hist"},
        {"max_depth": 4, "num_parallel_tree": 3, "subsample": 0.5},
        {"max_depth": 2, "base_score": 0.03},
        {"max_depth": 6, "tree_method": "exact"},
    ],
    ids=str,
)
def test_any_trees_random_and_boundary_readings(train: Train, parameters: dict[str, Any]) -> None:
    booster = train(**parameters)
    check(booster, RANDOM.uniform(LOW, HIGH, (2000, len(NAMES))))
    check(booster, edges(booster))


def test_the_shipped_models_boundaries(model: Model) -> None:
    check(model.booster, edges(model.booster))


_shipped = load(SHIPPED_MODEL)
_scorer = Scorer(_shipped.booster, _shipped.card.preprocessing)


@settings(max_examples=2000)
@given(st.tuples(*(st.floats(f.low, f.high) for f in FEATURES)))
def test_any_reading_of_the_contract(row: tuple[float, ...]) -> None:
    expected = float(by_xgboost(_shipped.booster, [row])[0])
    assert _scorer.probability(row) == pytest.approx(expected, abs=TOLERANCE)


def test_a_certain_model_does_not_overflow(train: Train) -> None:
    booster = train(rounds=300, max_depth=3, eta=30, base_score=1e-6)
    rows = RANDOM.uniform(LOW, HIGH, (200, len(NAMES)))
    scorer = Scorer(booster, "identity")
    given = [scorer.probability(row) for row in rows.tolist()]
    assert all(0 <= p <= 1 and math.isfinite(p) for p in given)
    assert np.abs(np.array(given) - by_xgboost(booster, rows)).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"objective": "reg:squarederror"}, "is reg:squarederror over gbtree"),
        ({"booster": "gblinear"}, "is binary:logistic over gblinear"),
        ({"booster": "dart"}, "is binary:logistic over dart"),
    ],
)
def test_what_is_not_a_sum_of_trees_is_refused(train: Train, parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(Unscorable, match=says):
        Scorer(train(rounds=3, **parameters), "identity")


def test_a_models_golden_readings_prove_it(model: Model) -> None:
    prove(model, "model.ubj")
    first, *others = model.card.golden
    wrong = Golden(first.values, first.probability + 2e-6)
    altered = dataclasses.replace(model, card=msgspec.structs.replace(model.card, golden=[*others, wrong]))
    with pytest.raises(Unscorable, match="model.ubj gives .* saved with"):
        prove(altered, "model.ubj")
