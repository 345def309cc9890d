"""`python -m monitoring collect [FILE...]`: readings with their truth, as a file that training reads, or why there is none.

Taken are labels that came with the service's token, the latest of several; left out is what a room's sensors said while one
of them was unwell. The file is of the UCI data set's columns, in UTC, and names room and prediction of each row; `asked`
is 1 where the service had drawn the prediction to be labelled: labels that people volunteer are a biased sample. It holds
several rooms where the labels are of several; --room chooses one.

--since and --until bound the readings whose labels are taken. How well a sensor was is judged from 45 days before --since
on: a room may learn its reference from 14 clean days before, and an event may have begun before. So a run reads and judges
more than it collects: 15 seconds and half a gigabyte for half a year of one room, in proportion for more. --room bounds it.

Exit status: 0 the file is written; 1 there is too little, nothing, or it is one-sided, and no file; 2 a setting is wrong,
or a file or Elasticsearch can't be read.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from monitoring import records, settings
from monitoring.dashboards.findings import findings
from monitoring.drift.command import chosen
from monitoring.drift.judge import State, advance
from monitoring.drift.verdict import HEALTH, Verdict
from monitoring.records import ID, Range, Records
from monitoring.saving import save
from monitoring.settings import Source
from occupancy.dataset import SIMULATED
from occupancy.mapping import COLUMNS, DATE, LABEL, ROOM
from occupancy.reading import NAMES

KEPT = [*COLUMNS, ROOM, "prediction", "asked"]
HISTORY = timedelta(days=45)
"""How long before --since sensors are judged."""


class Collect(Source, frozen=True, kw_only=True):
    """What `collect` can be told."""

    save_path: Annotated[str, Meta(min_length=1, description="the CSV file to write")] = "out/recent.csv"
    least: Annotated[int, Meta(ge=1, description="labels that are needed")] = 200
    least_each: Annotated[int, Meta(ge=0, description="labels that are needed of occupied, and of empty")] = 20
    least_hours: Annotated[
        float, Meta(ge=0, description="hours that are needed between a room's first label and its last")
    ] = 24.0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Collect, and say in a line or two what came of it; gives the exit status."""
    table = settings.read(Collect, "collect", argv, environ, __doc__)
    since = records.time(table.since, datetime.now(UTC))
    past = before(table, "collect")
    verdicts = advance(State(), past, chosen(table))
    found = records.within(past, Range(since))
    rows, left_out = collected(found, verdicts)
    without = "".join(f"; {count} left out {why}" for why, count in left_out.items() if count)
    if lacks := missing(rows, table):
        none = "no prediction is there in the chosen time and room: " if found.predictions.empty else ""
        print(f"collect: {none}{len(rows)} labels can be used, and it takes {lacks}{without}")
        return 1
    text = rows.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ")
    save(table.save_path, (notice(found) + text).encode())
    span = f"{rows[DATE].iloc[0]:%Y-%m-%d %H:%M} to {rows[DATE].iloc[-1]:%Y-%m-%d %H:%M} UTC"
    of = f" of {rooms} rooms" if (rooms := rows[ROOM].nunique()) > 1 else ""
    print(
        f"{table.save_path}: {len(rows)} readings{of} with their truth, {span}, {rows[LABEL].mean():.1%} occupied, "
        f"{int(rows['asked'].sum())} of them asked for{without}"
    )
    return 0


def before(table: Source, command: str) -> Records:
    """Read the records before --until from HISTORY before --since on; says on standard error what was passed over."""
    since = records.time(table.since, datetime.now(UTC))
    bound = (since - HISTORY).isoformat() if since and since.year > 1 else ""
    found = records.stored(msgspec.structs.replace(table, since=bound))
    records.tell_passed_over(found.unread, command)
    return found


def notice(found: Records) -> str:
    """Mark the file as simulated where a model of simulated data gave the answers: that is a demonstration."""
    simulated = found.predictions.get("occupancy.simulated", pd.Series(dtype=object)).to_numpy() == np.True_
    return f"{SIMULATED}: answered by a model that was trained on simulated data\n" if simulated.any() else ""


def collected(found: Records, verdicts: Sequence[Verdict]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give the readings whose truth can be believed, by time, and how many were left out, by reason; columns: KEPT."""
    told = records.labelled(found)
    said = found.predictions.set_index(ID).loc[told["prediction"]].reset_index()
    trusted, sick = told["trusted"].to_numpy(), unwell(told["time"], told["room"], verdicts)
    rows = pd.DataFrame(
        {
            DATE: told["time"].dt.floor("s"),
            **{name: said[f"occupancy.reading.{name}"] for name in NAMES},
            LABEL: told["truth"].astype(np.int64),
            ROOM: told["room"],
            "prediction": told["prediction"],
            "asked": (said["occupancy.label_wanted"].to_numpy() == np.True_).astype(np.int64),
        }
    )
    kept = rows[trusted & ~sick].sort_values([DATE, ROOM], kind="stable")
    again = kept.duplicated([DATE, ROOM])  # training takes one reading of a room at a time
    left_out = {
        "without the token": int((~trusted).sum()),
        "while a sensor of their room was unwell": int((trusted & sick).sum()),
        "of a second of their room that has one already": int(again.sum()),
        "of predictions that are not among these records": found.feedback["occupancy.feedback.prediction"].nunique()
        - len(told),
    }
    return kept[~again].reset_index(drop=True)[KEPT], left_out


def unwell(time: pd.Series, room: pd.Series, verdicts: Sequence[Verdict]) -> np.ndarray:
    """Tell of each reading whether a health event of its room had begun and was not over."""
    sick = np.zeros(len(time), bool)
    for finding in findings(verdicts):
        if finding.opened.layer == HEALTH:
            within = (time >= finding.opened.since) & (room == finding.opened.room)
            if finding.closed is not None:
                within &= time <= finding.closed.at
            sick |= within.to_numpy()
    return sick


def missing(rows: pd.DataFrame, table: Collect) -> str:
    """Say how many labels more are needed, and of what; nothing where there are enough."""
    occupied, date = int(rows[LABEL].sum()), rows.groupby(ROOM)[DATE]
    hours = max(((date.max() - date.min()).dt.total_seconds() / 3600).tolist(), default=0.0)  # of one room
    wanted = {
        "more": table.least - len(rows),
        "more of an occupied room": table.least_each - occupied,
        "more of an empty room": table.least_each - (len(rows) - occupied),
        "more hours between a room's first label and its last": table.least_hours - hours,
    }
    return ", ".join(f"{count:,.1f}".removesuffix(".0") + f" {what}" for what, count in wanted.items() if count > 0)
