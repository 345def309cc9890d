import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import model, simulate
from occupancy.model import Model
from occupancy.settings import InvalidSetting
from training import compare
from training.compare import BETTER, OPEN, WORSE, Compare, Readings

RNG = np.random.default_rng(0)
ROWS = 800  # of eight days, one in 14.4 minutes
TIME = pd.Series(pd.date_range("2015-02-02", periods=ROWS, freq="864s", tz="UTC"))
LABEL = (RNG.random(ROWS) < 0.3).astype(int)
GOOD = np.where(LABEL == 1, 0.9, 0.1) + 0.01 * RNG.random(ROWS)
POOR = np.where(RNG.random(ROWS) < 0.2, 1 - GOOD, GOOD)
ROOM = np.full(ROWS, "", object)
TABLE = Compare()


def readings(champion: np.ndarray, challenger: np.ndarray, room: np.ndarray = ROOM) -> Readings:
    return Readings(TIME, room, LABEL, champion, challenger)


def status(champion: np.ndarray, challenger: np.ndarray) -> int:
    return compare.compare(("a", "b"), readings(champion, challenger), None, TABLE).status


def test_who_is_better_on_every_day_is_better_and_the_other_worse() -> None:
    assert status(POOR, GOOD) == BETTER
    assert status(GOOD, POOR) == WORSE
    assert status(POOR, POOR) == OPEN


def test_what_one_afternoon_shows_is_not_shown() -> None:
    one_good_afternoon = POOR.copy()
    one_good_afternoon[50:75] = GOOD[50:75]
    assert status(POOR, one_good_afternoon) == OPEN


def test_who_is_only_surer_is_not_better() -> None:
    timid = np.where(LABEL == 1, 0.51, 0.49)
    bold = np.where(LABEL == 1, 0.99, 0.01)
    found = compare.compare(("timid", "bold"), readings(timid, bold), None, TABLE)
    assert found.checks[0].difference.high < 0
    assert found.status == OPEN


def test_one_day_on_which_it_errs_more_speaks_against_it() -> None:
    """As after a day of turned-over labels: much better on that day, and worse on the others."""
    turned = slice(400, 800)
    champion, challenger = GOOD.copy(), GOOD.copy()
    champion[turned], challenger[turned] = 1 - GOOD[turned], GOOD[turned]
    challenger[300:400] = POOR[300:400]
    found = compare.compare(("a", "b"), readings(champion, challenger), None, TABLE)
    assert found.status == OPEN
    assert [check.group for check in found.checks if not check.passed] == ["2015-02-05"]
    assert "2015-02-05" in found.against[0]


@pytest.mark.parametrize(("rows", "worse", "passes"), [(8, 2, True), (8, 6, False), (29, 2, True), (29, 4, False)])
def test_a_small_room_may_have_two_errors_more_by_chance(rows: int, worse: int, passes: bool) -> None:
    room = np.where(np.arange(ROWS) < rows, "small", "large").astype(object)
    challenger = GOOD.copy()
    champion = np.where(np.arange(ROWS) < rows, GOOD, POOR)
    challenger[:worse] = 1 - GOOD[:worse]
    found = compare.compare(("a", "b"), readings(champion, challenger, room), None, TABLE)
    assert next(check for check in found.checks if check.group == "room small").passed is passes


def test_a_few_hours_show_nothing() -> None:
    """Of two dates with one block each, equal models would be called better every fifth time."""
    few = np.isin(np.arange(ROWS), [*range(10), *range(200, 210)])
    part = Readings(TIME[few], ROOM[few], LABEL[few], 1 - GOOD[few], GOOD[few])
    assert compare.compare(("a", "b"), part, None, TABLE).status == OPEN


def test_one_room_that_gets_worse_speaks_against_it() -> None:
    room = np.array(["a", "b"] * (ROWS // 2), object)
    challenger = np.where(room == "a", GOOD, np.where(RNG.random(ROWS) < 0.1, 1 - GOOD, GOOD))
    champion = np.where(room == "a", 1 - GOOD, GOOD)
    found = compare.compare(("a", "b"), readings(champion, challenger, room), None, TABLE)
    assert {check.group for check in found.checks if not check.passed} == {"room b"}
    assert found.status == OPEN


@pytest.mark.parametrize(("share", "passes"), [(0.0, True), (0.005, True), (0.15, False)])
def test_on_the_old_days_it_may_lose_no_more_than_the_margin(share: float, passes: bool) -> None:
    forgetful = np.where(np.random.default_rng(1).random(ROWS) < share, 1 - GOOD, GOOD)
    found = compare.compare(("a", "b"), readings(POOR, GOOD), readings(GOOD, forgetful), TABLE)
    assert (found.status == BETTER) is passes
    assert [check.passed for check in found.checks if check.part == "old"] == [passes, passes]


def test_of_two_equal_models_one_is_seldom_called_better() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(200):
        luck = np.repeat(rng.normal(0, 0.05, 32), 25)  # of six hours
        old, new = (np.clip(LABEL * 0.6 + 0.2 + sign * luck + rng.normal(0, 0.2, ROWS), 0.01, 0.99) for sign in (1, -1))
        called += status(old, new) == BETTER
    assert called <= 200 * 0.03


def test_a_model_that_is_sure_of_nonsense_is_not_better(shipped: Model) -> None:
    class Leaning:
        """A model that leans to the contrary answer, as far as it is told."""

        answer = shipped.answer

        def __init__(self, contrary: float) -> None:
            self.contrary = contrary

        def probability(self, values: np.ndarray) -> np.ndarray:
            return np.where(shipped.probability(values) > 0.5, 1 - self.contrary, self.contrary)

    assert all(compare.plain(shipped).values())
    assert all(compare.plain(Leaning(0.65)).values())  # type: ignore[arg-type] # uncertain
    assert not any(compare.plain(Leaning(0.75)).values())  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shipped() -> Model:
    return model.load(SHIPPED_MODEL)


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "room.csv"
    simulate.write(path, simulate.simulate(days=4, seed=3), seed=3)
    return str(path)


def test_a_model_is_not_better_than_itself(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([SHIPPED_MODEL, SHIPPED_MODEL, data], {}) == OPEN
    said = capsys.readouterr().out
    assert said.endswith("the challenger is not shown to be better\n")
    assert "+0.0000 to +0.0000" in said
    assert compare.main(["--json", SHIPPED_MODEL, SHIPPED_MODEL, data], {}) == OPEN
    found = json.loads(capsys.readouterr().out)
    assert [check["group"] for check in found["checks"]] == ["", "", *(f"2015-02-0{day}" for day in (2, 3, 4, 5))]
    assert len(found["against"]) == 2


def test_what_can_not_be_compared_is_told(data: str, tmp_path: Path) -> None:
    with pytest.raises(compare.ThreeFiles, match="name the champion's model file, the challenger's, and a data file"):
        compare.main([SHIPPED_MODEL, data], {})
    short = tmp_path / "short.csv"
    simulate.write(short, simulate.simulate(days=1, seed=3), seed=3)
    with pytest.raises(compare.TooFewDays, match="has 1 dates with 10 readings or more; a comparison needs at least 2"):
        compare.main([SHIPPED_MODEL, SHIPPED_MODEL, str(short)], {})
    with pytest.raises(InvalidSetting, match="COMPARE_LEVEL='debug'"):
        compare.main([SHIPPED_MODEL, SHIPPED_MODEL, data], {"COMPARE_LEVEL": "debug", "LEVEL": "debug"})
