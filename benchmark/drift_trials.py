"""Judging: clean stretches for false alarms, and the same stretch with and without a change for power, delay and harm."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.drift_cases import CLEAN, Case
from benchmark.drift_rooms import DAY, Room, Stream, records, scored
from monitoring.drift.verdict import OPENED, Verdict
from monitoring.records import Records
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.reference import Reference
from occupancy.simulate import PRECISION

LEAD_DAYS = 1
HARMFUL = 5.0
"""points of accuracy"""


Judge = Callable[[Records, Reference], Sequence[Verdict]]


class Alarm(NamedTuple):
    """A verdict that opened, `minutes` after the beginning of what was looked at."""

    layer: str
    rule: str
    sensor: str
    consequence: str
    minutes: float


class Quiet(NamedTuple):
    """A clean stretch of a room, and what was said of it all the same."""

    room: str
    days: float
    alarms: list[Alarm]


class Trial(NamedTuple):
    """One change at one minute of one room.

    `harm`: points of accuracy lost while it was looked at; `shows`: minutes from the onset to the first reading that
    says something else than it would have (NaN: none); `alarms`: opened by it, in minutes from the onset.
    """

    case: str
    group: str
    room: str
    harm: float
    shows: float
    alarms: list[Alarm]


def quiet(room: Room, judge: Judge) -> Quiet:
    """Judge all of a room's clean readings."""
    stream = scored(room.booster, room.frame, room.frame[DATE])
    days = (room.frame[DATE].iloc[-1] - room.frame[DATE].iloc[0]) / pd.Timedelta(days=1)
    return Quiet(room.name, days, opened(judge(records(stream, room.name, room.seed), room.reference), stream, 0))


def onsets(room: Room, count: int, days: int) -> list[int]:
    """Draw minutes of a room at which changes begin, with a day before them and so many days after."""
    rng = np.random.default_rng((room.seed, 5))
    drawn = rng.integers(LEAD_DAYS * DAY, len(room.frame) - days * DAY, count, endpoint=True)
    return [int(minute) for minute in sorted(drawn)]


def trials(room: Room, minutes: Iterable[int], cases: Sequence[Case], judge: Judge) -> Iterator[Trial]:
    """Try every case at every minute."""
    for minute in minutes:
        clean = stretch(room, minute, CLEAN.days)

        @cache
        def chance(one_in: int, clean: Stream = clean) -> frozenset[Alarm]:
            told = records(clean, room.name, room.seed, one_in)
            return frozenset(opened(judge(told, room.reference), clean, 0))

        for case in cases:
            rows = (LEAD_DAYS + case.days) * DAY
            before = Stream(clean.frame[:rows], clean.observed[:rows], clean.probability[:rows])
            after = changed(room, before, case)
            told = records(after, room.name, room.seed, case.one_in, case.lies)
            alarms = opened(judge(told, room.reference), after, case.clock)
            onset = LEAD_DAYS * DAY
            yield Trial(
                case.name,
                case.group,
                room.name,
                100 * float(before.right[onset:].mean() - after.right[onset:].mean()),
                first_difference(before.frame[onset:], after.frame[onset:]),
                [
                    alarm._replace(minutes=alarm.minutes - onset)
                    for alarm in alarms
                    if alarm.minutes >= onset and alarm not in chance(case.one_in)
                ],
            )


def stretch(room: Room, onset: int, days: int) -> Stream:
    """Cut out a day before an onset and some days after it, and score them."""
    frame = room.frame[onset - LEAD_DAYS * DAY : onset + days * DAY].reset_index(drop=True)
    return scored(room.booster, frame, frame[DATE])


def changed(room: Room, clean: Stream, case: Case) -> Stream:
    """Give the same stretch as a case makes it from its second day on."""
    frame = case.spoil(clean.frame, LEAD_DAYS * DAY, room.seed)
    return scored(room.booster, frame, clean.observed)


def opened(verdicts: Iterable[Verdict], stream: Stream, clock: float) -> list[Alarm]:
    """List the verdicts that opened, each at its true time: `clock` minutes are what the readings' own times are off."""
    begin = stream.observed.iloc[0]
    return [
        Alarm(v.layer, v.rule, v.sensor or "", v.consequence, (v.at - begin) / pd.Timedelta(minutes=1) - clock)
        for v in verdicts
        if v.state == OPENED
    ]


def first_difference(before: pd.DataFrame, after: pd.DataFrame) -> float:
    """Find the first row that says something else, beyond a sensor's own noise; NaN where none does."""
    differs = (before[DATE] != after[DATE]).to_numpy() | (before[LABEL] != after[LABEL]).to_numpy()
    for name in NAMES:
        noise = max(PRECISION.get(name, (1e-5, 1e-5)))
        apart = np.abs(before[name].to_numpy() - after[name].to_numpy())
        differs |= ~(apart <= noise)  # NaN is far from everything
    return float(np.argmax(differs)) if differs.any() else np.nan
