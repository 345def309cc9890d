import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from inference.app import create_app
from inference.prediction_log import PredictionLog
from inference.server.wsgi import boot_of
from inference.settings import SHIPPED_MODEL, Settings
from occupancy import model as model_file
from occupancy import record, simulate
from occupancy.mapping import LABEL
from occupancy.model import Card, Golden, Model, UnusableModel
from occupancy.reading import NAMES, typical
from occupancy.trees import prove
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
GOOD = typical(Temperature=21.5, Humidity=30.0, Light=0.0, CO2=500.0)


@dataclass
class Served:
    """The application for one model, and what it has written to its log."""

    client: FlaskClient
    log: PredictionLog
    path: Path

    def predict(self, body: Any, **headers: str) -> TestResponse:
        data = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.client.post("/predict", data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def answer(self, body: Any, **headers: str) -> Any:
        response = self.predict(body, **headers)
        assert (response.status_code, response.content_type) == (200, "application/json")
        return json.loads(response.data)

    @property
    def lines(self) -> list[str]:
        while self.log.queued:
            time.sleep(0.001)
        text = self.path.read_text("utf-8")
        assert text == "" or text.endswith("\n")
        return text.split("\n")[:-1]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


Serve = Callable[..., Served]


def serve_model(model: Model | UnusableModel, **settings: Any) -> Served:
    descriptor, path = tempfile.mkstemp()
    proven = prove(model, "the model") if isinstance(model, Model) else model
    boot = boot_of(proven)
    chosen = Settings(**{"label_one_in": 0, **settings})
    log = PredictionLog(descriptor, chosen.log_queue, lambda lost: record.loss(boot, lost))
    served = Served(create_app(chosen, proven, boot, log).test_client(), log, Path(path))

    def end() -> None:
        log.close()
        os.close(descriptor)
        Path(path).unlink()

    weakref.finalize(served, end)
    return served


def until(condition: Callable[[], object], seconds: int = 40) -> None:
    """Wait until something has happened, for at most so long."""
    for _ in range(50 * seconds):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(condition)


def problem(response: TestResponse, status: int) -> dict[str, Any]:
    """Check what every problem must be; give its members."""
    assert response.status_code == status
    assert response.content_type == "application/problem+json"
    assert response.headers["X-Request-Id"]
    members: dict[str, Any] = json.loads(response.data)
    assert members["status"] == status
    assert members["type"] == "urn:occupancy:problem:" + members["title"].replace(" ", "-")
    for text in (members["detail"], *(error["detail"] for error in members.get("errors", []))):
        assert len(text.splitlines()) == 1
        assert "Traceback" not in text
    return members


@pytest.fixture(scope="session")
def model() -> Model:
    return model_file.load(SHIPPED_MODEL)


@pytest.fixture
def serve(model: Model) -> Serve:
    """Serve the shipped model, with settings given by name."""
    return lambda **settings: serve_model(model, **settings)


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


@pytest.fixture(scope="session")
def simulated_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model trained on simulated data, in the file format that training writes."""
    room = simulate.simulate(days=2, seed=1, step_seconds=600)
    values = room[list(NAMES)].to_numpy(np.float32)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "seed": 0},
        xgboost.DMatrix(values, room[LABEL].to_numpy()),
        num_boost_round=5,
    )
    golden = float(booster.inplace_predict(values[:1], validate_features=False)[0])
    card = Card(
        preprocessing="identity",
        band=(0.3, 0.7),
        timezone="Asia/Tokyo",
        simulated=True,
        seed=0,
        hyperparameters={"max_depth": 2},
        search={},
        data={},
        reference="",
        training_range={},
        metrics={},
        gate={},
        packages={},
        golden=[Golden(tuple(map(float, values[0])), golden)],
        created="",
        revision="",
    )
    path = tmp_path_factory.mktemp("simulated") / "model.ubj"
    path.write_bytes(model_file.dump(booster, card))
    return path


@pytest.fixture(scope="session")
def simulated_model(simulated_path: Path) -> Model:
    return model_file.load(simulated_path)


# --- the service as a process of its own

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def environment(**variables: str) -> dict[str, str]:
    """Our own environment without settings of the service, and with those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OCCUPANCY_")}
    return {**inherited, **variables}


def run(*argv: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run python with some arguments in the project's folder until it ends."""
    return subprocess.run(
        [sys.executable, *argv],
        env=environment(**variables),
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


@dataclass
class Process:
    """A running service."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def get(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Send a request with a connection of its own; gives status, headers and the JSON answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with DIRECT.open(request, timeout=60) as response:
                return response.status, dict(response.headers), json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), json.load(error)

    def raw(self, data: bytes) -> tuple[int, dict[str, Any]]:
        """Send bytes and read one answer, whatever the server does with the rest; gives status and JSON."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(data)
            received = b""
            while not (
                head := re.search(rb"(?is)^HTTP/1.1 (?!100)(\d+).*?Content-Length: (\d+).*?\r\n\r\n", received)
            ) or (len(received) < head.end() + int(head[2])):
                more = connection.recv(65536)
                assert more, received
                received = (received + more).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        return int(head[1]), json.loads(received[head.end() :])

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)

    @property
    def records(self) -> list[dict[str, Any]]:
        text = (self.folder / "stdout").read_text("utf-8")
        return [json.loads(line) for line in text.split("\n")[:-1]]

    @property
    def log(self) -> str:
        return (self.folder / "stderr").read_text("utf-8")


@contextmanager
def running(folder: Path, *argv: str, **variables: str) -> Iterator[Process]:
    """Run the service under gunicorn on a free port until it answers, ready or not."""
    port = free_port()
    variables = {"OCCUPANCY_HOST": "127.0.0.1", **variables, "OCCUPANCY_PORT": str(port)}
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *(argv or ("-m", "inference"))],
            env=environment(**variables),
            cwd=ROOT,
            stdout=out,
            stderr=err,
        )
    service = Process(process, port, folder)
    try:
        for _ in range(600):
            try:
                service.get("/readyz")
            except OSError:
                assert process.poll() is None, service.log
                time.sleep(0.05)
            else:
                break
        else:
            raise AssertionError(f"the service never answered:\n{service.log}")
        yield service
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(60)
