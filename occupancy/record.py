"""The record: what one prediction, refused reading, piece of feedback, verdict or decision leaves behind as one JSON line.

`FIELDS` is its one definition: names (ECS where ECS has one, else `occupancy.*`), types and meaning. A record is named
by the id of the process's boot and a sequence number that begins at 1 and has no gaps, so a missing one can be proved;
all kinds of record of a boot share that sequence.
"""

import itertools
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from occupancy.reading import FEATURES, NAMES

ECS_VERSION = "8.17.0"
PREDICTION, FEEDBACK, LOSS = "occupancy.prediction", "occupancy.feedback", "occupancy.loss"
VERDICT = "occupancy.verdict"
RUN, DEPLOYMENT = "occupancy.run", "occupancy.deployment"
INDICES = {
    PREDICTION: "occupancy-predictions",
    FEEDBACK: "occupancy-feedback",
    LOSS: "occupancy-predictions",
    VERDICT: "occupancy-verdicts",
    RUN: "occupancy-decisions",
    DEPLOYMENT: "occupancy-decisions",
}
"""By dataset, the family of indices that its records are stored in: one index a month of observation."""
ID = re.compile(r"[0-9a-f]{12}-[1-9][0-9]{0,18}")
MAX_BYTES = 4096


class Field(NamedTuple):
    """One field of a record; `type` is Elasticsearch's."""

    name: str
    type: str
    meaning: str


FIELDS: tuple[Field, ...] = (
    Field(
        "@timestamp",
        "date",
        "when the service answered, UTC; of a verdict: the reading's time that gave it; of a decision: when it was taken",
    ),
    Field("ecs.version", "keyword", "the version of the Elastic Common Schema these names are from"),
    Field(
        "event.dataset", "keyword", f"{PREDICTION} (refusals too), {FEEDBACK}, {LOSS}, {VERDICT}, {RUN} or {DEPLOYMENT}"
    ),
    Field(
        "event.id",
        "keyword",
        "the record's id, and the prediction's: boot-sequence; a verdict's follows from its event",
    ),
    Field("event.outcome", "keyword", "success, or failure for a refused reading"),
    Field("event.duration", "long", "nanoseconds from the request's arrival to its answer"),
    Field("service.name", "keyword", "which program wrote it"),
    Field("service.version", "keyword", "its release"),
    Field("http.request.id", "keyword", "X-Request-Id, the client's or ours"),
    Field("trace.id", "keyword", "the trace, where the request had a W3C traceparent"),
    Field("span.id", "keyword", "the caller's span in that trace"),
    Field("occupancy.boot", "keyword", "one start of one serving process; of a decision: one journal"),
    Field("occupancy.sequence", "long", "the record's number in its boot: 1, 2, 3, ..."),
    Field("occupancy.model.version", "keyword", "first 12 hex digits of the model's sha256"),
    Field("occupancy.simulated", "boolean", "true where the model was trained on simulated data; else absent"),
    Field("occupancy.room", "keyword", "the room, the client's or the service's setting"),
    Field("occupancy.reading.id", "keyword", "the client's own id of the reading"),
    Field(
        "occupancy.reading.time",
        "date",
        "the reading's event time, UTC; of one without a date, when the service answered",
    ),
    *(Field(f"occupancy.reading.{f.name}", "double", f"{f.description}, {f.unit}") for f in FEATURES),
    Field("occupancy.probability", "double", "probability that the room is occupied"),
    Field("occupancy.label", "byte", "1 where the probability is at least 0.5, else 0"),
    Field("occupancy.answer", "keyword", "occupied, empty, or uncertain inside the model's band"),
    Field("occupancy.flags", "keyword", "what makes the answer doubtful: reason:field, see the flags of an answer"),
    Field("occupancy.label_wanted", "boolean", "true where this prediction was drawn to be labelled; else absent"),
    Field("occupancy.refusal.field", "keyword", "the field at fault; absent where the request as a whole failed"),
    Field("occupancy.refusal.reason", "keyword", "the rule it broke"),
    Field("occupancy.refusal.detail", "keyword", "the rule, the value and what was expected, in words"),
    Field("occupancy.feedback.prediction", "keyword", "the prediction's id that the feedback is about"),
    Field("occupancy.feedback.occupied", "boolean", "the truth; of several for one prediction the latest counts"),
    Field("occupancy.feedback.authenticated", "boolean", "whether the sender had the token; without, it never trains"),
    Field("occupancy.lost", "long", "records dropped, because they could not be written, since the last such record"),
    Field(
        "occupancy.verdict.event",
        "keyword",
        "the event that a verdict opens or closes: room, rule, sensor and since when",
    ),
    Field("occupancy.verdict.state", "keyword", "opened or closed"),
    Field("occupancy.verdict.layer", "keyword", "health, level or loss"),
    Field("occupancy.verdict.rule", "keyword", "the rule that spoke"),
    Field("occupancy.verdict.sensor", "keyword", "the sensor it is about; absent where it is about the answers"),
    Field("occupancy.verdict.value", "double", "what was measured, in the rule's unit"),
    Field("occupancy.verdict.limit", "double", "what it was compared with"),
    Field("occupancy.verdict.since", "date", "since when, in event time"),
    Field("occupancy.verdict.consequence", "keyword", "person (look at the sensor), ticket, or retrain"),
    Field("occupancy.verdict.message", "keyword", "what happened, in words"),
    Field("occupancy.verdict.advice", "keyword", "what to do"),
    Field("occupancy.verdict.certainty", "keyword", "how sure it is, in words"),
    Field(
        "occupancy.run.trigger",
        "keyword",
        "what set off a run of the loop: verdict, schedule or person; unknown: it was killed",
    ),
    Field(
        "occupancy.run.outcome",
        "keyword",
        "deployed, idle, blocked, waiting (for labels), refused (by a gate), undone or failed",
    ),
    Field("occupancy.run.why", "keyword", "the reason for that, in words"),
    Field("occupancy.run.champion", "keyword", "the version of the model that was live"),
    Field(
        "occupancy.run.challenger", "keyword", "the version of the model trained to replace it; absent where none was"
    ),
    Field("occupancy.run.labels", "long", "how many labels could be used"),
    Field("occupancy.run.back_test", "long", "how often the back-test file had been looked at, this time included"),
    Field("occupancy.run.event", "keyword", "the verdict's event that it answers; absent where none set it off"),
    Field("occupancy.run.attempt", "long", "the how-manieth run about that event"),
    Field("occupancy.deployment.action", "keyword", "deploy, undo, found (done by others), or reset (of the breaker)"),
    Field("occupancy.deployment.version", "keyword", "the version of the model that is live since"),
    Field("occupancy.deployment.previous", "keyword", "the version of the model that was live before"),
    Field("occupancy.deployment.by", "keyword", "who or what did it"),
    Field("occupancy.deployment.why", "keyword", "the reason for it, in words"),
    Field("occupancy.deployment.run", "keyword", "the run that did it, by its event.id; absent where a person did"),
)

_READING = [f"occupancy.reading.{name}" for name in NAMES]


class Request(NamedTuple):
    """The request that a record is about; `started_ns` is of the monotonic clock, trace and span are W3C's, or empty."""

    id: str
    trace: str
    span: str
    started_ns: int


class Boot:
    """One start of a serving process: it names the records, in sequence, and holds what they have in common."""

    def __init__(self, service: str, version: str, model_version: str, *, simulated: bool) -> None:
        """Draw an id; the first number is 1."""
        self.id = secrets.token_hex(6)
        self._numbers: Iterator[int] = itertools.count(1)
        self._common = {
            "ecs.version": ECS_VERSION,
            "service.name": service,
            "service.version": version,
            "occupancy.boot": self.id,
            "occupancy.model.version": model_version,
            **({"occupancy.simulated": True} if simulated else {}),
        }

    def begin(self, dataset: str, request: Request | None = None) -> dict[str, Any]:
        """Begin the next record, of something that ends now; safe between threads."""
        number = next(self._numbers)
        fields = {
            "@timestamp": datetime.now(UTC),
            **self._common,
            "event.dataset": dataset,
            "event.id": f"{self.id}-{number}",
            "occupancy.sequence": number,
        }
        if request is not None:
            fields["event.duration"] = time.monotonic_ns() - request.started_ns
            fields["http.request.id"] = request.id
            if request.trace:
                fields["trace.id"], fields["span.id"] = request.trace, request.span
        return fields


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
    flags: list[str],
    label_wanted: bool,
) -> dict[str, Any]:
    """Describe one prediction; `values` in the contract's order."""
    fields = boot.begin(PREDICTION, request)
    fields["event.outcome"] = "success"
    fields["occupancy.room"] = room
    if reading_id is not None:
        fields["occupancy.reading.id"] = reading_id
    fields["occupancy.reading.time"] = reading_time or fields["@timestamp"]
    fields.update(zip(_READING, values, strict=True))
    fields["occupancy.probability"] = probability
    fields["occupancy.label"] = label
    fields["occupancy.answer"] = answer
    if flags:
        fields["occupancy.flags"] = flags
    if label_wanted:
        fields["occupancy.label_wanted"] = True
    return fields


def refusal(
    boot: Boot,
    request: Request,
    *,
    reason: str,
    detail: str,
    field: str | None = None,
    room: str | None = None,
    reading_time: datetime | None = None,
    given: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Describe one reading that got no answer; `given`: its sensor values that are numbers, however wrong they are.

    Where the request as a whole failed, before any reading was understood, there is no field, no room and no time.
    """
    fields = boot.begin(PREDICTION, request)
    fields["event.outcome"] = "failure"
    if room is not None:
        fields["occupancy.room"] = room
        fields["occupancy.reading.time"] = reading_time or fields["@timestamp"]
    fields.update((f"occupancy.reading.{name}", value) for name, value in (given or {}).items())
    if field is not None:
        fields["occupancy.refusal.field"] = field
    fields["occupancy.refusal.reason"] = reason
    fields["occupancy.refusal.detail"] = detail
    return fields


def feedback(boot: Boot, request: Request, *, prediction: str, occupied: bool, authenticated: bool) -> dict[str, Any]:
    """Describe the truth that someone told about an earlier prediction, by any process."""
    return {
        **boot.begin(FEEDBACK, request),
        "occupancy.feedback.prediction": prediction,
        "occupancy.feedback.occupied": occupied,
        "occupancy.feedback.authenticated": authenticated,
    }


def loss(boot: Boot, lost: int) -> dict[str, Any]:
    """Admit that records are missing; the gaps in the boot's sequence say which."""
    return {**boot.begin(LOSS), "occupancy.lost": lost}


def verdict(
    service: str,
    version: str,
    *,
    at: datetime,
    room: str,
    model_version: str,
    state: str,
    layer: str,
    rule: str,
    sensor: str | None,
    value: float,
    limit: float,
    since: datetime,
    consequence: str,
    message: str,
    advice: str,
    certainty: str,
) -> dict[str, Any]:
    """Describe what monitoring found in one room's records, or that it is over; the same finding has the same id.

    `at`: the time of the reading that decided it; `since`: that of the first reading it is about. Both in UTC.
    """
    begun = since.astimezone(UTC).isoformat(timespec="seconds")
    event = sha256("\n".join((room, rule, sensor or "", begun)).encode()).hexdigest()[:12]
    about = {"occupancy.verdict.sensor": sensor} if sensor else {}
    return {
        "@timestamp": at,
        "ecs.version": ECS_VERSION,
        "event.dataset": VERDICT,
        "event.id": f"{event}-{state}",
        "service.name": service,
        "service.version": version,
        "occupancy.model.version": model_version,
        "occupancy.room": room,
        "occupancy.verdict.event": event,
        "occupancy.verdict.state": state,
        "occupancy.verdict.layer": layer,
        "occupancy.verdict.rule": rule,
        **about,
        "occupancy.verdict.value": value,
        "occupancy.verdict.limit": limit,
        "occupancy.verdict.since": since,
        "occupancy.verdict.consequence": consequence,
        "occupancy.verdict.message": message,
        "occupancy.verdict.advice": advice,
        "occupancy.verdict.certainty": certainty,
    }


def decision(
    service: str, version: str, dataset: str, number: str, *, at: datetime, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Describe a RUN of the retraining loop, or a DEPLOYMENT: its own `fields` by their last names, `number` its id."""
    journal, _, sequence = number.partition("-")
    return {
        "@timestamp": at,
        "ecs.version": ECS_VERSION,
        "event.dataset": dataset,
        "event.id": number,
        "service.name": service,
        "service.version": version,
        "occupancy.boot": journal,
        "occupancy.sequence": int(sequence),
        **{f"{dataset}.{name}": value for name, value in fields.items()},
    }


def index(fields: Mapping[str, Any]) -> str:
    """Name the index that a decoded record belongs in: its dataset's, of the month it was observed in.

    Raises KeyError for a dataset that is none of ours, ValueError for a time that can't be read.
    """
    observed = datetime.fromisoformat(fields["@timestamp"]).astimezone(UTC)
    return f"{INDICES[fields['event.dataset']]}-{observed:%Y.%m}"


def line(fields: dict[str, Any]) -> bytes:
    """Write a record as one line of JSON."""
    return _encode(fields) + b"\n"


_encode = msgspec.json.Encoder().encode
