"""The record: what one prediction, or one refused reading, leaves behind as one JSON line.

`FIELDS` is its one definition: names (ECS where ECS has one, else `occupancy.*`), types and meaning. A record is named
by the id of the process's boot and a sequence number that begins at 1 and has no gaps, so a missing one can be proved.
"""

import itertools
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from occupancy.reading import FEATURES, NAMES

ECS_VERSION = "8.17.0"
DATASET = "occupancy.prediction"
MAX_BYTES = 4096


class Field(NamedTuple):
    """One field of a record; `type` is Elasticsearch's."""

    name: str
    type: str
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field("@timestamp", "date", "when the service answered, UTC"),
    Field("ecs.version", "keyword", "the version of the Elastic Common Schema these names are from"),
    Field("event.dataset", "keyword", f"always {DATASET}"),
    Field("event.id", "keyword", "the record's id, and the prediction's: boot-sequence"),
    Field("event.outcome", "keyword", "success, or failure for a refused reading"),
    Field("event.duration", "long", "nanoseconds from the request's arrival to its answer"),
    Field("service.name", "keyword", "which program wrote it"),
    Field("service.version", "keyword", "its release"),
    Field("http.request.id", "keyword", "X-Request-Id, the client's or ours"),
    Field("occupancy.boot", "keyword", "one start of one serving process"),
    Field("occupancy.sequence", "long", "the record's number in its boot: 1, 2, 3, ..."),
    Field("occupancy.model.version", "keyword", "first 12 hex digits of the model's sha256"),
    Field("occupancy.simulated", "boolean", "true where the model was trained on simulated data; else absent"),
    Field("occupancy.room", "keyword", "the room, the client's or the service's setting"),
    Field("occupancy.reading.id", "keyword", "the client's own id of the reading"),
    Field("occupancy.reading.time", "date", "the reading's event time, UTC"),
    *(Field(f"occupancy.reading.{f.name}", "double", f"{f.description}, {f.unit}") for f in FEATURES),
    Field("occupancy.probability", "double", "probability that the room is occupied"),
    Field("occupancy.label", "byte", "1 where the probability is at least 0.5, else 0"),
    Field("occupancy.answer", "keyword", "occupied, empty, or uncertain inside the model's band"),
    Field("occupancy.refusal.field", "keyword", "the field at fault"),
    Field("occupancy.refusal.reason", "keyword", "the rule it broke"),
    Field("occupancy.refusal.detail", "keyword", "the rule, the value and what was expected, in words"),
)

_READING = [f"occupancy.reading.{name}" for name in NAMES]


class Boot:
    """One start of a serving process: it names the records, in sequence, and holds what they have in common."""

    def __init__(self, service: str, version: str, model_version: str, *, simulated: bool) -> None:
        """Draw an id; the first number is 1."""
        self.id = secrets.token_hex(6)
        self._numbers: Iterator[int] = itertools.count(1)
        self._common = {
            "ecs.version": ECS_VERSION,
            "event.dataset": DATASET,
            "service.name": service,
            "service.version": version,
            "occupancy.boot": self.id,
            "occupancy.model.version": model_version,
            **({"occupancy.simulated": True} if simulated else {}),
        }

    def begin(self, request: "Request", room: str, outcome: str) -> dict[str, Any]:
        """Begin the next record; safe between threads."""
        number = next(self._numbers)
        return {
            "@timestamp": _time(request.observed),
            **self._common,
            "event.id": f"{self.id}-{number}",
            "event.outcome": outcome,
            "event.duration": request.duration_ns,
            "http.request.id": request.id,
            "occupancy.sequence": number,
            "occupancy.room": room,
        }


class Request(NamedTuple):
    """The request that a record is about: its id, when it was answered and after how long."""

    id: str
    observed: datetime
    duration_ns: int


def prediction(
    boot: Boot,
    request: Request,
    *,
    room: str,
    reading_id: str | None,
    reading_time: datetime | None,
    values: tuple[float, ...],
    probability: float,
    label: int,
    answer: str,
) -> dict[str, Any]:
    """Describe one prediction; `values` in the contract's order."""
    fields = boot.begin(request, room, "success")
    if reading_id is not None:
        fields["occupancy.reading.id"] = reading_id
    if reading_time is not None:
        fields["occupancy.reading.time"] = _time(reading_time)
    fields.update(zip(_READING, values, strict=True))
    fields["occupancy.probability"] = probability
    fields["occupancy.label"] = label
    fields["occupancy.answer"] = answer
    return fields


def refusal(
    boot: Boot, request: Request, *, room: str, given: dict[str, float], field: str, reason: str, detail: str
) -> dict[str, Any]:
    """Describe one refused reading; `given`: the sensor values that are numbers, by name, however wrong they are."""
    fields = boot.begin(request, room, "failure")
    fields.update((f"occupancy.reading.{name}", value) for name, value in given.items())
    fields["occupancy.refusal.field"] = field
    fields["occupancy.refusal.reason"] = reason
    fields["occupancy.refusal.detail"] = detail
    return fields


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
