import hashlib
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from inference.settings import SHIPPED_MODEL
from occupancy import dataset, reference
from occupancy.model import Model, load
from occupancy.reading import NAMES
from tests.inference.conftest import ROOT, run

MODEL = Path(SHIPPED_MODEL)


def sums() -> dict[str, str]:
    lines = (ROOT / "data" / "SHA256SUMS").read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def test_best_model_exists() -> None:
    assert MODEL.is_file()
    assert MODEL.stat().st_size < 2**20


def test_load_model(model: Model) -> None:
    assert model.sha256 == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert load(MODEL, model.sha256).version == load(MODEL, model.version).version == model.sha256[:12]
    assert np.isfinite(model.probability(np.zeros((3, len(NAMES)), np.float32))).all()


@pytest.mark.real_data
def test_model_accuracy(model: Model, test_path: Path) -> None:
    data = dataset.read(test_path)
    errors = int(((model.probability(data.values) >= 0.5) != data.label).sum())
    assert 1 - errors / len(data.label) >= 0.96
    assert (errors, len(data.label)) == (57, 2665)
    assert model.card.metrics["back_test.errors"] == errors


def test_it_was_trained_on_the_real_data(model: Model) -> None:
    assert model.card.simulated is False
    assert model.card.data == {"training": sums()["datatraining.txt"], "test": sums()["datatest.txt"]}
    assert model.card.timezone == "Europe/Brussels"
    assert (model.card.gate["passed"], model.card.gate["overridden"]) == (True, False)
    assert model.card.revision


def test_its_reference_is_the_one_that_it_names(model: Model) -> None:
    raw = MODEL.with_name("reference.json").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == model.card.reference
    clean = reference.load(raw)
    assert (clean.simulated, clean.timezone, tuple(clean.sensors)) == (False, model.card.timezone, NAMES)


def train(folder: Path, training_path: Path, test_path: Path, **settings: str) -> Path:
    """Train in a process of its own; gives the model file."""
    ended = run(
        "-m",
        "training",
        SAVE_PATH=str(folder),
        TRAINING_DATA=str(training_path),
        TEST_DATA=str(test_path),
        **settings,
    )
    assert ended.returncode == 0, ended.stderr
    return folder / "model.ubj"


@pytest.mark.real_data
def test_training_again_gives_the_same_bytes(
    model: Model, tmp_path: Path, training_path: Path, test_path: Path
) -> None:
    card = model.card
    again = train(tmp_path, training_path, test_path, SEED=str(card.seed), REVISION=card.revision, CREATED=card.created)
    assert structs.asdict(load(again).card) == structs.asdict(card)  # first, since it says what differs
    assert again.read_bytes() == MODEL.read_bytes()
    assert again.with_name("reference.json").read_bytes() == MODEL.with_name("reference.json").read_bytes()


@pytest.mark.real_data
def test_cores_change_only_the_speed(tmp_path: Path, training_path: Path, test_path: Path) -> None:
    one, two = (
        train(tmp_path / jobs, training_path, test_path, CANDIDATES="6", JOBS=jobs).read_bytes() for jobs in "12"
    )
    assert one == two
