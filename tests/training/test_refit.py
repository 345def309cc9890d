from pathlib import Path

import numpy as np
import pytest

from occupancy import dataset, model, simulate
from training.pipeline import train
from training.refit import OtherData, out_of_fold
from training.settings import Settings
from training.trackers import Trackers


@pytest.fixture(scope="module")
def trained(room: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of old and recent readings: the test file's play the recent ones."""
    files = {"training_data": str(room[0]), "test_data": str(room[1]), "recent_data": str(room[1])}
    folder = tmp_path_factory.mktemp("refit")
    return train(Settings(**files, candidates=2, save_path=str(folder)), Trackers({}))[0] / model.FILE  # type: ignore[arg-type]


def test_a_recipe_tried_again_gives_what_training_saw_of_the_days_held_out(
    room: tuple[Path, Path], trained: Path
) -> None:
    old, recent = dataset.read(room[0]), dataset.read(room[1])
    known = model.load(trained)
    again = out_of_fold(known, str(trained), old)
    assert again.shape == (len(old.frame),)
    wrong = int(((again >= model.THRESHOLD) != (old.label == 1)).sum())
    held_out = known.card.metrics["out_of_fold.errors"]
    assert 0 < wrong <= held_out <= wrong + len(recent.frame)
    assert not np.array_equal(again.astype(np.float32), known.probability(old.values))  # these it has learnt from


def test_a_recipe_can_be_tried_on_days_that_the_model_did_not_learn_from(
    room: tuple[Path, Path], trained: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    simulate.write(other, simulate.simulate(days=3, seed=77), seed=77)
    again = out_of_fold(model.load(trained), str(trained), dataset.read(other))
    assert ((again >= model.THRESHOLD) == (dataset.read(other).label == 1)).mean() > 0.9


def test_recent_readings_that_are_not_those_that_it_learnt_from_are_refused(
    room: tuple[Path, Path], trained: Path
) -> None:
    beside = trained.parent / "recent.csv"
    beside.write_text(beside.read_text() + "\n")
    with pytest.raises(
        OtherData, match=r"recent.csv is not what model \w{12} learnt from; copy its whole folder again"
    ):
        out_of_fold(model.load(trained), str(trained), dataset.read(room[0]))
