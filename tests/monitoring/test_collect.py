from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from monitoring.__main__ import main
from occupancy import dataset, record, reference
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.simulate import Fault
from tests.monitoring.drift.conftest import Season

LATE = timedelta(hours=1)
ROOMS = ("default", "attic")


@pytest.fixture(scope="module")
def season() -> Season:
    return Season()


@pytest.fixture
def told(tmp_path: Path, season: Season) -> Any:
    """Write records of readings, each fifth with its truth an hour later; gives what `collect` says of them."""
    (tmp_path / "reference.json").write_bytes(reference.dump(season.reference))
    request = record.Request("q", "", "", 0)

    def collect(
        frame: pd.DataFrame, *argv: str, token: bool = True, rooms: int = 1, each: int = 5, simulated: bool = False
    ) -> tuple[int, Path]:
        boot = record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=simulated)
        with (tmp_path / "records.jsonl").open("wb") as file:
            for n, (when, *values, label) in enumerate(frame[[DATE, *NAMES, LABEL]].itertuples(index=False)):
                at = when.to_pydatetime().astimezone(UTC)
                said = record.prediction(
                    boot, request, room=ROOMS[n // each % rooms], reading_id=None, reading_time=at, values=tuple(values),
                    probability=0.5, label=1, answer="uncertain", flags=[], label_wanted=n % 10 == 0,
                )  # fmt: skip
                file.write(record.line({**said, "@timestamp": at}))
                if n % each == 0:
                    truth = record.feedback(
                        boot, request, prediction=said["event.id"], occupied=bool(label), authenticated=token
                    )
                    file.write(record.line({**truth, "@timestamp": at + LATE}))
        saved = tmp_path / "recent.csv"
        paths = ("--save-path", str(saved), "--reference", str(tmp_path / "reference.json"))
        return main(["collect", *paths, *argv, str(tmp_path / "records.jsonl")], {}), saved

    return collect


def test_what_is_collected_is_what_training_reads(told: Any, season: Season, capsys: Any) -> None:
    week = season.week.head(4 * 1440)
    status, saved = told(week)
    assert status == 0
    found = dataset.read(saved)
    assert found.quarantine == []
    expected = week.iloc[::5].reset_index(drop=True)
    assert found.frame[LABEL].tolist() == expected[LABEL].tolist()
    assert (found.frame[DATE].dt.tz_convert("UTC") == expected[DATE].dt.tz_convert("UTC").dt.floor("s")).all()
    for name in NAMES:
        assert found.frame[name].to_numpy() == pytest.approx(expected[name].to_numpy())
    assert f"{len(expected)} readings with their truth" in (said := capsys.readouterr().out)
    assert f"{len(week) // 10} of them asked for" in said


def test_nothing_is_learned_from_while_a_sensor_is_unwell(told: Any, season: Season, capsys: Any) -> None:
    stuck = Fault("stuck", "CO2", 2 * 1440, 3 * 1440)
    status, saved = told(season.with_faults(stuck).head(4 * 1440))
    assert status == 0
    times = dataset.read(saved).frame[DATE]
    begun = season.week[DATE].iloc[0] + timedelta(days=2)
    assert not ((times > begun) & (times < begun + timedelta(days=1))).any()
    assert len(times) > 3 * 1440 / 5 - 100
    assert "left out while a sensor of their room was unwell" in capsys.readouterr().out


def test_a_sensor_is_judged_by_all_its_days_however_few_are_collected(told: Any, season: Season, capsys: Any) -> None:
    stuck = season.with_faults(Fault("stuck", "CO2", 3 * 1440, 4 * 1440)).head(5 * 1440)
    days = pd.concat([season.learned, stuck], ignore_index=True)
    begun = season.week[DATE].iloc[3 * 1440]
    learns = "--reference-rooms=another"  # the room learns its reference from its first fourteen clean days
    status, saved = told(days, learns)
    assert status == 0
    whole = dataset.read(saved).frame
    for since in (begun - timedelta(days=1), begun + timedelta(hours=12)):  # before the event, and amid it
        assert told(days, learns, "--least-hours=1", f"--since={since.isoformat()}")[0] == 0
        found = dataset.read(saved).frame
        assert not ((found[DATE] > begun) & (found[DATE] < begun + timedelta(days=1))).any()
        expected = whole[whole[DATE] >= since].reset_index(drop=True)
        pd.testing.assert_frame_equal(found.reset_index(drop=True), expected)
    assert "left out while a sensor of their room was unwell" in capsys.readouterr().out


def test_a_time_without_a_prediction_is_no_mistake(told: Any, season: Season, capsys: Any) -> None:
    for quiet in (["--since=2027-01-01"], ["--until=2026-01-01"], ["--room=attic"]):
        status, saved = told(season.week.head(60), *quiet)
        assert (status, saved.exists()) == (1, False)
        said = capsys.readouterr().out
        assert "0 labels can be used, and it takes 200 more" in said
        assert "no prediction is there in the chosen time and room" in said
    assert main(["collect", "none.jsonl"], {}) == 2
    assert told(season.week.head(60), "--since=noon")[0] == 2


def test_what_a_model_of_simulated_data_answered_is_marked(told: Any, season: Season) -> None:
    status, saved = told(season.week.head(4 * 1440), simulated=True)
    assert status == 0
    assert dataset.read(saved).simulated
    assert not dataset.read(told(season.week.head(4 * 1440))[1]).simulated


def test_labels_without_the_token_are_none(told: Any, season: Season, capsys: Any) -> None:
    status, saved = told(season.week.head(1440), token=False)
    assert (status, saved.exists()) == (1, False)
    said = capsys.readouterr().out
    assert "0 labels can be used, and it takes 200 more, 20 more of an occupied room, 20 more of an empty room" in said
    assert "288 left out without the token" in said


def test_what_is_missing_is_said_of_each_kind(told: Any, season: Season, capsys: Any) -> None:
    empty = season.week[season.week[LABEL] == 0].head(1440)
    status, saved = told(empty, "--least=100")
    assert (status, saved.exists()) == (1, False)
    assert "and it takes 20 more of an occupied room" in capsys.readouterr().out


def test_a_file_that_can_not_be_written_is_told(told: Any, season: Season, tmp_path: Path, capsys: Any) -> None:
    status, _ = told(season.week.head(4 * 1440), "--save-path", str(tmp_path))
    assert status == 2
    assert "can't be written: Is a directory; choose another with --save-path" in capsys.readouterr().err


def test_a_file_holds_the_rooms_that_have_labels(told: Any, season: Season, capsys: Any) -> None:
    week = season.week.head(4 * 1440)
    status, saved = told(week, rooms=2)
    assert status == 0
    assert "1152 readings of 2 rooms with their truth" in capsys.readouterr().out
    found = dataset.read(saved)
    assert found.quarantine == []
    assert found.room.tolist() == [ROOMS[n % 2] for n in range(1152)]
    assert told(week, "--room=attic", rooms=2)[0] == 0
    assert set(dataset.read(saved).room) == {"attic"}


def test_rooms_at_the_same_minutes_are_read_whole(told: Any, season: Season, capsys: Any) -> None:
    week = season.week.head(2 * 1440)
    both = week.loc[week.index.repeat(2)].reset_index(drop=True)
    status, saved = told(both, rooms=2, each=1)
    assert status == 0
    assert "5760 readings of 2 rooms" in capsys.readouterr().out
    found = dataset.read(saved)
    assert (len(found.frame), found.quarantine) == (5760, [])
    status, saved = told(both, each=1)
    assert "2880 left out of a second of their room that has one already" in capsys.readouterr().out
    assert len(dataset.read(saved).frame) == 2880


def test_labels_of_a_few_hours_are_one_sided(told: Any, season: Season, capsys: Any) -> None:
    hours = season.week.iloc[6 * 60 : 20 * 60 + 1]  # of one day
    few = ("--least=10", "--least-each=5")
    assert told(hours, *few)[0] == 1
    assert "and it takes 10 more hours between a room's first label and its last" in capsys.readouterr().out
    almost = hours.iloc[:-1]
    assert told(almost, *few, "--least-hours=13.9")[0] == 0
    assert told(almost, *few, "--least-hours=13.9", rooms=2)[0] == 1  # neither room has them
    assert "and it takes 0.1 more hours" in capsys.readouterr().out
