from pathlib import Path

import numpy as np
import pytest

from occupancy import dataset
from training import evaluate, search
from training.baselines import BASELINES
from training.inputs import Inputs, prepare

DAY = np.array(["a"] * 4 + ["b"] * 4)
LABEL = np.array([1, 0, 1, 0, 1, 1, 0, 0])
PROBABILITY = np.array([0.9, 0.2, 0.4, 0.6, 0.8, 0.3, 0.1, 0.05])


def test_a_score_is_pinned() -> None:
    score = evaluate.score(LABEL, PROBABILITY, (0.3, 0.7))
    assert score.rows == 8
    assert score.errors == 3
    assert score.accuracy == 0.625
    assert score.log_loss == pytest.approx(0.468107, abs=1e-6)
    assert score.brier == pytest.approx(0.164062, abs=1e-6)
    assert score.roc_auc == pytest.approx(0.875)
    assert score.uncertain == 0.375  # 0.3 is inside the band
    assert score.error_outside == 0.0


def test_a_day_of_one_class_has_no_roc_and_a_day_all_uncertain_no_error_outside() -> None:
    score = evaluate.score(np.zeros(3), np.array([0.4, 0.5, 0.6]), (0.3, 0.7))
    assert score.roc_auc is None
    assert score.error_outside is None


def test_scores_by_day_add_up() -> None:
    days = evaluate.by_day(LABEL, PROBABILITY, DAY, (0.3, 0.7))
    assert list(days) == ["a", "b"]
    assert sum(s.errors for s in days.values()) == 3


def test_a_paired_difference_is_pinned() -> None:
    loss, other = np.array([1.0, 1, 1, 1, 3, 3, 3, 3]), np.zeros(8)
    difference = evaluate.paired_difference(loss, other, DAY)
    assert difference.mean == 2.0
    assert difference.standard_error == 1.0  # two days, one above and one below by 1
    assert difference.high - difference.mean == pytest.approx(6.313752, abs=1e-5)  # t(0.95) of one degree of freedom


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(8).astype(str), 5)
    inside = 0
    for _ in range(2000):
        loss = np.repeat(rng.normal(0.3, 1, 8), 5)
        d = evaluate.paired_difference(loss, np.zeros(40), day)
        inside += d.low <= 0.3 <= d.high
    assert 0.88 < inside / 2000 < 0.92


def test_calibration_bins() -> None:
    bins = evaluate.calibration(LABEL, PROBABILITY, bins=2)
    assert [(b.rows, b.observed) for b in bins] == [(5, 0.4), (3, pytest.approx(2 / 3, abs=1e-6))]
    assert evaluate.calibration(np.array([1]), np.array([1.0]))[0].predicted == 1.0


def test_a_day_is_predicted_without_its_own_labels(room: tuple[Path, Path]) -> None:
    inputs = prepare(dataset.read(room[0]), dataset.read(room[1]), "identity")
    day = inputs.day == inputs.day[2000]
    flipped = Inputs(**{**vars(inputs), "label": np.where(day, 1 - inputs.label, inputs.label)})

    def predict(given: Inputs) -> dict[str, np.ndarray]:
        folds = search.fold_by_day(given.values, given.label, given.day)
        return evaluate.predict_held_out({"max_depth": 1, "n_estimators": 5}, folds, given, seed=0)

    honest, other = predict(inputs), predict(flipped)
    assert list(honest) == ["model", *BASELINES]
    for name, probability in honest.items():
        assert probability[day].tolist() == other[name][day].tolist()
        assert probability[~day].tolist() != other[name][~day].tolist()
