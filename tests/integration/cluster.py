"""A cluster as the tests need it: kubectl, pods that end by themselves, and a client that sends whatever happens."""

import itertools
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from benchmark import traffic
from benchmark.cluster import Replicas
from occupancy.reading import typical

ROOT = Path(__file__).parents[2]
NAMESPACE, CARRIERS, STRANGERS = "occupancy", "occupancy-carrier", "occupancy-strangers"
PART = "app.kubernetes.io/part-of=occupancy"
INFERENCE = "app.kubernetes.io/name=inference"
REPLICAS = Replicas(NAMESPACE)
RATE, ANSWER_SECONDS = 200, 30.0
SENDERS = 1000  # more than are ever out or wait to ask again: nobody's trouble spares the service another's request
SAID = logging.getLogger("cluster")

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def run(*command: str | Path, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(map(str, command)), input=stdin, capture_output=True, text=True, timeout=580, check=False
    )
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def kubectl(*args: str | Path, stdin: str = "") -> str:
    return run("kubectl", *args, stdin=stdin).stdout


def ours(*args: str | Path) -> str:
    return kubectl("--namespace", NAMESPACE, *args)


def get(*args: str) -> Any:
    return json.loads(ours("get", *args, "--output=json"))


def until(holds: Callable[[], object], why: Callable[[], object] = lambda: "", seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(0.5)


@contextmanager
def built(*images: str) -> Iterator[str]:
    """Build images and bring them into the cluster; gives their tag. Skips where there is no cluster or no Docker."""
    if why := absent():
        pytest.skip(why)
    if not (load := os.environ.get("IMAGE_LOAD")):
        pytest.skip("IMAGE_LOAD, the command that brings an image into the cluster, is not set: `minikube image load`")
    if not shutil.which("docker"):
        pytest.skip("there is no docker command")
    tag = f"tests-{os.getpid()}"
    names = [f"occupancy_{image}:{tag}" for image in images]
    run("make", "-C", ROOT, "images", f"IMAGES={' '.join(images)}", f"IMAGE_TAG={tag}")
    for name in names:
        run(*shlex.split(load), name)
    yield tag
    run("docker", "image", "rm", "--force", *names, check=False)


def absent() -> str:
    """Say what a test on a cluster lacks; nothing if there is one."""
    if not shutil.which("kubectl"):
        return "there is no kubectl command"
    answer = run("kubectl", "version", "--request-timeout=10s", check=False)
    return f"no cluster answers: {answer.stderr.strip()}" if answer.returncode else ""


class Manifests:
    """A copy of kubernetes/ that takes images of a tag, and leaves out Kibana, whose image not every cluster can have."""

    def __init__(self, folder: Path, tag: str) -> None:
        shutil.copytree(ROOT / "kubernetes", folder)
        self.folder, self.storage, self.all = folder, folder / "storage", folder / "overlays" / "test"
        self.inference, self.monitoring = (
            folder / "overlays" / "minikube" / name for name in ("inference", "monitoring")
        )
        self._model = self.inference / "model.yaml"
        for file in (folder / "overlays" / "minikube").rglob("kustomization.yaml"):
            file.write_text(re.sub(r"(name: occupancy_\w+, newTag: )latest", rf"\g<1>{tag}", file.read_text("utf-8")))
        self.all.mkdir()
        without = "".join(
            f"  - patch: '{{kind: {kind}, apiVersion: {api}, metadata: {{name: {name}, namespace: {NAMESPACE}}}, $patch: delete}}'\n"
            for kind, api, name in (("Deployment", "apps/v1", "kibana"), ("Job", "batch/v1", "dashboards"))
        )
        (self.all / "kustomization.yaml").write_text(f"resources: [../minikube]\npatches:\n{without}")

    def with_component(self, name: str) -> Path:
        """Give an overlay of the service with a component."""
        folder = self.folder / "overlays" / name
        folder.mkdir(exist_ok=True)
        component = f"../../components/{name}"
        (folder / "kustomization.yaml").write_text(f"resources: [../minikube/inference]\ncomponents: [{component}]\n")
        return folder

    @property
    def version(self) -> str:
        """The model that the one line names."""
        return self._model.read_text("utf-8").rpartition('version: "')[2].partition('"')[0]

    def name(self, version: str) -> None:
        """Change the one line that names the model."""
        text = self._model.read_text("utf-8")
        self._model.write_text(text.replace(f'version: "{self.version}"', f'version: "{version}"'))


def apply(folder: Path) -> None:
    kubectl("apply", "-k", folder)


def rolled_out(*, namespace: str = NAMESPACE) -> None:
    """Wait for all that is to run."""
    found = json.loads(kubectl("get", "deployments,statefulsets,daemonsets", f"--namespace={namespace}", "-o=json"))
    for each in found["items"]:
        name = f"{each['kind']}/{each['metadata']['name']}"
        kubectl("rollout", "status", f"--namespace={namespace}", "--timeout=300s", name)


def only_new_pods() -> None:
    """Wait for the end of a rollout, and of the pods that it replaced."""
    ours("rollout", "status", "--timeout=300s", "deployment/inference")
    count = REPLICAS.count()
    until(lambda: len(get("pods", f"--selector={INFERENCE}")["items"]) == count, lambda: ours("get", "pods"))


def pods(selector: str = INFERENCE) -> dict[str, Any]:
    """Give the pods by name, but not those on their way out."""
    found = get("pods", f"--selector={selector}")["items"]
    return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}


def is_ready(pod: Any) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


def once(
    name: str,
    image: str,
    script: str,
    *,
    namespace: str = NAMESPACE,
    spec: dict[str, Any] | None = None,
    root: bool = False,
) -> str:
    """Run a shell script in a pod of its own; gives what it prints."""
    security = {"privileged": True, "runAsUser": 0} if root else RESTRICTED
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec", script],
        "securityContext": security,
        "volumeMounts": [{"name": "models", "mountPath": "/models"}] if spec and "volumes" in spec else [],
    }
    user = {} if root else {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}, **user},
            "containers": [container],
            **(spec or {}),
        },
    }
    here = ("kubectl", "--namespace", namespace)
    run(*here, "create", "-f", "-", stdin=json.dumps(pod))
    try:
        phase = ["get", "pod", name, "--output=jsonpath={.status.phase}"]
        until(
            lambda: run(*here, *phase).stdout in ("Succeeded", "Failed"),
            lambda: run(*here, "describe", "pod", name).stdout,
        )
        said = run(*here, "logs", name).stdout
        assert run(*here, *phase).stdout == "Succeeded", said
        return said
    finally:
        run(*here, "delete", "pod", name, "--ignore-not-found", "--wait=false")


CLAIM = {"volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]}


def ask_elasticsearch(path: str, **parameters: str) -> Any:
    """Ask by way of the API server."""
    query = "&".join(f"{name}={quote(value)}" for name, value in parameters.items())
    url = f"/api/v1/namespaces/{NAMESPACE}/services/elasticsearch:9200/proxy/{path}?{query}"
    for _ in range(20):
        done = run("kubectl", "get", "--raw", url, check=False)
        if "ServiceUnavailable" not in done.stderr:  # as while the shards of a new index are made
            break
        time.sleep(0.5)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stored(family: str, room: str) -> int:
    found = ask_elasticsearch(f"occupancy-{family}-*/_count", q=f'occupancy.room:"{room}"', ignore_unavailable="true")
    return int(found["count"])


@dataclass
class Load:
    """What became of readings sent at a constant rate, each on a connection of its own."""

    address: traffic.Address
    room: str
    enough: int
    retry_after: float | None = None
    """seconds after which what failed is sent once more"""
    sent: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    """by the answer's id the version that gave it"""
    failures: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """those that failed again, or were not sent again"""

    @property
    def goes_on(self) -> bool:
        """Tell whether what is done meanwhile should be done once more, for enough to be sent."""
        return self.sent < self.enough

    def send(self, ended: threading.Event) -> None:
        """Send until enough is sent and the event has come."""
        start = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            for number in itertools.takewhile(lambda n: n < self.enough or not ended.is_set(), itertools.count()):
                time.sleep(max(0.0, start + number / RATE - time.monotonic()))
                pool.submit(self._send, number)
                self.sent = number + 1

    def _send(self, number: int) -> None:
        body = json.dumps(
            typical(Temperature=21.5, Humidity=27 + number % 7, Light=400, CO2=500 + number % 89, room=self.room)
        )
        request = traffic.request(self.address, "/predict", body.encode())
        failure = self._try(request)
        if failure:
            self.failures.append(failure)
        if failure and self.retry_after is not None:
            time.sleep(self.retry_after)
            failure = self._try(request)
        if failure:
            self.failed.append(failure)

    def _try(self, request: bytes) -> str:
        try:
            status, body = traffic.once(self.address, request, ANSWER_SECONDS)
        except (OSError, traffic.BadAnswer) as error:
            return type(error).__name__
        if status != 200:
            return f"status {status}"
        answer = json.loads(body)
        self.answers[answer["id"]] = answer["model_version"]
        return ""


@contextmanager
def constant_load(loads: list[Load], room: str, enough: int, retry_after: float | None = None) -> Iterator[Load]:
    """Send at a constant rate as long as the body takes, and until enough is sent; adds it to the loads."""
    load, ended = Load(REPLICAS.address(), room, enough, retry_after), threading.Event()
    loads.append(load)
    thread = threading.Thread(target=load.send, args=(ended,), daemon=True)
    thread.start()
    try:
        yield load
    finally:
        ended.set()
        thread.join()
        SAID.warning("%s: %d sent, %d failed, %d for good", room, load.sent, len(load.failures), len(load.failed))


def predict() -> dict[str, Any]:
    """Ask the service for one answer."""
    address = REPLICAS.address()
    body = typical(Temperature=21.5, Humidity=30.0, Light=0.0, CO2=500.0, room="asked")
    status, said = traffic.once(address, traffic.request(address, "/predict", json.dumps(body).encode()))
    assert status == 200, said
    answer: dict[str, Any] = json.loads(said)
    return answer


def remove(folders: Sequence[Path]) -> None:
    """Delete what was applied, and wait until it is gone."""
    for folder in folders:
        kubectl("delete", "-k", folder, "--ignore-not-found", "--timeout=300s")


def vanish(namespace: str) -> None:
    with suppress(AssertionError):
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=300s")
