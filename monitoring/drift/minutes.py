"""One room's readings as arrays: about one a minute, in order of their own time."""

from bisect import bisect_left
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
    """Readings that were answered, none sooner than half a minute after the one before.

    `time`: seconds since 1970, shape (n,); `values`: the sensors in the contract's order, shape (n, sensors); `label`: the
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


def of(answered: pd.DataFrame, seen: float, last: float, apart: float, zone: ZoneInfo) -> tuple[Minutes, int]:
    """Thin answered predictions later than `seen`; gives them, and how many came too late. Times in seconds.

    Readings less than `apart` seconds after the one that was kept before are left out; `last`: the last kept so far.
    """
    time = seconds(answered["occupancy.reading.time"])
    order = np.argsort(time, kind="stable")
    order = order[time[order] > seen]
    rows = order[_thin(time[order], last, apart)]
    values, label = (
        answered[_READING].to_numpy(np.float64)[rows],
        answered["occupancy.label"].to_numpy(np.float64)[rows],
    )
    return at(time[rows], values, label, zone), len(time) - len(order)


def _thin(time: Array, last: float, apart: float) -> Array:
    """Choose times, in order, of which each is at least so far from the one chosen before."""
    if not len(time) or (np.diff(time, prepend=last) >= apart).all():  # one a minute, as it should be
        return np.arange(len(time))
    listed, chosen = time.tolist(), []
    index = bisect_left(listed, last + apart)
    while index < len(listed):
        chosen.append(index)
        index = bisect_left(listed, listed[index] + apart, index + 1)
    return np.array(chosen, np.int64)


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
