import json
import re
import string
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.app import create_app
from inference.prediction_log import PredictionLog
from inference.server.wsgi import boot_of
from inference.settings import SHIPPED_MODEL, Settings
from occupancy import record
from occupancy.model import Model, load
from occupancy.reading import NAMES, parse, values
from occupancy.record import FIELDS, MAX_BYTES, PREDICTION
from occupancy.trees import prove
from tests.inference.conftest import GOOD, Serve, Served, serve_model

LONGEST = "😀" * 64
ECHOED = [f"occupancy.reading.{name}" for name in NAMES]


def test_a_prediction_leaves_one_record(served: Served, model: Model) -> None:
    reading = {**GOOD, "room": "B 12", "id": "r-1", "date": "2015-02-04T17:51:00"}
    response = served.predict(reading, X_Request_Id="q-1")
    (left,) = served.records
    answer = json.loads(response.data)
    timestamp, duration, boot = left.pop("@timestamp"), left.pop("event.duration"), left.pop("occupancy.boot")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", timestamp)
    assert duration > 0
    assert re.fullmatch("[0-9a-f]{12}", boot)
    assert left == {
        "ecs.version": "8.17.0",
        "event.dataset": PREDICTION,
        "event.id": f"{boot}-1",
        "event.outcome": "success",
        "service.name": "occupancy-inference",
        "service.version": "0.1.0",
        "http.request.id": "q-1",
        "occupancy.sequence": 1,
        "occupancy.model.version": model.version,
        "occupancy.room": "B 12",
        "occupancy.reading.id": "r-1",
        "occupancy.reading.time": "2015-02-04T16:51:00Z",
        **dict(zip(ECHOED, values(parse(reading)), strict=True)),
        "occupancy.probability": answer["probability"],
        "occupancy.label": answer["label"],
        "occupancy.answer": answer["answer"],
    }
    written = re.search('"occupancy.probability":([^,]+),', served.lines[0])
    said = re.search('"probability":([^,]+),', response.text)
    assert written
    assert said
    assert written[1] == said[1]  # the same digits, so the same bits


def test_each_refused_reading_leaves_one_record_with_what_was_a_number(serve: Serve) -> None:
    served = serve(room="attic")
    served.predict(
        [GOOD, {"Temperature": "20", "Humidity": 200, "CO2": True, "Light": 1e290, "room": "B 12"}, {"CO2": None}, 7]
    )
    first, second, third = served.records
    assert {name: first.get(name) for name in ECHOED} == {
        "occupancy.reading.Temperature": None,
        "occupancy.reading.Humidity": 200,
        "occupancy.reading.Light": 1e290,
        "occupancy.reading.CO2": None,
        "occupancy.reading.HumidityRatio": None,
    }
    assert [r["occupancy.room"] for r in (first, second, third)] == ["B 12", "attic", "attic"]
    assert [r["event.outcome"] for r in (first, second, third)] == ["failure"] * 3
    assert not {"occupancy.probability", "occupancy.label", "occupancy.answer"} & {*first, *second, *third}
    assert [r["occupancy.refusal.field"] for r in (first, second, third)] == ["Temperature", "CO2", "body"]
    assert all(name not in second and name not in third for name in ECHOED)


@pytest.mark.parametrize(
    ("timezone", "date", "utc"),
    [
        ("", "2015-02-04 17:51:00", "2015-02-04T16:51:00"),  # the model's zone, Europe/Brussels
        ("", "2015-07-04 17:51:00", "2015-07-04T15:51:00"),
        ("", "2015-10-25T02:30", "2015-10-25T00:30:00"),  # comes twice: the first
        ("", "2015-03-29T02:30", "2015-03-29T01:30:00"),  # never comes
        ("America/New_York", "2015-02-04T17:51:00", "2015-02-04T22:51:00"),
        ("Asia/Kolkata", "2015-02-04T00:00:00", "2015-02-03T18:30:00"),
        ("Asia/Kolkata", "2015-02-04T00:00:00-03:00", "2015-02-04T03:00:00"),
        ("UTC", "2015-02-04", "2015-02-04T00:00:00"),
    ],
)
def test_event_time_is_utc(serve: Serve, timezone: str, date: str, utc: str) -> None:
    served = serve(timezone=timezone)
    served.predict({**GOOD, "date": date})
    assert served.records[0]["occupancy.reading.time"] == f"{utc}Z"


def test_the_models_zone_is_the_default(simulated_model: Model) -> None:
    served = serve_model(simulated_model)  # trained in Tokyo
    served.predict([{**GOOD, "date": "2015-02-04T09:00:00"}, GOOD])
    dated, undated = served.records
    assert dated["occupancy.reading.time"] == "2015-02-04T00:00:00Z"
    assert undated["occupancy.reading.time"] == undated["@timestamp"]


def test_a_refused_reading_keeps_its_time(serve: Serve) -> None:
    served = serve(timezone="UTC", max_age=0)
    served.predict([{**GOOD, "date": "2015-02-04T09:00:00+01:00", "CO2": 1}, {**GOOD, "date": "no", "CO2": 1}])
    dated, undated = served.records
    assert dated["occupancy.reading.time"] == "2015-02-04T08:00:00Z"
    assert undated["occupancy.reading.time"] == undated["@timestamp"]


FITS: dict[str, Any] = {
    "date": lambda v: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", v),
    "keyword": lambda v: v and all(isinstance(text, str) and text for text in (v if isinstance(v, list) else [v])),
    "long": lambda v: type(v) is int and 0 < v < 2**63,
    "byte": lambda v: type(v) is int and v in (0, 1),
    "double": lambda v: type(v) is float,
    "boolean": lambda v: isinstance(v, bool),
}


def test_the_fields_of_all_records_are_those_of_the_table(simulated_model: Model) -> None:
    served = serve_model(simulated_model, label_one_in=1, log_queue=3)
    good = {**GOOD, "CO2": 500, "HumidityRatio": 0.1, "id": "a", "room": "b", "date": "2015-02-04"}
    served.predict([good, GOOD], traceparent=f"00-{1:032x}-{2:016x}-01")
    served.predict([{**GOOD, "CO2": 1}, {**GOOD, "Light": 10**20}])
    served.predict(b"")
    served.client.post("/feedback", json={"id": served.records[0]["event.id"], "occupied": True})
    served.log.dropped = 5  # as if five could not be written
    served.predict(GOOD)
    others = ("occupancy.verdict.", "occupancy.run.", "occupancy.deployment.")
    types = {field.name: field.type for field in FIELDS if not field.name.startswith(others)}
    assert set().union(*served.records) == set(types)
    for left in served.records:
        for name, value in left.items():
            assert FITS[types[name]](value), (name, value)


# --- one line each, never too long

_served = serve_model(load(SHIPPED_MODEL), room="\U0010ffff" * 64)
_texts = st.text(max_size=70) | st.just(LONGEST) | st.just('"' * 64) | st.text('\\"\x00\x7f\u2028é😀', max_size=70)
_values = _texts | st.floats() | st.integers() | st.none() | st.just(10**4000) | st.lists(st.text(), max_size=2)
_ids = st.text(string.ascii_letters + string.punctuation, min_size=1, max_size=64)


@given(st.dictionaries(st.sampled_from(NAMES) | st.sampled_from(["date", "room", "id"]) | _texts, _values), _ids)
@example({"room": LONGEST, "id": LONGEST, "date": "2015-02-04T17:51:00.123456+01:00"}, '"' * 64)
@example({"date": "\\" * 40, "room": LONGEST, "HumidityRatio": 0.004676301122453012}, "\\" * 64)
@example({"room": '"' * 64, "id": "\\" * 64, "Temperature": -1.2345678901234567e-300}, '"' * 64)
@example({"\\" * 80: 0}, '"' * 64)
@example({"id": "\x00" * 900, "room": LONGEST}, '"' * 64)
@example({"CO2": -1.2345678901234567e299, "Light": 1.2345678901234567e299, "Humidity": -1.2345678901234567e-299}, "x")
def test_a_reading_leaves_one_short_line(changes: dict[str, Any], request_id: str) -> None:
    before = len(_served.lines)
    response = _served.predict(json.dumps({**GOOD, **changes}), X_Request_Id=request_id)
    (line,) = _served.lines[before:]
    assert len(line.encode()) + 1 <= MAX_BYTES
    assert len(line.splitlines()) == 1
    left = json.loads(line)
    assert left["event.outcome"] == ("success" if response.status_code == 200 else "failure")
    assert left["http.request.id"] == request_id
    if response.status_code == 200:
        assert left["occupancy.probability"] == json.loads(response.data)["probability"]


def test_many_threads_leave_whole_lines_and_no_gap(model: Model, tmp_path: Path) -> None:
    proven = prove(model, "the model")
    boot = boot_of(proven)
    with (tmp_path / "log").open("wb") as file:
        log = PredictionLog(file.fileno(), 100, lambda lost: record.loss(boot, lost))
        app = create_app(Settings(), proven, boot, log)
        bodies = [json.dumps({**GOOD, "room": LONGEST}), "[", json.dumps([GOOD, GOOD])]

        def send(thread: int) -> list[str]:
            client = app.test_client()
            answers = [json.loads(client.post("/predict", data=bodies[(thread + n) % 3]).data) for n in range(125)]
            return [
                a["id"] for answer in answers for a in (answer if isinstance(answer, list) else [answer]) if "id" in a
            ]

        with ThreadPoolExecutor(8) as pool:
            ids = [id_ for sent in pool.map(send, range(8)) for id_ in sent]
        log.close()
    assert (log.dropped, log.queued) == (0, 0)
    records = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").split("\n")[:-1]]
    assert sorted(record["occupancy.sequence"] for record in records) == list(range(1, len(records) + 1))
    assert len({record["occupancy.boot"] for record in records}) == 1
    assert sorted(r["event.id"] for r in records if r["event.outcome"] == "success") == sorted(ids)
    assert len(records) == sum({0: 1, 1: 1, 2: 2}[(thread + n) % 3] for thread in range(8) for n in range(125))


def test_each_start_has_its_own_boot(serve: Serve) -> None:
    boots = set()
    for _ in range(3):
        served = serve()
        served.predict(GOOD)
        boots.add(served.records[0]["occupancy.boot"])
    assert len(boots) == 3


# --- one at a time


class Held(Model):
    """A model that counts those inside, and holds them until it is told to go on."""

    def probability(self, values: Any) -> Any:
        with LOCK:
            COUNT["inside"] += 1
            COUNT["most"] = max(COUNT["most"], COUNT["inside"])
        GO_ON.wait()
        with LOCK:
            COUNT["inside"] -= 1
        return super().probability(values)


LOCK, GO_ON, COUNT = threading.Lock(), threading.Event(), {"inside": 0, "most": 0}


@pytest.mark.parametrize(("queue", "answered"), [(256, 20), (2, 3), (0, 1)])
def test_a_serial_replica(model: Model, queue: int, answered: int) -> None:
    GO_ON.clear()
    COUNT.update(inside=0, most=0)
    held = Held(model.booster, model.card, model.sha256)
    served = serve_model(held, concurrency=1, delay=0.01, queue=queue)
    app = served.client.application
    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(lambda: app.test_client().post("/predict", json=[GOOD, GOOD])) for _ in range(20)]
        turned_away = [done.result() for done in islice(as_completed(calls), 20 - answered)]
        assert app.test_client().get("/healthz").status_code == app.test_client().get("/readyz").status_code == 200
        GO_ON.set()
        statuses = [call.result().status_code for call in calls]
    assert all((r.status_code, r.headers["Retry-After"]) == (503, "1") for r in turned_away)
    assert statuses.count(200) == answered
    assert statuses.count(503) == 20 - answered
    outcomes = [left["event.outcome"] for left in served.records]
    assert (outcomes.count("success"), outcomes.count("failure")) == (2 * answered, 20 - answered)
    reasons = {left.get("occupancy.refusal.reason") for left in served.records}
    assert reasons == ({None, "overloaded"} if answered < 20 else {None})
    assert COUNT == {"inside": 0, "most": 1}
