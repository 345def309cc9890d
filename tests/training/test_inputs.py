from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from occupancy import dataset, simulate
from occupancy.preprocess import STEPS, Values
from occupancy.reading import NAMES
from training.inputs import (
    ChangedData,
    SeveralRooms,
    TooFewDays,
    WrongShape,
    default_file,
    prepare,
    read,
    recent_file,
)
from training.settings import Settings

IDENTITY = "identity"


def test_what_training_works_on_keeps_the_rows_in_order(room: tuple[Path, Path]) -> None:
    training, test = (dataset.read(path) for path in room)
    inputs = prepare(training, test, IDENTITY)
    assert inputs.simulated
    assert inputs.values.tolist() == training.values.tolist()
    assert inputs.label.tolist() == training.label.tolist()
    assert inputs.day.tolist() == training.day.tolist()
    assert inputs.quarantine == [*training.quarantine, *test.quarantine]


def test_real_and_simulated_data_do_not_mix(room: tuple[Path, Path], tmp_path: Path) -> None:
    real = tmp_path / "datatest.txt"
    real.write_text("".join(room[1].read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(dataset.MixedData, match="make data"):
        prepare(dataset.read(room[0]), dataset.read(real), IDENTITY)


def test_too_few_days_and_days_of_one_class_are_refused(room: tuple[Path, Path], tmp_path: Path) -> None:
    lines = room[0].read_text().splitlines(keepends=True)
    short = tmp_path / "short.csv"
    short.write_text("".join(lines[: 2 + 2 * 1440]))
    with pytest.raises(TooFewDays, match=r"short.csv has 2 dates: whole days are held out, so at least 3"):
        prepare(dataset.read(short), dataset.read(room[1]), IDENTITY)
    one_day = tmp_path / "one-day.csv"
    emptied = [line.rstrip()[:-1] + "0\n" if i > 1441 else line for i, line in enumerate(lines)]
    one_day.write_text("".join(emptied))
    with pytest.raises(TooFewDays, match="without 2015-02-02 only one class is left"):
        prepare(dataset.read(one_day), dataset.read(room[1]), IDENTITY)


def test_too_many_bad_rows_are_kept_where_a_person_finds_them(room: tuple[Path, Path], tmp_path: Path) -> None:
    lines = room[0].read_text().splitlines(keepends=True)
    bad = tmp_path / "bad.csv"
    bad.write_text("".join(line.replace(",", ",x", 2) if i % 10 == 5 else line for i, line in enumerate(lines)))
    (tmp_path / "out").mkdir()
    given = Settings(training_data=str(bad), test_data=str(room[1]), save_path=str(tmp_path / "out"))
    with pytest.raises(dataset.InvalidDataset, match=r"refused/quarantine\.csv"):
        read(given)
    kept = (tmp_path / "out" / "refused" / "quarantine.csv").read_text().splitlines()
    assert len(kept) > len(lines) // 20
    assert "bad.csv,6," in kept[1]


def test_data_home_offers_the_real_file_before_the_simulated_one(tmp_path: Path) -> None:
    assert default_file(tmp_path, "datatest.txt").name == "datatest.txt"
    (tmp_path / "simulated-datatest.txt").touch()
    assert default_file(tmp_path, "datatest.txt").name == "simulated-datatest.txt"
    (tmp_path / "datatest.txt").touch()
    assert default_file(tmp_path, "datatest.txt").name == "datatest.txt"


def one_more_sensor(values: Values) -> Values:
    return np.column_stack([values, values[:, 0]])


def every_other_reading(values: Values) -> Values:
    return values[::2]


@pytest.mark.parametrize("step", [one_more_sensor, every_other_reading])
def test_a_step_that_changes_the_shape_is_refused(
    room: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, step: object
) -> None:
    monkeypatch.setitem(STEPS, "reshape", step)
    training, test = (dataset.read(path) for path in room)
    with pytest.raises(WrongShape, match=r"PREPROCESSING=reshape turns values of shape \(7200, 5\) into \("):
        prepare(training, test, "reshape")


def test_the_mapping_speaks_of_the_named_files_alone(room: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "simulated-datatest.txt").write_bytes(room[1].read_bytes())
    given = Settings(
        training_data="data/samples/own-room.csv", data_mapping="data/samples/own-room.yaml", data_home=str(tmp_path)
    )
    training, test, recent = read(given)
    assert recent is None
    assert training.timezone == "America/New_York"
    assert test.timezone == "Europe/Brussels"


def test_recent_rows_come_after_the_others_and_weigh_more(room: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "recent.csv"
    simulate.write(path, simulate.simulate(days=1, seed=9, start=date(2015, 3, 2)), seed=9)
    training, test, recent = dataset.read(room[0]), dataset.read(room[1]), dataset.read(path)
    inputs = prepare(training, test, IDENTITY, recent, 0.8)
    old = len(training.frame)
    assert len(inputs.label) == len(inputs.values) == len(inputs.frame) == old + len(recent.frame)
    assert (inputs.values[old:] == recent.values).all()
    assert (inputs.given == inputs.frame[list(NAMES)].to_numpy(np.float32)).all()
    assert inputs.weight is not None
    assert (inputs.weight[:old] == 1).all()
    assert inputs.weight[old:].sum() / inputs.weight.sum() == pytest.approx(0.8)
    assert list(inputs.sets) == ["training", "recent", "test"]
    assert prepare(training, test, IDENTITY).weight is None


def test_training_data_is_of_one_room_and_recent_data_of_any(room: tuple[Path, Path], tmp_path: Path) -> None:
    lines = [line for line in room[0].read_text().splitlines() if not line.startswith("#")]
    path = tmp_path / "rooms.csv"
    path.write_text("\n".join([f"{lines[0]},room", *(f"{line},{i % 2}" for i, line in enumerate(lines[1:]))]))
    training, test, rooms = dataset.read(room[0]), dataset.read(room[1]), dataset.read(path)
    training, test = (replace(data, simulated=False) for data in (training, test))
    with pytest.raises(
        SeveralRooms, match=r"rooms.csv is of 2 rooms \('0', '1'...\): monitoring's reference is of one"
    ):
        prepare(rooms, test, IDENTITY)
    assert len(prepare(training, test, IDENTITY, rooms, 2.0).label) == 2 * len(training.frame)


def test_a_file_that_changed_meanwhile_is_not_kept_as_what_was_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "recent.csv"
    simulate.write(path, simulate.simulate(days=1, seed=9, start=date(2015, 3, 2)), seed=9)
    recent = dataset.read(path)
    assert recent_file(recent) == {"recent.csv": path.read_bytes()}
    for change in (lambda: path.write_text("another"), path.unlink):
        change()
        with pytest.raises(ChangedData, match=r"recent.csv was changed while"):
            recent_file(recent)
    assert recent_file(None) == {}
