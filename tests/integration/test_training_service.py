"""The training service in a cluster: its jobs are Jobs, which train, are cancelled, and go on without it."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from occupancy import model
from occupancy.simulate import simulate, write
from tests.integration.cluster import PART, ROOT, built, kubectl, run, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

NAMESPACE = f"occupancy-service-{os.getpid()}"
HEADERS = {"Authorization": "Bearer open sesame"}
Here = Callable[..., str]


@pytest.fixture(scope="module")
def tag() -> Iterator[str]:
    """Build the image and bring it into the cluster; gives its tag."""
    with built("retraining") as tag:
        yield tag


def rendered(tag: str) -> list[dict[str, Any]]:
    """Give the namespace, the claims and all of retraining, as one's own installation beside others'."""
    objects = [
        each
        for folder in ("storage", "overlays/minikube/retraining")
        for each in yaml.safe_load_all(kubectl("kustomize", ROOT / "kubernetes" / folder))
        if each["metadata"]["name"] not in ("occupancy-carrier", "watcher")
    ]
    for each in objects:
        if each["kind"] == "Namespace":
            each["metadata"]["name"] = NAMESPACE
        else:
            each["metadata"]["namespace"] = NAMESPACE
        for subject in each.get("subjects", []):
            subject["namespace"] = NAMESPACE
    text = json.dumps(objects).replace("occupancy_retraining:latest", f"occupancy_retraining:{tag}")
    found: list[dict[str, Any]] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def here(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """Apply it with small simulated data; gives kubectl in its namespace."""
    data = tmp_path_factory.mktemp("data")
    for name, days, seed in (("datatraining.txt", 4, 1), ("datatest.txt", 1, 2)):
        write(data / name, simulate(days, seed), seed)

    def here(*args: str | Path, stdin: str = "") -> str:
        return kubectl("--namespace", NAMESPACE, *args, stdin=stdin)

    try:
        objects = sorted(rendered(tag), key=lambda each: each["kind"] != "Namespace")
        for each in objects[:1]:
            kubectl("create", "-f", "-", stdin=json.dumps(each))
        here("create", "configmap", "training-data", f"--from-file={data}")
        here("create", "secret", "generic", "training-service", "--from-literal=token=open sesame")
        here("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects[1:]}))
        here("rollout", "status", "--timeout=300s", "deployment/training-service")
        yield here
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@contextmanager
def forwarded(here: Here) -> Iterator[str]:
    """Give the service's address, by way of kubectl port-forward."""
    command = ["kubectl", "--namespace", NAMESPACE, "port-forward", "service/training-service", ":8090"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        found = re.search(r"127.0.0.1:(\d+)", process.stdout.readline())
        assert found
        try:
            yield f"http://{found[0]}"
        finally:
            process.terminate()


def post(url: str, body: Any) -> Any:
    answer = requests.post(url, json=body, headers=HEADERS, timeout=60)
    assert answer.ok, answer.text
    return answer.json()


def get(url: str) -> Any:
    return requests.get(url, headers=HEADERS, timeout=60).json()


def jobs(here: Here) -> dict[str, Any]:
    """Give the Jobs by the ids of the service's."""
    found = json.loads(here("get", "jobs", f"--selector={PART}", "--output=json"))["items"]
    return {each["metadata"]["labels"]["occupancy/job"]: each for each in found}


def pods(here: Here, job_id: str) -> list[Any]:
    found: list[Any] = json.loads(here("get", "pods", f"--selector=occupancy/job={job_id}", "-o=json"))["items"]
    return found


def files(here: Here, job_id: str) -> set[str]:
    return set(here("exec", "deployment/training-service", "--", "ls", f"/jobs/{job_id}").split())


def waited(here: Here, url: str, job_id: str) -> Any:
    until(lambda: get(f"{url}/jobs/{job_id}")["ended"], lambda: here("describe", "jobs,pods"), 400)
    return get(f"{url}/jobs/{job_id}")


def test_a_job_trains_in_a_pod_of_its_own_and_its_model_is_fetched(here: Here, tag: str, tmp_path: Path) -> None:
    with forwarded(here) as url:
        job_id = post(f"{url}/jobs", {"settings": {"candidates": 2, "seed": 5}})["id"]
        done = waited(here, url, job_id)
        assert (done["state"], done["status"]) == ("succeeded", 0), done
        binary = requests.get(f"{url}/jobs/{job_id}/model", headers=HEADERS, timeout=60).content
        report = requests.get(f"{url}/jobs/{job_id}/report", headers=HEADERS, timeout=60)
    (tmp_path / "model.ubj").write_bytes(binary)
    loaded = model.load(tmp_path / "model.ubj")
    assert (loaded.version, loaded.card.seed, loaded.card.simulated) == (done["model_version"], 5, True)
    assert report.headers["Content-Type"].startswith("text/html")
    (pod,) = pods(here, job_id)
    assert pod["metadata"]["name"].startswith(f"training-{job_id}-")
    assert pod["spec"]["containers"][0]["image"] == f"occupancy_retraining:{tag}"
    assert "serviceAccountName" not in pod["spec"] or pod["spec"]["serviceAccountName"] == "default"
    assert files(here, job_id) == {"job.json", "log", "pid", "out", "result.json"}


def test_a_job_that_runs_outlives_the_service_and_is_then_cancelled(here: Here) -> None:
    with forwarded(here) as url:
        job_id = post(f"{url}/jobs", {"settings": {"candidates": 5000}})["id"]
        until(lambda: get(f"{url}/jobs/{job_id}")["progress"], lambda: here("describe", "jobs,pods"))
    here("rollout", "restart", "deployment/training-service")
    here("rollout", "status", "--timeout=300s", "deployment/training-service")
    with forwarded(here) as url:
        assert get(f"{url}/jobs/{job_id}")["state"] == "running"
        assert job_id in jobs(here)
        post(f"{url}/jobs/{job_id}/cancel", {})
        done = waited(here, url, job_id)
    assert (done["state"], done["why"]) == ("cancelled", "cancelled by a request")
    assert job_id not in jobs(here)
    assert pods(here, job_id) == []
    assert files(here, job_id) == {"job.json", "log", "pid"}


def test_a_job_that_is_deleted_by_somebody_else_is_lost(here: Here) -> None:
    with forwarded(here) as url:
        job_id = post(f"{url}/jobs", {"settings": {"candidates": 5000}})["id"]
        until(lambda: job_id in jobs(here) and get(f"{url}/jobs/{job_id}")["state"] == "running")
        here("delete", "job", f"training-{job_id}")
        done = waited(here, url, job_id)
    assert (done["state"], done["why"]) == ("failed", "its Job is gone")


def test_a_job_that_needs_more_memory_than_it_may_have_says_so(here: Here) -> None:
    def limited(memory: str) -> None:
        path = "/spec/jobTemplate/spec/template/spec/containers/0/resources"
        change = [
            {"op": "replace", "path": f"{path}/{kind}/memory", "value": memory} for kind in ("requests", "limits")
        ]
        here("patch", "cronjob", "training-job", "--type=json", f"--patch={json.dumps(change)}")

    limited("32Mi")
    with forwarded(here) as url:
        done = waited(here, url, post(f"{url}/jobs", {})["id"])
    limited("512Mi")
    assert done["state"] == "failed"
    assert "OOMKilled" in done["why"], done["why"]


def test_a_job_whose_template_is_missing_says_so(here: Here) -> None:
    manifest = json.loads(here("get", "cronjob", "training-job", "--output=json"))
    here("delete", "cronjob", "training-job")
    with forwarded(here) as url:
        done = waited(here, url, post(f"{url}/jobs", {})["id"])
    assert (done["state"], done["why"]) == ("failed", "no Job like the CronJob training-job can be made: 404 Not Found")
    kept = {"name": "training-job", "labels": manifest["metadata"]["labels"]}
    here("create", "-f", "-", stdin=json.dumps({**manifest, "metadata": kept}))


def test_the_loop_is_begun_by_a_verdict_with_rights_of_its_own(here: Here) -> None:
    with forwarded(here) as url:
        job_id = post(f"{url}/verdicts", {"state": "opened", "consequence": "retrain"})["job"]
        done = waited(here, url, job_id)
    assert done["order"]["kind"] == "loop"
    (pod,) = pods(here, job_id)
    assert pod["spec"]["serviceAccountName"] == "retraining"
    assert pod["spec"]["containers"][0]["args"] == ["training.service.job", f"/jobs/{job_id}"]
    assert done["status"] == 2, done  # it may read the Deployment, and there is none here
    assert "inference" in done["why"]
    assert "Forbidden" not in done["why"]


MAY = {
    "training-service": {
        ("create", "jobs"), ("get", "jobs"), ("list", "jobs"), ("delete", "jobs"), ("get", "cronjobs/training-job"),
        ("get", "cronjobs/retraining"), ("list", "pods"),
    },
    "retraining": {("get", "deployments/inference"), ("patch", "deployments/inference"), ("list", "pods"), ("list", "replicasets")},
}  # fmt: skip
MAY_NOT = {
    ("create", "pods"), ("get", "secrets"), ("list", "deployments"), ("patch", "deployments/training-service"),
    ("update", "cronjobs/training-job"), ("create", "pods/exec"), ("delete", "pods"),
}  # fmt: skip


@pytest.mark.parametrize("account", MAY)
def test_an_account_may_do_what_it_needs_and_no_more(account: str, here: Here) -> None:
    def may(verb: str, what: str) -> bool:
        who = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
        return run("kubectl", "auth", "can-i", verb, what, "-n", NAMESPACE, who, check=False).stdout.strip() == "yes"

    everything = MAY_NOT.union(*MAY.values())
    assert {(verb, what) for verb, what in everything if may(verb, what)} == MAY[account]
