import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import xgboost
from kubernetes.config import kube_config

from inference.settings import SHIPPED_MODEL
from occupancy.model import FILE, Golden, dump, load, parse
from tests.inference.conftest import GOOD, Process, environment, running, until
from tests.integration.cluster import CLAIM, ROOT, absent, kubectl, once, run
from tests.training.loop.conftest import Put
from training.loop.deploy import reconcile
from training.loop.journal import Journal
from training.loop.settings import Common
from training.loop.targets import DIGEST, Cluster, NotDeployed, Pointer, Unreachable, target

SECONDS = 60.0
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


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


def test_a_stranger_whom_a_pid_file_left_behind_names_is_not_told(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    (models / "live").symlink_to(first)
    pointer = Pointer(models, "", str(tmp_path / "pid"), SECONDS)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            for number in (stranger.pid, -stranger.pid):
                (tmp_path / "pid").write_text(f"{number}\n")
                with pytest.raises(NotDeployed, match=f"names process {number}, which is not the service"):
                    pointer.deploy(second, "better")
                assert pointer.live() == first
        finally:
            stranger.terminate()
    assert stranger.returncode == -signal.SIGTERM


def test_a_deployment_that_is_ended_by_a_signal_is_taken_back(tmp_path: Path, models: Path, put: Put) -> None:
    first, second = put(1), put(2)
    (models / "live").symlink_to(first)
    command = [sys.executable, "-m", "training.loop", "deploy", second, "--url=http://127.0.0.1:1"]
    environ = environment(LOOP_MODELS=str(models), LOOP_FOLDER=str(tmp_path / "loop"))
    with subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE) as process:
        until(lambda: (models / "live").readlink().name == second)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"training.loop deploy: ended by a signal\n")
    assert (models / "live").readlink().name == first
    assert [each.version for each in Journal(tmp_path / "loop").deployments()] == [first]  # it was found there


def test_without_a_service_the_link_alone_moves(models: Path, put: Put) -> None:
    version = put(1)
    pointer = target(Common(models=str(models)))
    pointer.deploy(version, "the first")
    assert ((models / "live").readlink().name, pointer.live()) == (version, version)


def test_the_link_is_on_disk_before_the_journal_names_it(
    models: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What survives a power failure can't be seen here, but what the kernel was asked to keep."""
    version, kept = put(1), list[tuple[bool, str]]()

    def fsync(descriptor: int) -> None:
        kept.append((os.fstat(descriptor).st_ino == models.stat().st_ino, (models / "live").readlink().name))

    monkeypatch.setattr(os, "fsync", fsync)
    Pointer(models, "", "", SECONDS).deploy(version, "better")
    assert kept == [(True, version)]


def test_what_is_no_link_is_left_alone(models: Path) -> None:
    (models / "live").mkdir()
    with pytest.raises(Unreachable, match="no link"):
        Pointer(models, "", "", SECONDS).live()


def test_a_cluster_that_nobody_named_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(Unreachable, match="set KUBECONFIG"):
        Cluster("occupancy", "inference", SECONDS)


class Api(BaseHTTPRequestHandler):
    """An API server that takes a change and gives no answer, which no real one does when it is asked to."""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        server = cast("Lost", self.server)
        body = json.dumps(server.found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PATCH(self) -> None:
        server = cast("Lost", self.server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.causes.append(body["metadata"]["annotations"]["kubernetes.io/change-cause"])
        container = body["spec"]["template"]["spec"]["containers"][0]
        server.found["spec"]["template"]["spec"]["containers"][0]["env"][0] = container["env"][0]
        if len(server.causes) > 1:
            self.do_GET()
        elif server.signalled:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            server.over.wait(60)


class Lost(ThreadingHTTPServer):
    """Holds a Deployment whose first change goes unanswered: the connection ends, or a signal comes meanwhile."""

    def __init__(self, *, signalled: bool) -> None:
        """Hold a Deployment that has rolled out."""
        super().__init__(("127.0.0.1", 0), Api)
        self.signalled, self.over, self.causes = signalled, threading.Event(), list[str]()
        env = [{"name": DIGEST, "value": "0" * 12}, {"name": "OCCUPANCY_MODEL", "value": f"/models/$({DIGEST})"}]
        template = {"spec": {"containers": [{"name": "inference", "env": env}]}}
        self.found: dict[str, Any] = {
            "metadata": {"generation": 1},
            "spec": {"replicas": 1, "selector": {}, "template": template},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        }


@pytest.mark.parametrize("error", [NotDeployed, KeyboardInterrupt])
def test_a_change_that_the_cluster_took_without_an_answer_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that other tests run have handlers of their own
    with Lost(signalled=error is KeyboardInterrupt) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        config = {
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "it", "user": {}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
        try:
            cluster = Cluster("occupancy", "inference", SECONDS)
            with pytest.raises(error):
                cluster.deploy("1" * 12, "better")
            assert cluster.live() == "0" * 12
        finally:
            server.over.set()
            server.shutdown()
    assert server.causes[0] == "better"
    assert server.causes[1].startswith(f"back from {'1' * 12}: ")


# --- a cluster

NAMESPACE = "occupancy-deploying"
ANOTHER = """
import msgspec
from pathlib import Path
from occupancy import model
shipped = model.load("inference/model/model.ubj")
raw = model.dump(shipped.booster, msgspec.structs.replace(shipped.card, seed=7))
folder = Path("/models", model.parse(raw, "it").version)
folder.mkdir()
(folder / "model.ubj").write_bytes(raw)
print(folder.name)
"""


def ours(*args: str) -> str:
    return kubectl("--namespace", NAMESPACE, *args)


def served() -> str:
    """Ask the service, by way of the API server, which model it serves."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/inference:http/proxy/readyz"
    return str(json.loads(kubectl("get", "--raw", path))["model_version"])


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The service with a volume of models, in a namespace of its own, rolled out with the shipped model."""
    if why := absent():
        pytest.skip(why)
    if not (bring := os.environ.get("IMAGE_LOAD")):
        pytest.skip("IMAGE_LOAD, the command that brings an image into the cluster, is not set: `minikube image load`")
    tag = f"deploying-{os.getpid()}"
    run("make", "-C", ROOT, "images", "IMAGES=inference", f"IMAGE_TAG={tag}")
    run(*shlex.split(bring), f"occupancy_inference:{tag}")
    copy = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(ROOT / "kubernetes", copy)
    folder = copy / "overlays" / "deploying"
    folder.mkdir()
    shutil.copy(copy / "storage" / "models.yaml", folder)
    shutil.copy(copy / "overlays" / "minikube" / "inference" / "model.yaml", folder)
    (folder / "kustomization.yaml").write_text(
        f"namespace: {NAMESPACE}\n"
        "resources: [../../base/inference, models.yaml, model.yaml]\n"
        "components: [../../components/model-claim]\n"
        f"images: [{{name: occupancy_inference, newTag: {tag}}}]\n"
    )
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")
    kubectl("create", "namespace", NAMESPACE)
    try:
        kubectl("apply", "-k", folder)
        ours("rollout", "status", "--timeout=300s", "deployment/inference")
        yield folder
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        run("docker", "image", "rm", "--force", f"occupancy_inference:{tag}", check=False)


@pytest.mark.kubernetes
def test_in_a_cluster_a_model_is_put_live_and_what_lacks_is_taken_back(
    overlay: Path, journal: Journal, models: Path, put: Put
) -> None:
    cluster = Cluster(NAMESPACE, "inference", 240.0)
    shipped = load(SHIPPED_MODEL).version
    assert cluster.live() == served() == shipped
    image = ours("get", "deployment/inference", "--output=jsonpath={.spec.template.spec.containers[0].image}")
    another = once("another", image, f"python - <<'E'{ANOTHER}E", namespace=NAMESPACE, spec=CLAIM).strip()

    cluster.deploy(another, "better on 240 labels")
    assert cluster.live() == served() == another
    pods = json.loads(ours("get", "pods", "--selector=app.kubernetes.io/name=inference", "--output=json"))["items"]
    assert {p["metadata"]["labels"]["occupancy/model"] for p in pods if "deletionTimestamp" not in p["metadata"]} == {
        another
    }
    assert "better on 240 labels" in ours("rollout", "history", "deployment/inference")
    differs = run("kubectl", "diff", "-k", overlay, check=False)  # what the overlay's one line would take back
    assert f"-          value: {another}" in differs.stdout
    assert f"+          value: {shipped}" in differs.stdout
    assert reconcile(cluster, journal, NOON)

    missing = Cluster(NAMESPACE, "inference", 10.0)
    with pytest.raises(NotDeployed, match=f"0{{12}} was not put live, {another} is: after 10 s 1 of its pods"):
        missing.deploy("0" * 12, "there is no such model")
    assert cluster.live() == served() == another
    assert reconcile(cluster, journal, NOON) is None

    command = [sys.executable, "-m", "training.loop", "deploy", put(3)]  # which is not in the pods' volume
    environ = environment(
        LOOP_TARGET="cluster", LOOP_NAMESPACE=NAMESPACE, LOOP_MODELS=str(models), LOOP_FOLDER=str(journal.folder)
    )
    with subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE) as process:
        until(lambda: cluster.live() != another)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"training.loop deploy: ended by a signal\n")
    assert cluster.live() == served() == another

    ours("rollout", "undo", "deployment/inference", "--to-revision=1")
    ours("rollout", "status", "--timeout=300s", "deployment/inference")
    found = reconcile(cluster, journal, NOON)
    assert found
    assert (found.action, found.version, found.previous) == ("found", shipped, another)
    assert served() == shipped


@pytest.mark.kubernetes
def test_in_a_cluster_what_is_not_there_or_is_of_another_kind_is_named(overlay: Path) -> None:
    with pytest.raises(Unreachable, match="occupancy-deploying/other can't be read: Not Found"):
        Cluster(NAMESPACE, "other", 1.0).live()
    command = ["--", "sleep", "1d"]
    image = ours("get", "deployment/inference", "--output=jsonpath={.spec.template.spec.containers[0].image}")
    ours("create", "deployment", "inference-of-an-image", f"--image={image}", "--replicas=0", *command)
    with pytest.raises(Unreachable, match="has no container named inference"):
        Cluster(NAMESPACE, "inference-of-an-image", 1.0).live()
    ours(
        "patch", "deployment", "inference-of-an-image", "--type=json",
        "--patch", '[{"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "inference"}]',
    )  # fmt: skip
    with pytest.raises(NotDeployed, match="take their model from an image"):
        Cluster(NAMESPACE, "inference-of-an-image", 1.0).deploy("0" * 12, "better")
