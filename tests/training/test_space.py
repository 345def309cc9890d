from pathlib import Path

import pytest

from training import space


def test_the_default_space_draws_candidates_that_xgboost_allows() -> None:
    drawn = space.draw(space.load(), 200, seed=3)
    assert len(drawn) == 200
    for candidate in drawn:
        for name, value in candidate.items():
            kind, low, high = space.PARAMETERS[name]
            assert type(value) is kind
            assert low <= value <= high


def test_the_same_seed_draws_the_same_candidates_and_another_seed_others() -> None:
    assert space.draw(space.load(), 20, seed=1) == space.draw(space.load(), 20, seed=1)
    assert space.draw(space.load(), 20, seed=1) != space.draw(space.load(), 20, seed=2)


def test_bounds_are_included_and_a_small_space_is_drawn_without_repetition(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text("max_depth: {choice: [1, 2]}\nn_estimators: {choice: [10, 20]}")
    with pytest.warns(UserWarning, match="smaller than n_iter"):
        drawn = space.draw(space.load(str(file)), 50, seed=0)
    assert sorted((c["max_depth"], c["n_estimators"]) for c in drawn) == [(1, 10), (1, 20), (2, 10), (2, 20)]
    file.write_text("max_depth: {integer: [1, 2]}\nn_estimators: {choice: [10]}")
    assert {c["max_depth"] for c in space.draw(space.load(str(file)), 50, seed=0)} == {1, 2}


OK = "n_estimators: {choice: [10]}\nmax_depth: "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            OK + "{choice: [1]}\ndepth: {choice: [1]}",
            "depth is not a parameter that can be searched; these are max_depth",
        ),
        (OK + "3", "max_depth: expected one of choice, uniform, log_uniform, integer"),
        (OK + "{between: [1, 2]}", "max_depth: expected one of choice"),
        (OK + "{choice: []}", "max_depth: choice needs a list of values"),
        (OK + "{choice: [1.5]}", "max_depth: 1.5 is not a whole number from 1 to 16"),
        (OK + "{choice: [yes]}", "max_depth: True is not a whole number"),
        (OK + "{choice: ['2']}", "max_depth: '2' is not a whole number"),
        (OK + "{integer: [1, 99]}", "max_depth: 99 is not a whole number from 1 to 16"),
        (OK + "{integer: [3, 1]}", "max_depth: integer needs two numbers in rising order"),
        (OK + "{integer: [1, 2, 3]}", "max_depth: integer needs a list of two numbers"),
        (OK + "{uniform: [1, 2]}", "max_depth: uniform does not fit a whole number; use integer"),
        (OK + "{choice: [1]}\ngamma: {integer: [0, 2]}", "gamma: integer does not fit a real number; use uniform"),
        (
            OK + "{choice: [1]}\ngamma: {log_uniform: [0, 2]}",
            "gamma: log_uniform needs two numbers in rising order above 0",
        ),
        (OK + "{choice: [1]}\nsubsample: {uniform: [0.5, 1.5]}", "subsample: 1.5 is not a number from 0.05 to 1"),
        ("max_depth: {choice: [1]}", "n_estimators is missing"),
        ("", "expected parameters"),
        ("- 1", "expected parameters"),
        ("max_depth: [", "space.yaml: "),
        (OK + "{choice: [1]}\ngamma: 2015-99-99", "month must be in 1..12"),
        ("[" * 3000, "space.yaml: "),
    ],
)
def test_a_wrong_space_names_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(space.InvalidSpace) as error:
        space.load(str(file))
    assert message in str(error.value)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_missing_space_names_the_file() -> None:
    with pytest.raises(space.InvalidSpace, match="^no-such-file.yaml: No such file or directory$"):
        space.load("no-such-file.yaml")


def test_a_space_can_run_nothing(tmp_path: Path) -> None:
    file, ran = tmp_path / "space.yaml", tmp_path / "ran"
    file.write_text(f"{OK}!!python/object/apply:os.mkdir [{ran}]")
    with pytest.raises(space.InvalidSpace, match="could not determine a constructor"):
        space.load(str(file))
    assert not ran.exists()
