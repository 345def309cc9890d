"""compose.yaml: what it promises on paper, and everything but Kibana on a real engine."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from occupancy import record
from tests.inference.conftest import GOOD

ROOT = Path(__file__).parents[2]
OURS = {"occupancy_inference", "occupancy_monitoring"}
ONE_SHOT = {"folders", "setup", "dashboards", "replay"}
NOT_READ_ONLY = {"elasticsearch", "kibana"}
RULES = "api/v1/rules"

pytestmark = pytest.mark.docker


class Project:
    """The composition in a folder, under a name and with variables of its own."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._name, self._folder = f"test-{os.getpid()}", folder
        self._environ = {**os.environ, **variables}

    def __call__(self, *args: str, check: bool = True, folder: Path | None = None) -> str:
        """Run docker compose; gives its standard output."""
        where = folder or self._folder
        command = ["docker", "compose", "--project-directory", str(where), "--project-name", self._name, *args]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=600, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert time.monotonic() < deadline, self("logs", "--no-color", "--tail=30") + self("ps", "--all")
            time.sleep(0.5)

    def ask(self, service: str, port: int, path: str, **parameters: str) -> Any:
        address = self("port", service, str(port)).strip()
        return requests.get(f"http://{address}/{path}", params=parameters, timeout=30).json()


@pytest.fixture(scope="module", autouse=True)
def _plugin() -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker command, or its compose plugin is missing")


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Project(ROOT)("config", "--format", "json"))
    return found


def test_the_whole_is_what_docker_compose_up_starts(composed: dict[str, Any]) -> None:
    assert composed["services"].keys() == {
        *("inference", "elasticsearch", "kibana", "carrier", "watcher", "prometheus"),
        *ONE_SHOT,
    }
    versions = {service["image"].rpartition(":")[::2] for service in composed["services"].values()}
    tags = dict(versions)
    assert len(tags) == len(versions)  # one version of each
    elastic = "docker.elastic.co/{0}/{0}"
    assert tags[elastic.format("kibana")] == tags[elastic.format("elasticsearch")]
    assert [name for name, tag in tags.items() if tag == "latest" and name not in OURS] == []


def test_every_service_is_bounded_and_can_do_no_more_than_it_must(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service.get("read_only", False) == (name not in NOT_READ_ONLY), name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert (service.get("restart") == "unless-stopped") == (name not in ONE_SHOT), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert "healthcheck" in service or name in ONE_SHOT, name
        assert "privileged" not in service, name
    as_root = [name for name, service in composed["services"].items() if service.get("user", "").startswith("0")]
    assert as_root == ["folders"]
    assert composed["services"]["folders"]["network_mode"] == "none"


def test_what_is_mounted_is_ours_and_what_another_needs_waits_for_it(composed: dict[str, Any]) -> None:
    for name, service in composed["services"].items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert mount["read_only"], name
                assert Path(mount["source"]).is_relative_to(ROOT), name
            else:
                assert mount["source"] in composed["volumes"], name
        for needed, how in service.get("depends_on", {}).items():
            there = composed["services"][needed]
            if needed in ONE_SHOT:
                assert how["condition"] == "service_completed_successfully", name
            assert set(there.get("profiles", [])) <= set(service.get("profiles", [])), name


def test_prometheus_asks_where_the_services_are(composed: dict[str, Any]) -> None:
    text = (ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text("utf-8")
    assert '"inference:8080"' in text
    for name in ("carrier", "watcher"):
        assert f'"{name}:{composed["services"][name]["environment"]["MONITORING_METRICS_PORT"]}"' in text


def _have(image: str) -> bool:
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0
    return (
        found or subprocess.run(["docker", "pull", "--quiet", image], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="module")
def project(composed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Everything but Kibana, from a folder without data, at ports that are free."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    for name in ("elasticsearch", "prometheus"):
        if not _have(image := composed["services"][name]["image"]):
            pytest.skip(f"the image {image} can't be had")
    folder = tmp_path_factory.mktemp("compose")
    (folder / "data").mkdir()
    for name in ("compose.yaml", ".env", "monitoring/prometheus/prometheus.yml", "monitoring/prometheus/rules.yml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
        (folder / name).chmod(0o644)
    ports = dict.fromkeys(("INFERENCE_PORT", "ELASTICSEARCH_PORT", "PROMETHEUS_PORT"), "0")
    tag = f"compose-{os.getpid()}"
    project = Project(folder, COMPOSE_PROFILES="replay", REPLAY_RATE="50", IMAGE_TAG=tag, **ports)
    try:
        project("build", "--quiet", "inference", "carrier", folder=ROOT)
        project("up", "--detach", "--no-build")
        yield project
    finally:
        project("down", "--volumes", "--remove-orphans", check=False)
        images = [f"{image}:{tag}" for image in OURS]
        subprocess.run(["docker", "image", "rm", "--force", *images], capture_output=True, check=False)


def stored(project: Project) -> int:
    """Count the records that can be found; an index that has just been made may not answer yet."""
    names = [f"{family}-*" for family in set(record.INDICES.values())]
    count: int = project.ask("elasticsearch", 9200, ",".join(names) + "/_count").get("count", 0)
    return count


def audited(project: Project) -> str:
    """Prove that no record is missing or doubled, as soon as none is on its way."""
    said = ""

    def complete() -> bool:
        nonlocal said
        said = project("run", "--rm", "--no-deps", "setup", "audit", check=False)
        return "; 0 are missing" in said and "; 0 are stored more than once" in said

    project.until(complete)
    return said


def test_everything_but_kibana_runs(project: Project) -> None:
    project.until(lambda: stored(project) > 300)
    states = [json.loads(line) for line in project("ps", "--all", "--format", "json").splitlines()]
    assert {state["Service"] for state in states if state["Health"] == "healthy"} == {
        *("inference", "elasticsearch", "carrier", "watcher", "prometheus")
    }
    assert {state["Service"]: state["ExitCode"] for state in states if state["State"] == "exited"} == {
        "folders": 0,
        "setup": 0,
    }
    (one,) = project.ask("elasticsearch", 9200, "occupancy-predictions-*/_search", size="1")["hits"]["hits"]
    assert one["_source"]["occupancy.room"] == "simulated"

    def targets() -> dict[str, str]:
        active = project.ask("prometheus", 9090, "api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in active}

    project.until(
        lambda: targets() == dict.fromkeys(("occupancy-inference", "occupancy-carrier", "occupancy-watch"), "up")
    )
    rules = [rule for group in project.ask("prometheus", 9090, RULES)["data"]["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule.get("lastError")] == []
    assert [
        rule["name"] for rule in rules if rule.get("state") == "firing" and rule["labels"]["severity"] == "page"
    ] == []


def test_records_outlive_killed_and_removed_containers_and_an_elasticsearch_that_was_away(project: Project) -> None:
    project("kill", "elasticsearch")
    project("kill", "inference", "carrier")
    project("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "--wait", "inference", "carrier")
    address = project("port", "inference", "8080").strip()
    answer = requests.post(f"http://{address}/predict", json={**GOOD, "room": "away"}, timeout=30).json()
    project("up", "--detach", "--no-build", "--no-deps", "elasticsearch")
    project.until(
        lambda: (
            "occupancy-predictions" in str(project.ask("elasticsearch", 9200, "_cat/indices", format="json"))
            if json.loads(project("ps", "elasticsearch", "--format", "json"))["Health"] == "healthy"
            else False
        )
    )
    found = {"q": f'event.id:"{answer["id"]}"'}
    project.until(
        lambda: project.ask("elasticsearch", 9200, "occupancy-predictions-*/_count", **found).get("count") == 1
    )
    assert "of 2 boots are stored" in audited(project)


def test_nothing_of_ours_writes_to_its_container(project: Project) -> None:
    for name in ("inference", "carrier", "watcher", "prometheus"):
        container = project("ps", "--quiet", name).strip()
        form = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.Memory}}"
        inspected = subprocess.run(
            ["docker", "inspect", "--format", form, container], capture_output=True, text=True, check=True
        ).stdout.split()
        assert inspected[:2] == ["true", "[ALL]"]
        assert int(inspected[2]) > 0
        assert project("exec", name, "id", "-u").strip() != "0"
