import json
from pathlib import Path

import numpy as np
import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import simulate
from tests.training.test_gate import DAY, GOOD, LABEL, POOR
from training import compare
from training.compare import BETTER, OPEN, WORSE, weigh


def test_who_is_better_on_every_day_is_better_and_the_other_worse() -> None:
    assert weigh(("a", "b"), LABEL, DAY, POOR, GOOD).status == BETTER
    assert weigh(("b", "a"), LABEL, DAY, GOOD, POOR).status == WORSE


def test_what_one_day_shows_is_not_shown() -> None:
    one_good_day = np.where(DAY[0] == DAY, GOOD, POOR)
    assert weigh(("a", "b"), LABEL, DAY, POOR, one_good_day).status == OPEN
    assert weigh(("a", "a"), LABEL, DAY, POOR, POOR).status == OPEN


def test_who_is_surer_and_wrong_more_often_is_not_better() -> None:
    """Sure and right pays in log loss; more errors are more errors."""
    timid = np.where(LABEL == 1, 0.51, 0.49)
    bold = np.where(LABEL == 1, 0.99, 0.01)
    bold[::50] = 1 - timid[::50]
    found = weigh(("timid", "bold"), LABEL, DAY, timid, bold)
    assert found.measures[0].difference.high < 0
    assert found.status != BETTER


def test_of_two_equal_models_one_is_seldom_called_better() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(400):
        truth = (rng.random(700) < 0.3).astype(int)
        luck = rng.normal(0, 0.05, 7).repeat(100)  # of the day
        old, new = (
            np.clip(truth * 0.7 + 0.15 + sign * luck + rng.normal(0, 0.15, 700), 0.01, 0.99) for sign in (1, -1)
        )
        called += weigh(("a", "b"), truth, DAY, old, new).status == BETTER
    assert called <= 400 * 0.08  # 5 %, and three standard errors of 400 draws


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "room.csv"
    simulate.write(path, simulate.simulate(days=4, seed=3), seed=3)
    return str(path)


def test_a_model_is_not_better_than_itself(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([str(SHIPPED_MODEL), str(SHIPPED_MODEL), data], {}) == OPEN
    said = capsys.readouterr().out
    assert said.endswith("neither is shown to be better\n")
    assert "+0.0000 to +0.0000" in said
    assert compare.main(["--json", str(SHIPPED_MODEL), str(SHIPPED_MODEL), data], {}) == OPEN
    assert len(json.loads(capsys.readouterr().out)["days"]) == 4


def test_what_can_not_be_compared_is_told(data: str, tmp_path: Path) -> None:
    with pytest.raises(compare.ThreeFiles, match="name the champion's model file, the challenger's, and a data file"):
        compare.main([str(SHIPPED_MODEL), data], {})
    short = tmp_path / "short.csv"
    simulate.write(short, simulate.simulate(days=2, seed=3), seed=3)
    with pytest.raises(compare.TooFewDays, match="has 2 dates; a comparison needs at least 3"):
        compare.main([str(SHIPPED_MODEL), str(SHIPPED_MODEL), str(short)], {})
