import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import numpy as np
import pytest
import xgboost
from kubernetes.config import kube_config

from occupancy.model import FILE, Golden, dump, load, parse
from tests.inference.conftest import GOOD, Process, running, until
from tests.training.loop.conftest import Put
from training.loop.settings import Common
from training.loop.targets import Cluster, NotDeployed, Pointer, Unreachable, target

SECONDS = 60.0


@contextmanager
def serving(folder: Path, models: Path, **variables: str) -> Iterator[tuple[Process, Pointer]]:
    """Run the real service on the link, and give what points it at another model."""
    pid_file = str(folder / "pid")
    named = {"OCCUPANCY_MODEL": str(models / "live" / FILE), "OCCUPANCY_PID_FILE": pid_file}
    with running(folder, **named, **variables) as service:
        yield service, Pointer(models, f"http://127.0.0.1:{service.port}", pid_file, SECONDS)


@contextmanager
def asked_all_the_time(service: Process) -> Iterator[Counter[str]]:
    """Ask for predictions, some on connections that are kept, and count the answers by version, or by what failed."""
    ended, answers = threading.Event(), Counter[str]()

    def ask(kept: bool) -> None:
        connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
        headers = {} if kept else {"Connection": "close"}
        while not ended.wait(0.005):
            try:
                connection.request("POST", "/predict", json.dumps(GOOD), headers)
                with connection.getresponse() as response:
                    answers[json.load(response).get("model_version", f"status {response.status}")] += 1
            except (OSError, HTTPException) as error:
                answers[f"failed: {error!r}"] += 1
                connection.close()
        connection.close()

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def more_than(answers: Counter[str], count: int) -> bool:
    return answers.total() > count


def test_a_model_is_put_live_and_another_and_no_request_fails(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    (models / "live").symlink_to(first)
    with serving(tmp_path, models) as (service, pointer):
        assert pointer.live() == first
        with asked_all_the_time(service) as answers:
            for number, version in enumerate((second, first, second), 1):
                until(partial(more_than, answers, 200 * number))
                pointer.deploy(version, "better")
                assert pointer.live() == version
                assert service.get("/readyz")[2]["model_version"] == version
        assert service.stop() == 0
    assert set(answers) == {first, second}
    predicted = [record for record in service.records if record["event.outcome"] == "success"]
    assert len(predicted) == answers.total()  # and each answer has left its record
    assert {record["occupancy.model.version"] for record in predicted} == {first, second}
    assert not (tmp_path / "pid").exists()


def test_a_service_without_a_model_gets_its_first(tmp_path: Path, models: Path, put: Put) -> None:
    with serving(tmp_path, models) as (service, pointer):
        assert (pointer.live(), service.get("/readyz")[0]) == ("", 503)
        version = put(1)
        pointer.deploy(version, "the first")
        assert service.get("/readyz")[2]["model_version"] == version


def test_a_model_that_the_service_does_not_take_is_taken_back(tmp_path: Path, models: Path, put: Put) -> None:
    """It loads, but is no sum of trees, so that the service can't prove its own arithmetic on it."""
    first = put(1)
    card = load(models / first / FILE).card
    values = np.array([golden.values for golden in card.golden], np.float32)
    labels = [0, 1] * (len(values) // 2)
    dart = xgboost.train(
        {"objective": "binary:logistic", "booster": "dart", "nthread": 1}, xgboost.DMatrix(values, labels), 2
    )
    given = dart.inplace_predict(values, validate_features=False)
    golden = [Golden(each.values, float(p)) for each, p in zip(card.golden, given, strict=True)]
    raw = dump(dart, type(card)(**{**{f: getattr(card, f) for f in card.__struct_fields__}, "golden": golden}))
    strange = parse(raw, "it").version
    (models / strange).mkdir()
    (models / strange / FILE).write_bytes(raw)
    (models / "live").symlink_to(first)
    with serving(tmp_path, models) as (service, pointer):
        with pytest.raises(NotDeployed, match=f"{strange} was not put live, {first} is: .* serves no model: .* dart"):
            pointer.deploy(strange, "why not")
        assert pointer.live() == service.get("/predict", GOOD)[2]["model_version"] == first


def test_a_service_that_expects_one_digest_is_told_apart(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    (models / "live").symlink_to(first)
    with serving(tmp_path, models, OCCUPANCY_MODEL_DIGEST=first) as (service, pointer):
        with pytest.raises(NotDeployed, match="is to run without OCCUPANCY_MODEL_DIGEST"):
            pointer.deploy(second, "better")
        assert service.get("/readyz")[2]["model_version"] == first


def test_a_service_that_cannot_be_told_keeps_its_model(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    (models / "live").symlink_to(first)
    with pytest.raises(NotDeployed, match="is the service running, with OCCUPANCY_PID_FILE"):
        Pointer(models, "", str(tmp_path / "pid"), SECONDS).deploy(second, "better")
    with pytest.raises(NotDeployed, match="http://127.0.0.1:1 does not answer"):
        Pointer(models, "http://127.0.0.1:1", "", 0.0).deploy(second, "better")
    assert Pointer(models, "", "", SECONDS).live() == first


def test_without_a_service_the_link_alone_moves(models: Path, put: Put) -> None:
    version = put(1)
    pointer = target(Common(models=str(models)))
    pointer.deploy(version, "the first")
    assert ((models / "live").readlink().name, pointer.live()) == (version, version)


def test_what_is_no_link_is_left_alone(models: Path) -> None:
    (models / "live").mkdir()
    with pytest.raises(Unreachable, match="no link"):
        Pointer(models, "", "", SECONDS).live()


def test_a_cluster_that_nobody_named_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(Unreachable, match="set KUBECONFIG"):
        Cluster("occupancy", "inference", SECONDS)
