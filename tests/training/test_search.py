import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occupancy.reading import NAMES
from training import search
from training.search import Race, Scored, fold_by_day, standard_error
from training.space import Candidate


def exhaustive(candidates: list[Candidate], losses: list[list[float]], rows: list[int]) -> Candidate:
    """The rule as it is written, with every candidate scored on every day."""
    table, n = np.array(losses), np.array(rows)
    pooled = table.sum(axis=1) / n.sum()
    best = int(np.argmin(pooled))
    enough = pooled[best] + standard_error(table[best], n)
    good = [i for i in range(len(candidates)) if pooled[i] <= enough]
    return candidates[min(good, key=lambda i: (candidates[i]["max_depth"], pooled[i]))]


@st.composite
def races(draw: st.DrawFn) -> tuple[list[Candidate], list[list[float]], list[int]]:
    days = draw(st.integers(2, 6))
    rows = draw(st.lists(st.integers(1, 1000), min_size=days, max_size=days))
    count = draw(st.integers(1, 8))
    depths = draw(st.lists(st.integers(1, 4), min_size=count, max_size=count))
    loss = st.floats(0, 1e4, allow_nan=False).map(lambda x: x + 1e-3)
    losses = draw(st.lists(st.lists(loss, min_size=days, max_size=days), min_size=count, max_size=count))
    return [{"max_depth": d, "n_estimators": i} for i, d in enumerate(depths)], losses, rows


@given(races(), st.integers(1, 6))
def test_stopping_early_never_changes_the_winner(
    race: tuple[list[Candidate], list[list[float]], list[int]], telling: int
) -> None:
    candidates, losses, rows = race
    scored = [Scored(c) for c in candidates]
    index = {id(s): i for i, s in enumerate(scored)}

    def run(work: list[tuple[Scored, int]]) -> list[float]:
        assert all(day == len(s.losses) for s, day in work)
        return [losses[index[id(s)]][day] for s, day in work]

    assert Race(scored, np.array(rows), run, telling).winner().candidate == exhaustive(candidates, losses, rows)


@given(
    st.lists(st.tuples(st.floats(1e-6, 1e3), st.integers(1, 500)), min_size=2, max_size=7),
    st.integers(1, 6),
)
def test_the_bounds_hold_for_whatever_days_remain(days: list[tuple[float, int]], known: int) -> None:
    losses, rows = [d[0] for d in days], np.array([d[1] for d in days])
    known = min(known, len(days) - 1)
    race = Race([], rows, lambda _: [])
    loss, threshold = race.at_least(Scored({"max_depth": 1}, losses[:known]))
    complete = Scored({"max_depth": 1}, losses)
    assert loss <= race.loss(complete) * (1 + 1e-12)
    assert threshold <= race.threshold(complete) * (1 + 1e-12)


def test_hopeless_candidates_are_stopped_early() -> None:
    first_day = [9.0, 10, 11, 12, 90, 95, 1e3]
    scored = [Scored({"max_depth": 1 + (i == 6), "n_estimators": i}) for i in range(7)]
    race = Race(
        scored, np.full(4, 10), lambda work: [1 if d else first_day[int(s.candidate["n_estimators"])] for s, d in work]
    )
    assert race.winner() is scored[0]
    assert [len(s.losses) for s in scored] == [4, 4, 4, 4, 1, 1, 1]


def test_the_standard_error_is_the_textbook_one_for_days_of_equal_size() -> None:
    means = np.array([0.1, 0.4, 0.2, 0.7])
    expected = means.std(ddof=1) / np.sqrt(len(means))
    assert standard_error(means * 50, np.full(4, 50)) == pytest.approx(expected)


def test_log_loss_is_pinned() -> None:
    loss = search.log_loss(np.array([1, 0, 1]), np.array([0.8, 0.8, 0.0]))
    assert loss == pytest.approx([0.2231435513, 1.6094379124, 16.118095651])


def small(rng: np.random.Generator, rows: int = 400) -> search.Folds:
    values = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    label = (values[:, 2] + 0.3 * rng.normal(size=rows) > 0).astype(np.int8)
    day = np.array([f"2015-02-0{1 + i * 4 // rows}" for i in range(rows)])
    return fold_by_day(values, label, day)


def test_folds_are_whole_days_and_hold_no_row_of_the_day_left_out(rng: np.random.Generator) -> None:
    folds = small(rng)
    assert folds.days == ["2015-02-01", "2015-02-02", "2015-02-03", "2015-02-04"]
    for fold, rows in enumerate(folds.rows):
        assert len(folds.held_out[fold]) == rows == 100
        assert folds.train[fold].num_row() == 300
    assert folds.whole.num_row() == 400


def test_a_weight_of_one_is_none_and_a_weight_of_three_is_three_rows(rng: np.random.Generator) -> None:
    values = rng.normal(size=(400, 5)).astype(np.float32)
    label = (values[:, 2] + 0.3 * rng.normal(size=400) > 0).astype(np.int8)
    day = np.repeat(["a", "b", "c", "d"], 100)
    late = np.flatnonzero(day == "d")
    label[late[::3]] ^= 1  # a day that is hard
    thrice = np.concatenate([np.arange(400), late, late])
    ways = {
        "plain": fold_by_day(values, label, day),
        "ones": fold_by_day(values, label, day, np.ones(400)),
        "threes": fold_by_day(values, label, day, np.where(day == "d", 3.0, 1.0)),
        "rows": fold_by_day(values[thrice], label[thrice], day[thrice]),
    }
    candidate: Candidate = {"max_depth": 2, "n_estimators": 8, "learning_rate": 0.3}
    found = {name: search.search([candidate], folds, 0, 1, lambda: None) for name, folds in ways.items()}
    assert found["ones"].winner.losses == found["plain"].winner.losses
    assert found["ones"].loss == found["plain"].loss
    assert (ways["threes"].rows == ways["rows"].rows).all()
    assert found["threes"].loss == pytest.approx(found["rows"].loss, rel=0.05)  # where bins are cut differs a little
    assert found["threes"].loss != pytest.approx(found["plain"].loss, rel=0.01)


CANDIDATES: list[Candidate] = [
    {"max_depth": depth, "n_estimators": trees, "learning_rate": 0.3, "subsample": 0.8}
    for depth in (1, 2, 3)
    for trees in (5, 15)
]


def test_the_number_of_jobs_changes_nothing(rng: np.random.Generator) -> None:
    folds = small(rng)
    one, four = (search.search(CANDIDATES, folds, 7, jobs, lambda: None) for jobs in (1, 4))
    assert one.winner.candidate == four.winner.candidate
    assert [s.losses for s in one.scored] == [s.losses for s in four.scored]
    assert one.fits == four.fits <= len(CANDIDATES) * 4


def test_every_fit_is_progress(rng: np.random.Generator) -> None:
    done: list[None] = []
    assert search.search(CANDIDATES, small(rng), 7, 2, lambda: done.append(None)).fits == len(done)


def test_more_light_or_co2_never_lowers_the_probability(rng: np.random.Generator) -> None:
    values = rng.normal(size=(500, 5)).astype(np.float32)
    label = (np.sin(5 * values[:, 2]) + values[:, 3] ** 2 > 0.5).astype(np.int8)  # as unfriendly as can be
    booster = search.fit(
        {"max_depth": 3, "n_estimators": 30}, fold_by_day(values, label, np.array(["a", "b"] * 250)).whole, 0
    )
    for sensor in (2, 3):
        grid = np.tile(values[:1], (200, 1))
        grid[:, sensor] = np.linspace(-3, 3, 200)
        assert (np.diff(booster.inplace_predict(grid)) >= 0).all()
