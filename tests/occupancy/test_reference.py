import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from occupancy import reference
from occupancy.dataset import Dataset, read
from occupancy.reading import NAMES
from occupancy.reference import Reference, UnusableReference

SHIPPED = Path(__file__).parents[2] / "inference/model/reference.json"
ZONE = "Europe/Brussels"


def dates(begin: str, rows: int, seconds: float) -> list[pd.Timestamp]:
    first = pd.Timestamp(begin).tz_localize(ZONE)
    return [first + timedelta(seconds=seconds * i) for i in range(rows)]


def room(date: Sequence[pd.Timestamp], label: Sequence[int] = (), **sensors: Sequence[float]) -> Dataset:
    """A data set as `read` gives it; a sensor that is not named stays at 1."""
    columns = {name: list(sensors.get(name, [1.0] * len(date))) for name in NAMES}
    frame = pd.DataFrame({"date": list(date), **columns, "Occupancy": list(label) or [0] * len(date)})
    return Dataset("room.csv", frame, [], "", simulated=True, timezone=ZONE)


# --- every number by hand: a Thursday, a Friday and a Saturday, an hour each, every quarter of an hour

THREE_DAYS = room(
    [when for day in (5, 6, 7) for when in dates(f"2015-02-0{day} 22:00", 4, 900)],
    label=[*(0, 0, 1, 1), *(0, 1, 1, 1), *(0, 0, 0, 0)],
    Temperature=[*(20, 20, 20, 21), *(30, 24, 24, 24), *(22, 26, 21, 23)],
    Light=[*(0, 0, 0, 0), *(0, 0, 0, 5), *(0, 0, 0, 0)],
)


def test_what_is_written_about_the_whole() -> None:
    found = reference.compute(THREE_DAYS)
    assert (found.format, found.simulated, found.timezone, found.sampling_seconds) == (1, True, ZONE, 900)
    assert {day: (d.rows, d.occupied, d.weekday) for day, d in found.days.items()} == {
        "2015-02-05": (4, 0.5, 3),
        "2015-02-06": (4, 0.75, 4),
        "2015-02-07": (4, 0, 5),
    }
    assert found.occupied_workday == [None] * 44 + [0.25, 1] + [None] * 2
    assert found.occupied_weekend == [None] * 44 + [0, 0] + [None] * 2


def test_what_is_written_about_a_sensor() -> None:
    found = reference.compute(THREE_DAYS).sensors["Temperature"]
    assert (found.low, found.high) == (20, 30)
    # of 20 20 30 24 22 26 and of 20 21 24 24 21 23
    assert found.level == [None] * 44 + [23, 22] + [None] * 2
    assert found.largest_step == 6  # from 30 to 24; from Thursday's 21 to Friday's 30 a night went by
    assert found.longest_run == 30
    assert found.longest_day_run == 0  # it has no reading between 9 and 17 h
    assert found.night_zero == 0
    # The others' levels are 25 and 23.5; 21 and 22; 22 and 22.5. The residuals, then their means from the second on:
    # Thursday: -5 -5 -3.5 -2.5: -5 -4.5 -4. Friday: 9 3 2 2: 6 4.67 4. Saturday: 0 4 -1.5 0.5: 2 0.83 0.75
    assert found.day_maxima == {"2015-02-05": 5, "2015-02-06": 6, "2015-02-07": 2}


def test_light_at_night_counts_the_zeros_and_no_night_counts_as_none() -> None:
    assert reference.compute(THREE_DAYS).sensors["Light"].night_zero == pytest.approx(11 / 12, rel=1e-5)
    by_day = room(dates("2015-02-05 05:00", 34, 1800), Light=[0] * 34)  # 5:00 to 21:30
    assert reference.compute(by_day).sensors["Light"].night_zero == 0
    whole = room(dates("2015-02-05 00:00", 48, 1800), Light=[0] * 10 + [9] * 34 + [0] * 4)
    assert reference.compute(whole).sensors["Light"].night_zero == 1


# --- sampling, gaps, clocks


@pytest.mark.parametrize("seconds", [1, 60, 900])
def test_any_sampling_is_measured_in_minutes(seconds: int) -> None:
    values = [*range(20), *([7] * 10), 3]
    found = reference.compute(room(dates("2015-02-05 12:00", 31, seconds), CO2=values))
    assert found.sampling_seconds == seconds
    assert found.sensors["CO2"].largest_step == 12
    assert found.sensors["CO2"].longest_run == pytest.approx(9 * seconds / 60)


def test_a_gap_ends_a_run_and_makes_no_step() -> None:
    before, after = dates("2015-02-05 12:00", 20, 60), dates("2015-02-06 18:00", 10, 60)
    found = reference.compute(room([*before, *after], Light=[0] * 30, CO2=[500] * 20 + [900] * 10))
    assert found.sensors["Light"].longest_run == 19
    assert (found.sensors["CO2"].largest_step, found.sensors["CO2"].longest_run) == (0, 19)


def test_one_reading_left_out_is_a_gap_and_a_late_one_is_not() -> None:
    clock = dates("2015-02-05 12:00", 12, 60)
    late = [*clock[:3], clock[3] + timedelta(seconds=20), *clock[4:]]
    assert reference.compute(room(late)).sensors["CO2"].longest_run == 11
    without = reference.compute(room([*clock[:3], *clock[4:]]))
    assert without.sensors["CO2"].longest_run == 7


def test_every_reading_alone_is_a_run_of_no_length() -> None:
    found = reference.compute(room(dates("2015-02-05 12:00", 2, 3600), CO2=[500, 501]))
    assert found.sensors["CO2"].longest_run == 0
    assert found.sensors["CO2"].day_maxima == {}  # no other day to take a level from


@pytest.mark.parametrize(
    ("day", "rows", "nights"), [("2015-03-29", 46, {4: None, 5: None}), ("2015-10-25", 50, {4: 8, 5: 8})]
)
def test_when_clocks_change_half_hours_are_local_and_runs_are_elapsed(
    day: str, rows: int, nights: dict[int, float | None]
) -> None:
    """From 2 to 3 h local time never comes in March, and comes twice in October."""
    clock = dates(day, rows, 1800)
    local = [datetime.fromisoformat(f"{when:%Y-%m-%d %H:%M}") for when in clock]
    found = reference.compute(room(clock, CO2=[8 if when.hour == 2 else 1 for when in local]))
    assert {half: found.sensors["CO2"].level[half] for half in nights} == nights
    assert found.sensors["CO2"].level[6] == 1
    assert found.sensors["Light"].longest_run == (rows - 1) * 30
    assert {date: (d.rows, d.weekday) for date, d in found.days.items()} == {day: (rows, 6)}


# --- the real data


@pytest.mark.real_data
def test_the_real_data_gives_the_figures_that_monitoring_rests_on(training_path: Path) -> None:
    found = reference.compute(read(training_path))
    assert reference.dump(found) == SHIPPED.read_bytes()
    assert {name: s.longest_run for name, s in found.sensors.items()} == {
        "Temperature": 75.9833,
        "Humidity": 55.0167,
        "Light": 913.983,
        "CO2": 4.01667,
        "HumidityRatio": 35.0167,
    }
    assert {name: s.longest_day_run for name, s in found.sensors.items()} == {
        "Temperature": 32,
        "Humidity": 26.0167,
        "Light": 39,
        "CO2": 1.01667,
        "HumidityRatio": 15,
    }
    assert {name: s.largest_step for name, s in found.sensors.items()} == {
        "Temperature": 0.155,
        "Humidity": 0.911667,
        "Light": 934.833,
        "CO2": 746.0,
        "HumidityRatio": 0.000158636,
    }
    assert found.sensors["Light"].night_zero == 1
    assert found.sensors["Temperature"].level[0] == 20.05
    assert found.sensors["Temperature"].day_maxima["2015-02-08"] == 2.80985
    assert (found.sampling_seconds, found.days["2015-02-07"].occupied) == (60, 0)


@pytest.mark.real_data
def test_another_real_file_has_other_extremes(test_path: Path) -> None:
    """A few days don't know how long a clean sensor can stand still: limits need room above what was seen."""
    sensors = reference.compute(read(test_path)).sensors
    assert (sensors["Temperature"].longest_run, sensors["Temperature"].largest_step) == (108.017, 0.11)
    assert (sensors["Humidity"].longest_run, sensors["Humidity"].largest_step) == (31.0167, 0.993)
    assert sensors["Light"].night_zero == 1


# --- the file


def test_a_reference_survives_the_round_trip_and_is_the_same_bytes_twice(tmp_path: Path) -> None:
    found = reference.compute(THREE_DAYS)
    raw = reference.dump(found)
    assert raw == reference.dump(reference.compute(THREE_DAYS))
    assert raw.endswith(b"}\n")
    assert reference.load(raw) == found
    path = tmp_path / "reference.json"
    path.write_bytes(raw)
    assert reference.read(path) == found
    assert reference.dump(reference.read(path)) == raw


def test_the_shipped_reference_is_read() -> None:
    assert not reference.read(SHIPPED).simulated


def test_a_field_of_a_newer_program_is_ignored() -> None:
    raw = reference.dump(reference.compute(THREE_DAYS))
    assert reference.load(raw.replace(b"{", b'{"novelty": 1,', 1)) == reference.load(raw)


def without_co2(found: Reference) -> Reference:
    return msgspec.structs.replace(found, sensors={k: v for k, v in found.sensors.items() if k != "CO2"})


RAW = reference.dump(reference.compute(THREE_DAYS))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not a reference: Input data was truncated; use the one that training wrote beside the model"),
        (RAW[:-9], "is not a reference: Input data was truncated"),
        (b"# a page", "is not a reference: JSON is malformed"),
        (b'"\xff"', "is not a reference: "),
        (b"{}", "is not a reference: Object missing required field `format`"),
        (RAW.replace(b'"format": 1', b'"format": 2'), "is in format 2, this program reads format 1; use the one"),
        (b'{"format": 0}', "is in format 0, this program reads format 1"),
        (b'{"format": 1}', "is not a reference: Object missing required field `simulated`"),
        (RAW.replace(b'"low": 20.0', b'"low": null'), "Expected `float`, got `null` - at `$.sensors[...].low`"),
        (RAW.replace(b"   null,\n", b"", 1), "Expected `array` of length >= 48 - at `$.sensors[...].level`; use"),
        (RAW.replace(b'"Europe/Brussels"', b'"Europe/Atlantis"'), "names no time zone: 'Europe/Atlantis'; use the one"),
        (RAW.replace(b'"CO2"', b'"Noise"'), "is of Temperature, Humidity, Light, Noise, HumidityRatio, expected"),
        (
            reference.dump(without_co2(reference.compute(THREE_DAYS))),
            "is of Temperature, Humidity, Light, HumidityRatio, expected Temperature, Humidity, Light, CO2, Humid",
        ),
    ],
)
def test_a_file_that_is_no_reference_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "reference.json"
    path.write_bytes(raw)
    with pytest.raises(UnusableReference) as caught:
        reference.read(path)
    assert str(caught.value).startswith(f"{path} ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_path_without_a_reference_is_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.json", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UnusableReference) as caught:
            reference.read(path)
        assert str(caught.value) == f"{path}: {why}; training writes it beside the model"


def test_an_older_reference_knows_no_longest_run_by_day() -> None:
    written = json.loads(SHIPPED.read_bytes())
    for sensor in written["sensors"].values():
        del sensor["longest_day_run"]
    found = reference.load(json.dumps(written).encode())
    assert {sensor.longest_day_run for sensor in found.sensors.values()} == {None}
