import json
import os
import runpy
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost

from inference.settings import PREFIX, SHIPPED_MODEL, Settings
from occupancy import __version__, settings
from occupancy.model import Golden, Model, dump
from tests.inference.conftest import GOOD, environment, run, running, until


def test_it_answers_and_leaves_nothing_but_records_on_stdout(tmp_path: Path, model: Model) -> None:
    with running(tmp_path, OCCUPANCY_ROOM="attic") as service:
        status, headers, answer = service.get("/predict", GOOD, **{"X-Request-Id": "q-1"})
        assert (status, headers["X-Request-Id"], answer["model_version"]) == (200, "q-1", model.version)
        assert service.get("/predict", [GOOD, {**GOOD, "CO2": 1}])[0] == 422
        assert service.get("/nowhere")[0] == 404
        assert service.get("/healthz")[0] == 200
        assert service.stop() == 0
    assert [record["occupancy.sequence"] for record in service.records] == [1, 2]
    assert [record["occupancy.room"] for record in service.records] == ["attic"] * 2
    assert service.records[0]["occupancy.probability"] == answer["probability"]
    assert f"serving model {model.version}" in service.log
    assert "delay" not in service.log
    assert "Traceback" not in service.log


def test_bodies_on_a_real_connection(tmp_path: Path) -> None:
    """Whatever a client declares and sends, it gets a problem, and the next one gets an answer."""
    good = json.dumps(GOOD).encode()
    chunk = b"%x\r\n%s\r\n" % (1000, b" " * 1000)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
    with running(tmp_path, OCCUPANCY_MAX_BYTES="1024") as service:
        for sent, status, reason in [
            (b"Content-Length: 1025\r\n\r\n" + b" " * 1025, 413, "too_large"),
            (b"Content-Length: 1099511627776\r\nConnection: close\r\n\r\n", 413, "too_large"),
            (b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3 + b"0\r\n\r\n", 413, "too_large"),
            (b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 1000, 413, "too_large"),
            (b"Transfer-Encoding: chunked\r\n\r\nnot hex\r\n\r\n", 400, "incomplete"),
            (b"Content-Length: 3\r\n\r\n\x1f\x8b\x08", 400, "not_utf8"),
        ]:
            given, answer = service.raw(head + sent)
            assert (given, answer["reason"]) == (status, reason)
        whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good)
        assert service.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + whole)[0] == 200
        assert service.raw(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(good) + good)[0] == 200
        connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
        for body, status in [(good, 200), (b" " * 1025, 413), (good, 200), (b"", 400), (good, 200)]:  # kept alive
            connection.request("POST", "/predict", body)
            response = connection.getresponse()
            response.read()
            assert response.status == status
        connection.close()
    assert len(service.records) == 13
    assert "Traceback" not in service.log


def test_a_serial_replica_stays_healthy_turns_away_and_finishes_what_it_began(tmp_path: Path) -> None:
    serial = {"OCCUPANCY_CONCURRENCY": "1", "OCCUPANCY_QUEUE": "2", "OCCUPANCY_DELAY": "2"}
    with running(tmp_path, **serial) as service, ThreadPoolExecutor(8) as pool:
        assert "artificial delay of 2 s is ON (OCCUPANCY_DELAY)" in service.log
        calls = [pool.submit(service.get, "/predict", {**GOOD, "id": str(n)}) for n in range(8)]
        for turned_away in islice(as_completed(calls), 5):
            status, headers, answer = turned_away.result()
            assert (status, headers["Retry-After"], answer["title"]) == (503, "1", "overloaded")
        assert service.get("/healthz")[0] == service.get("/readyz")[0] == 200
        assert sum(call.done() for call in calls) == 5  # health did not wait for a prediction
        assert service.stop() == 0
        served = [answer for status, _, answer in (call.result() for call in calls) if status == 200]
    assert len(served) == 3
    assert [record["occupancy.sequence"] for record in service.records] == list(range(1, 9))
    answered = [record["event.id"] for record in service.records if record["event.outcome"] == "success"]
    assert set(answered) == {answer["id"] for answer in served}
    turned = [record["occupancy.refusal.reason"] for record in service.records if record["event.outcome"] == "failure"]
    assert turned == ["overloaded"] * 5


def test_twenty_at_once_through_a_serial_replica_are_all_answered(tmp_path: Path) -> None:
    serial = {"OCCUPANCY_CONCURRENCY": "1", "OCCUPANCY_DELAY": "0.1"}
    with running(tmp_path, **serial) as service, ThreadPoolExecutor(20) as pool:
        start = threading.Barrier(20)

        def call(n: int) -> tuple[int, dict[str, str], Any]:
            start.wait()
            return service.get("/predict", {**GOOD, "id": str(n)})

        answers = list(pool.map(call, range(20)))
    assert [(status, answer["reading_id"]) for status, _, answer in answers] == [(200, str(n)) for n in range(20)]
    assert [record["occupancy.sequence"] for record in service.records] == list(range(1, 21))


def test_a_signal_to_the_process_named_in_the_file_loads_the_model_anew(
    tmp_path: Path, model: Model, simulated_path: Path, simulated_model: Model
) -> None:
    path, pid_file = tmp_path / "model.ubj", tmp_path / "pid"
    path.symlink_to(SHIPPED_MODEL)
    with running(tmp_path, OCCUPANCY_MODEL=str(path), OCCUPANCY_PID_FILE=str(pid_file)) as service:
        assert service.get("/readyz")[2]["model_version"] == model.version
        path.unlink()
        path.symlink_to(simulated_path)
        os.kill(int(pid_file.read_text()), signal.SIGHUP)
        until(lambda: service.get("/readyz")[2]["model_version"] == simulated_model.version)
        assert service.stop() == 0
    assert not pid_file.exists()
    assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("damage", "says"), [("missing", "No such file"), ("digest", "expected ffffffffffff"), ("cut", "truncated")]
)
def test_without_a_model_it_stays_up_and_says_why(tmp_path: Path, damage: str, says: str) -> None:
    path = tmp_path / "model.ubj"
    if damage != "missing":
        path.write_bytes(Path(SHIPPED_MODEL).read_bytes()[: -1 if damage == "cut" else None])
    digest = "f" * 12 if damage == "digest" else ""
    with running(tmp_path, OCCUPANCY_MODEL=str(path), OCCUPANCY_MODEL_DIGEST=digest) as service:
        assert service.get("/healthz")[0] == 200
        for status, _, answer in (service.get("/readyz"), service.get("/predict", GOOD)):
            assert status == 503
            assert says in answer["detail"]
        assert service.stop() == 0
    assert service.records == []
    assert f"not ready: {path}" in service.log
    assert "Traceback" not in service.log


def test_a_model_that_is_no_sum_of_trees_is_not_ready(tmp_path: Path, model: Model) -> None:
    dart = xgboost.train(
        {"objective": "binary:logistic", "booster": "dart", "nthread": 1},
        xgboost.DMatrix(
            np.array([g.values for g in model.card.golden], np.float32), [0, 1] * (len(model.card.golden) // 2)
        ),
        2,
    )
    given = dart.inplace_predict(np.array([g.values for g in model.card.golden], np.float32), validate_features=False)
    golden = [Golden(g.values, float(p)) for g, p in zip(model.card.golden, given, strict=True)]
    path = tmp_path / "model.ubj"
    path.write_bytes(dump(dart, msgspec.structs.replace(model.card, golden=golden)))
    with running(tmp_path, OCCUPANCY_MODEL=str(path)) as service:
        for status, _, answer in (service.get("/readyz"), service.get("/predict", GOOD)):
            assert status == 503
            assert "binary:logistic over dart" in answer["detail"]


def test_a_simulated_model_is_announced(tmp_path: Path, simulated_path: Path) -> None:
    with running(tmp_path, OCCUPANCY_MODEL=str(simulated_path)) as service:
        assert service.get("/predict", GOOD)[2]["simulated"] is True
    assert "SIMULATED: model" in service.log
    assert service.records[0]["occupancy.simulated"] is True


def test_rooms_have_names_in_all_scripts_whatever_the_locale(tmp_path: Path) -> None:
    room = "зал 😀"
    with running(tmp_path, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as service:
        service.get("/predict", {**GOOD, "room": room})
    assert [record["occupancy.room"] for record in service.records] == [room]
    assert "Traceback" not in service.log


WITHOUT = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "sklearn", "elasticsearch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = ["inference"]
runpy.run_module("inference", run_name="__main__", alter_sys=True)
"""


def test_it_needs_no_pandas_no_scikit_learn_no_elasticsearch(tmp_path: Path) -> None:
    with running(tmp_path, "-c", WITHOUT) as service:
        assert service.get("/predict", GOOD)[0] == 200
        assert service.stop() == 0
    assert len(service.records) == 1


def test_messages_are_json_lines_where_no_person_looks(tmp_path: Path, model: Model) -> None:
    with running(tmp_path) as service:
        service.stop()
    messages = [json.loads(line) for line in service.log.splitlines()]
    assert {frozenset(message) for message in messages} == {
        frozenset({"@timestamp", "log.level", "log.logger", "process.pid", "message"})
    }
    (serving,) = (m for m in messages if m["message"].startswith("serving model"))
    assert (serving["log.logger"], serving["log.level"]) == ("inference", "INFO")
    assert "Starting gunicorn" in messages[0]["message"]


def test_gunicorns_own_threads_will_do_where_ours_can_not_run(tmp_path: Path) -> None:
    with running(tmp_path, GUNICORN_CMD_ARGS="--worker-class gthread") as service:
        assert "Using worker: gthread" in service.log
        assert service.get("/predict", GOOD)[0] == 200
        assert service.get("/predict", {**GOOD, "CO2": 1})[0] == 422
        assert service.get("/readyz")[0] == 200
        assert service.stop() == 0
    assert [record["event.outcome"] for record in service.records] == ["success", "failure"]


def test_sigint_ends_it_too(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(60) == 0


# --- before it serves


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("OCCUPANCY_PORT", "abc", "inference: OCCUPANCY_PORT='abc': Expected int"),
        ("OCCUPANCY_DELLAY", "1", "inference: 'OCCUPANCY_DELLAY' is not a setting; did you mean OCCUPANCY_DELAY?"),
        ("OCCUPANCY_TIMEZONE", "Mars/Olympus", "inference: OCCUPANCY_TIMEZONE='Mars/Olympus': Expected an IANA time"),
        ("OCCUPANCY_MODEL_DIGEST", "not hex", "inference: OCCUPANCY_MODEL_DIGEST='not hex': Expected str matching"),
        (
            "OCCUPANCY_FEEDBACK_TOKEN_FILE",
            "/no/file",
            "inference: OCCUPANCY_FEEDBACK_TOKEN_FILE=/no/file: No such file",
        ),
        ("OCCUPANCY_FEEDBACK_TOKEN_FILE", "/dev/null", "inference: OCCUPANCY_FEEDBACK_TOKEN_FILE=/dev/null is empty"),
        ("OCCUPANCY_HOST", "203.0.113.1", "inference: can't listen on 203.0.113.1 port 8080: Cannot assign"),
    ],
)
def test_a_bad_setting_ends_it_in_one_line(name: str, value: str, message: str) -> None:
    ended = run("-m", "inference", **{name: value})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(message)
    assert len(ended.stderr.splitlines()) == 1


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("-m", "inference", "--port", str(port))
    assert ended.returncode == 2
    assert f"127.0.0.1 port {port}: Address already in use; choose others with OCCUPANCY_HOST and" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_help_and_version() -> None:
    ended = run("-m", "inference", "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(row.flag in ended.stdout and row.variable in ended.stdout for row in settings.rows(Settings, PREFIX))
    ended = run("-m", "inference", "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"inference {__version__}\n", "")


def test_gunicorn_is_set_up_for_what_the_settings_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"OCCUPANCY_HOST": "::1", "OCCUPANCY_CONCURRENCY": "256", "OCCUPANCY_QUEUE": "4096"}
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    conf = runpy.run_path("inference/server/gunicorn.conf.py")
    assert conf["bind"] == "[::1]:8080"
    assert conf["worker_connections"] > conf["threads"] > 256 + 4096  # else no connection is kept alive
    assert "accesslog" not in conf
