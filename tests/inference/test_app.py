import dataclasses
import io
import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from inference.settings import SHIPPED_MODEL
from occupancy.model import Model, UnusableModel, load
from occupancy.reading import NAMES, parse, typical, values
from tests.inference.conftest import GOOD, Serve, Served, problem, serve_model

NIGHT = typical(Temperature=19.9, Humidity=32.1, Light=0, CO2=452)
WORK = typical(Temperature=21.6, Humidity=27.4, Light=459, CO2=905)
WINDOW = typical(Temperature=21.6, Humidity=25.8, Light=367, CO2=900)
FIRST = typical(Temperature=23.18, Humidity=27.272, Light=426, CO2=721.25, HumidityRatio=0.00479298817650529)


def score(model: Model, *readings: dict[str, Any]) -> list[float]:
    rows = np.array([values(parse(reading)) for reading in readings], np.float32)
    return [float(p) for p in model.probability(rows)]


# --- answers


@pytest.mark.parametrize(
    ("reading", "answer", "probability"),
    [
        (NIGHT, "empty", 0.000355909),
        (WORK, "occupied", 0.990243375),
        (WINDOW, "uncertain", 0.589697719),
        (FIRST, "occupied", 0.809537351),  # the training data's first row
    ],
)
def test_one_reading_gives_an_object(
    served: Served, model: Model, reading: dict[str, Any], answer: str, probability: float
) -> None:
    said = served.answer(reading)
    assert said == {
        "id": served.records[0]["event.id"],
        "label": int(probability >= 0.5),
        "probability": pytest.approx(score(model, reading)[0], abs=1e-6),
        "answer": answer,
        "model_version": model.version,
    }
    assert said["probability"] == pytest.approx(probability, abs=1e-6)


def test_a_list_gives_a_list_in_its_order(served: Served, model: Model) -> None:
    readings = [WORK, {**NIGHT, "id": "n"}, WINDOW, {**WORK, "id": "w"}] * 25
    answers = served.answer(readings)
    assert [answer["probability"] for answer in answers] == score(model, WORK, NIGHT, WINDOW, WORK) * 25
    assert [answer.get("reading_id") for answer in answers] == [None, "n", None, "w"] * 25
    assert ["reading_id" in answer for answer in answers] == [False, True, False, True] * 25
    assert [answer["id"] for answer in answers] == [record["event.id"] for record in served.records]
    alone = [served.answer([reading])[0]["probability"] for reading in readings[:4]]
    assert alone == pytest.approx([answer["probability"] for answer in answers[:4]], abs=1e-6)


def test_a_reading_is_understood_by_name(served: Served) -> None:
    full = {**WORK, "HumidityRatio": values(parse(WORK))[-1]}
    orders = random.Random(0).sample(list(itertools.permutations(full)), 20)
    answers = {served.answer({name: full[name] for name in order})["probability"] for order in orders}
    assert answers == {served.answer(WORK)["probability"]}  # the ratio that is left out is computed


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_any_content_type_will_do(served: Served, content_type: str) -> None:
    assert served.answer(WORK, Content_Type=content_type)["label"] == 1


def test_the_ends_of_the_band_are_uncertain(model: Model) -> None:
    night, window, work = sorted(score(model, NIGHT, WINDOW, WORK))
    for band, expected in {
        (night, work): ["uncertain", "uncertain", "uncertain"],
        (math.nextafter(night, 1), math.nextafter(work, 0)): ["empty", "uncertain", "occupied"],
        (window, window): ["empty", "uncertain", "occupied"],
    }.items():
        banded = dataclasses.replace(model, card=msgspec.structs.replace(model.card, band=band))
        answers = serve_model(banded).answer([NIGHT, WINDOW, WORK])
        assert [answer["answer"] for answer in answers] == expected


def test_a_simulated_models_answers_and_records_say_so(simulated_model: Model, served: Served) -> None:
    simulated = serve_model(simulated_model)
    assert simulated.answer(GOOD)["simulated"] is True
    assert all(answer["simulated"] is True for answer in simulated.answer([GOOD, GOOD]))
    simulated.predict(b"x")
    assert [record["occupancy.simulated"] for record in simulated.records] == [True] * 4
    served.predict(GOOD)
    assert "occupancy.simulated" not in served.records[0]


def test_health_and_readiness(served: Served, model: Model) -> None:
    assert served.client.get("/healthz").json == {"alive": True}
    assert served.client.get("/readyz").json == {"ready": True, "model_version": model.version}
    assert served.lines == []


# --- problems


@pytest.mark.parametrize(
    ("body", "status", "field", "reason"),
    [
        (b"", 400, "body", "not_json"),
        (b"\x1f\x8b\x08", 400, "body", "not_utf8"),
        (b"Temperature=20", 400, "body", "not_json"),
        (b"[" * 5000, 400, "body", "too_deep"),
        (b"null", 400, "body", "not_an_object"),
        (b"[]", 400, "body", "empty"),
        ({}, 422, "Temperature", "missing"),
        ({**GOOD, "CO2": 1}, 422, "CO2", "out_of_range"),
        ({**GOOD, "CO2": math.nan}, 422, "CO2", "not_finite"),
        ({**GOOD, "Light": "0"}, 422, "Light", "not_a_number"),
        ({**GOOD, "light\n": 0}, 422, "light\\n", "unknown"),
        ({**GOOD, "room": "a\nb"}, 422, "room", "not_a_text"),
        ({**GOOD, "date": "4 February"}, 422, "date", "not_a_date"),
        ([GOOD, 5], 422, "body", "not_an_object"),
        ([GOOD] * 1001, 413, "body", "too_many"),
        (b" " * (2**20 + 1), 413, "body", "too_large"),
    ],
)
def test_a_problem_names_field_and_reason(served: Served, body: Any, status: int, field: str, reason: str) -> None:
    members = problem(served.predict(body), status)
    assert (members["field"], members["reason"]) == (field, reason)
    assert members["errors"][0]["field"] == field
    assert (members["errors"][0]["index"] is None) == (not isinstance(body, list) or status == 413)
    (record,) = served.records
    assert (record["occupancy.refusal.field"], record["occupancy.refusal.reason"]) == (field, reason)
    assert record["occupancy.refusal.detail"] == members["detail"]


def test_all_bad_readings_are_named_by_their_place_in_the_request(served: Served) -> None:
    readings = [GOOD, {**GOOD, "date": "?"}, {**GOOD, "CO2": 1}, GOOD, "x", {**GOOD, "date": "?"}]
    members = problem(served.predict(readings), 422)
    assert [(e["index"], e["field"]) for e in members["errors"]] == [(1, "date"), (2, "CO2"), (4, "body"), (5, "date")]
    assert [e["detail"].split(":")[0] for e in members["errors"]] == [f"reading {i}" for i in (1, 2, 4, 5)]
    assert (members["field"], members["detail"]) == ("date", members["errors"][0]["detail"])
    assert [record["event.outcome"] for record in served.records] == ["failure"] * 4


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_the_limit_of_bytes_is_exact(serve: Serve, spare: int) -> None:
    body = json.dumps(GOOD).ljust(1024 + spare).encode()
    declared = serve(max_bytes=1024)
    chunked = serve(max_bytes=1024)
    answers = [
        declared.predict(body),
        chunked.client.post(
            "/predict",
            input_stream=io.BytesIO(body),
            environ_overrides={"wsgi.input_terminated": True},
            headers={"Transfer-Encoding": "chunked"},
        ),
    ]
    for answer, served in zip(answers, (declared, chunked), strict=True):
        if spare <= 0:
            assert answer.status_code == 200
        else:
            assert problem(answer, 413)["reason"] == "too_large"
        assert len(served.records) == 1


def test_a_body_that_ends_early_is_incomplete(served: Served) -> None:
    body = json.dumps(GOOD).encode()
    for terminated in (False, True):
        response = served.client.post(
            "/predict",
            input_stream=io.BytesIO(body),
            environ_overrides={"CONTENT_LENGTH": str(len(body) + 1), "wsgi.input_terminated": terminated},
        )
        assert problem(response, 400)["reason"] == "incomplete"
    assert [record["occupancy.refusal.reason"] for record in served.records] == ["incomplete"] * 2


def test_other_paths_and_methods(served: Served) -> None:
    problem(served.client.get("/nowhere"), 404)
    problem(served.client.post("/predict/%ff\n"), 404)
    response = served.client.get("/predict")
    problem(response, 405)
    assert response.headers["Allow"] == "POST"
    assert "by POST" in problem(response, 405)["detail"]
    problem(served.client.delete("/healthz"), 405)
    assert served.lines == []


@pytest.mark.parametrize(
    ("change", "digest", "says"),
    [
        (None, "", "No such file or directory"),
        (lambda raw: raw, "0" * 12, "expected 000000000000"),
        (lambda raw: raw[:-1], "", "is truncated"),
        (lambda raw: raw[:1000], "", "its beginning is damaged"),
        (lambda raw: raw.replace(b"Europe/Brussels", b"Europe/Belgrade"), "", "was altered"),
        (lambda raw: b"x", "", "is not an XGBoost model"),
    ],
)
def test_without_a_model_the_service_lives_and_says_why(tmp_path: Path, change: Any, digest: str, says: str) -> None:
    path = tmp_path / "model.ubj"
    if change:
        path.write_bytes(change(Path(SHIPPED_MODEL).read_bytes()))
    with pytest.raises(UnusableModel) as caught:
        load(path, digest)
    served = serve_model(caught.value)
    assert served.client.get("/healthz").status_code == 200
    for response in (served.client.get("/readyz"), served.predict(GOOD)):
        assert says in problem(response, 503)["detail"]
        assert int(response.headers["Retry-After"]) > 0


class Faulty(Model):
    def probability(self, values: Any) -> Any:
        if values[-1][3] == 666:
            raise RuntimeError("the disk\nis on fire")
        return super().probability(values)


def test_an_unexpected_error_tells_nothing_and_ends_nothing(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    served = serve_model(Faulty(model.booster, model.card, model.sha256), concurrency=1, queue=0)
    for _ in range(3):
        response = served.predict([GOOD, {**GOOD, "CO2": 666}], X_Request_Id="mine")
        assert problem(response, 500).keys() == {"type", "title", "status", "detail"}
        assert "fire" not in response.text
        assert response.headers["X-Request-Id"] == "mine"
    assert "the disk\nis on fire" in caplog.text
    assert served.predict(GOOD).status_code == 200
    reasons = [record.get("occupancy.refusal.reason") for record in served.records]
    assert reasons == ["internal-error"] * 3 + [None]


# --- X-Request-Id


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a", True),
        ("!~" * 32, True),
        ('"\\{}', True),
        (None, False),
        ("", False),
        ("x" * 65, False),
        ("two words", False),
        ("naïve", False),
        ("tab\t", False),
    ],
)
def test_a_request_has_an_id(served: Served, given: str | None, kept: bool) -> None:
    headers = {} if given is None else {"X_Request_Id": given}
    for body in (GOOD, b""):
        said = served.predict(body, **headers).headers["X-Request-Id"]
        assert said == given if kept else len(said) == 16
        assert served.records[-1]["http.request.id"] == said
    if not kept:
        assert served.records[0]["http.request.id"] != served.records[1]["http.request.id"]


# --- what can be asked for


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("explain=yes", "explain"),
        ("explain", "explain"),
        ("explian=true", "explian"),
        ("partial=true&x%0a=1", "x\\n"),
        ("explain=true&explain=true", "explain"),
        ("partial=" + "x" * 5000, "partial"),
    ],
)
def test_an_option_that_is_not_one_is_named(served: Served, query: str, field: str) -> None:
    members = problem(served.client.post(f"/predict?{query}", json=GOOD), 400)
    assert (members["title"], members["field"]) == ("invalid option", field)


def test_a_batch_can_be_answered_in_part(served: Served, model: Model) -> None:
    readings = ["x", WORK, {**WORK, "CO2": 1}, NIGHT, {}]
    response = served.client.post("/predict?partial=true&explain=true", json=readings)
    assert response.status_code == 200
    answers = response.get_json()
    assert [answer.get("answer") for answer in answers] == [None, "occupied", None, "empty", None]
    assert [answer["error"]["index"] for answer in answers if "error" in answer] == [0, 2, 4]
    assert [answer["error"]["field"] for answer in answers if "error" in answer] == ["body", "CO2", "Temperature"]
    assert ["explanation" in answer for answer in answers] == [False, True, False, True, False]
    assert [record["event.outcome"] for record in served.records] == ["failure"] * 3 + ["success"] * 2
    assert [answer["id"] for answer in answers if "id" in answer] == [r["event.id"] for r in served.records[3:]]
    assert all("error" in answer for answer in served.client.post("/predict?partial=1", json=[{}, {}]).get_json())
    problem(served.client.post("/predict?partial=true", json={}), 422)  # one reading has no parts


def test_an_encoded_body_is_refused_as_such(served: Served) -> None:
    assert "Content-Encoding" in problem(served.predict(GOOD, Content_Encoding="gzip"), 415)["detail"]


def test_csv_and_ndjson(served: Served, model: Model) -> None:
    csv = "CO2,Temperature,Humidity,Light\n500,21.5,30,0\n900,21.5,30,500\n"
    ndjson = "".join(json.dumps({**GOOD, **more}) + "\n" for more in ({}, {"CO2": 900, "Light": 500}))
    expected = score(model, GOOD, {**GOOD, "CO2": 900, "Light": 500})
    for kind, body in {"text/csv; charset=utf-8": csv, "application/x-ndjson": ndjson}.items():
        answers = served.answer(body, Content_Type=kind)
        assert [answer["probability"] for answer in answers] == pytest.approx(expected)
    assert problem(served.predict("CO2\n1\n", Content_Type="text/csv"), 422)["field"] == "Temperature"


def test_what_is_live(served: Served, model: Model) -> None:
    live = served.client.get("/model").json or {}
    assert (live["version"], live["sha256"]) == (model.version, model.sha256)
    assert live["metrics"]["back_test.errors"] == 57
    assert [sensor["name"] for sensor in live["contract"]] == list(NAMES)
    assert live["lineage"]["data"] == model.card.data
    assert live["lineage"]["revision"] == model.card.revision
    assert live["decision"] == {"threshold": 0.5, "uncertain": [0.3, 0.7]}


def test_the_page_loads_nothing_from_elsewhere(served: Served) -> None:
    response = served.client.get("/")
    assert b"__KNOWN__" not in response.data
    assert response.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
