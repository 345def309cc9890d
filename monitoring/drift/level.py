"""Layer two, level: is a sensor where its season has it? A ticket, since a good model often bears a shift.

The season is the reference's half-hourly median. A day's statistic is the largest 60-minute mean of the distance from it,
and is compared with those of the reference's days, each left out of its own season.
"""

from math import comb

import msgspec
import numpy as np

from monitoring.drift.events import Signal
from monitoring.drift.limits import Limits
from monitoring.drift.minutes import Array, Minutes
from monitoring.drift.verdict import CLOSED, OPENED, Verdict, say
from occupancy.reading import NAMES
from occupancy.reference import LEVEL_MINUTES, Reference

WINDOW = LEVEL_MINUTES * 60.0


class Days(msgspec.Struct):
    """The day under way; of each sensor the days in a row that speak for a change: how many, since when, the smallest.

    Before a ticket they are those above the reference; while it is open, those within it.
    """

    day: int = -1
    begun: float = 0.0
    minutes: int = 0
    largest: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(NAMES))
    streak: list[int] = msgspec.field(default_factory=lambda: [0] * len(NAMES))
    open: list[bool] = msgspec.field(default_factory=lambda: [False] * len(NAMES))
    since: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(NAMES))
    smallest: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(NAMES))


def distances(minutes: Minutes, reference: Reference) -> Array:
    """Give each minute's mean distance from the season over the hour before, shape (n, sensors); NaN where it holds too little."""
    season = np.array([[np.nan if v is None else v for v in s.level] for s in reference.sensors.values()])
    residual = minutes.values - season[:, minutes.half_hour].T
    there = np.isfinite(residual)
    total = np.cumsum(np.vstack((np.zeros(len(NAMES)), np.where(there, residual, 0))), axis=0)
    count = np.cumsum(np.vstack((np.zeros(len(NAMES)), there)), axis=0)
    first = np.searchsorted(minutes.time, minutes.time - WINDOW, side="right")
    end = np.arange(1, len(minutes) + 1)
    held = count[end] - count[first]
    enough = held >= WINDOW / max(60.0, reference.sampling_seconds) / 2
    return np.where(enough, (total[end] - total[first]) / np.maximum(held, 1), np.nan)


def largest(reference: Reference) -> Array:
    """Give each sensor's largest distance of a clean reference day; infinite where no day could be compared."""
    return np.array([max(s.day_maxima.values(), default=np.inf) for s in reference.sensors.values()])


def jumps(minutes: Minutes, distance: Array, reference: Reference, limits: Limits) -> list[Signal]:
    """Tell where a sensor is so far from its season that one hour is enough."""
    return [
        Signal("jump", name, minutes.time, np.abs(distance[:, at]) > bound, distance[:, at], np.full(len(minutes), bound), minutes.time - WINDOW)
        for at, (name, bound) in enumerate(zip(NAMES, limits.jump_factor * largest(reference), strict=True))
    ]  # fmt: skip


def days_needed(days: int, rarity: int) -> int:
    """Count the days in a row that chance seldom puts above all reference days.

    Where K reference days and n new ones are exchangeable, the n are the n largest of all with probability
    1 / C(n + K, n): an exact rank test, whatever the distribution.
    """
    return next(n for n in range(1, rarity + 1) if comb(n + days, n) >= rarity)


def tickets(
    state: Days, minutes: Minutes, distance: Array, reference: Reference, limits: Limits, *, room: str
) -> list[Verdict]:
    """Follow the days; a verdict where enough of them in a row exceed all reference days, and where that is over."""
    verdicts = []
    ends = np.flatnonzero(np.diff(minutes.day)) + 1
    for part in np.split(np.arange(len(minutes)), ends):
        if int(minutes.day[part[0]]) != state.day:
            now = float(minutes.time[part[0]])
            if state.minutes * max(60.0, reference.sampling_seconds) >= 43_200:  # half a day or more was seen
                verdicts += _end(state, reference, limits, room, now)
            state.day, state.begun, state.minutes, state.largest = int(minutes.day[part[0]]), now, 0, [0.0] * len(NAMES)
        state.minutes += len(part)
        most = np.nanmax(np.abs(np.vstack((state.largest, distance[part]))), axis=0)
        state.largest = most.tolist()
    return verdicts


def _end(state: Days, reference: Reference, limits: Limits, room: str, now: float) -> list[Verdict]:
    """Count one more day above the reference, or within it; a ticket opens, and closes, after enough of them in a row."""
    verdicts = []
    for at, (name, bound) in enumerate(zip(NAMES, largest(reference), strict=True)):
        days = len(reference.sensors[name].day_maxima)
        if not days:
            continue
        needed = days_needed(days, limits.level_rarity)
        above = state.largest[at] > bound
        if state.open[at]:
            state.streak[at] = 0 if above else state.streak[at] + 1
        else:
            if above and not state.streak[at]:
                state.since[at], state.smallest[at] = state.begun, state.largest[at]
            state.streak[at] = state.streak[at] + 1 if above else 0
            state.smallest[at] = min(state.smallest[at], state.largest[at])
        if state.streak[at] < needed:
            continue
        state.open[at], state.streak[at] = not state.open[at], 0
        what = OPENED if state.open[at] else CLOSED
        told = {"at": now, "since": state.since[at], "value": state.smallest[at], "limit": float(bound)}
        verdicts.append(say("level", room, name, what, **told, days=needed, rarity=comb(needed + days, needed)))
    return verdicts
