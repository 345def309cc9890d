"""`python -m monitoring drift [FILE...]`: verdicts on records from files or from Elasticsearch, in words or as JSON.

Exit status: 0 nothing is wrong; 1 a verdict is open; 2 a setting or a file is wrong.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from monitoring import records, settings
from monitoring.drift.judge import Judge, State, advance
from monitoring.drift.learning import clean_days
from monitoring.drift.verdict import PERSON, RETRAIN, TICKET, Verdict, still_open
from monitoring.records import Records
from monitoring.settings import Judged, Source
from occupancy import reference
from occupancy.errors import InputError

NO_ROOM = "nothing was judged: no request held a reading that was understood; the service's clients send something else"


class NotTold(InputError):
    """Standard output is closed or full: nobody was told."""


class Drift(Source, frozen=True, kw_only=True):
    """What `drift` can be told."""

    json: Annotated[bool, Meta(description="print one JSON object a verdict instead of words")] = False
    all: Annotated[bool, Meta(description="print verdicts that are over, too")] = False


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Judge, and print what was found; gives the exit status."""
    table = settings.read(Drift, "drift", argv, environ, __doc__)
    by, state = chosen(table), State()
    verdicts = advance(state, recorded(table, "drift"), by)
    found = still_open(verdicts)
    chosen_ones = verdicts if table.all else found
    lines = [msgspec.json.encode(verdict).decode() if table.json else words(verdict) for verdict in chosen_ones]
    if not table.json:
        lines.append(summary(verdicts, state, by) or NO_ROOM)
    tell("".join(f"{line}\n" for line in lines).encode())
    return 1 if found else 0


def tell(text: bytes) -> None:
    """Write to standard output at once. Raises NotTold where nobody takes it."""
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer
        raise NotTold(f"standard output does not take the verdicts: {error.strerror}") from None


def recorded(table: Source, command: str) -> Records:
    """Read the records that a command's settings name, and say on standard error what was passed over."""
    found = records.read(table)
    records.tell_passed_over(found.unread, command)
    return found


def chosen(table: Judged) -> Judge:
    """Read the reference that a command's settings name; raises UnusableReference."""
    rooms = tuple(name.strip() for name in table.reference_rooms.split(","))
    return Judge(reference.read(table.reference), rooms)


def words(verdict: Verdict) -> str:
    """Put a verdict on a few lines."""
    since = f"{verdict.since:%Y-%m-%d %H:%M} UTC"
    return (
        f"{verdict.state} {verdict.at:%Y-%m-%d %H:%M}  {verdict.layer}/{verdict.rule}  room {verdict.room}, since {since}\n"
        f"    {verdict.message}\n    how sure: {verdict.certainty}\n    what to do: {verdict.advice}"
    )


def summary(verdicts: Sequence[Verdict], state: State, by: Judge) -> str:
    """Say in one sentence a room how it is."""
    found = still_open(verdicts)
    said = []
    for name, room in state.rooms.items():
        mine = [verdict for verdict in found if verdict.room == name]
        over = sum(verdict.room == name for verdict in verdicts if verdict.state == "opened") - len(mine)
        what = "nothing is wrong" if not over else f"nothing is wrong any more: {over} found, and over"
        if mine:
            count = {kind: sum(v.consequence == kind for v in mine) for kind in (PERSON, TICKET, RETRAIN)}
            parts = (
                (f"{count[PERSON]} for a person to look at", count[PERSON]),
                (f"{count[TICKET]} ticket" + "s" * (count[TICKET] > 1), count[TICKET]),
                ("retraining is asked for" + ", and blocked until the sensors are well" * bool(count[PERSON]), count[RETRAIN]),
            )  # fmt: skip
            what = ", ".join(text for text, number in parts if number)
        if by.of(name, room) is None:
            sick = room.sick + [(event.since, event.last) for event in room.open.values()]
            days = clean_days(room.history, sick, by.reference)
            what += f"; learning what is normal here, {days} of {by.limits.learning_days} clean days"
        if room.judged and not room.beside * 10 > room.judged:
            what += "; not judged by steps, runs and noise: its readings are not next to each other"
        if over and mine:
            what += f"; {over} more that are over"
        if room.late or room.ahead:
            what += f"; not judged: {room.late} readings that came late, {room.ahead} with a time ahead of ours"
        said.append(f"room {name}: {what}")
    if state.beyond:
        said.append(f"not judged: {state.beyond} readings of more than {by.limits.rooms} rooms")
    return "\n".join(said)
