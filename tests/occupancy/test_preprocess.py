from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from occupancy import dataset, model, simulate
from occupancy.model import OtherContract
from occupancy.preprocess import STEPS, Values, identity
from training.card import golden
from training.inputs import UnknownStep, prepare

SHIPPED = Path(__file__).parents[2] / "inference/model/model.ubj"


def logarithm(values: Values) -> Values:
    return np.log1p(values)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> dataset.Dataset:
    path = tmp_path_factory.mktemp("room") / "room.csv"
    simulate.write(path, simulate.simulate(days=4, seed=1), seed=1)
    return dataset.read(path)


def test_identity_leaves_the_values_as_they_are(room: dataset.Dataset) -> None:
    assert identity(room.values).tobytes() == room.values.tobytes()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_gives_a_row_for_a_row_and_leaves_its_input_alone(room: dataset.Dataset, name: str) -> None:
    """Serving scores one reading at a time: what a step gives for a row can't depend on the others."""
    values = room.values
    whole = STEPS[name](values)
    assert whole.dtype == np.float32
    assert values.tobytes() == room.values.tobytes()
    assert [STEPS[name](row[None])[0].tolist() for row in values[:50]] == whole[:50].tolist()


def test_a_new_step_is_found_by_name_recorded_and_served(
    room: dataset.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STEPS, "logarithm", logarithm)
    inputs = prepare(room, room, "logarithm")
    assert inputs.values.tolist() == logarithm(room.values).tolist()

    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(inputs.values, inputs.label), 3)
    card = msgspec.structs.replace(
        model.load(SHIPPED).card, preprocessing="logarithm", golden=golden(booster, logarithm, room.values)
    )
    raw = model.dump(booster, card)
    loaded = model.parse(raw, "room.ubj")
    assert loaded.card.preprocessing == "logarithm"
    assert loaded.probability(room.values).tolist() == booster.inplace_predict(inputs.values).tolist()

    monkeypatch.delitem(STEPS, "logarithm")
    with pytest.raises(OtherContract, match="needs preprocessing 'logarithm', this program knows identity"):
        model.parse(raw, "room.ubj")


def test_an_unknown_step_is_refused_by_training(room: dataset.Dataset) -> None:
    with pytest.raises(UnknownStep, match="PREPROCESSING=whiten: expected one of identity"):
        prepare(room, room, "whiten")
