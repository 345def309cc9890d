"""What monitoring compares the present with: computed in training, written beside the model as `reference.json`.

Everything in it is measured on the training data alone and needs no XGBoost to be used.
"""

from pathlib import Path
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES

FORMAT = 1
FILE = "reference.json"
HALF_HOURS = 48
LEVEL_MINUTES = 60
NIGHT, DAY = (22, 5), (9, 17)  # h of the local day: dark; light, with or without lamps
RESTS = 0.999  # a sensor that is 0 in this share of clean nights rests at 0
RESTLESS_STEPS = 30

PerHalfHour: TypeAlias = Annotated[list[float | None], Meta(min_length=HALF_HOURS, max_length=HALF_HOURS)]
Array: TypeAlias = np.ndarray[Any, Any]


class UnusableReference(InputError):
    """A reference can't be used: it is missing, damaged, of another format or of other sensors."""


class Sensor(msgspec.Struct, frozen=True):
    """One sensor's clean behaviour, in its own unit.

    `level`: median per half hour of the local day, None where there was no reading. `largest_step`: between neighbours
    in time. `longest_run`: minutes of equal values without a gap; `longest_day_run`: the same where it can't be at rest,
    between 9 and 17 h and, of a sensor that is 0 at night, wherever it is not 0. `restless`: the largest median of 30
    minutes' steps. (None: the reference was written before they were measured.) `night_zero`: share of readings from 22 to 5 h that
    are 0; 0 where there are none. `day_maxima`: per date, how far from 0 the 60-minute mean of value - level went, the
    level taken from the other days; a date that shares no half hour with them is left out.
    """

    low: float
    high: float
    level: PerHalfHour
    largest_step: float
    longest_run: float
    night_zero: float
    day_maxima: dict[str, float]
    longest_day_run: float | None = None
    restless: float | None = None


class Day(msgspec.Struct, frozen=True):
    """One date of the calendar: how many readings, the share occupied, and 0 for Monday to 6 for Sunday."""

    rows: int
    occupied: float
    weekday: int


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The clean past: sensors by name, dates, and the share occupied per half hour of workdays and of weekends."""

    format: int = FORMAT
    simulated: bool
    timezone: str
    sampling_seconds: float
    sensors: dict[str, Sensor]
    days: dict[str, Day]
    occupied_workday: PerHalfHour
    occupied_weekend: PerHalfHour


def at_night(half_hour: Array) -> Array:
    """Tell which half hours of the local day, 0 to 47, are of the night."""
    return np.asarray((half_hour >= 2 * NIGHT[0]) | (half_hour < 2 * NIGHT[1]))


def by_day(half_hour: Array) -> Array:
    """Tell which half hours of the local day, 0 to 47, are light."""
    return np.asarray((half_hour >= 2 * DAY[0]) & (half_hour < 2 * DAY[1]))


def compute(data: Dataset) -> Reference:
    """Measure the reference on a data set of at least two rows."""
    frame = data.frame
    seconds = frame[DATE].diff().dt.total_seconds().to_numpy()[1:]
    sampling = float(np.median(seconds))
    half_hour = frame[DATE].dt.hour * 2 + frame[DATE].dt.minute // 30
    weekend = frame[DATE].dt.day_of_week >= 5  # Saturday
    days = frame.groupby(data.day)
    return Reference(
        simulated=data.simulated,
        timezone=data.timezone,
        sampling_seconds=sampling,
        sensors={name: _sensor(data, name, seconds <= 1.5 * sampling, half_hour) for name in NAMES},
        days={
            str(day): Day(len(rows), _round(rows[LABEL].mean()), int(rows[DATE].dt.day_of_week.iloc[0]))
            for day, rows in days
        },
        occupied_workday=_per_half_hour(frame[LABEL][~weekend], half_hour[~weekend], "mean"),
        occupied_weekend=_per_half_hour(frame[LABEL][weekend], half_hour[weekend], "mean"),
    )


def dump(reference: Reference) -> bytes:
    """Write a reference as JSON, the same bytes for the same reference."""
    return msgspec.json.format(msgspec.json.encode(reference), indent=1) + b"\n"


def read(path: str | Path) -> Reference:
    """Read a reference file; raises UnusableReference."""
    try:
        return load(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise UnusableReference(f"{path}: {error.strerror}; training writes it beside the model") from None


def load(raw: bytes, name: str = "reference.json") -> Reference:
    """Read a reference from its bytes; `name` is what errors call it. Raises UnusableReference."""
    advice = "use the one that training wrote beside the model, or train again"
    try:
        written = msgspec.json.decode(raw, type=_Format).format
        if written != FORMAT:
            raise UnusableReference(f"{name} is in format {written}, this program reads format {FORMAT}; {advice}")
        reference = msgspec.json.decode(raw, type=Reference)
    except ValueError as error:  # not JSON, not UTF-8, or not a reference
        raise UnusableReference(f"{name} is not a reference: {error}; {advice}") from None
    try:
        ZoneInfo(reference.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UnusableReference(f"{name} names no time zone: {reference.timezone!r}; {advice}") from None
    if list(reference.sensors) != list(NAMES):
        raise UnusableReference(f"{name} is of {', '.join(reference.sensors)}, expected {', '.join(NAMES)}; {advice}")
    return reference


class _Format(msgspec.Struct):
    format: int


def _sensor(data: Dataset, name: str, neighbours: Array, half_hour: pd.Series) -> Sensor:
    values = data.frame[name]
    steps = values.diff().abs().to_numpy()[1:][neighbours]
    night = at_night(half_hour.to_numpy())
    night_zero = _round((values[night] == 0).mean() if night.any() else 0)
    awake = by_day(half_hour.to_numpy())
    if night_zero >= RESTS:
        awake = awake | (values != 0).to_numpy()
    apart = pd.Series(np.where(neighbours, values.diff().abs().to_numpy()[1:], np.nan))
    restless = apart.rolling(RESTLESS_STEPS).median().max()  # of steps without a gap among them
    return Sensor(
        low=_round(values.min()),
        high=_round(values.max()),
        level=_per_half_hour(values, half_hour, "median"),
        largest_step=_round(steps.max(initial=0)),
        longest_run=_longest_run(data.frame[DATE], values.to_numpy(), neighbours),
        night_zero=night_zero,
        day_maxima=_day_maxima(data, values, half_hour),
        longest_day_run=_longest_run(data.frame[DATE], values.to_numpy(), neighbours & awake[1:] & awake[:-1]),
        restless=None if np.isnan(restless) else _round(restless),
    )


def _per_half_hour(values: pd.Series, half_hour: pd.Series, how: str) -> list[float | None]:
    level = values.groupby(half_hour).agg(how).reindex(range(HALF_HOURS))
    return [None if np.isnan(v) else _round(v) for v in level]


def _longest_run(date: pd.Series, values: Array, neighbours: Array) -> float:
    minutes = (date - date.iloc[0]).dt.total_seconds().to_numpy() / 60
    ends = np.append(np.flatnonzero((values[1:] != values[:-1]) | ~neighbours), len(values) - 1)
    begins = np.append(0, ends[:-1] + 1)
    return _round((minutes[ends] - minutes[begins]).max())


def _day_maxima(data: Dataset, values: pd.Series, half_hour: pd.Series) -> dict[str, float]:
    maxima = {}
    for day in data.day.unique():
        left_out = (data.day == day).to_numpy()
        level = values[~left_out].groupby(half_hour[~left_out]).median()
        residual = (values - half_hour.map(level))[left_out].set_axis(pd.DatetimeIndex(data.frame[DATE][left_out]))
        hourly = residual.rolling(f"{LEVEL_MINUTES}min", min_periods=2).mean().abs()
        if hourly.notna().any():
            maxima[str(day)] = _round(hourly.max())
    return maxima


def _round(value: float) -> float:
    return float(f"{value:.6g}")
