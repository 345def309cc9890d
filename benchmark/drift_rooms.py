"""Rooms to judge detectors in, simulated ones and the real one, each with a reference and a model of its own clean past.

A room's readings become the records that the service would have written, without a service: scored in one batch, refused
where the contract refuses, labels asked for at random.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import xgboost

from monitoring.records import Records
from occupancy import reference
from occupancy.dataset import Dataset
from occupancy.mapping import DATE, LABEL, ZONE
from occupancy.model import THRESHOLD
from occupancy.reading import FEATURES, NAMES
from occupancy.record import PREDICTION
from occupancy.reference import Reference
from occupancy.simulate import simulate
from training.search import fit, fold_by_day
from training.space import Candidate

Array: TypeAlias = np.ndarray[Any, Any]
LEARNING_DAYS = 14
HYPERPARAMETERS: Candidate = {"max_depth": 2, "n_estimators": 100, "learning_rate": 0.1, "min_child_weight": 10.0}
FEEDBACK_DELAY = pd.Timedelta(minutes=10)
DAY = 1440  # readings, one a minute
LABEL_ONE_IN = 100  # the service's own default
READING = [f"occupancy.reading.{name}" for name in NAMES]
LOW, HIGH = np.array([f.low for f in FEATURES]), np.array([f.high for f in FEATURES])


class Room(NamedTuple):
    """A clean room: what its reference and its model have learnt from, and the readings that come after."""

    name: str
    seed: int
    history: pd.DataFrame
    frame: pd.DataFrame
    reference: Reference
    booster: xgboost.Booster


class Stream(NamedTuple):
    """Readings as they were reported, refused or scored, and the times at which they were really taken."""

    frame: pd.DataFrame
    observed: pd.Series
    probability: Array
    """NaN where the reading is refused"""

    @property
    def right(self) -> Array:
        """Where the answer is the truth; no answer is not."""
        answer = self.probability >= THRESHOLD
        right: Array = (answer == (self.frame[LABEL] == 1).to_numpy()) & ~np.isnan(self.probability)
        return right


def simulated_room(seed: int, days: int) -> Room:
    """Simulate a room that learns for 14 days, from some day of the year on, and then goes on for so many days."""
    start = date(2015, 1, 1) + timedelta(days=int(np.random.default_rng((seed, 2)).integers(365)))
    frame = simulate(LEARNING_DAYS + days, seed, start)
    learning = (frame[DATE] - frame[DATE].iloc[0]) < pd.Timedelta(days=LEARNING_DAYS)
    return learnt(f"room-{seed}", seed, frame[learning], frame[~learning], simulated=True)


def real_days(data: Sequence[Dataset], together: int = 1) -> list[Room]:
    """Leave each day of some files out once: a room of that day, which has learnt from all the others.

    A day that two files share makes two rooms: between them nobody measured. With more than one day `together`: each run
    of so many whole days.
    """
    frame = pd.concat([one.frame for one in data], keys=range(len(data)), names=["file", None]).reset_index("file")
    frame = frame.sort_values(DATE, ignore_index=True)
    day = frame[DATE].dt.date
    days, rows = sorted(set(day)), day.value_counts()
    rooms = []
    for first in range(len(days) - together + 1):
        run = days[first : first + together]
        left_out = day.isin(run)
        if together == 1 or ((rows[run] == DAY).all() and (run[-1] - run[0]).days == together - 1):
            for file, readings in frame[left_out].groupby("file"):
                name = f"{run[0]}" if len(readings) == left_out.sum() else f"{run[0]}, file {file}"
                rooms.append(learnt(name, first, frame[~left_out], readings, simulated=False))
    return rooms


def learnt(name: str, seed: int, history: pd.DataFrame, frame: pd.DataFrame, *, simulated: bool) -> Room:
    """Compute the reference of a clean history and train a model on it."""
    history, frame = history.reset_index(drop=True), frame.reset_index(drop=True)
    data = Dataset("", history, [], "", simulated, ZONE)
    whole = fold_by_day(data.values, data.label, np.zeros(len(history))).whole
    return Room(name, seed, history, frame, reference.compute(data), fit(HYPERPARAMETERS, whole, seed))


def scored(booster: xgboost.Booster, frame: pd.DataFrame, observed: pd.Series) -> Stream:
    """Score what the contract lets pass."""
    values = frame[list(NAMES)].to_numpy(np.float64)
    possible = ((values >= LOW) & (values <= HIGH)).all(axis=1)  # NaN is not
    probability = np.full(len(frame), np.nan)
    if possible.any():
        given = booster.inplace_predict(values[possible].astype(np.float32), validate_features=False)
        probability[possible] = given
    return Stream(frame, observed, probability)


def records(stream: Stream, name: str, seed: int, one_in: int = LABEL_ONE_IN, lies: float = 0.0) -> Records:
    """Write the records of a stream: predictions, refusals and the labels that were asked for, told ten minutes later.

    `one_in`: one prediction in so many asks; `lies`: share of predictions about which somebody without the token tells
    the opposite of the answer.
    """
    rows, rng = len(stream.frame), np.random.default_rng((seed, 3))
    refused = np.isnan(stream.probability)
    wanted, lied = (rng.random(rows) < 1 / one_in) & ~refused, (rng.random(rows) < lies) & ~refused
    said = stream.probability >= THRESHOLD
    ids = np.array([f"{seed:012x}-{number}" for number in range(1, rows + 1)], object)
    observed = stream.observed.dt.tz_convert("UTC").astype("datetime64[us, UTC]").reset_index(drop=True)
    values = stream.frame[list(NAMES)].to_numpy(np.float64)
    at_fault = np.argmax(~((values >= LOW) & (values <= HIGH)), axis=1)
    missing = np.isnan(values[np.arange(rows), at_fault])
    predictions = _frame(
        {
            "@timestamp": observed,
            "event.dataset": _constant(PREDICTION, rows),
            "event.id": ids,
            "event.outcome": np.where(refused, "failure", "success").astype(object),
            "event.duration": np.full(rows, 1e6),
            "occupancy.boot": _constant(f"{seed:012x}", rows),
            "occupancy.sequence": np.arange(1.0, rows + 1),
            "occupancy.model.version": _constant("0" * 12, rows),
            "occupancy.room": _constant(name, rows),
            "occupancy.reading.time": stream.frame[DATE].dt.tz_convert("UTC").astype("datetime64[us, UTC]").array,
            **{column: values[:, number] for number, column in enumerate(READING)},
            "occupancy.probability": stream.probability,
            "occupancy.label": np.where(refused, np.nan, said),
            "occupancy.answer": _answers(stream.probability),
            "occupancy.flags": _constant(None, rows),
            "occupancy.label_wanted": _where(wanted, True),
            "occupancy.refusal.field": _where(refused, np.array(NAMES, object)[at_fault]),
            "occupancy.refusal.reason": _where(refused, np.where(missing, "missing", "out_of_range")),
            "occupancy.refusal.detail": _constant(None, rows),
        }
    )
    truth = (stream.frame[LABEL] == 1).to_numpy()
    told, by_whom = np.concatenate([truth[wanted], ~said[lied]]), np.repeat([True, False], [wanted.sum(), lied.sum()])
    about = np.concatenate([np.flatnonzero(wanted), np.flatnonzero(lied)])
    feedback = _frame(
        {
            "@timestamp": (observed.iloc[about] + FEEDBACK_DELAY).array,
            "event.id": np.array([f"{seed:012x}-{rows + number}" for number in range(1, len(about) + 1)], object),
            "occupancy.boot": _constant(f"{seed:012x}", len(about)),
            "occupancy.sequence": rows + np.arange(1.0, len(about) + 1),
            "occupancy.feedback.prediction": ids[about],
            "occupancy.feedback.occupied": told.astype(object),
            "occupancy.feedback.authenticated": by_whom.astype(object),
        }
    )
    return Records(
        predictions.sort_values("occupancy.reading.time", kind="stable", ignore_index=True),
        feedback.sort_values("@timestamp", kind="stable", ignore_index=True),
        pd.DataFrame(columns=["@timestamp", "event.id", "occupancy.boot", "occupancy.sequence", "occupancy.lost"]),
        pd.DataFrame(columns=["@timestamp", "event.id"]),
    )


def _frame(columns: dict[str, Any]) -> pd.DataFrame:
    """Make a frame whose texts stay objects, as those of records that were read are."""
    objects = {name: pd.Series(c, dtype=object) for name, c in columns.items() if c.dtype == object}
    return pd.DataFrame(columns | objects)


def _constant(value: object, rows: int) -> Array:
    return np.full(rows, value, object)


def _where(which: Array, values: Any) -> Array:
    """Give values where something holds, else None."""
    given = np.full(len(which), None, object)
    given[which] = np.broadcast_to(values, which.shape)[which]
    return given


def _answers(probability: Array) -> Array:
    words = np.where(probability > 0.7, "occupied", np.where(probability < 0.3, "empty", "uncertain")).astype(object)
    words[np.isnan(probability)] = None
    return words
