import numpy as np
import pytest

from occupancy import dataset
from training import baselines


def test_the_light_rule_looks_at_light_alone(rng: np.random.Generator) -> None:
    values = rng.uniform(0, 1000, (200, 5)).astype(np.float32)
    label = (values[:, 2] > 365).astype(np.int8)
    probability = baselines.light_rule(values, label, np.array([[0, 0, 365, 0, 0], [0, 0, 366, 0, 0]], np.float32))
    assert probability[0] < 0.05
    assert probability[1] > 0.95


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_no_baseline_sees_the_day_it_predicts(name: str, rng: np.random.Generator) -> None:
    values = rng.normal(500, 100, (90, 5)).astype(np.float32)
    label = (values[:, 2] > 500).astype(np.int8)
    day = np.repeat(["a", "b", "c"], 30)
    before = baselines.out_of_fold(baselines.BASELINES[name], values, label, day)
    label[day == "b"] = 1 - label[day == "b"]
    after = baselines.out_of_fold(baselines.BASELINES[name], values, label, day)
    np.testing.assert_array_equal(before[day == "b"], after[day == "b"])


@pytest.mark.real_data
def test_the_known_errors_on_the_real_test_file(training_path: str, test_path: str) -> None:
    train, test = dataset.read(training_path), dataset.read(test_path)
    errors = {
        name: int(((method(train.values, train.label, test.values) >= 0.5) != (test.label == 1)).sum())
        for name, method in baselines.BASELINES.items()
    }
    assert errors == {
        "majority": 972,
        "Light > 365 lux": 57,
        "logistic regression": 61,
        "linear discriminant analysis": 56,
        "default XGBoost": 171,
    }
