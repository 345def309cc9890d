import hashlib
from pathlib import Path

import numpy as np
import xgboost

from occupancy import dataset, model
from occupancy.preprocess import identity
from training.card import GOLDEN, golden
from training.pipeline import train
from training.settings import Settings
from training.trackers import Trackers


def test_the_model_carries_where_it_is_from(room: tuple[Path, Path], tmp_path: Path) -> None:
    given = Settings(training_data=str(room[0]), test_data=str(room[1]), save_path=str(tmp_path), candidates=4)
    saved, _ = train(given, Trackers({}))
    card = model.load(saved / "model.ubj").card
    assert card.simulated
    assert card.band == (0.3, 0.7)
    assert card.preprocessing == "identity"
    assert card.timezone == "Europe/Brussels"
    assert card.data == {"training": dataset.read(room[0]).sha256, "test": dataset.read(room[1]).sha256}
    assert card.reference == hashlib.sha256((saved / "reference.json").read_bytes()).hexdigest()
    assert set(card.packages) == {"xgboost", "numpy", "scikit-learn", "scipy"}
    assert len(card.golden) == GOLDEN
    assert 0.5 < card.metrics["out_of_fold.accuracy"] <= 1
    assert card.gate["passed"] is True


def test_golden_readings_go_from_the_least_to_the_most_probable(rng: np.random.Generator) -> None:
    values = rng.random((200, 5), dtype=np.float32)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(values, values[:, 2] > 0.5), 3)
    every = booster.inplace_predict(values)
    chosen = golden(booster, identity, values)
    again = booster.inplace_predict(np.array([g.values for g in chosen], dtype=np.float32))
    assert len(chosen) == GOLDEN
    assert [g.probability for g in chosen] == again.tolist() == sorted(again.tolist())
    assert (again[0], again[-1]) == (every.min(), every.max())
