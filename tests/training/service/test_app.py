import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.training.service.conftest import TOKEN, ended, until
from training.service.app import create_app
from training.service.jobs import Job
from training.service.queue import Queue
from training.service.settings import Settings

Room = tuple[Path, Path]
Ask = Callable[..., TestResponse]
VERDICT = {"room": "4.12", "rule": "loss", "state": "opened", "consequence": "retrain", "value": 0.2}


def problem(answer: TestResponse, status: int) -> str:
    """Check what every problem must be; give its kind and what it says."""
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json"), answer.data
    said = answer.get_json()
    assert said["status"] == status
    return f"{said['type'].rpartition(':')[2]}: {said['detail']}"


@pytest.fixture
def client(queue: Queue, settings: Settings) -> FlaskClient:
    return create_app(settings, queue).test_client()


@pytest.fixture
def ask(client: FlaskClient) -> Ask:
    """Send a request with the token; a body as JSON, other names as headers."""

    def ask(path: str, body: Any = None, method: str = "", **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(
            path,
            method=method or ("GET" if body is None else "POST"),
            data=body if isinstance(body, bytes) else json.dumps(body),
            headers={"Authorization": f"Bearer {TOKEN}", **named},
        )

    return ask


@pytest.fixture
def body(room: Room) -> dict[str, Any]:
    return {"data": {"training": room[0].name, "test": room[1].name}, "settings": {"candidates": 1, "seed": 5}}


def get(queue: Queue, job_id: str) -> Job:
    job = queue.store.get(job_id)
    assert job
    return job


def test_a_job_from_asking_to_its_model(ask: Ask, queue: Queue, body: dict[str, Any]) -> None:
    made = ask("/jobs", body, Idempotency_Key="monday")
    assert made.status_code == 201
    path = made.headers["Location"]
    assert made.get_json()["state"] == "queued"
    assert problem(ask(f"{path}/model"), 404) == "not-found: there is none: the job is queued"

    again = ask("/jobs", body, Idempotency_Key="monday")
    assert (again.status_code, again.get_json()["id"]) == (200, made.get_json()["id"])
    assert problem(ask("/jobs", {}, Idempotency_Key="monday"), 422).startswith("other-job: this Idempotency-Key")

    until(queue, get(queue, made.get_json()["id"]), ended)
    shown = ask(path).get_json()
    assert (shown["state"], shown["status"], shown["trigger"]) == ("succeeded", 0, "person")
    assert shown["order"]["settings"] == body["settings"]
    assert shown["progress"]["done"] == shown["progress"]["of"] > 0
    assert "key" not in shown

    model = ask(f"{path}/model")
    assert model.headers["ETag"].strip('"')[:12] == shown["model_version"]
    assert ask(f"{path}/model", If_None_Match=model.headers["ETag"]).status_code == 304
    report = ask(f"{path}/report")
    assert report.data.startswith(b"<!doctype html>") or b"<html" in report.data[:200]
    assert report.headers["Content-Security-Policy"].startswith("sandbox")
    assert b"training: saved" in ask(f"{path}/log").data


def test_jobs_are_listed_the_newest_first(ask: Ask) -> None:
    made = [ask("/jobs", {}).get_json()["id"] for _ in range(3)]
    assert [job["id"] for job in ask("/jobs").get_json()["jobs"]] == made[::-1]
    assert [job["id"] for job in ask("/jobs?limit=1").get_json()["jobs"]] == made[2:]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "٣", "1" * 5000])
def test_a_limit_that_is_none(limit: str, ask: Ask) -> None:
    assert problem(ask(f"/jobs?limit={limit}"), 400) == "bad-request: limit: expected a number from 1 to 1000"


def test_a_job_is_cancelled(ask: Ask) -> None:
    path = ask("/jobs", {}).headers["Location"]
    for _ in range(2):
        answer = ask(f"{path}/cancel", {})
        assert (answer.status_code, answer.get_json()["state"]) == (200, "cancelled")


def test_a_job_that_runs_is_asked_to_end(ask: Ask, queue: Queue, body: dict[str, Any]) -> None:
    body["settings"]["candidates"] = 5000
    path = ask("/jobs", body).headers["Location"]
    job = get(queue, path.rpartition("/")[2])
    until(queue, job, lambda job: job.state == "running")
    answer = ask(f"{path}/cancel", {})
    assert (answer.status_code, answer.get_json()["why"]) == (202, "cancelled by a request")
    assert until(queue, job, ended).state == "cancelled"


def test_a_full_queue_says_when_to_come_again(ask: Ask, settings: Settings) -> None:
    for _ in range(settings.queue):
        assert ask("/jobs", {}).status_code == 201
    full = ask("/jobs", {})
    assert problem(full, 429) == "queue-full: 16 jobs wait; cancel one, or come again"
    assert full.headers["Retry-After"] == "30"
    assert problem(ask("/verdicts", VERDICT), 429).startswith("queue-full")


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"{", 400, "bad-request: the body is not JSON"),
        (b"", 400, "bad-request: the body is not JSON"),
        (b"\xff", 400, "bad-request: the body is not JSON"),
        (b'{"settings": {"seed": ' + b"[" * 60_000, 400, "bad-request: "),
        (b'{"kind": "\xff"}', 400, "bad-request: "),
        (b"x" * 70_000, 413, "request-entity-too-large: "),
        ({"kind": "magic"}, 422, "invalid-job: Invalid enum value 'magic'"),
        ({"data": {"training": "../../etc/passwd"}}, 422, "invalid-job: '../../etc/passwd' is not a file below"),
        ({"data": {"training": "http://169.254.169.254/"}}, 422, "invalid-job: 'http://169.254.169.254/' is not below"),
    ],
)
def test_what_no_job_can_be_made_of(sent: Any, status: int, said: str, ask: Ask, queue: Queue) -> None:
    assert problem(ask("/jobs", sent), status).startswith(said)
    assert queue.store.all() == []


def test_a_key_that_is_none(ask: Ask) -> None:
    assert problem(ask("/jobs", {}, Idempotency_Key="k" * 256), 400).startswith("bad-request: Idempotency-Key")


@pytest.mark.parametrize("path", ["/jobs/unknown", "/jobs/..%2f..", "/jobs/20261121t190204-46937062/log", "/nothing"])
def test_there_is_nothing(path: str, ask: Ask) -> None:
    assert problem(ask(path), 404).startswith("not-found")


def test_a_wrong_method(ask: Ask) -> None:
    wrong = ask("/jobs", method="DELETE")
    assert problem(wrong, 405).startswith("method-not-allowed")
    assert set(wrong.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


# --- the token


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer open", "Basic open sesame", "Bearer öpen sesame"])
@pytest.mark.parametrize("path", ["/jobs", "/jobs/1/model", "/metrics", "/verdicts", "/nothing"])
def test_without_the_token_there_is_nothing_to_see(given: str, path: str, client: FlaskClient) -> None:
    answer = client.get(path, headers={"Authorization": given})
    told = "this is not the service's token" if " " in given else "send the token as Authorization: Bearer TOKEN"
    assert problem(answer, 401) == f"unauthorized: {told}"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_health_and_description_need_no_token(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"alive": True}
    assert client.get("/readyz").get_json() == {"ready": True}
    assert client.get("/openapi.json").status_code == 200


def test_the_token_may_change_under_a_running_service(ask: Ask, settings: Settings, client: FlaskClient) -> None:
    Path(settings.token_file).write_text("another")
    assert ask("/jobs").status_code == 401
    assert client.get("/jobs", headers={"Authorization": "bearer another"}).status_code == 200
    Path(settings.token_file).unlink()
    assert problem(client.get("/readyz"), 503).startswith("not-ready")
    assert problem(ask("/jobs"), 503).startswith("not-ready")
    assert client.get("/healthz").status_code == 200


def test_a_service_that_can_start_no_job_is_not_ready(client: FlaskClient, queue: Queue) -> None:
    queue.trouble = "MaxRetryError"
    assert problem(client.get("/readyz"), 503) == "not-ready: jobs can't be started: MaxRetryError"


# --- the watcher's webhook


def test_a_verdict_that_asks_for_retraining_begins_the_loop_once(ask: Ask, queue: Queue) -> None:
    for _ in range(2):
        answer = ask("/verdicts", VERDICT, Idempotency_Key="0123456789ab")
        assert answer.status_code == 202
    (job,) = queue.store.all()
    assert answer.get_json() == {"job": job.id}
    assert (job.order.kind, job.trigger) == ("loop", "verdict")


@pytest.mark.parametrize("change", [{"state": "closed"}, {"consequence": "person"}, {"consequence": "ticket"}])
def test_another_verdict_begins_nothing(change: dict[str, str], ask: Ask, queue: Queue) -> None:
    answer = ask("/verdicts", VERDICT | change)
    assert (answer.status_code, answer.get_json()) == (202, {"job": None})
    assert queue.store.all() == []


@pytest.mark.parametrize(("sent", "status"), [(b"{", 400), ({"state": "opened"}, 422), ([], 422)])
def test_what_is_no_verdict(sent: Any, status: int, ask: Ask) -> None:
    problem(ask("/verdicts", sent), status)


def test_metrics_count_jobs_by_state(ask: Ask) -> None:
    ask("/jobs", {})
    text = ask("/metrics").get_data(as_text=True)
    assert 'occupancy_training_jobs{state="queued"} 1\n' in text
    assert 'occupancy_training_jobs{state="failed"} 0\n' in text
