"""The alert rules: as promtool sees them, against the metrics that the programs give, and in a real Prometheus."""

import json
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference.metrics import FIGURES, SECONDS
from inference.settings import Settings
from monitoring.drift.exposition import Exposition
from monitoring.store import counts
from tests.inference.conftest import DIRECT, GOOD, ROOT, Process, environment, running, simulated_path  # noqa: F401
from tests.monitoring.conftest import Store
from tests.ports import free_port

FOLDER = ROOT / "monitoring" / "prometheus"
GROUPS = yaml.safe_load((FOLDER / "rules.yml").read_text("utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
CONFIG = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
SELECTOR = re.compile(r"\b((?:occupancy_|process_|up\b)[a-z0-9_:]*)(\{[^}]*\})?")


def selectors() -> set[tuple[str, str]]:
    """Name what the expressions look at: metric and label matchers; each is asked for by itself."""
    return {found for rule in RULES for found in SELECTOR.findall(rule["expr"])}


@pytest.fixture(scope="module")
def programs() -> None:
    for name in ("prometheus", "promtool"):
        if not shutil.which(name):
            pytest.skip(f"there is no {name} on the PATH")


@pytest.mark.prometheus
@pytest.mark.usefixtures("programs")
@pytest.mark.parametrize(
    "command", ["check rules rules.yml", "check config prometheus.yml", "test rules rules_test.yml"]
)
def test_promtool_accepts(command: str) -> None:
    done = subprocess.run(
        ["promtool", *command.split()], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_in_the_tests_of_the_rules() -> None:
    text = (FOLDER / "rules_test.yml").read_text("utf-8")
    fired = set(re.findall(r'alertname="(\w+)"[^}]*\}\', value: 1', text))
    assert fired == {rule["alert"] for rule in ALERTS}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"page", "ticket", "info"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert "{{" not in rule["annotations"]["summary"] + rule["annotations"]["runbook"]


def exported() -> set[str]:
    """Name all series that the programs give, as Prometheus stores them."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"], "gauge": [""]}
    ours = [("occupancy_", f.name, f.type) for f in FIGURES]
    ours += [("occupancy_carrier_", f.name, f.type) for f in counts.FIGURES]
    ours += [("", family.name, family.type) for family in Exposition(0).registry.collect()]
    names = {prefix + name + suffix for prefix, name, kind in ours for suffix in suffixes[kind]}
    return names | {"up", "process_start_time_seconds"} | {rule["record"] for rule in RULES if "record" in rule}


def test_every_metric_in_the_rules_exists() -> None:
    assert {name for name, _ in selectors()} <= exported()


def test_every_metric_that_a_runbook_or_the_prometheus_config_names_exists() -> None:
    told = " ".join(text for rule in ALERTS for text in rule["annotations"].values())
    named = set(re.findall(r"\b(?:occupancy_[a-z]+_\w+|process_cpu_seconds_total)\b", told))
    assert named <= exported() | {"process_cpu_seconds_total"}
    jobs = {job["job_name"] for job in CONFIG["scrape_configs"]}
    assert jobs == {"occupancy-inference", "occupancy-carrier", "occupancy-watch"}
    assert {name for rule in RULES for name in re.findall(r'job="([^"]+)"', rule["expr"])} <= jobs


def test_limits_in_the_rules_are_those_of_the_service() -> None:
    bounds = {float(text) for rule in RULES for text in re.findall(r'le="([^"]+)"', rule["expr"])}
    assert bounds <= set(SECONDS)
    (filling,) = (rule["expr"] for rule in RULES if rule.get("alert") == "OccupancyLogFilling")
    assert filling.endswith(f"> {Settings().log_queue // 2}")


# --- in a real Prometheus


class Prometheus:
    """A Prometheus that runs, and its HTTP API."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str) -> Any:
        with DIRECT.open(f"{self._base}{path}?{urllib.parse.urlencode(parameters)}", timeout=30) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[Any]:
        found: list[Any] = self.get("query", query=expression)["result"]
        return found


def wait(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if condition():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, log.read_text("utf-8")
        time.sleep(0.2)


@contextmanager
def started(log: Path, *command: str, **variables: str) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(**variables), stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def traffic(service: Process) -> None:
    """Send what makes every kind of figure: answers, refusals, requests that are turned away."""
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(service.get, "/predict", GOOD) for _ in range(8)]
        statuses = {call.result()[0] for call in sent}
    assert statuses == {200, 503}
    for body in ([GOOD, {**GOOD, "Light": 300, "CO2": 900}], {**GOOD, "Temperature": 200}):
        service.get("/predict", body)


@pytest.fixture
def prometheus(
    tmp_path: Path,
    installed: Store,
    simulated_path: Path,  # noqa: F811
) -> Iterator[tuple[Prometheus, Process, Path]]:
    """The service, the carrier, the watch and Prometheus with our rules; everything is done each second."""
    carrier, watch, port = free_port(), free_port(), free_port()
    command = (sys.executable, "-m", "monitoring")
    serial = {"OCCUPANCY_CONCURRENCY": "1", "OCCUPANCY_QUEUE": "1", "OCCUPANCY_DELAY": "0.1"}
    follow = ("load", "--follow", "--state", f"{tmp_path}/state", "--metrics-port", str(carrier), f"{tmp_path}/stdout")
    look = ("watch", "--watch-state", f"{tmp_path}/watch.json", "--metrics-port", str(watch), "--interval", "1")
    with (
        running(tmp_path, OCCUPANCY_MODEL=str(simulated_path), **serial) as service,
        started(tmp_path / "carrier.log", *command, *follow, **installed.environ),
        started(tmp_path / "watch.log", *command, *look, **installed.environ),
    ):
        ports = {"occupancy-inference": service.port, "occupancy-carrier": carrier, "occupancy-watch": watch}
        jobs = [
            {**job, "static_configs": [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]}
            for job in CONFIG["scrape_configs"]
        ]
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {**CONFIG, "global": every, "scrape_configs": jobs, "rule_files": [str(FOLDER / "rules.yml")]}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
        options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
        with started(tmp_path / "prometheus.log", "prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"):
            yield Prometheus(port), service, tmp_path


@pytest.mark.prometheus
@pytest.mark.usefixtures("programs")
def test_a_real_prometheus_evaluates_every_rule_and_finds_every_series(
    prometheus: tuple[Prometheus, Process, Path],
) -> None:
    asked, service, folder = prometheus
    log = folder / "prometheus.log"
    traffic(service)
    wait(lambda: len(asked.query('up{job=~"occupancy-.+"} == 1')) == 3, log)
    wanted = [name + matchers for name, matchers in selectors()]

    def missing() -> list[str]:
        traffic(service)
        return [selector for selector in wanted if not asked.query(f"last_over_time({selector}[5m])")]

    wait(lambda: not missing(), log)
    for rule in RULES:
        asked.query(rule["expr"])  # HTTPError where it does not parse
    rules = [rule for group in asked.get("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == len(RULES)
    wait(lambda: all(rule["health"] == "ok" for rule in asked.get("rules")["groups"][-1]["rules"]), log)
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")] == []
    for rule in RULES:
        if "record" in rule:
            assert asked.query(rule["expr"]), rule["record"]

    def raised() -> set[str]:
        return {alert["labels"]["alertname"] for alert in asked.get("alerts")["alerts"]}

    wait(lambda: {"OccupancySimulatedModel", "OccupancyErrorsBurnFast"} <= raised(), log)
    assert not raised() & {"OccupancyServiceDown", "OccupancyTargetDown", "OccupancyNotReady", "OccupancyQuarantine"}
