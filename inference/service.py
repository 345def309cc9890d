"""How a request's body becomes answers and records: decode, score, record. It knows nothing of HTTP but its problems."""

import time
from datetime import UTC, datetime
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import numpy as np

from inference.limiter import Limiter
from inference.prediction_log import PredictionLog
from inference.problems import Problem
from inference.settings import Settings
from occupancy import __version__, record
from occupancy.model import Model, label
from occupancy.reading import Batch, InvalidReading, Reading, decode, values


class Service:
    """Answers requests with one model."""

    def __init__(self, settings: Settings, model: Model, log: PredictionLog) -> None:
        """Take what it needs; its boot, which names its records, begins here."""
        self.model = model
        self._settings, self._log = settings, log
        self._zone = ZoneInfo(settings.timezone or model.card.timezone)
        self._limiter = Limiter(settings.concurrency, settings.queue)
        self._boot = record.Boot("occupancy-inference", __version__, model.version, simulated=model.card.simulated)

    def predict(self, body: bytes, request_id: str, started_ns: int) -> dict[str, Any] | list[dict[str, Any]]:
        """Answer a body with one reading (an object) or several (a list).

        Raises Problem naming the field at fault; a request is answered as a whole or not at all.
        """
        with self._limiter:
            if self._settings.delay:
                time.sleep(self._settings.delay)
            try:
                batch = decode(body, self._settings.max_readings, self._zone)
            except InvalidReading as error:
                self.refuse([error], request_id, started_ns)
            if batch.invalid:
                self.refuse(batch.invalid, request_id, started_ns)
            answers = self._answer(batch, request_id, started_ns)
        return answers[0] if batch.single else answers

    def _answer(self, batch: Batch, request_id: str, started_ns: int) -> list[dict[str, Any]]:
        ordered = [values(reading) for reading in batch.readings]
        probabilities = self.model.probability(np.array(ordered, np.float32)).tolist()
        request = record.Request(request_id, datetime.now(UTC), time.monotonic_ns() - started_ns)
        answers = []
        for reading, when, numbers, probability in zip(
            batch.readings, batch.times, ordered, probabilities, strict=True
        ):
            fields = record.prediction(
                self._boot,
                request,
                room=reading.room or self._settings.room,
                reading_id=reading.id,
                reading_time=when,
                values=numbers,
                probability=probability,
                label=label(probability),
                answer=self.model.answer(probability),
            )
            self._log.write(fields)
            answers.append(self._say(fields, reading))
        return answers

    def _say(self, fields: dict[str, Any], reading: Reading) -> dict[str, Any]:
        """Give the part of a record that the client gets."""
        said = {
            "id": fields["event.id"],
            "label": fields["occupancy.label"],
            "probability": fields["occupancy.probability"],
            "answer": fields["occupancy.answer"],
            "model_version": self.model.version,
        }
        if reading.id is not None:
            said["reading_id"] = reading.id
        if self.model.card.simulated:
            said["simulated"] = True
        return said

    def refuse(self, invalid: list[InvalidReading], request_id: str, started_ns: int) -> NoReturn:
        """Record each refused reading and raise the problem that names the first one's field, and lists all."""
        request = record.Request(request_id, datetime.now(UTC), time.monotonic_ns() - started_ns)
        for error in invalid:
            fields = record.refusal(
                self._boot,
                request,
                room=error.room or self._settings.room,
                given=error.given,
                field=error.field,
                reason=error.reason,
                detail=str(error),
            )
            self._log.write(fields)
        first = invalid[0]
        errors = [{"field": e.field, "reason": e.reason, "detail": str(e), "index": e.index} for e in invalid]
        status = {"too_large": 413, "too_many": 413}.get(
            first.reason, 422 if first.index is not None or first.field != "body" else 400
        )
        raise Problem(status, "invalid-reading", str(first), field=first.field, reason=first.reason, errors=errors)
