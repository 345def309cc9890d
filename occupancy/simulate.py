"""A room of our own making: a small physical simulation of one office, for tests, demonstrations and broken sensors.

What comes out resembles the real data and is none; the first line of every file written here says so.
"""

import datetime
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from occupancy import __version__, settings
from occupancy.dataset import SIMULATED
from occupancy.errors import InputError
from occupancy.humidity import MOLAR, humidity_ratio
from occupancy.mapping import DATE, LABEL, ZONE
from occupancy.reading import DERIVED, FEATURES, NAMES

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Bools: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

START = datetime.date(2015, 2, 2)  # a Monday, the first day of the real data

VOLUME = 72.0  # m³
LATITUDE = np.radians(50.45)  # Mons
SOLAR_DELAY = 0.73  # hours that the sun stands behind the clock of winter there
BREATH = 0.0052e-3  # m³ of CO2 a second and a person at office work
SWEAT = 50e-3 / 3600  # kg of water vapour a second and a person
AIR = 1.2  # kg/m³
CAPACITY, LOSS = 4.0e6, 35.0  # J/K of the air, furniture and walls' surface; W/K to the outdoors
HEATER, PERSON, LAMPS, SUN = 2000.0, 280.0, 250.0, 500.0  # W at most; a person comes with a computer
LAMPS_LUX = 430.0
PRECISION = {
    "Temperature": (0.02, 0.05),
    "Humidity": (0.06, 0.045),
    "Light": (1.5, 0.5),
    "CO2": (4.0, 0.25),
}
"""Of each sensor: standard deviation of its noise, and step of its scale."""

Kind: TypeAlias = Literal["stuck", "offset", "gain", "noise", "missing", "fahrenheit", "clock", "ramp", "range"]
WORST_CELSIUS = 200.0  # either way: beyond it the formulas of the humidity ratio break


@dataclass(frozen=True)
class Fault:
    """What is wrong with a sensor from minute `start` until minute `end`, counted from the first row.

    stuck: holds its first value. offset: adds `size`. gain: multiplies by it. noise: adds noise of that standard
    deviation. missing: NaN. fahrenheit: °F for °C. ramp: adds from 0 up to `size`. range: reports a value
    `size` above the highest that is possible, or, below 0, so far under the lowest. clock: `date` is `size` minutes off
    (the sensor's name is ignored).
    """

    kind: Kind
    sensor: str
    start: float
    end: float
    size: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"{self.kind} is not a fault; they are {', '.join(get_args(Kind))}")
        if self.kind != "clock" and self.sensor not in PRECISION:
            raise ValueError(f"{self.sensor} is not a sensor that can break; they are {', '.join(PRECISION)}")
        if self.kind == "range" and not self.size:
            raise ValueError("a value out of its range needs a size: above the range, or below 0 for under it")


def simulate(
    days: int, seed: int, start: datetime.date = START, step_seconds: int = 60, faults: Sequence[Fault] = ()
) -> pd.DataFrame:
    """Simulate one office room: its sensors' reports and whether it is occupied.

    One row each `step_seconds` from `start`, a day or a time: `date` in its zone (`ZONE` if it has none), the
    sensors in the contract's order and units, and the label 0 or 1. The same arguments give the same rows; a fault
    changes no others.
    """
    rng = np.random.default_rng(seed)
    first = pd.Timestamp(start)
    first = first if first.tzinfo else first.tz_localize(ZONE)
    date = pd.date_range(first, periods=days * 86400 // step_seconds, freq=pd.Timedelta(seconds=step_seconds))
    day = pd.factorize(date.date)[0]
    midnights = np.searchsorted(day, np.arange(day[-1] + 2))
    clock = np.asarray(date.hour + date.minute / 60 + date.second / 3600, np.float64)
    elapsed = np.arange(len(date)) * step_seconds / 3600
    season = 2 * np.pi * np.asarray(date.day_of_year, np.float64) / 365.25
    workday = np.asarray(date.day_of_week < 5)
    at_work = workday & (clock >= 6.5) & (clock < 18)

    people = _people(rng, clock, midnights, workday)
    sky = _wander(rng, elapsed, 1, 0.1, 1)  # 1 is clear
    sun, hour_angle = _sun(date, season)
    morning = np.exp(-(((hour_angle + 0.75) / 0.12) ** 2)) * (sun > 0.05)  # when the sun looks in at the window
    beam = 1200 * morning * np.clip(sky - 0.6, 0, 1)
    daylight = 550 * sun * sky + beam
    lamps = _lamps(rng, people > 0, daylight, 3600 / step_seconds)

    outdoors = 10.5 - 7.5 * np.cos(season - 0.34) + 2.5 * np.cos(np.pi * (clock - 15) / 12)
    outdoors = outdoors + _wander(rng, elapsed, 18, -4, 4)
    changes = np.where(at_work, rng.uniform(0.5, 2, day[-1] + 1)[day], 0.3) / 3600  # of the room's air, a second
    follow = 1 - np.exp(-changes * step_seconds)
    co2 = _relax(_wander(rng, elapsed, 3, 405, 435) + 1e6 * BREATH * people / (VOLUME * changes), follow)
    damp = _ratio(outdoors, _wander(rng, elapsed, 12, 60, 95)) + SWEAT * people / (AIR * VOLUME * changes)
    vapour = _relax(damp, follow)
    gains = PERSON * people + LAMPS * lamps + SUN * sun * sky
    temperature = _heat(outdoors, gains, np.where(at_work, 21.2, 19.6), step_seconds)

    full = _ratio(temperature, np.full(len(date), 100.0))
    humidity = 100 * (vapour / (MOLAR + vapour)) / (full / (MOLAR + full))
    frame = pd.DataFrame({DATE: date})
    # a new sensor comes last: so the others' noise stays what it was
    truth = {
        "Temperature": temperature,
        "Humidity": humidity,
        "Light": daylight + LAMPS_LUX * lamps,
        "CO2": co2,
    }
    for name, value in truth.items():
        noise, step = PRECISION[name]
        measured = value + noise * rng.normal(size=len(date)) * (value > 0)  # darkness is exactly 0
        frame[name] = np.round(np.round(np.clip(measured, 0, None) / step) * step, 4)
    frame["Humidity"] = frame["Humidity"].clip(0, 100)
    frame[LABEL] = (people > 0).astype(int)
    return spoil(frame, faults, seed)


def spoil(frame: pd.DataFrame, faults: Sequence[Fault], seed: int) -> pd.DataFrame:
    """Give a copy of the frame as broken sensors would have reported it; HumidityRatio follows what they report."""
    rng = np.random.default_rng((seed, 1))
    frame = frame.copy()
    minutes = ((frame[DATE] - frame[DATE].iloc[0]) / pd.Timedelta(minutes=1)).to_numpy(np.float64)
    for fault in faults:
        when = (minutes >= fault.start) & (minutes < fault.end)
        if fault.kind == "clock":
            frame.loc[when, DATE] = frame.loc[when, DATE] + pd.Timedelta(minutes=fault.size)
        elif when.any():
            value = frame.loc[when, fault.sensor].to_numpy(np.float64)
            done = (minutes[when] - fault.start) / (fault.end - fault.start)
            frame.loc[when, fault.sensor] = np.round(_broken(fault, value, done, rng), 4)
    celsius = frame["Temperature"].clip(-WORST_CELSIUS, WORST_CELSIUS)
    frame[DERIVED] = _ratio(celsius.to_numpy(np.float64), frame["Humidity"].to_numpy(np.float64))
    return frame[[DATE, *NAMES, LABEL]]


def _broken(fault: Fault, value: Floats, done: Floats, rng: np.random.Generator) -> Floats:
    feature = next(feature for feature in FEATURES if feature.name == fault.sensor)
    reports: dict[str, Floats] = {
        "stuck": np.full_like(value, value[0]),
        "offset": value + fault.size,
        "gain": value * fault.size,
        "noise": value + fault.size * rng.normal(size=len(value)),
        "missing": np.full_like(value, np.nan),
        "fahrenheit": value * 1.8 + 32,
        "ramp": value + fault.size * done,
        "range": np.full_like(value, (feature.high if fault.size > 0 else feature.low) + fault.size),
    }
    return reports[fault.kind]


def _people(rng: np.random.Generator, clock: Floats, midnights: Any, workday: Bools) -> Floats:
    """Count the people in the room: one to three on a workday, who also go out; seldom one at weekends."""
    people = np.zeros(len(clock))
    for begin, end in pairwise(midnights):
        hour = clock[begin:end]
        for _ in range(rng.integers(1, 4) if workday[begin] else int(rng.random() < 0.1)):
            arrive, leave = (
                (rng.normal(8.4, 0.5), rng.normal(17.6, 0.7)) if workday[begin] else (10, rng.uniform(11, 14))
            )
            absences = [(rng.normal(12.4, 0.25), rng.uniform(0.5, 1))]
            absences += [(rng.uniform(arrive, leave), rng.uniform(0.1, 0.6)) for _ in range(rng.integers(0, 4))]
            present = (hour >= arrive) & (hour < leave)
            for out, hours in absences:
                present &= (hour < out) | (hour >= out + hours)
            people[begin:end] += present
    return people


def _lamps(rng: np.random.Generator, occupied: Bools, daylight: Floats, rows_an_hour: float) -> Bools:
    """Tell when the lamps are on: switched on when it is too dark for who is there, and sometimes forgotten."""
    on = np.zeros(len(occupied), bool)
    turns = np.flatnonzero(np.diff(np.concatenate(([False], occupied, [False])).astype(int)))
    for enter, leave in zip(turns[::2], turns[1::2], strict=True):
        if rng.random() < 0.95:  # the others like the dark, or look at a projection
            on[enter:leave] |= np.logical_or.accumulate(daylight[enter:leave] < rng.uniform(150, 450))
        if on[leave - 1] and rng.random() < 0.25:
            on[leave : leave + int(rng.uniform(0.1, 2) * rows_an_hour)] = True
    return on


def _sun(date: pd.DatetimeIndex, season: Floats) -> tuple[Floats, Floats]:
    """Give the sine of the sun's elevation, 0 at night, and its hour angle in radians (Duffie and Beckman, 1.6)."""
    january = pd.Timestamp(date[0].year, 1, 1)
    winter = january.tz_localize("UTC") - january.tz_localize(date.tz)  # the zone's offset without summer time
    solar = date.tz_convert("UTC") + winter - pd.Timedelta(hours=SOLAR_DELAY)
    hour_angle = np.asarray(np.pi * (solar.hour + solar.minute / 60 - 12) / 12, np.float64)
    tilt = np.radians(23.45) * np.sin(season + 2 * np.pi * 284 / 365)
    height = np.sin(LATITUDE) * np.sin(tilt) + np.cos(LATITUDE) * np.cos(tilt) * np.cos(hour_angle)
    return np.clip(height, 0, None), hour_angle


def _wander(rng: np.random.Generator, elapsed: Floats, every: float, low: float, high: float) -> Floats:
    """Wander between two bounds, with a new random aim every so many hours."""
    aims = np.arange(0, elapsed[-1] + 2 * every, every)
    return np.interp(elapsed, aims, rng.uniform(low, high, len(aims)))


def _relax(aim: Floats, follow: Floats) -> Floats:
    """Follow an aim by a share of the distance at each row: the exact solution of a well mixed room's balance."""
    value, values = float(aim[0]), []
    for a, f in zip(aim.tolist(), follow.tolist(), strict=True):
        value += f * (a - value)
        values.append(value)
    return np.array(values)


def _heat(outdoors: Floats, gains: Floats, wanted: Floats, step_seconds: int) -> Floats:
    """Follow the room's temperature in °C; the heater gives its most when the room is a kelvin below what is wanted."""
    value, values = float(wanted[0]), []
    follow = 1 - np.exp(-step_seconds * LOSS / CAPACITY)
    for out, gain, aim in zip(outdoors.tolist(), gains.tolist(), wanted.tolist(), strict=True):
        heat = gain + HEATER * min(max(aim + 0.3 - value, 0), 1)
        value += follow * (out + heat / LOSS - value)
        values.append(value)
    return np.array(values)


def _ratio(temperature: Floats, humidity: Floats) -> Floats:
    return np.array([humidity_ratio(t, h) for t, h in zip(temperature.tolist(), humidity.tolist(), strict=True)])


def notice(seed: int) -> str:
    """Word the first line of a simulated file."""
    return f"{SIMULATED} by occupancy {__version__} with seed {seed}: a computed room, not a measurement of a real one"


def write(path: str | Path, frame: pd.DataFrame, seed: int) -> None:
    """Write a simulated frame in the UCI files' format, below a line that says what it is; makes the folder.

    A missing value becomes an empty field; a local time that comes twice, when clocks go back, gets its offset.
    """
    twice = frame[DATE].dt.tz_localize(None).dt.tz_localize(frame[DATE].dt.tz, ambiguous="NaT").isna()
    date = frame[DATE].dt.strftime("%Y-%m-%d %H:%M:%S").where(~twice, frame[DATE].dt.strftime("%Y-%m-%d %H:%M:%S%z"))
    lines = [notice(seed), ",".join(f'"{name}"' for name in (DATE, *NAMES, LABEL))]
    rows = zip(date, frame[list(NAMES)].to_numpy(np.float64).tolist(), frame[LABEL], strict=True)
    for number, (when, values, label) in enumerate(rows, 1):
        fields = ["" if value != value else f"{value:.15g}" for value in values]  # noqa: PLR0124 - NaN alone differs from itself
        lines.append(f'"{number}","{when}",{",".join(fields)},{label}')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("\n".join(lines) + "\n", "utf-8")


class Settings(msgspec.Struct, frozen=True):
    """What `python -m occupancy.simulate` can be told."""

    days: Annotated[int, Meta(ge=1, le=3660, description="how many days to simulate")] = 7
    seed: Annotated[int, Meta(ge=0, description="seed of everything random")] = 1
    start: Annotated[datetime.date, Meta(description=f"the first day, of {ZONE}")] = START
    save_path: Annotated[str, Meta(min_length=1, description="the file to write")] = "out/simulated.csv"


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Simulate a room into a file, and print one line; gives the exit status."""
    about = "Simulate an office room into a file of the UCI data set's format."
    try:
        table = settings.read(Settings, prog="occupancy.simulate", argv=argv, environ=environ, about=about)
        frame = simulate(table.days, table.seed, table.start)
        write(table.save_path, frame, table.seed)
    except (InputError, OSError) as error:
        print(f"occupancy.simulate: {error}", file=sys.stderr)
        return 2
    print(f"{table.save_path}: SIMULATED, {len(frame)} rows, {frame[LABEL].mean():.1%} occupied")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
