from typing import Any

from benchmark import seeds


def report(loss: float, errors: int) -> dict[str, Any]:
    score = {"log_loss": loss, "errors": errors, "accuracy": 1 - errors / 1000}
    return {
        "winner": {"hyperparameters": {"max_depth": 1, "n_estimators": 100}},
        "out_of_fold": {"model": score},
        "back_test": {"model": score},
    }


def test_the_table_has_a_row_a_seed_then_mean_and_standard_deviation() -> None:
    lines = seeds.table([report(0.1, 10), report(0.3, 30)]).splitlines()
    assert lines[2] == "| 0 | 1 | 100 | 0.1000 | 10 | 0.1000 | 99.00% | 10 |"
    assert lines[4] == "| mean | | | 0.2000 | 20 | 0.2000 | 98.00% | 20 |"
    assert lines[5] == "| standard deviation | | | 0.1414 | 14 | 0.1414 | 1.41% | 14 |"
