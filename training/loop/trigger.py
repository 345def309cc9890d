"""What sets a run off: verdict records that ask for it, a schedule, or a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

PERSON, RETRAIN = "person", "retrain"


class Asked(NamedTuple):
    """Why a run goes on: in words, since when readings count, and the verdict's event (empty for others)."""

    why: str
    since: datetime
    event: str = ""


class Stop(NamedTuple):
    """Why it does not: the outcome, and in words."""

    outcome: str
    why: str


def asked(trigger: str, still: Sequence[str], ever: Sequence[str], *, by: str, earliest: datetime) -> Asked | Stop:
    """Read the verdicts that are open, and all there ever were, each a record as a line of JSON, and tell whether a run goes on.

    Of verdicts only an open one of consequence `retrain` sets it off, and an open health verdict of the same room stops it. Its
    readings count since the first such verdict of that room that is not older than `earliest`: one that closes for a weekend and
    opens again is the same drift. A schedule or a person goes on: `collect` leaves out what a sick sensor said.
    """
    if trigger != "verdict":
        return Asked(f"asked for by {by}", earliest)
    found = [Found.of(line) for line in still]
    sick = {each.room: each for each in found if each.consequence == PERSON}
    loss = [each for each in found if each.consequence == RETRAIN]
    if not loss:
        return Stop("idle", f"no open verdict asks for retraining ({len(found)} open)")
    well = [each for each in loss if each.room not in sick]
    if not well:
        ill = sick[loss[0].room]
        return Stop(
            "blocked", f"room {ill.room}: {ill.message}: mend the sensor first, its readings teach nothing true"
        )
    first = min(well, key=lambda each: each.since)
    before = [each.since for each in map(Found.of, ever) if (each.room, each.rule) == (first.room, first.rule)]
    since = min((when for when in before if when >= earliest), default=earliest)
    return Asked(f"room {first.room}: {first.message}", since, first.event)


class Found(NamedTuple):
    """What counts of a verdict record."""

    room: str
    event: str
    rule: str
    consequence: str
    message: str
    since: datetime

    @classmethod
    def of(cls, line: str) -> "Found":
        """Read a record's line."""
        fields: dict[str, Any] = msgspec.json.decode(line)
        told = {name: fields[f"occupancy.verdict.{name}"] for name in cls._fields[1:]}
        return cls(room=fields["occupancy.room"], **{**told, "since": datetime.fromisoformat(told["since"])})
