import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from occupancy import record
from occupancy.reading import NAMES, typical

REQUEST = record.Request("q-1", "", "", time.monotonic_ns())
TRACED = REQUEST._replace(trace="4bf92f3577b34da6a3ce929d0e0e4736", span="00f067aa0ba902b7")
READING = typical(Temperature=20.5, Humidity=30.0, Light=0.0, CO2=500.25, HumidityRatio=0.0045)
VALUES = tuple(READING[name] for name in NAMES)


def boot(*, simulated: bool = False) -> record.Boot:
    return record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=simulated)


def prediction(by: record.Boot, request: record.Request = REQUEST, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"room": "B 12", "reading_id": None, "reading_time": None, "values": VALUES}
    said: dict[str, Any] = {"probability": 0.25, "label": 0, "answer": "empty", "flags": [], "label_wanted": False}
    fields = record.prediction(by, request, **{**given, **said, **changes})
    decoded: dict[str, Any] = json.loads(record.line(fields))
    return decoded


def test_a_prediction() -> None:
    start, before = boot(), datetime.now(UTC)
    fields = prediction(start, TRACED, reading_id="r-1", reading_time=datetime(2015, 2, 3, 19, 30, tzinfo=UTC))
    observed, duration = fields.pop("@timestamp"), fields.pop("event.duration")
    assert before <= datetime.fromisoformat(observed) <= datetime.now(UTC)
    assert observed.endswith("Z")
    assert 0 < duration <= time.monotonic_ns() - REQUEST.started_ns
    assert fields == {
        "ecs.version": "8.17.0",
        "event.dataset": "occupancy.prediction",
        "event.id": f"{start.id}-1",
        "event.outcome": "success",
        "service.name": "occupancy-inference",
        "service.version": "0.1.0",
        "http.request.id": "q-1",
        "trace.id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span.id": "00f067aa0ba902b7",
        "occupancy.boot": start.id,
        "occupancy.sequence": 1,
        "occupancy.model.version": "0123456789ab",
        "occupancy.room": "B 12",
        "occupancy.reading.id": "r-1",
        "occupancy.reading.time": "2015-02-03T19:30:00Z",
        "occupancy.reading.Temperature": 20.5,
        "occupancy.reading.Humidity": 30.0,
        "occupancy.reading.Light": 0.0,
        "occupancy.reading.CO2": 500.25,
        "occupancy.reading.HumidityRatio": 0.0045,
        "occupancy.probability": 0.25,
        "occupancy.label": 0,
        "occupancy.answer": "empty",
    }


def test_what_is_not_known_is_absent() -> None:
    fields = prediction(boot())
    absent = {
        "occupancy.reading.id",
        "occupancy.simulated",
        "occupancy.flags",
        "occupancy.label_wanted",
        "trace.id",
    }
    assert not absent & set(fields)
    assert None not in fields.values()


def test_a_reading_without_a_date_is_of_the_time_it_was_answered() -> None:
    for fields in (prediction(boot()), json.loads(record.line(refusal(boot())))):
        assert fields["occupancy.reading.time"] == fields["@timestamp"]


def test_doubt_and_a_wish_for_a_label_are_recorded() -> None:
    fields = prediction(boot(), flags=["beyond_training:CO2"], label_wanted=True)
    assert (fields["occupancy.flags"], fields["occupancy.label_wanted"]) == (["beyond_training:CO2"], True)


def refusal(by: record.Boot) -> dict[str, Any]:
    return record.refusal(
        by, REQUEST, room="B 12", given={"CO2": 1.0}, field="CO2", reason="out_of_range", detail="CO2 is 1"
    )


def test_a_refusal() -> None:
    fields = refusal(boot(simulated=True))
    common = {"occupancy.reading.CO2": 1.0, "occupancy.simulated": True, "event.outcome": "failure"}
    assert fields.items() >= common.items()
    assert [fields[f"occupancy.refusal.{part}"] for part in ("field", "reason", "detail")] == [
        "CO2",
        "out_of_range",
        "CO2 is 1",
    ]
    assert not {"occupancy.probability", "occupancy.label", "occupancy.answer"} & set(fields)
    whole = record.refusal(boot(), REQUEST, reason="overloaded", detail="too many")
    assert not {"occupancy.refusal.field", "occupancy.room"} & set(whole)


def test_feedback_and_loss_share_the_sequence() -> None:
    start = boot()
    told = record.feedback(start, REQUEST, prediction="0123456789ab-7", occupied=False, authenticated=True)
    lost = record.loss(start, 12)
    assert [fields["occupancy.sequence"] for fields in (told, lost, prediction(start))] == [1, 2, 3]
    assert (
        told.items()
        >= {
            "event.dataset": "occupancy.feedback",
            "occupancy.feedback.prediction": "0123456789ab-7",
            "occupancy.feedback.occupied": False,
            "occupancy.feedback.authenticated": True,
        }.items()
    )
    assert (lost["event.dataset"], lost["occupancy.lost"]) == ("occupancy.loss", 12)
    assert record.ID.fullmatch(lost["event.id"])
    assert not record.ID.fullmatch("0123456789ab-0")


def verdict(**changes: Any) -> dict[str, Any]:
    when = datetime(2015, 2, 5, 4, tzinfo=UTC)
    found: dict[str, Any] = {
        "at": when, "room": "B 12", "model_version": "0123456789ab", "state": "opened", "layer": "health",
        "rule": "run", "sensor": "CO2", "value": 31.0, "limit": 6.0, "since": when, "consequence": "person",
        "message": "stuck", "advice": "look at it", "certainty": "certain",
    }  # fmt: skip
    return record.verdict("occupancy-monitoring", "0.1.0", **{**found, **changes})


def test_the_same_finding_has_the_same_id() -> None:
    assert verdict()["event.id"] == verdict(at=datetime(2015, 3, 1, tzinfo=UTC), value=50.0)["event.id"]
    others = [verdict(state="closed"), verdict(room="B"), verdict(sensor="Light"), verdict(rule="step"), verdict()]
    assert len({fields["event.id"] for fields in others}) == 5
    assert len({fields["occupancy.verdict.event"] for fields in others}) == 4
    assert "occupancy.verdict.sensor" not in verdict(sensor=None)


def test_a_decision_is_numbered_in_its_journal() -> None:
    when = datetime(2026, 12, 1, tzinfo=UTC)
    said = record.decision("loop", "1", record.RUN, "0123456789ab-12", at=when, fields={"outcome": "idle"})
    assert (said["occupancy.boot"], said["occupancy.sequence"]) == ("0123456789ab", 12)
    assert said["occupancy.run.outcome"] == "idle"


@pytest.mark.parametrize(
    ("dataset", "observed", "index"),
    [
        ("occupancy.prediction", "2015-02-28T23:59:59.5Z", "occupancy-predictions-2015.02"),
        ("occupancy.feedback", "2015-03-01T00:30:00+01:00", "occupancy-feedback-2015.02"),
        ("occupancy.loss", "2026-12-01T00:00:00Z", "occupancy-predictions-2026.12"),
        ("occupancy.verdict", "2026-12-01T00:00:00Z", "occupancy-verdicts-2026.12"),
        ("occupancy.run", "2026-12-01T00:00:00Z", "occupancy-decisions-2026.12"),
        ("occupancy.deployment", "2026-12-01T00:00:00Z", "occupancy-decisions-2026.12"),
    ],
)
def test_a_record_belongs_in_the_index_of_the_month_it_was_observed_in(dataset: str, observed: str, index: str) -> None:
    assert record.index({"event.dataset": dataset, "@timestamp": observed}) == index


def test_the_table_and_the_records_agree() -> None:
    start = boot(simulated=True)
    said = prediction(start, TRACED, reading_id="r", reading_time=datetime.now(UTC), flags=["x"], label_wanted=True)
    told = record.feedback(start, REQUEST, prediction=said["event.id"], occupied=True, authenticated=False)
    names = [field.name for field in record.FIELDS]
    logged = {*said, *refusal(start), *told, *record.loss(start, 1), *verdict()}
    decided = [name for name in names if name.startswith(("occupancy.run.", "occupancy.deployment."))]
    assert set(names) == logged | set(decided)  # the loop's own tests hold its entries to the table
    assert len(set(names)) == len(names)
    assert {field.type for field in record.FIELDS} == {"date", "keyword", "long", "double", "byte", "boolean"}
    assert all(field.meaning for field in record.FIELDS)
    assert [name for name in names if name.removeprefix("occupancy.reading.") in NAMES] == [
        f"occupancy.reading.{name}" for name in NAMES
    ]


def test_a_value_too_few_is_noticed() -> None:
    with pytest.raises(ValueError, match="shorter"):
        prediction(boot(), values=VALUES[:4])


def test_the_sequence_has_no_gaps_between_threads() -> None:
    start, ready = boot(), threading.Barrier(8)

    def write(_: int) -> list[int]:
        ready.wait()
        return [prediction(start)["occupancy.sequence"] for _ in range(250)]

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for part in pool.map(write, range(8)) for number in part]
    assert sorted(numbers) == list(range(1, 2001))
    assert boot().id != start.id
