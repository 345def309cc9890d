"""What sets a run off: verdict records that ask for it, a schedule, or a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

PERSON, RETRAIN = "person", "retrain"


class Asked(NamedTuple):
    """Why a run goes on: in words, the verdict's event and since when its readings count (empty and None for others)."""

    why: str
    event: str = ""
    since: datetime | None = None


class Stop(NamedTuple):
    """Why it does not: the outcome, and in words."""

    outcome: str
    why: str


def asked(trigger: str, verdicts: Sequence[str], by: str) -> Asked | Stop:
    """Read the open verdicts, each a record as a line of JSON, and tell whether a run goes on.

    Of verdicts only one of consequence `retrain` sets it off, and an open health verdict of the same room stops it. A schedule
    or a person goes on: `collect` leaves out what a sick sensor said.
    """
    found = [msgspec.json.decode(line) for line in verdicts]
    sick = {_of(v, "room"): v for v in found if _of(v, "verdict.consequence") == PERSON}
    if trigger != "verdict":
        return Asked(f"asked for by {by}")
    loss = [v for v in found if _of(v, "verdict.consequence") == RETRAIN]
    if not loss:
        return Stop("idle", f"no open verdict asks for retraining ({len(found)} open)")
    well = [v for v in loss if _of(v, "room") not in sick]
    if not well:
        ill = sick[_of(loss[0], "room")]
        return Stop(
            "blocked",
            f"room {_of(ill, 'room')}: {_of(ill, 'verdict.message')}: mend the sensor first, its readings teach nothing true",
        )
    first = min(well, key=lambda v: str(_of(v, "verdict.since")))
    why = f"room {_of(first, 'room')}: {_of(first, 'verdict.message')}"
    return Asked(why, str(_of(first, "verdict.event")), datetime.fromisoformat(str(_of(first, "verdict.since"))))


def _of(verdict: dict[str, Any], name: str) -> Any:
    return verdict[f"occupancy.{name}"]
