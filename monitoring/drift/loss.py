"""Layer three, loss: are the answers wrong more often than is accepted? The only trigger of automatic retraining.

An e-detector (Shin, Ramdas, Rinaldo: E-detectors, New England Journal of Statistics in Data Science, 2024): of the
error x in [0, 1] of each labelled hour, the null is that its mean, given all before, is at most p. Then each bet
1 + b (x - p), with 0 <= b <= 1/p, has a mean of at most 1, and the sum of all bets' products begun at each hour so far
(Shiryaev-Roberts) grows by at most 1 an hour on average. So the mean time to its passing c is at least c hours, without
any assumption of independence or of a distribution.
"""

import math

import msgspec
import numpy as np

from monitoring.drift.limits import Limits
from monitoring.drift.minutes import Array

BETS = (0.025, 0.05, 0.1, 0.2, 0.4)  # as shares of the largest allowed bet; their mean is a mixture
DATING = 3  # the bet whose CUSUM dates the change
CALM = 120  # labelled hours that have to be good again before it closes: more than a weekend, when nobody is there


class Wealth(msgspec.Struct):
    """What the detector remembers.

    Each bet's sum; the hour under way with its wrong answers and labels; the errors of the last hours; whether it is open;
    and a CUSUM of one bet, whose last rise from 0 dates the change, with the errors and hours since.
    """

    sums: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BETS))
    hour: int = -1
    wrong: float = 0.0
    labels: int = 0
    recent: list[float] = []
    open: bool = False
    evidence: float = 0.0
    since: float = 0.0
    errors: float = 0.0
    hours: int = 0


class Turn(msgspec.Struct, frozen=True):
    """The detector opens or closes: when, since when, and the mean error of the labelled hours since, or of the last."""

    opened: bool
    at: float
    since: float
    error: float


def advance(state: Wealth, time: Array, wrong: Array, limits: Limits) -> list[Turn]:
    """Follow labelled answers in the order in which their truth was told; gives where the detector opens and closes.

    `time`: of the readings, seconds since 1970; `wrong`: 1 or 0. Those of one hour that are told together count as one
    value, their mean. It closes when the last 120 labelled hours are within what is accepted, and begins anew.
    """
    turns = []
    hours = (time // 3600).astype(np.int64)
    ends = np.flatnonzero(np.diff(hours)) + 1
    for part in np.split(np.arange(len(time)), ends) if len(time) else []:
        hour = int(hours[part[0]])
        if hour != state.hour:
            if state.labels and (turn := _end(state, float(time[part[0]]), limits)):
                turns.append(turn)
            state.hour, state.wrong, state.labels = hour, 0.0, 0
        state.wrong += float(wrong[part].sum())
        state.labels += len(part)
    return turns


def _end(state: Wealth, now: float, limits: Limits) -> Turn | None:
    error = state.wrong / state.labels
    state.recent = [*state.recent, error][-CALM:]
    if state.open:
        lately = float(np.mean(state.recent))
        if len(state.recent) < CALM or lately > limits.error:
            return None
        turn = Turn(False, now, state.since, lately)
        state.open, state.sums, state.evidence = False, [0.0] * len(BETS), 0.0
        return turn
    factors = [1 + share / limits.error * (error - limits.error) for share in BETS]
    state.sums = [(1 + total) * factor for total, factor in zip(state.sums, factors, strict=True)]
    if state.evidence == 0:
        state.since, state.errors, state.hours = state.hour * 3600.0, 0.0, 0
    state.evidence = max(0.0, state.evidence + math.log(factors[DATING]))
    state.errors, state.hours = state.errors + error, state.hours + 1
    if float(np.mean(state.sums)) < limits.run_length:
        return None
    state.open, state.recent = True, []
    return Turn(True, now, state.since, state.errors / state.hours)
