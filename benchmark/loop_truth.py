"""What the loop's deployments were worth: each model on days to come, and beside them one that was told the whole truth."""

from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from benchmark.drift_rooms import Array
from benchmark.loop_cases import Scenario
from benchmark.loop_stream import Played, Stream
from monitoring.drift.verdict import OPENED, RETRAIN
from occupancy import model
from occupancy.mapping import DATE, LABEL
from occupancy.model import THRESHOLD, Model
from occupancy.reading import NAMES
from training.search import fit, fold_by_day, log_loss

HELPED, HARMLESS, WORSE = "helped", "harmless", "worse"
POINT, NATS = 0.01, 0.02
"""A model is worse that answers a point of accuracy less, or loses this much log loss; it helps with either, and is not worse."""
WORTH = 0.03
"""Accuracy that the oracle must gain, its log loss lower, for a deployment to be missed."""
RECENT_SHARE = 0.5  # what the loop gives recent readings


class Score(msgspec.Struct, frozen=True):
    """Of one model: log loss and accuracy in the changed world to come, and on the same days without the change."""

    loss: float
    accuracy: float
    old_loss: float
    old_accuracy: float


class Change(msgspec.Struct, frozen=True):
    """A change of what is live: hours since the onset, what was done, from which model to which, and what that was worth."""

    hours: float
    action: str
    previous: str
    version: str
    worth: str


class Result(msgspec.Struct, frozen=True):
    """What became of one stream. `served`: accuracy of the answers since the onset; `kept`: had the champion stayed."""

    scenario: str
    seed: int
    seconds: float
    asked: float | None
    """hours from the onset to the first verdict that asks for retraining; None: none"""
    outcomes: list[str]
    """of the runs: one a day, and why"""
    changes: list[Change]
    champion: Score
    final: Score
    oracle: Score
    served: float
    kept: float

    @property
    def deployments(self) -> list[Change]:
        """What the loop put live."""
        return [change for change in self.changes if change.action == "deploy"]

    @property
    def end(self) -> str:
        """Tell what is live at the end, beside the champion."""
        return worth(self.champion, self.final)

    @property
    def wanted(self) -> bool:
        """Tell whether a deployment would have helped."""
        return self.oracle.accuracy - self.champion.accuracy >= WORTH and self.oracle.loss < self.champion.loss

    @property
    def missed(self) -> bool:
        """Tell whether it did not come, or did not help."""
        return self.wanted and self.end != HELPED


def worth(old: Score, new: Score) -> str:
    """Tell whether a model does better than another in the world to come."""
    points, nats = new.accuracy - old.accuracy, new.loss - old.loss
    if points <= -POINT or nats >= NATS:
        return WORSE
    return HELPED if points >= POINT or nats <= -NATS else HARMLESS


def judge(told: Stream, scenario: Scenario, played: Played, folder: Path, *, seed: int, seconds: float) -> Result:
    """Look at all that was live with the truth of the days to come."""
    versions = [entry.version for entry in played.deployments]
    models = {v: model.load(folder / "models" / v / model.FILE) for v in versions if v}
    scores = {v: score(each, told) for v, each in models.items()}
    first, onset = models[versions[0]], told.sound[DATE].iloc[told.room.onset]

    def hours(at: datetime) -> float:
        return float((at - onset) / pd.Timedelta(hours=1))

    changes = [
        Change(hours(d.at), d.action, d.previous, d.version, worth(scores[d.previous], scores[d.version]))
        for d in played.deployments[1:]
        if d.previous and d.version
    ]
    live = changes[-1].version if changes else versions[0]
    asked = [hours(v.at) for v in played.verdicts if v.state == OPENED and v.consequence == RETRAIN]
    return Result(
        scenario=scenario.name,
        seed=seed,
        seconds=seconds,
        asked=asked[0] if asked else None,
        outcomes=[f"{run.outcome}: {run.why}" for run in played.runs],
        changes=changes,
        champion=scores[versions[0]],
        final=scores[live],
        oracle=score(oracle(first, told, played), told),
        served=right(played.probability, told),
        kept=right(answers(first, told), told),
    )


def score(given: Model, told: Stream) -> Score:
    """Try a model on the days to come."""
    found = []
    for frame in (told.future, told.room.future):
        truth, said = frame[LABEL].to_numpy(), given.probability(frame[list(NAMES)].to_numpy(np.float32))
        found += [float(log_loss(truth, said).mean()), float(((said >= THRESHOLD) == (truth == 1)).mean())]
    return Score(*found)


def answers(given: Model, told: Stream) -> Array:
    """Give what a model would have said of each production reading; NaN where none was said."""
    values = told.reported[list(NAMES)].to_numpy(np.float32)
    return np.where(np.isnan(values).any(axis=1), np.nan, given.probability(np.nan_to_num(values)))


def right(probability: Array, told: Stream) -> float:
    """Give the share of right answers since the onset, of those that were given."""
    since = probability[told.room.onset :]
    truth, there = told.sound[LABEL].to_numpy()[told.room.onset :], ~np.isnan(since)
    return float(((since >= THRESHOLD) == (truth == 1))[there].mean())


def oracle(champion: Model, told: Stream, played: Played) -> Model:
    """Train as the loop would, on the readings since the onset that were asked for, with their true labels and no fault."""
    rows = told.sound[np.arange(len(told.sound)) >= told.room.onset][played.wanted[told.room.onset :]]
    both = pd.concat([told.room.history, rows], ignore_index=True)
    weight = np.ones(len(both))
    weight[len(told.room.history) :] = RECENT_SHARE / (1 - RECENT_SHARE) * len(told.room.history) / len(rows)
    values, one_day = both[list(NAMES)].to_numpy(np.float32), np.zeros(len(both))
    matrix = fold_by_day(values, both[LABEL].to_numpy(np.int8), one_day, weight).whole
    return Model(fit(champion.card.hyperparameters, matrix, champion.card.seed), champion.card, champion.sha256)
