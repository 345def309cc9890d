import hashlib
import json
from pathlib import Path

import pytest

from occupancy import dataset, model, reference
from training import pipeline, save
from training.gate import GateRefused
from training.settings import InvalidBand, Settings, band
from training.trackers import Trackers

QUICK = {"candidates": 6, "jobs": 2}


def settings(room: tuple[Path, Path], save_path: Path, **changes: object) -> Settings:
    given = {"training_data": str(room[0]), "test_data": str(room[1]), "save_path": str(save_path), **QUICK, **changes}
    return Settings(**given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def saved(room: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, simulated = pipeline.train(settings(room, tmp_path_factory.mktemp("saved")), Trackers({}))
    assert simulated
    return folder


def test_the_whole_set_is_saved_and_named_by_the_model(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == sorted(pipeline.COMPANIONS)
    assert model.load(saved / "model.ubj").version == saved.name


def test_the_model_carries_where_it_is_from(saved: Path, room: tuple[Path, Path]) -> None:
    card = model.load(saved / "model.ubj").card
    assert card.simulated
    assert card.band == (0.3, 0.7)
    assert card.preprocessing == "identity"
    assert card.timezone == "Europe/Brussels"
    assert card.data == {"training": dataset.read(room[0]).sha256, "test": dataset.read(room[1]).sha256}
    assert card.reference == hashlib.sha256((saved / "reference.json").read_bytes()).hexdigest()
    assert set(card.packages) == {"xgboost", "numpy", "scikit-learn", "scipy"}
    assert len(card.golden) == pipeline.GOLDEN
    assert 0.5 < card.metrics["out_of_fold.accuracy"] <= 1
    assert card.gate["passed"] is True


def test_the_report_says_simulated_loudly_and_agrees_with_the_model(saved: Path) -> None:
    content = json.loads((saved / "report.json").read_text())
    assert content["simulated"] is True
    assert content["winner"]["hyperparameters"] == model.load(saved / "model.ubj").card.hyperparameters
    page = (saved / "report.html").read_text()
    assert "SIMULATED DATA" in page
    assert page.count("<svg") >= 8


def test_the_reference_is_that_of_the_training_data(saved: Path, room: tuple[Path, Path]) -> None:
    assert reference.load((saved / "reference.json").read_bytes()) == reference.compute(dataset.read(room[0]))


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_same_inputs_give_the_same_bytes_on_any_number_of_cores(
    saved: Path, room: tuple[Path, Path], tmp_path: Path, jobs: int
) -> None:
    again, _ = pipeline.train(settings(room, tmp_path, jobs=jobs), Trackers({}))
    assert again.name == saved.name
    assert (again / "model.ubj").read_bytes() == (saved / "model.ubj").read_bytes()


def test_seed_creation_time_and_revision_are_inputs(saved: Path, room: tuple[Path, Path], tmp_path: Path) -> None:
    other, _ = pipeline.train(settings(room, tmp_path, revision="abc", created="2026-01-02T03:04:05Z"), Trackers({}))
    card = model.load(other / "model.ubj").card
    assert (card.revision, card.created) == ("abc", "2026-01-02T03:04:05Z")
    assert other.name != saved.name


def test_choice_and_gate_do_not_depend_on_the_test_file(saved: Path, room: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = pipeline.train(settings((room[0], room[0]), tmp_path), Trackers({}))
    one, two = (json.loads((f / "report.json").read_text()) for f in (saved, folder))
    assert one["winner"] == two["winner"]
    assert one["gate"] == two["gate"]
    assert one["back_test"] != two["back_test"]


def test_a_refused_model_leaves_the_earlier_set_and_a_report(room: tuple[Path, Path], tmp_path: Path) -> None:
    earlier, _ = pipeline.train(settings(room, tmp_path), Trackers({}))
    hasty = tmp_path / "hasty.yaml"
    hasty.write_text("max_depth: {choice: [1]}\nn_estimators: {choice: [1]}\nlearning_rate: {choice: [0.001]}")
    with pytest.raises(GateRefused, match="error rate is .* against Light > 365 lux"):
        pipeline.train(settings(room, tmp_path, search_space=str(hasty), candidates=1), Trackers({}))
    assert (tmp_path / "current").resolve() == earlier.resolve()
    assert "The gate refused it" in (tmp_path / "refused" / "report.html").read_text()
    change = {"search_space": str(hasty), "candidates": 1, "override_gate": True}
    overridden, _ = pipeline.train(settings(room, tmp_path, **change), Trackers({}))
    assert model.load(overridden / "model.ubj").card.gate["overridden"] is True


def test_real_and_simulated_data_do_not_mix(room: tuple[Path, Path], tmp_path: Path) -> None:
    real = tmp_path / "datatest.txt"
    real.write_text("".join(room[1].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(dataset.MixedData, match="make data"):
        pipeline.train(settings((room[0], real), tmp_path / "out"), Trackers({}))


def test_too_few_days_and_days_of_one_class_are_refused(room: tuple[Path, Path], tmp_path: Path) -> None:
    lines = room[0].read_text().splitlines(keepends=True)
    short = tmp_path / "short.csv"
    short.write_text("".join(lines[: 2 + 2 * 1440]))
    with pytest.raises(pipeline.TooFewDays, match=r"short.csv has 2 dates: whole days are held out, so at least 3"):
        pipeline.train(settings((short, room[1]), tmp_path / "out"), Trackers({}))
    one_day = tmp_path / "one-day.csv"
    emptied = [line.rstrip()[:-1] + "0\n" if i > 1441 else line for i, line in enumerate(lines)]
    one_day.write_text("".join(emptied))
    with pytest.raises(pipeline.TooFewDays, match="without 2015-02-02 only one class is left"):
        pipeline.train(settings((one_day, room[1]), tmp_path / "out"), Trackers({}))


def test_too_many_bad_rows_are_kept_where_a_person_finds_them(room: tuple[Path, Path], tmp_path: Path) -> None:
    lines = room[0].read_text().splitlines(keepends=True)
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(line.replace(",", ",x", 2) if i % 10 == 5 else line for i, line in enumerate(lines)))
    with pytest.raises(dataset.InvalidDataset, match=r"refused/quarantine\.csv"):
        pipeline.train(settings((bad, room[1]), tmp_path / "out"), Trackers({}))
    kept = (tmp_path / "out" / "refused" / "quarantine.csv").read_text().splitlines()
    assert len(kept) > len(lines) // 20
    assert "bad.csv,6," in kept[1]


def test_data_home_offers_the_real_file_before_the_simulated_one(tmp_path: Path) -> None:
    assert pipeline.default_file(tmp_path, "datatest.txt").name == "datatest.txt"
    (tmp_path / "simulated-datatest.txt").touch()
    assert pipeline.default_file(tmp_path, "datatest.txt").name == "simulated-datatest.txt"
    (tmp_path / "datatest.txt").touch()
    assert pipeline.default_file(tmp_path, "datatest.txt").name == "datatest.txt"


def test_an_unknown_step_is_named(room: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(pipeline.UnknownStep, match="PREPROCESSING=polish: expected one of identity"):
        pipeline.train(settings(room, tmp_path, preprocessing="polish"), Trackers({}))


def test_a_save_path_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    missing = (tmp_path / "none.csv", tmp_path / "none.csv")
    with pytest.raises(save.UnwritableSavePath):
        pipeline.train(settings(missing, tmp_path / "out"), Trackers({}))


@pytest.mark.parametrize("text", ["0.3", "a,b", "0.7,0.3", "-0.1,0.5", "0.5,1.1", "0.3,0.5,0.7", "nan,1"])
def test_a_wrong_band_is_named(text: str) -> None:
    with pytest.raises(InvalidBand, match=f"BAND={text}: expected two probabilities"):
        band(text)
