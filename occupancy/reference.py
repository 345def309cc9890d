"""What monitoring compares the present with: computed in training, written beside the model as `reference.json`.

Everything in it is measured on the training data alone and needs no XGBoost to be used.
"""

import msgspec
import numpy as np
import pandas as pd

from occupancy.dataset import DATE, LABEL, Dataset
from occupancy.reading import NAMES

FORMAT = 1
HALF_HOURS = 48
LEVEL_MINUTES = 60


class Sensor(msgspec.Struct, frozen=True):
    """One sensor's clean behaviour, in its own unit.

    `level`: median per half hour of the local day, None where there was no reading. `largest_step`: between neighbours
    in time. `longest_run`: minutes of equal values. `night_zero`: share of readings from 22 to 5 h that are 0.
    `day_maxima`: per date, the largest 60-minute mean of |value - level|, the level taken from the other days.
    """

    low: float
    high: float
    level: list[float | None]
    largest_step: float
    longest_run: float
    night_zero: float
    day_maxima: dict[str, float]


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
    occupied_workday: list[float | None]
    occupied_weekend: list[float | None]


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


def load(raw: bytes) -> Reference:
    """Read a reference; raises msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(raw, type=Reference)


def _sensor(data: Dataset, name: str, neighbours: np.ndarray, half_hour: pd.Series) -> Sensor:
    values = data.frame[name]
    steps = values.diff().abs().to_numpy()[1:][neighbours]
    night = (half_hour >= 44) | (half_hour < 10)  # 22:00 to 05:00
    return Sensor(
        low=_round(values.min()),
        high=_round(values.max()),
        level=_per_half_hour(values, half_hour, "median"),
        largest_step=_round(steps.max(initial=0)),
        longest_run=_longest_run(data.frame[DATE], values),
        night_zero=_round((values[night] == 0).mean() if night.any() else 0),
        day_maxima=_day_maxima(data, values, half_hour),
    )


def _per_half_hour(values: pd.Series, half_hour: pd.Series, how: str) -> list[float | None]:
    level = values.groupby(half_hour).agg(how).reindex(range(HALF_HOURS))
    return [None if np.isnan(v) else _round(v) for v in level]


def _longest_run(date: pd.Series, values: pd.Series) -> float:
    run = (values != values.shift()).cumsum()
    lasted = date.groupby(run).agg(lambda d: (d.iloc[-1] - d.iloc[0]).total_seconds() / 60)
    return _round(lasted.max())


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
