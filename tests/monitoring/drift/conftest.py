from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest

from monitoring.records import Records
from monitoring.records import frames as read_frames
from occupancy import reference
from occupancy.dataset import Dataset
from occupancy.mapping import DATE, LABEL, ZONE
from occupancy.reading import FEATURES
from occupancy.reference import Reference
from occupancy.simulate import Fault, simulate, spoil

NOTHING = read_frames([])


def as_records(frame: pd.DataFrame, room: str = "A", *, told: Sequence[int] = (), wrong: Sequence[int] = ()) -> Records:
    """Make the records that a service would leave that is always right but in rows `wrong`; the truth of rows `told`."""
    count, time = len(frame), frame[DATE].dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    label = frame[LABEL].to_numpy(np.float64).copy()
    label[list(wrong)] = 1 - label[list(wrong)]
    out = NOTHING.predictions.reindex(range(count))
    out["@timestamp"] = out["occupancy.reading.time"] = time
    out["event.id"] = [f"0123456789ab-{n + 1}" for n in range(count)]
    out["occupancy.sequence"] = np.arange(count) + 1.0
    out["occupancy.room"], out["event.outcome"] = room, "success"
    out["occupancy.model.version"] = "0123456789ab"
    out["occupancy.label"], out["occupancy.probability"] = label, np.where(label == 1, 0.9, 0.1)
    for feature in FEATURES:
        value = frame[feature.name].to_numpy(np.float64)
        out[f"occupancy.reading.{feature.name}"] = value
        for bad, reason in (
            (np.isnan(value), "missing"),
            ((value < feature.low) | (value > feature.high), "out_of_range"),
        ):
            refusal = ["failure", feature.name, reason]
            out.loc[bad, ["event.outcome", "occupancy.refusal.field", "occupancy.refusal.reason"]] = refusal
    feedback = pd.DataFrame(
        {
            "@timestamp": out["@timestamp"].to_numpy()[list(told)] if len(told) else [],
            "event.id": [f"0123456789ab-{count + n + 1}" for n in range(len(told))],
            "occupancy.feedback.prediction": out["event.id"].to_numpy()[list(told)] if len(told) else [],
            "occupancy.feedback.occupied": (frame[LABEL].to_numpy()[list(told)] == 1).astype(object)
            if len(told)
            else [],
            "occupancy.feedback.authenticated": True,
        }
    )
    return NOTHING._replace(predictions=out, feedback=feedback if len(told) else NOTHING.feedback)


def cut(records: Records, at: int) -> tuple[Records, Records]:
    """Cut records in two, feedback by its time."""
    rows, told = records.predictions, records.feedback
    when = rows["@timestamp"].iloc[at] if at < len(rows) else rows["@timestamp"].max() + pd.Timedelta("1s")
    early = (told["@timestamp"] < when).to_numpy() if len(told) else np.empty(0, bool)
    first = records._replace(
        predictions=rows.iloc[:at].reset_index(drop=True), feedback=told[early].reset_index(drop=True)
    )
    rest = rows.iloc[at:].reset_index(drop=True)
    return first, records._replace(predictions=rest, feedback=told[~early].reset_index(drop=True))


class Season:
    """Three simulated weeks: two from which the reference is learned, and one to judge, which faults may spoil."""

    def __init__(self) -> None:
        frame = simulate(21, 11, date(2026, 3, 2))
        early = frame[DATE] < frame[DATE].iloc[0] + pd.Timedelta(days=14)
        learned = frame[early].reset_index(drop=True)
        self.reference: Reference = reference.compute(Dataset("", learned, [], "", True, ZONE))
        self.learned, self.week = learned, frame[~early].reset_index(drop=True)

    def with_faults(self, *faults: Fault) -> pd.DataFrame:
        return spoil(self.week, faults, seed=3)


@pytest.fixture(scope="session")
def season() -> Season:
    return Season()
