import doctest

import pandas as pd
import pytest

from benchmark import continual
from benchmark.continual import CHAMPION, USUAL, WAYS, Outcome, learnt, rows_of, table
from benchmark.drift_rooms import DAY, simulated_room
from benchmark.loop_cases import KNOWN, changed
from occupancy.mapping import LABEL


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    room = simulated_room(seed=2, days=6)
    return learnt(KNOWN["lamps never off"], room.history, room.frame, [2 * DAY, 4 * DAY], seed=2, one_in=10)


def of(outcomes: list[Outcome], way: str, block: int) -> Outcome:
    return next(one for one in outcomes if (one.way, one.block) == (way, block))


def test_every_way_begins_with_the_champion_and_has_an_outcome_after_each_block(outcomes: list[Outcome]) -> None:
    assert {(one.way, one.block) for one in outcomes} == {(way, block) for way in WAYS for block in range(3)}
    assert len({(one.loss, one.accuracy) for one in outcomes if one.block == 0 or one.way == CHAMPION}) == 1


def test_old_and_recent_readings_together_gain_without_forgetting(outcomes: list[Outcome]) -> None:
    champion, usual = of(outcomes, CHAMPION, 2), of(outcomes, USUAL, 2)
    assert usual.accuracy > champion.accuracy + 0.1
    assert usual.old_loss < champion.old_loss + 0.02


def test_continued_boosting_keeps_all_trees_and_new_leaves_keep_their_number(outcomes: list[Outcome]) -> None:
    assert [of(outcomes, "25 more trees, newest block", block).trees for block in range(3)] == [100, 125, 150]
    assert of(outcomes, "leaves anew, newest block", 2).trees == 100
    assert of(outcomes, "recent only", 2).trees == 100


def test_the_table_tells_differences_to_the_champion_with_intervals_over_rooms(outcomes: list[Outcome]) -> None:
    both = [*outcomes, *(one._replace(seed=3, loss=one.loss + 0.1) for one in outcomes)]
    rows = {str(row[0]): row for row in table(both, ["lamps never off"]).rows}
    gain = of(outcomes, USUAL, 2).loss - of(outcomes, CHAMPION, 2).loss
    assert str(rows[USUAL][1]).startswith(f"{gain:+.3f} (")
    assert rows[USUAL][5] == "1.00"


def test_a_shift_moves_people_and_their_air_and_leaves_the_sun() -> None:
    frame = simulated_room(seed=1, days=3).frame
    moved = changed(KNOWN["late shift"], frame, DAY, 1)
    assert moved[:DAY].equals(frame[:DAY])
    later = slice(DAY + 300, None)
    for name in ("CO2", LABEL):
        assert moved[name][later].tolist() == frame[name][DAY:-300].tolist()
    both_out = (moved[LABEL] == 0) & (frame[LABEL] == 0)
    pd.testing.assert_series_equal(moved["Light"][both_out], frame["Light"][both_out])


def test_the_doctests_hold() -> None:
    assert doctest.testmod(continual, extraglobs={"pd": pd}).failed == 0
    assert len(rows_of(simulated_room(seed=1, days=1).frame).weight) == DAY
