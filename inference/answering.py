"""Answering: what a batch of readings becomes with one model, for the client and for the prediction log."""

import random
from datetime import datetime
from typing import Any

import numpy as np

from inference.explain import explain
from inference.flags import Flagger, named
from inference.metrics import Metrics
from inference.options import Options
from inference.prediction_log import PredictionLog
from inference.settings import Settings
from occupancy import record
from occupancy.model import label
from occupancy.reading import Batch, InvalidReading, Reading, values
from occupancy.record import Boot, Request
from occupancy.trees import Proven

Answer = dict[str, Any]
Scored = tuple[Reading, datetime | None, tuple[float, ...], float]
"""A reading, its event time, its values in the contract's order, and its probability."""


class Answering:
    """Scores with one model, and records what it answers and what it refuses."""

    def __init__(self, settings: Settings, proven: Proven, boot: Boot, log: PredictionLog, metrics: Metrics) -> None:
        """Take what it needs."""
        self._model, self._scorer = proven
        self._boot, self._log, self._metrics = boot, log, metrics
        self._flagger = Flagger(self._model.card.training_range)
        self._room = settings.room
        self._label_chance = 1 / settings.label_one_in if settings.label_one_in else 0.0

    def answer(self, batch: Batch, request: Request, asked: Options) -> list[Answer]:
        """Answer a batch's readings, in their order; with a bad one in its place, what is wrong with it."""
        rows, until = [values(reading) for reading in batch.readings], self._log.patience()
        answers = [
            self._one(each, request, until)
            for each in zip(batch.readings, batch.times, rows, self._probabilities(rows), strict=True)
        ]
        if asked.explain and rows:
            for answer, explanation in zip(answers, explain(self._model, rows), strict=True):
                answer["explanation"] = explanation
        for error in batch.invalid:  # in the order of their places, so that each answer keeps its own
            answers.insert(error.index or 0, {"error": described(error)})
        return answers

    def _probabilities(self, rows: list[tuple[float, ...]]) -> list[float]:
        if len(rows) > 1:
            probabilities: list[float] = self._model.probability(np.array(rows, np.float32)).tolist()
            return probabilities
        return [self._scorer.probability(row) for row in rows]  # a call to XGBoost costs more than one reading

    def _one(self, scored: Scored, request: Request, until: float) -> Answer:
        """Record one prediction, and give the part of the record that the client gets."""
        reading, when, row, probability = scored
        word, flags = self._model.answer(probability), self._flagger.flags(reading, row)
        label_wanted = random.random() < self._label_chance  # noqa: S311 -- a sample, not a secret
        fields = record.prediction(
            self._boot,
            request,
            room=reading.room or self._room,
            reading_id=reading.id,
            reading_time=when,
            values=row,
            probability=probability,
            label=label(probability),
            answer=word,
            flags=named(flags),
            label_wanted=label_wanted,
        )
        self._log.write(fields, until)
        self._metrics.count("answers", word)
        for flag in flags:
            self._metrics.count("flags", flag["field"], flag["reason"])
        answer = {
            "id": fields["event.id"],
            "label": fields["occupancy.label"],
            "probability": probability,
            "answer": word,
            "model_version": self._model.version,
        }
        if reading.id is not None:
            answer["reading_id"] = reading.id
        if flags:
            answer["flags"] = flags
        if label_wanted:
            answer["label_wanted"] = True
        if self._model.card.simulated:
            answer["simulated"] = True
        return answer

    def refuse(self, invalid: list[InvalidReading], request: Request) -> None:
        """Count and record refused readings."""
        until = self._log.patience()
        for error in invalid:
            self._metrics.refused(error.field, error.reason)
            self._log.write(
                record.refusal(
                    self._boot,
                    request,
                    room=error.room or self._room,
                    reading_time=error.time,
                    given=error.given,
                    field=error.field,
                    reason=error.reason,
                    detail=str(error),
                ),
                until,
            )


def described(error: InvalidReading) -> dict[str, Any]:
    """Describe one bad reading to a client; `index` is its place in the batch, from 0."""
    return {"field": error.field, "reason": error.reason, "detail": str(error), "index": error.index}
