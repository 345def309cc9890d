"""Layer one, sensor health: is what the sensors report physically and technically sound? A person is told.

Each rule gives a signal over a stretch of one room's time. What a rule has to remember from one stretch to the next is
in `Memory`.
"""

from collections.abc import Iterator

import msgspec
import numpy as np
import pandas as pd

from monitoring.drift.events import Signal
from monitoring.drift.limits import Limits
from monitoring.drift.minutes import Array, Minutes, join, seconds
from occupancy.humidity import ROUNDING, humidity_ratios
from occupancy.reading import DERIVED, FEATURES, NAMES
from occupancy.reference import RESTLESS_STEPS, RESTS, Reference, at_night, by_day

NEVER = -1e18


class Memory(msgspec.Struct):
    """What the rules remember: since when each sensor has not changed, when awake too, and is not 0 at night; and the pace."""

    run: list[float] = msgspec.field(default_factory=lambda: [NEVER] * len(NAMES))
    day_run: list[float] = msgspec.field(default_factory=lambda: [NEVER] * len(NAMES))
    lit: list[float] = msgspec.field(default_factory=lambda: [NEVER] * len(NAMES))
    odd: int = 0
    paced: int = 0
    in_step: int = 0
    lag: float | None = None


def refused(rows: pd.DataFrame) -> Iterator[Signal]:
    """Name sensors whose readings were refused: physically impossible, or without a number."""
    time = seconds(rows["occupancy.reading.time"])
    reason, field = rows["occupancy.refusal.reason"].to_numpy(), rows["occupancy.refusal.field"].to_numpy()
    for feature in FEATURES:
        mine = field == feature.name
        value = rows[f"occupancy.reading.{feature.name}"].fillna(0).to_numpy(np.float64)
        limit = np.where(value > feature.high, feature.high, feature.low)
        outside = mine & (reason == "out_of_range")
        yield Signal("range", feature.name, time, outside, value, limit, time)
        absent = mine & np.isin(reason, ["missing", "not_finite", "not_a_number"])
        yield Signal("missing", feature.name, time, absent, np.zeros(len(time)), np.zeros(len(time)), time)


def clock(rows: pd.DataFrame, memory: Memory, limits: Limits) -> Iterator[Signal]:
    """Find where the readings' clock jumps against ours, after both kept pace; `rows` in order of arrival.

    It wants readings that are sent as they are taken: a file that is sent faster never keeps pace.
    """
    lag = seconds(rows["@timestamp"]) - seconds(rows["occupancy.reading.time"])
    if not len(lag):
        return
    moved = np.diff(lag, prepend=lag[0] if memory.lag is None else memory.lag)
    even = np.abs(moved) <= limits.neighbours / 3
    streak = _streak(even, memory.in_step)
    before = np.concatenate(([memory.in_step], streak[:-1]))
    bad = (np.abs(moved) > limits.clock_seconds) & (before >= limits.steady)
    memory.lag, memory.in_step = float(lag[-1]), int(streak[-1])
    time = seconds(rows["occupancy.reading.time"])
    yield Signal("clock", None, time, bad, -moved / 60, np.full(len(lag), limits.clock_seconds / 60), time)


def stale(time: Array, last: float, memory: Memory, limits: Limits) -> list[tuple[float, float]]:
    """Find the gaps in an even pace of readings at times in order: pairs of the last before and the first after one."""
    gap = np.diff(time, prepend=last)
    streak = _streak(gap <= limits.neighbours, memory.paced)
    before = np.concatenate(([memory.paced], streak[:-1]))
    memory.paced = int(streak[-1])
    found = np.flatnonzero((gap > limits.stale_seconds) & (before >= limits.steady))
    return [(float(time[at] - gap[at]), float(time[at])) for at in found]


def ratio(minutes: Minutes, memory: Memory, limits: Limits) -> Signal:
    """Compare HumidityRatio with what Temperature and Humidity give; allows for four digits after the point."""
    column = dict(zip(NAMES, minutes.values.T, strict=True))
    computed = humidity_ratios(column["Temperature"], column["Humidity"], np)
    off = np.abs(column[DERIVED] - computed)
    streak = _streak(off > ROUNDING + limits.ratio * computed, memory.odd)
    memory.odd = int(streak[-1])
    share = off / np.maximum(computed, 1e-9)
    limit = np.full(len(off), limits.ratio)
    return Signal("ratio", DERIVED, minutes.time, streak >= limits.ratio_readings, share, limit, minutes.time)


def neighbours(reference: Reference, limits: Limits) -> float:
    """Give how many seconds apart two readings may be and still stand next to each other, at the reference's own pace."""
    return limits.neighbours * max(1.0, reference.sampling_seconds / 60)


def compared(tail: Minutes, part: Minutes, memory: Memory, reference: Reference, limits: Limits) -> Iterator[Signal]:
    """Compare each sensor with its own past: steps, noise, runs of equal values, light at night.

    `tail`: the minutes of the hour before `part`.
    """
    both, new = join(tail, part), slice(len(tail), None)
    near = np.diff(both.time, prepend=NEVER) <= neighbours(reference, limits)
    steps = np.abs(np.diff(both.values, axis=0, prepend=both.values[:1]))
    day, night = by_day(both.half_hour), at_night(both.half_hour)
    for at, name in enumerate(NAMES):
        if name == DERIVED:
            continue
        sensor, value, step = reference.sensors[name], both.values[:, at], steps[:, at]
        largest = np.full(len(part), limits.step_factor * sensor.largest_step)
        yield Signal("step", name, part.time, near[new] & (step[new] > largest), step[new], largest, part.time)
        if sensor.restless is not None:
            yield _noise(name, both, new, near, step, limit=limits.restless_factor * sensor.restless)

        rests = sensor.night_zero >= RESTS
        equal, awake = near & (step == 0), day | (rests & (value != 0))
        anytime, memory.run[at] = _since(equal[new], part.time, memory.run[at])
        where_awake = equal & awake & np.roll(awake, 1)
        in_wake, memory.day_run[at] = _since(where_awake[new], part.time, memory.day_run[at])
        yield _run(
            name, part.time, (anytime, None if rests else sensor.longest_run), (in_wake, sensor.longest_day_run), limits
        )
        if rests:
            shines = near & night & np.roll(night, 1) & (value > 0)
            lit, memory.lit[at] = _since(shines[new], part.time, memory.lit[at])
            length, limit = (part.time - lit) / 60, np.full(len(part), limits.night_minutes)
            yield Signal("night", name, part.time, length >= limit, length, limit, lit)


def _noise(name: str, both: Minutes, new: slice, near: Array, step: Array, *, limit: float) -> Signal:
    """Tell where the median of the last steps is too large: where more than half of them are."""
    steps = RESTLESS_STEPS
    large, total, unbroken = (
        np.convolve(what, np.ones(steps), "full")[: len(both)]
        for what in (near & (step > limit), np.where(near, step, 0), near)
    )
    bad = (large > steps / 2) & (unbroken > steps - 0.5)
    since = both.time - steps * 60.0
    return Signal(
        "noise", name, both.time[new], bad[new], total[new] / steps, np.full(len(both), limit)[new], since[new]
    )


def _run(
    name: str, time: Array, anytime: tuple[Array, float | None], awake: tuple[Array, float | None], limits: Limits
) -> Signal:
    """Tell where a sensor stood still for too long: at any time, or when it can't be at rest and has less excuse.

    Both are pairs: since when it stands still, and the longest clean run, None where there is none to compare with.
    """

    def limit(clean: float | None) -> float:
        return np.inf if clean is None else max(limits.run_floor, limits.run_factor * clean)

    length, wake_length = (time - anytime[0]) / 60, (time - awake[0]) / 60
    too_long = wake_length > limit(awake[1])
    value, begun = np.where(too_long, wake_length, length), np.where(too_long, awake[0], anytime[0])
    allowed = np.where(too_long, limit(awake[1]), limit(anytime[1]))
    return Signal("run", name, time, too_long | (length > limit(anytime[1])), value, allowed, begun)


def _since(goes_on: Array, time: Array, before: float) -> tuple[Array, float]:
    """Give, at each time, when its unbroken stretch began; `before`: when the one that reaches into this began."""
    broken = np.maximum.accumulate(np.where(goes_on, -1, np.arange(len(time))))
    since = np.where(broken >= 0, time[broken], before if before > NEVER else time[0])
    return since, float(since[-1])


def _streak(true: Array, before: int) -> Array:
    """Count, at each place, how many have been true in a row; `before`: how many were when this began."""
    index = np.arange(len(true))
    broken = np.maximum.accumulate(np.where(true, -1 - before, index))
    return index - broken
