"""`python -m monitoring propose [FILE...]`: the minutes whose truth would teach most, by predictions that have none yet.

First come those that the model doubts (the entropy of its probability) and those beyond what the clean reference days had
(the hour's mean distance from the season). Neighbours say the same: a minute counts for less within two hours of a label that came
with the service's token, or of a minute named before it, and for nothing within a quarter of an hour. So do those of a sick sensor.

--since and --until bound the minutes that are named; what is novel and which sensor is sick is judged as in `collect`, from 45
days before --since on.

Exit status: 0 minutes are named; 1 there is none to name; 2 a setting is wrong, or a file or Elasticsearch can't be read.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from monitoring import records, settings
from monitoring.collect import before, unwell
from monitoring.drift import level, minutes
from monitoring.drift.command import chosen, tell
from monitoring.drift.judge import Judge, Room, State, advance
from monitoring.drift.minutes import Array
from monitoring.records import ID, TIME, Records
from monitoring.settings import Source
from occupancy.reading import FEATURES, NAMES, Sensors

APART, FAR = 900.0, 7200.0  # seconds
READING = [f"occupancy.reading.{name}" for name in NAMES]


class Propose(Source, frozen=True, kw_only=True):
    """What `propose` can be told."""

    count: Annotated[int, Meta(ge=1, le=1000, description="minutes to name, at most")] = 20
    json: Annotated[bool, Meta(description="print one JSON object a minute instead of a table")] = False


class Proposal(Sensors, frozen=True, kw_only=True):
    """A minute worth labelling: what its sensors said, the prediction's id, whose truth POST /feedback takes.

    `uncertainty` in bits, 0 to 1; `novelty`: 0 within what the clean reference days had, 1 where one hour gives a ticket;
    `asked`: the service had drawn it to be labelled.
    """

    prediction: str
    room: str
    time: datetime
    probability: float
    uncertainty: float
    novelty: float
    why: str
    asked: bool


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Name the minutes; gives the exit status."""
    table = settings.read(Propose, "propose", argv, environ, __doc__)
    since = records.time(table.since, datetime.now(UTC))
    found = proposals(before(table, "propose"), chosen(table), table.count, since)
    tell(b"".join(msgspec.json.encode(each) + b"\n" for each in found) if table.json else words(found).encode())
    return 0 if found else 1


def proposals(found: Records, by: Judge, count: int, since: datetime | None = None) -> list[Proposal]:
    """Choose at most so many minutes, the most telling first, from `since` on; the same records give the same ones.

    What was before `since` is there to judge by: references that rooms learned, events that last, labels of neighbours.
    """
    state = State()
    verdicts = advance(state, found, by)
    rows = found.predictions[found.predictions["event.outcome"] == "success"]
    rows = rows.sort_values([TIME, "occupancy.room", ID], kind="stable", ignore_index=True)
    told = records.labelled(found)
    told = told[told["trusted"]]
    time, room = minutes.seconds(rows[TIME]), pd.factorize(rows["occupancy.room"])[0]
    nearest = np.full(len(rows), np.inf)  # seconds to a minute whose truth is known, or will be
    far = np.zeros((len(rows), len(NAMES)))
    beyond = np.zeros((len(rows), len(NAMES)))
    for name, mine in rows.groupby("occupancy.room").indices.items():
        nearest[mine] = _distance(time[mine], minutes.seconds(told.loc[told["room"] == name, "time"]))
        far[mine], beyond[mine] = novelty(rows.iloc[mine], by, str(name), state.rooms.get(str(name), Room()))
    uncertainty = entropy(rows["occupancy.probability"].to_numpy(np.float64))
    worth = uncertainty + beyond.max(axis=1, initial=0.0)
    nearest[unwell(rows[TIME], rows["occupancy.room"], verdicts)] = 0.0
    if since:
        nearest[(rows[TIME] < since).to_numpy()] = 0.0
    taken: list[int] = []
    while len(taken) < min(count, len(rows)):
        left = np.where(nearest < APART, -1.0, worth * np.minimum(nearest / FAR, 1))
        if left[best := int(np.argmax(left))] < 0:
            break
        taken.append(best)
        nearest = np.where(room == room[best], np.minimum(nearest, np.abs(time - time[best])), nearest)
    return [_proposal(rows.iloc[row], float(uncertainty[row]), beyond[row], far[row]) for row in taken]


def entropy(probability: Array) -> Array:
    """Give the doubt in probabilities, in bits: 1 at one half, 0 where they are 0 or 1."""
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    bits: Array = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return bits


def novelty(rows: pd.DataFrame, by: Judge, name: str, room: Room) -> tuple[Array, Array]:
    """Give how far each sensor was from its season over the hour before, and how far beyond the clean days; shapes (n, sensors).

    The second is 0 within what the clean reference days had, and 1 where it is enough for a ticket at once. Both are 0 of a room
    whose reference is not learned yet, and where the hour holds too little. `rows` of one room, in order of time.
    """
    reference = by.of(name, room)
    if reference is None:
        return np.zeros((len(rows), len(NAMES))), np.zeros((len(rows), len(NAMES)))
    values, label = rows[READING].to_numpy(np.float64), rows["occupancy.label"].to_numpy(np.float64)
    there = minutes.at(minutes.seconds(rows[TIME]), values, label, by.zone)
    far = np.nan_to_num(level.distances(there, reference))
    clean = level.largest(reference)
    with np.errstate(divide="ignore", invalid="ignore"):  # a sensor that never left its season, or was never compared
        beyond = np.nan_to_num((np.abs(far) / clean - 1) / (by.limits.jump_factor - 1), posinf=1.0)
    return far, np.clip(beyond, 0, 1)


def _distance(time: Array, told: Array) -> Array:
    """Give each time's distance from the nearest of the others, infinite where there is none; all in seconds."""
    ends = np.concatenate(([-np.inf], np.sort(told), [np.inf]))
    after = np.searchsorted(ends, time)
    return np.asarray(np.minimum(time - ends[after - 1], ends[after] - time))


def _proposal(row: Any, uncertainty: float, beyond: Array, far: Array) -> Proposal:
    probability, at = float(row["occupancy.probability"]), int(np.argmax(beyond))
    why = [f"the model is in doubt: {probability:.2f}"] * (row["occupancy.answer"] == "uncertain")
    if beyond[at] > 0:
        feature = FEATURES[at]
        why.append(f"{feature.name} {far[at]:+.3g} {feature.unit} from its season, beyond the clean days")
    return Proposal(
        prediction=row[ID],
        room=row["occupancy.room"],
        time=row[TIME].to_pydatetime(),
        probability=probability,
        uncertainty=float(f"{uncertainty:.4g}"),
        novelty=float(f"{beyond[at]:.4g}"),
        why="; ".join(why) or "the most doubtful of the rest",
        asked=row["occupancy.label_wanted"] is True,
        **{name: float(row[f"occupancy.reading.{name}"]) for name in NAMES},
    )


def words(found: Sequence[Proposal]) -> str:
    """Put proposals into a table, a line each."""
    if not found:
        return "nothing to name: no reading is there, or each has its truth, or a neighbour that has, or a sensor was sick\n"
    head = ("time (UTC)", "room", "probability", *NAMES, "prediction", "why")
    lines = [head] + [
        (
            f"{p.time:%Y-%m-%d %H:%M}", p.room, f"{p.probability:.3f}", *(f"{getattr(p, name):.4g}" for name in NAMES),
            p.prediction, p.why,
        )
        for p in found
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
