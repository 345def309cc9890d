"""From a rule's signal over time to events: one verdict where it begins, one where it is over."""

from typing import NamedTuple

import msgspec
import numpy as np

from monitoring.drift.minutes import Array
from monitoring.drift.verdict import CLOSED, OPENED, Verdict, say


class Signal(NamedTuple):
    """What one rule says about one sensor: arrays of one length; `bad` where the limit is passed, times in seconds."""

    rule: str
    sensor: str | None
    time: Array
    bad: Array
    value: Array
    limit: Array
    since: Array


class Open(msgspec.Struct, frozen=True):
    """An event that is not over: since when, when it was last seen, and the value farthest out with its limit."""

    since: float
    last: float
    value: float
    limit: float


def follow(
    before: Open | None, signal: Signal, seen: Array, quiet: float, room: str
) -> tuple[Open | None, list[Verdict]]:
    """Follow one event through a stretch of time; gives what is open at its end, and the verdicts on the way.

    `seen`: the times of all readings of the stretch, in order. An event is over with the first reading that comes `quiet`
    seconds or more after it was last seen. Cutting the time into other stretches gives the same verdicts.
    """
    current, verdicts = before, []

    def close(event: Open) -> None:
        at = seen[np.searchsorted(seen, event.last + quiet)]
        verdicts.append(_verdict(signal, room, CLOSED, event, float(at)))

    bad = np.flatnonzero(signal.bad)
    for part in np.split(bad, np.flatnonzero(np.diff(signal.time[bad]) >= quiet) + 1) if len(bad) else []:
        first, last = part[0], part[-1]
        if current is not None and signal.time[first] - current.last >= quiet:
            close(current)
            current = None
        if current is None:
            begun = float(signal.time[first])
            current = Open(float(signal.since[first]), begun, float(signal.value[first]), float(signal.limit[first]))
            verdicts.append(_verdict(signal, room, OPENED, current, begun))
        worst = part[np.argmax(np.abs(signal.value[part]))]
        value, limit = current.value, current.limit
        if abs(signal.value[worst]) > abs(value):
            value, limit = float(signal.value[worst]), float(signal.limit[worst])
        current = Open(current.since, float(signal.time[last]), value, limit)
    if current is not None and len(seen) and seen[-1] >= current.last + quiet:
        close(current)
        current = None
    return current, verdicts


def _verdict(signal: Signal, room: str, state: str, event: Open, at: float) -> Verdict:
    return say(signal.rule, room, signal.sensor, state, at=at, since=event.since, value=event.value, limit=event.limit)
