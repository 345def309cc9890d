import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.blocks import blocks, paired_difference


def test_a_block_is_four_hours_of_a_room() -> None:
    time = pd.Series(pd.date_range("2015-02-02 00:00", periods=16, freq="2h", tz="Europe/Brussels"))
    assert blocks(time, np.full(16, "a", object)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]
    rooms = np.array(["a", "b"] * 8, object)
    assert len(set(blocks(time, rooms))) == 16


def test_a_difference_is_pinned() -> None:
    rng = np.random.default_rng(3)
    loss, other, block = rng.random(200), rng.random(200), np.repeat(np.arange(20), 10)
    found = paired_difference(loss, other, block, 0.05)
    assert found.mean == pytest.approx(np.mean(loss - other), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((-0.037354, 0.036255), abs=1e-6)
    assert paired_difference(loss, other, block, 0.05) == found


@given(st.floats(-5, 5), st.integers(7, 30))
def test_what_is_the_same_everywhere_is_sure(shift: float, count: int) -> None:
    found = paired_difference(np.full(count * 3, shift), np.zeros(count * 3), np.repeat(np.arange(count), 3), 0.01)
    assert (found.low, found.high) == pytest.approx((shift, shift))


def test_a_few_blocks_show_nothing_and_blocks_that_are_too_short_claim_too_much() -> None:
    alike = np.repeat(np.random.default_rng(0).normal(size=8), 10)  # ten neighbours are one thing said ten times
    for few in (1, 2, 4):
        found = paired_difference(alike, np.zeros(80), np.arange(80) * few // 80, 0.05)
        assert (found.low, found.high) == (-np.inf, np.inf)
    honest, short = (paired_difference(alike, np.zeros(80), np.arange(80) // rows, 0.05) for rows in (10, 1))
    assert honest.high - honest.low > 2.5 * (short.high - short.low)


def test_the_interval_covers_the_truth_as_often_as_it_says_where_blocks_are_independent() -> None:
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(600):
        per_block = rng.normal(0, 1, 12)
        found = paired_difference(np.repeat(per_block, 5), np.zeros(60), np.repeat(np.arange(12), 5), 0.05)
        missed += found.high < 0
    assert 0.02 <= missed / 600 <= 0.085  # 5 %, and three standard errors
