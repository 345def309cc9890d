"""One room's readings as arrays: at most one a minute, in order of their own time."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from occupancy.reading import NAMES

Array = np.ndarray[Any, Any]
_READING = [f"occupancy.reading.{name}" for name in NAMES]


@dataclass(frozen=True)
class Minutes:
    """Readings that were answered: the first of each minute.

    `time`: seconds since 1970, shape (n,); `values`: the sensors in the contract's order, shape (n, 5); `label`: the
    answer, 0 or 1; `half_hour` (0 to 47) and `day` (days since 1970) on the room's clock.
    """

    time: Array
    values: Array
    label: Array
    half_hour: Array
    day: Array

    def __len__(self) -> int:
        """Count the minutes."""
        return len(self.time)

    def take(self, rows: Any) -> "Minutes":
        """Take some of the minutes, by slice, index or mask."""
        return Minutes(self.time[rows], self.values[rows], self.label[rows], self.half_hour[rows], self.day[rows])


def seconds(times: pd.Series) -> Array:
    """Give times as seconds since 1970."""
    return times.to_numpy("datetime64[us]").astype(np.int64) / 1e6


def of(answered: pd.DataFrame, after: float, zone: ZoneInfo) -> tuple[Minutes, int]:
    """Thin answered predictions to one a minute, later than the minute of `after`; gives them with how many came too late."""
    time = seconds(answered["occupancy.reading.time"])
    order = np.argsort(time, kind="stable")
    minute = time[order] // 60
    new = minute > after // 60
    late = int(len(new) - new.sum())
    new[1:] &= minute[1:] != minute[:-1]
    rows = order[new]
    values = answered[_READING].to_numpy(np.float64)[rows]
    return at(time[rows], values, answered["occupancy.label"].to_numpy(np.float64)[rows], zone), late


def at(time: Array, values: Array, label: Array, zone: ZoneInfo) -> Minutes:
    """Add the room's clock to readings at times in seconds since 1970."""
    local = pd.DatetimeIndex((time * 1e6).astype("datetime64[us]"), tz="UTC").tz_convert(zone)
    wall = local.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64) // 1_000_000
    return Minutes(time, values, label, (wall % 86400 // 1800).astype(np.int64), wall // 86400)


def join(earlier: Minutes, later: Minutes) -> Minutes:
    """Put two stretches of time in a row."""
    return Minutes(
        np.concatenate((earlier.time, later.time)),
        np.concatenate((earlier.values, later.values)),
        np.concatenate((earlier.label, later.label)),
        np.concatenate((earlier.half_hour, later.half_hour)),
        np.concatenate((earlier.day, later.day)),
    )
