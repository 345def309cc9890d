"""Faults written as text: `stuck:Light:start=6h:end=1d6h, range:Temperature, clock:size=60`."""

import math
import re
from typing import get_args

from occupancy.errors import InputError
from occupancy.simulate import Fault, Kind

SIZED = frozenset({"offset", "gain", "noise", "clock", "ramp", "range"})
RANGE_SIZE = 25.0
HOW = "write KIND:SENSOR and, where needed, :size=1.5:start=6h:end=1d6h"
KEYS = ("size", "start", "end")
_TIME = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")


class InvalidFault(InputError):
    """A fault is written in a way that can't be understood, or is none that there can be."""


def parse(text: str, minutes: float) -> list[Fault]:
    """Read faults, divided by commas: a kind, a sensor (a clock has none), and what applies of size, start and end.

    A size is in the sensor's unit (of a gain: a factor; of a clock: minutes; of a range: 25 where none is given). A time
    counts from the first row, such as 90m, 6h or 1d6h; a fault begins with the first row and lasts for `minutes` where
    nothing else is said. Raises InvalidFault.
    """
    return [_parse(one.strip(), minutes) for one in text.split(",") if one.strip()]


def _parse(text: str, minutes: float) -> Fault:
    kind, *parts = text.split(":")
    sensor = parts.pop(0) if parts and "=" not in parts[0] else ""
    given = dict(part.partition("=")[::2] for part in parts)
    if len(given) < len(parts) or given.keys() - set(KEYS):
        raise InvalidFault(f"{text!r}: after the sensor stand {', '.join(KEYS)}, each at most once; {HOW}")
    start = _minutes(text, given["start"]) if "start" in given else 0.0
    end = _minutes(text, given["end"]) if "end" in given else minutes
    if start >= end:
        raise InvalidFault(f"{text!r}: it would begin {start:g} minutes after the first row, and end after {end:g}")
    size = _size(text, kind, given.get("size"))
    try:
        return Fault(kind, sensor, start, end, size)  # type: ignore[arg-type] # Fault knows which kinds there are
    except ValueError as error:
        raise InvalidFault(f"{text!r}: {error}; {HOW}") from None


def _size(text: str, kind: str, given: str | None) -> float:
    if given is None and kind == "range":
        return RANGE_SIZE
    if (given is not None) != (kind in SIZED) and kind in get_args(Kind):
        needs = "has no size" if given else "needs a size, such as :size=1.5"
        raise InvalidFault(f"{text!r}: {kind} {needs}")
    try:
        size = float(given or 0)
    except ValueError:
        size = math.nan
    if not math.isfinite(size):
        raise InvalidFault(f"{text!r}: the size {given!r} is not a number")
    return size


def _minutes(text: str, time: str) -> float:
    found = _TIME.fullmatch(time)
    if not found:
        raise InvalidFault(f"{text!r}: {time!r} is not a time such as 90m, 6h or 1d6h")
    days, hours, minutes = (int(number or 0) for number in found.groups())
    return 1440.0 * days + 60 * hours + minutes
