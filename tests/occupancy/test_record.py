import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from occupancy import record
from occupancy.reading import NAMES

EAST = timezone(timedelta(hours=5, minutes=30))
REQUEST = record.Request("q-1", datetime(2015, 2, 4, 17, 51, tzinfo=EAST), 1_234_567)
VALUES = (20.5, 30.0, 0.0, 500.25, 0.0045)


def boot(*, simulated: bool = False) -> record.Boot:
    return record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=simulated)


def prediction(by: record.Boot, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"room": "B 12", "reading_id": None, "reading_time": None, "values": VALUES}
    return record.prediction(by, REQUEST, probability=0.25, label=0, answer="empty", **{**given, **changes})


def test_a_prediction() -> None:
    start = boot()
    assert prediction(start, reading_id="r-1", reading_time=datetime(2015, 2, 4, 1, tzinfo=EAST)) == {
        "@timestamp": "2015-02-04T12:21:00.000000Z",
        "ecs.version": "8.17.0",
        "event.dataset": "occupancy.prediction",
        "event.id": f"{start.id}-1",
        "event.outcome": "success",
        "event.duration": 1_234_567,
        "service.name": "occupancy-inference",
        "service.version": "0.1.0",
        "http.request.id": "q-1",
        "occupancy.boot": start.id,
        "occupancy.sequence": 1,
        "occupancy.model.version": "0123456789ab",
        "occupancy.room": "B 12",
        "occupancy.reading.id": "r-1",
        "occupancy.reading.time": "2015-02-03T19:30:00.000000Z",
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
    absent = {"occupancy.reading.id", "occupancy.reading.time", "occupancy.simulated"}
    assert not absent & set(fields)
    assert None not in fields.values()


def test_a_refusal() -> None:
    start = boot(simulated=True)
    fields = record.refusal(
        start, REQUEST, room="B 12", given={"CO2": 1.0}, field="CO2", reason="out_of_range", detail="CO2 is 1"
    )
    common = {"occupancy.reading.CO2": 1.0, "occupancy.simulated": True, "event.outcome": "failure"}
    assert fields.items() >= common.items()
    assert [fields[f"occupancy.refusal.{part}"] for part in ("field", "reason", "detail")] == [
        "CO2",
        "out_of_range",
        "CO2 is 1",
    ]
    assert not {"occupancy.probability", "occupancy.label", "occupancy.answer"} & set(fields)


def test_the_table_and_the_records_agree() -> None:
    said = prediction(boot(simulated=True), reading_id="r", reading_time=datetime(2015, 2, 4, tzinfo=UTC))
    refused = record.refusal(boot(), REQUEST, room="r", given={}, field="body", reason="empty", detail="d")
    names = [field.name for field in record.FIELDS]
    assert set(names) == {*said, *refused}
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
