"""The manifests, before anything is applied: strictly valid, restricted, and without a fault that kube-score knows."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.cluster import CARRIERS, NAMESPACE, ROOT, absent, kubectl, run

pytestmark = pytest.mark.kubernetes

MANIFESTS = ROOT / "kubernetes"
FILES = {
    file.parent.relative_to(MANIFESTS).as_posix(): file.read_text("utf-8")
    for file in MANIFESTS.rglob("kustomization.yaml")
}
COMPONENTS = {name for name, text in FILES.items() if "kind: Component" in text}
WHOLE = sorted(FILES.keys() - COMPONENTS)
OPTIONS = ["autoscaling", "balancer", "serial", "balancer serial", "feedback-token", "retraining-webhook"]
"""Components that a user may add to the overlay of the service, or, where they are another part's, to the whole."""
WHOLE_OPTIONS = {"retraining-webhook"}
TO_APPLY = [name for name in WHOLE if not name.startswith("base/")] + OPTIONS
OPERATOR = "monitoring.coreos.com"  # the Prometheus operator's kinds, which not every cluster knows
NOT_SCORED = (
    "container-image-pull-policy",  # images are loaded into a node, or named by digest: Always would ask for them in vain
    "container-image-tag",  # `latest` is what `make images` makes; production names digests
)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> None:
    if why := absent():
        pytest.skip(why)


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    """Give the objects of a folder, or of the service's overlay with options."""
    copy = tmp_path_factory.mktemp("manifests") / "kubernetes"
    shutil.copytree(MANIFESTS, copy)

    def render(name: str) -> list[dict[str, Any]]:
        folder = copy / name
        if name in OPTIONS:
            folder = copy / "overlays" / name.replace(" ", "-")
            folder.mkdir(exist_ok=True)
            components = ", ".join(f"../../components/{option}" for option in name.split())
            part = "../minikube" if name in WHOLE_OPTIONS else "../minikube/inference"
            (folder / "kustomization.yaml").write_text(f"resources: [{part}]\ncomponents: [{components}]\n")
        return [each for each in yaml.safe_load_all(kubectl("kustomize", folder)) if each]

    return render


@pytest.fixture(scope="module")
def empty() -> Iterator[dict[str, str]]:
    """Two namespaces with the labels of ours, and nothing in them; gives their names by those of ours."""
    names = {name: f"{name}-{os.getpid()}" for name in (NAMESPACE, CARRIERS)}
    for each in yaml.safe_load_all(kubectl("kustomize", MANIFESTS / "namespaces")):
        each["metadata"]["name"] = names[each["metadata"]["name"]]
        kubectl("create", "-f", "-", stdin=json.dumps(each))
    yield names
    kubectl("delete", "namespace", *names.values(), "--wait=false")


def test_every_component_is_part_of_an_overlay_or_an_option() -> None:
    unused = {name for name in COMPONENTS if not any(name in FILES[whole] for whole in WHOLE)}
    assert {Path(name).name for name in unused} <= set(" ".join(OPTIONS).split())


@pytest.mark.parametrize("name", WHOLE + OPTIONS)
def test_the_api_server_takes_it_and_does_not_even_warn(
    name: str, render: Callable[[str], list[dict[str, Any]]], empty: dict[str, str]
) -> None:
    known = kubectl("api-versions")
    objects = [each for each in render(name) if OPERATOR in known or OPERATOR not in each["apiVersion"]]
    for each in objects:
        if each["kind"] == "Namespace":
            each["metadata"]["name"] = empty[each["metadata"]["name"]]
        else:
            each["metadata"]["namespace"] = empty[each["metadata"]["namespace"]]
        for port in each["spec"].get("ports", []) if each["kind"] == "Service" else []:
            port.pop("nodePort", None)  # it may be taken, by what is installed
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    command = ("kubectl", "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    done = run(*command, "--filename=-", stdin=text)
    assert done.stderr == ""


@pytest.mark.parametrize("name", TO_APPLY)
def test_all_that_is_ours_says_so(name: str, render: Callable[[str], list[dict[str, Any]]]) -> None:
    for each in render(name):
        templates = [each, each.get("spec", {}).get("template", each)]
        for labelled in templates:
            assert labelled["metadata"]["labels"]["app.kubernetes.io/part-of"] == "occupancy", each["metadata"]["name"]


@pytest.mark.parametrize("name", TO_APPLY)
def test_kube_score_has_nothing_to_say(name: str, render: Callable[[str], list[dict[str, Any]]]) -> None:
    if not shutil.which("kube-score"):
        pytest.skip("there is no kube-score command")
    single = ["deployment-replicas"] if name == "balancer serial" else []  # one queue, to count its replicas by
    ignored = [f"--ignore-test={test}" for test in (*NOT_SCORED, *single)]
    command = ("kube-score", "score", "--kubernetes-version=v1.33", "--output-format=ci", *ignored, "-")
    said = run(*command, stdin=yaml.safe_dump_all(render(name)), check=False).stdout
    assert "[OK]" in said or name in ("namespaces", "storage")
    assert [line for line in said.splitlines() if line.startswith(("[CRITICAL]", "[WARNING]"))] == []
