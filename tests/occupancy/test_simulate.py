import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occupancy import dataset
from occupancy.humidity import humidity_ratio
from occupancy.mapping import DATE, LABEL
from occupancy.reading import DERIVED, FEATURES, MEASURED, NAMES
from occupancy.simulate import PRECISION, Fault, main, notice, simulate, spoil, write


@pytest.fixture(scope="module")
def month() -> pd.DataFrame:
    return simulate(28, seed=1)


def test_every_sensor_that_measures_is_simulated() -> None:
    assert tuple(PRECISION) == MEASURED


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    start=st.dates(datetime.date(2000, 1, 1), datetime.date(2037, 1, 1)),
    step=st.sampled_from([60, 300, 900, 3600]),
)
def test_every_value_keeps_the_contract_at_any_season(seed: int, start: datetime.date, step: int) -> None:
    frame = simulate(3, seed, start, step)
    assert list(frame.columns) == [DATE, *NAMES, LABEL]
    assert len(frame) == 3 * 86400 // step
    for feature in FEATURES:
        assert frame[feature.name].between(feature.low, feature.high).all(), feature.name
    assert frame.Temperature.between(10, 40).all()
    assert frame[LABEL].isin([0, 1]).all()
    assert frame[DATE].diff().dropna().eq(pd.Timedelta(seconds=step)).all()


def test_the_room_resembles_the_real_one(month: pd.DataFrame) -> None:
    occupied, empty = month[month.Occupancy == 1], month[month.Occupancy == 0]
    night = month[month.date.dt.hour.isin([0, 1, 2, 3, 4])]
    weekend = month[month.date.dt.day_of_week >= 5]
    assert 0.2 < month.Occupancy.mean() < 0.35
    assert weekend.Occupancy.mean() < 0.05
    assert (night.Light == 0).all()
    assert 400 < occupied.Light.median() < 700
    assert occupied.CO2.median() > empty.CO2.median() + 150
    assert occupied.CO2.max() < 2500
    assert month.CO2.min() > 380
    assert month.Temperature.quantile(0.01) > 19
    assert month.Temperature.quantile(0.99) < 25
    assert month.Humidity.between(12, 50).all()


def test_light_alone_tells_much_but_not_all(month: pd.DataFrame) -> None:
    right = max(((month.Light > lux) == (month.Occupancy == 1)).mean() for lux in range(0, 1000, 25))
    assert 0.95 < right < 0.995


def test_seed_decides_everything() -> None:
    pd.testing.assert_frame_equal(simulate(2, 7), simulate(2, 7))
    assert not simulate(2, 7).equals(simulate(2, 8))


def test_a_row_is_pinned() -> None:
    row = simulate(1, 1).iloc[720]
    assert str(row.date) == "2015-02-02 12:00:00+01:00"
    assert [row[name] for name in PRECISION] == [22.0, 36.27, 478.5, 990.75]


def test_a_time_with_a_zone_starts_there() -> None:
    frame = simulate(1, 1, pd.Timestamp("2024-01-08 06:00", tz="America/New_York"), step_seconds=300)
    assert str(frame.date.iloc[0]) == "2024-01-08 06:00:00-05:00"
    assert frame.Light[frame.date.dt.hour.between(11, 13)].min() > 0
    assert frame.Light[frame.date.dt.hour.isin([22, 23, 3, 4])].max() == 0


# --- broken sensors


def noon(
    kind: str, sensor: str = "Temperature", size: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame, "pd.Series[bool]"]:
    """Give a sound day, the same day with a fault from 12:00 to 13:00, and which rows that hour has."""
    fault = Fault(kind, sensor, 720, 780, size)  # type: ignore[arg-type]
    sound = simulate(1, 3)
    return sound, simulate(1, 3, faults=[fault]), sound.date.dt.hour == 12


@pytest.mark.parametrize(
    "kind", ["stuck", "offset", "gain", "noise", "missing", "fahrenheit", "clock", "ramp", "range"]
)
def test_a_fault_changes_its_hour_and_no_other(kind: str) -> None:
    sound, broken, hour = noon(kind, size=2)
    pd.testing.assert_frame_equal(sound[~hour], broken[~hour])
    assert not sound[hour].equals(broken[hour])


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        ("stuck", 0.0, lambda v: np.full(60, v[0])),
        ("offset", -1.5, lambda v: v - 1.5),
        ("gain", 1.1, lambda v: v * 1.1),
        ("missing", 0.0, lambda v: v * np.nan),
        ("fahrenheit", 0.0, lambda v: v * 1.8 + 32),
        ("ramp", 6.0, lambda v: v + np.arange(60) * 0.1),
        ("range", 25.0, lambda v: np.full(60, 85)),
        ("range", -87.0, lambda v: np.full(60, -127)),
    ],
)
def test_what_a_fault_does(kind: str, size: float, expected: object) -> None:
    sound, broken, hour = noon(kind, size=size)
    assert callable(expected)
    np.testing.assert_allclose(broken.Temperature[hour], expected(sound.Temperature[hour].to_numpy()), atol=1e-4)
    np.testing.assert_array_equal(
        broken[DERIVED], [humidity_ratio(t, h) for t, h in zip(broken.Temperature, broken.Humidity, strict=True)]
    )


@pytest.mark.parametrize("size", [-1e6, -273.15, -200, 200, 1e6])
def test_however_wrong_a_temperature_is_the_ratio_is_a_number(size: float) -> None:
    broken = simulate(1, 3, step_seconds=600, faults=[Fault("offset", "Temperature", 0, 1440, size)])
    assert np.isfinite(broken[DERIVED]).all()


def test_noise_has_its_size() -> None:
    sound = simulate(7, 3)
    noisy = spoil(sound, [Fault("noise", "CO2", 0, 7 * 1440, 25)], seed=5)
    assert (noisy.CO2 - sound.CO2).std() == pytest.approx(25, rel=0.05)


def test_a_wrong_clock_moves_dates_alone() -> None:
    sound, broken, hour = noon("clock", "date", 90)
    assert (broken.date[hour] - sound.date[hour] == pd.Timedelta(minutes=90)).all()
    pd.testing.assert_frame_equal(sound.drop(columns="date"), broken.drop(columns="date"))


@pytest.mark.parametrize(("kind", "sensor"), [("melted", "CO2"), ("stuck", "HumidityRatio"), ("stuck", "Noise")])
def test_a_fault_that_cannot_be_is_refused(kind: str, sensor: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Fault(kind, sensor, 0, 1)  # type: ignore[arg-type]


def test_a_value_out_of_its_range_is_so_by_some_size() -> None:
    with pytest.raises(ValueError, match="needs a size"):
        Fault("range", "CO2", 0, 1)


# --- files


def test_a_written_file_is_read_back_whole(tmp_path: Path) -> None:
    frame = simulate(2, 4)
    write(tmp_path / "deep" / "room.txt", frame, seed=4)
    lines = (tmp_path / "deep" / "room.txt").read_text().splitlines()
    assert lines[0] == notice(4)
    assert "seed 4" in lines[0]
    assert "not a measurement" in lines[0]
    assert lines[1].count(",") + 1 == lines[2].count(",")  # as in the UCI files
    back = dataset.read(tmp_path / "deep" / "room.txt")
    assert back.simulated
    assert back.quarantine == []
    pd.testing.assert_frame_equal(back.frame, frame, check_dtype=False, rtol=1e-13)


def test_the_hour_that_comes_twice_is_told_apart(tmp_path: Path) -> None:
    frame = simulate(2, 4, datetime.date(2015, 10, 25))
    write(tmp_path / "autumn.txt", frame, seed=4)
    back = dataset.read(tmp_path / "autumn.txt")
    assert back.quarantine == []
    assert (back.frame.date == frame.date).all()


def test_a_missing_value_is_an_empty_field(tmp_path: Path) -> None:
    write(tmp_path / "gap.txt", simulate(1, 4, faults=[Fault("missing", "CO2", 60, 70)]), seed=4)
    back = dataset.read(tmp_path / "gap.txt")
    assert [row.reason for row in back.quarantine] == ["CO2 is missing"] * 10


def test_the_command_writes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "simulated.csv"
    assert main(["--days", "2", "--start", "2015-03-02", "--save-path", str(path)], {"SEED": "9"}) == 0
    assert capsys.readouterr().out.startswith(f"{path}: SIMULATED, 2880 rows, ")
    read = dataset.read(path)
    pd.testing.assert_frame_equal(read.frame, simulate(2, 9, datetime.date(2015, 3, 2)), check_dtype=False, rtol=1e-13)


@pytest.mark.parametrize("argv", [["--days", "0"], ["--start", "monday"], ["--save-path", "/dev/null/x"]])
def test_a_wrong_setting_is_one_line(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, {}) == 2
    assert capsys.readouterr().err.count("\n") == 1
