"""A new room has no reference: it learns its own from its first clean days, and is not compared until then."""

import numpy as np
import pandas as pd

from monitoring.drift.minutes import Array
from occupancy import reference
from occupancy.dataset import Dataset
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.reference import Reference

HALF_A_DAY = 720  # minutes that a day must hold to be one


def learn(
    history: list[list[float]], sick: list[tuple[float, float]], like: Reference, days: int
) -> tuple[Reference | None, float]:
    """Learn from the first clean days of a room, once there are so many; gives the reference, and when they ended.

    `history`: rows of time in seconds since 1970, sensors, answer; `sick`: stretches in which a sensor was not well, whose
    days are left out; `like`: whose time zone and pace it takes. The label is the model's own answer, for want of a truth.
    """
    table, date, day, clean = _days(history, sick, like)
    if len(clean) <= days:  # the last one may not be over yet
        return None, 0.0
    chosen = day.isin(clean[:days]).to_numpy()
    frame = pd.DataFrame(table[chosen, 1:], columns=[*NAMES, LABEL])
    frame.insert(0, DATE, date[chosen].reset_index(drop=True))
    frame[LABEL] = frame[LABEL].astype(int)
    end = float(table[chosen, 0][-1])
    data = Dataset("", frame, [], "", like.simulated, like.timezone)
    return reference.compute(data), np.nextafter(end, np.inf)


def clean_days(history: list[list[float]], sick: list[tuple[float, float]], like: Reference) -> int:
    """Count the days that can be learned from: at least half of each was seen, and no sensor was unwell."""
    return len(_days(history, sick, like)[3]) if history else 0


def _days(
    history: list[list[float]], sick: list[tuple[float, float]], like: Reference
) -> tuple[Array, "pd.Series[pd.Timestamp]", "pd.Series[str]", list[str]]:
    """Give the rows, their dates, their days, and which days are clean."""
    table = np.array(history)
    date = pd.Series(pd.to_datetime((table[:, 0] * 1e6).astype("datetime64[us]"), utc=True)).dt.tz_convert(
        like.timezone
    )
    day = date.dt.strftime("%Y-%m-%d")
    bad = np.zeros(len(table), bool)
    for begun, ended in sick:
        bad |= (table[:, 0] >= begun) & (table[:, 0] <= ended)
    counts = day.groupby(day).size()
    whole = counts[counts * max(60.0, like.sampling_seconds) >= HALF_A_DAY * 60].index
    clean = [name for name in whole if not bad[(day == name).to_numpy()].any()]
    return table, date, day, clean
