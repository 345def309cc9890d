import json
from datetime import date
from pathlib import Path

import pytest

from occupancy import dataset, model, reference, simulate
from training import pipeline, save, search
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
    assert sorted(p.name for p in saved.iterdir()) == sorted(pipeline.SET)
    assert model.load(saved / "model.ubj").version == saved.name


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


def test_a_save_path_that_cannot_be_written_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    missing = (tmp_path / "none.csv", tmp_path / "none.csv")
    with pytest.raises(save.UnwritableSavePath):
        pipeline.train(settings(missing, tmp_path / "out"), Trackers({}))


@pytest.mark.parametrize("text", ["0.3", "a,b", "0.7,0.3", "-0.1,0.5", "0.5,1.1", "0.3,0.5,0.7", "nan,1"])
def test_a_wrong_band_is_named(text: str) -> None:
    with pytest.raises(InvalidBand, match=f"BAND={text}: expected two probabilities"):
        band(text)


def test_what_is_recent_is_learned_from_and_its_share_is_heard(room: tuple[Path, Path], tmp_path: Path) -> None:
    """Of late, people leave the lamps off: the answers on such days get better."""
    dark = simulate.simulate(days=3, seed=8, start=date(2015, 6, 1))
    dark.loc[dark["Light"] > 0, "Light"] = 0.0
    path, new = tmp_path / "recent.csv", tmp_path / "new.csv"
    days = dark["date"].dt.strftime("%d")
    simulate.write(path, dark[days != "03"], seed=8)
    simulate.write(new, dark[days == "03"], seed=8)
    unseen = dataset.read(new)
    losses = []
    for share in (None, 0.3, 0.6):
        more = {"recent_data": str(path), "recent_share": share} if share else {}
        folder, _ = pipeline.train(settings(room, tmp_path / str(share), override_gate=True, **more), Trackers({}))
        saved = model.load(folder / "model.ubj")
        losses.append(search.log_loss(unseen.label, saved.probability(unseen.values)).mean())
    assert losses[0] > 1.5 * max(losses[1:])
    assert (folder / "recent.csv").read_bytes() == path.read_bytes()  # a set says whole what it came from
    assert not (folder.parent / "recent.csv").exists()
    assert saved.card.search["recent_weight"] == pytest.approx(0.6 / 0.4 * 5 / 2)
    assert losses[1] != losses[2]
    assert saved.card.data.keys() == {"training", "recent", "test"}
    assert saved.card.data["recent"] == dataset.read(path).sha256
    assert "each row weighs 3.75" in (folder / "report.html").read_text()
    assert json.loads((folder / "report.json").read_text())["data"]["recent"]["rows"] == len(dataset.read(path).frame)
    assert reference.load((folder / "reference.json").read_bytes()) == reference.compute(dataset.read(room[0]))
