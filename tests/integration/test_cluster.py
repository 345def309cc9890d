"""The whole on a real cluster: applied, trained, deployed, disturbed in every way under constant load, deleted.

The tests follow one another as a user's days do; each leaves what it found: two replicas that serve the shipped model.
"""

import json
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import dataset, model, simulate
from occupancy.mapping import DATE, LABEL
from requirements.locks import IMAGES
from tests.docs import walk
from tests.integration.cluster import (
    CARRIERS,
    CLAIM,
    INFERENCE,
    NAMESPACE,
    PART,
    REPLICAS,
    ROOT,
    SAID,
    STRANGERS,
    Load,
    Manifests,
    apply,
    ask_elasticsearch,
    built,
    constant_load,
    is_ready,
    kubectl,
    once,
    only_new_pods,
    ours,
    pods,
    predict,
    remove,
    rolled_out,
    run,
    stored,
    until,
)

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1800)]

MADE_BY_TESTS = "occupancy/made-by=tests"
MISSING = "0123456789ab"
LOST_AT_MOST = 50  # records of a killed process that were on their way to its log
CARRIED = 5.0  # s from a log to Elasticsearch, at worst
LATER = 3.0  # s: by then a node has noticed that a container is dead


@pytest.fixture(scope="module")
def enough(request: pytest.FixtureRequest) -> int:
    """How many requests each disturbance must bear."""
    return int(request.config.getoption("--load"))


@pytest.fixture(scope="module")
def loads() -> list[Load]:
    """All that was sent."""
    return []


@pytest.fixture(scope="module")
def tag() -> Iterator[str]:
    """Build the images and bring them into the cluster; gives their tag."""
    with built(*IMAGES) as tag:
        yield tag


@pytest.fixture(scope="module")
def manifests(tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manifests]:
    """Everything but Kibana, applied and ready; all of it is deleted in the end, the data too."""
    found = run("kubectl", "get", "namespace", NAMESPACE, "--show-labels", "--ignore-not-found").stdout
    if found and MADE_BY_TESTS not in found:
        pytest.skip(f"the namespace {NAMESPACE} holds somebody's installation, which these tests would delete")
    namespaces = (NAMESPACE, CARRIERS, STRANGERS)
    kubectl("delete", "namespace", *namespaces, "--ignore-not-found")  # what a test run left that was killed
    manifests = Manifests(tmp_path_factory.mktemp("manifests") / "kubernetes", tag)
    try:
        apply(manifests.storage)
        kubectl("create", "namespace", STRANGERS)
        kubectl("label", "namespace", *namespaces, MADE_BY_TESTS)
        ours("create", "secret", "generic", "training-service", "--from-literal=token=open sesame")
        said = kubectl("apply", "-k", manifests.all, "--dry-run=server", "--validate=strict")
        assert "arning" not in said
        apply(manifests.all)
        rolled_out()
        rolled_out(namespace=CARRIERS)
        ours("wait", "--for=condition=Complete", "--timeout=300s", "job/setup")
        yield manifests
    finally:
        kubectl("delete", "namespace", *namespaces, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def inference(manifests: Manifests, tag: str) -> str:
    return f"occupancy_inference:{tag}"


@pytest.fixture(scope="module")
def shipped() -> str:
    return model.load(SHIPPED_MODEL).version


@pytest.fixture(scope="module")
def trained(manifests: Manifests, training_path: Path, test_path: Path) -> str:
    """What the training Job makes of the real data, once the data is there; gives the model's version."""
    files = (f"--from-file=datatraining.txt={training_path}", f"--from-file=datatest.txt={test_path}")
    ours("create", "configmap", "training-data", *files)
    ours("wait", "--for=condition=Complete", "--timeout=600s", "job/training")
    return ours("exec", "deployment/inference", "--container=inference", "--", "readlink", "/models/current").strip()


# --- what was applied


def test_a_second_apply_would_change_nothing(manifests: Manifests) -> None:
    for folder in (manifests.storage, manifests.all):
        done = run("kubectl", "diff", "-k", folder, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_pod_is_restricted_and_none_was_started_twice(manifests: Manifests) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    said = run("kubectl", "label", "--dry-run=server", "--overwrite", "namespace", NAMESPACE, label)
    assert "violate" not in said.stderr
    kept = json.loads(kubectl("get", "namespace", NAMESPACE, "--output=json"))["metadata"]["labels"]
    assert kept["pod-security.kubernetes.io/enforce"] == "restricted"
    states = {name: each["status"]["containerStatuses"] for name, each in pods(PART).items()}
    serving = {name: found for name, found in states.items() if not name.startswith(("setup-", "training-"))}
    assert [name for name, found in serving.items() if any(container["restartCount"] for container in found)] == []


def test_the_service_answers_with_the_shipped_model(manifests: Manifests, shipped: str) -> None:
    assert predict()["model_version"] == shipped == manifests.version


# --- a model is deployed by naming it


@pytest.mark.real_data
def test_a_trained_model_is_deployed_by_one_line_and_undone_and_nobody_notices(
    manifests: Manifests, trained: str, shipped: str, enough: int, loads: list[Load]
) -> None:
    assert trained != shipped
    with constant_load(loads, "deployed", enough) as load:
        while load.goes_on:
            manifests.name(trained)
            apply(manifests.inference)
            only_new_pods()
            shown = ours("get", "pods", f"--selector={INFERENCE}", "--label-columns=occupancy/model", "--no-headers")
            assert [line.split()[-1] for line in shown.splitlines()] == [trained] * REPLICAS.count()
            assert predict()["model_version"] == trained
            ours("rollout", "undo", "deployment/inference")
            only_new_pods()
            assert predict()["model_version"] == shipped
            manifests.name(shipped)
    assert load.failures == []
    assert set(load.answers.values()) == {trained, shipped}


def deploy_in_vain(manifests: Manifests, version: str, shipped: str) -> str:
    """Deploy a model that can't be served, and take it back; gives what its pod says of itself."""
    manifests.name(version)
    apply(manifests.inference)
    manifests.name(shipped)
    chosen = f"{INFERENCE},occupancy/model={version}"

    def started() -> bool:
        return any(each["status"].get("phase") == "Running" for each in pods(chosen).values())

    until(started, lambda: ours("get", "pods"))
    ((name, _),) = pods(chosen).items()
    ask = """
import sys, time, urllib.error, urllib.request
for _ in range(60):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/readyz").status)
    except urllib.error.HTTPError as error:
        sys.exit(print(error.code, error.read().decode()))
    except OSError:
        time.sleep(1)
"""
    said = ours("exec", name, "--container=inference", "--", "python", "-c", ask)
    assert run(
        "kubectl", "-n", NAMESPACE, "rollout", "status", "--timeout=3s", "deployment/inference", check=False
    ).returncode
    assert not is_ready(pods(chosen)[name])
    ours("rollout", "undo", "deployment/inference")
    only_new_pods()
    return said


def test_a_model_that_is_missing_is_not_served_and_its_pod_says_why(
    manifests: Manifests, shipped: str, enough: int, loads: list[Load]
) -> None:
    with constant_load(loads, "missing", enough) as load:
        said = deploy_in_vain(manifests, MISSING, shipped)
    assert said.startswith("503")
    assert f"/models/{MISSING}/model.ubj" in said
    assert load.failures == []
    assert set(load.answers.values()) == {shipped}


def test_a_model_under_another_ones_name_is_not_served_and_its_pod_says_why(
    manifests: Manifests, inference: str, shipped: str, enough: int, loads: list[Load]
) -> None:
    once("copier", inference, f"cp -r /models/{shipped} /models/{MISSING}", spec=CLAIM)
    with constant_load(loads, "misnamed", enough) as load:
        said = deploy_in_vain(manifests, MISSING, shipped)
    once("remover", inference, f"rm -r /models/{MISSING}", spec=CLAIM)
    assert said.startswith("503")
    assert MISSING in said
    assert shipped in said
    assert load.failures == []


# --- whatever is done on purpose, nobody notices


def scale_down_and_up() -> None:
    for count in (1, 3, 1, 2):
        REPLICAS.scale(count)


def restart() -> None:
    ours("rollout", "restart", "deployment/inference")
    only_new_pods()


def delete_a_pod() -> None:
    ours("delete", "pod", next(iter(pods())))
    rolled_out()


def drain() -> None:
    """Drain the node; as it may be the only one, its pods' successors are let in as soon as they are evicted."""
    node = next(iter(pods().values()))["spec"]["nodeName"]
    before = set(pods())
    chosen = ["--pod-selector", INFERENCE, "--ignore-daemonsets", "--timeout=300s"]
    drain = subprocess.Popen(
        ["kubectl", "drain", node, *chosen], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        until(lambda: set(pods()) != before)
    finally:
        kubectl("uncordon", node)
    said, _ = drain.communicate(timeout=300)
    assert drain.returncode == 0, said
    assert "would violate the pod's disruption budget" in said  # one at a time
    only_new_pods()
    assert not before & set(pods())


@pytest.mark.parametrize("disturb", [scale_down_and_up, restart, delete_a_pod, drain])
def test_no_request_fails_while_it_is_done(
    manifests: Manifests, enough: int, loads: list[Load], disturb: Callable[[], None]
) -> None:
    with constant_load(loads, disturb.__name__, enough) as load:
        while load.goes_on:
            disturb()
    assert load.failures == []
    assert len(load.answers) == load.sent >= enough


# --- and so with what can be added


def restart_the_balancer() -> None:
    ours("rollout", "restart", "deployment/balancer")
    rolled_out()


@pytest.fixture(scope="class")
def balanced(manifests: Manifests) -> Iterator[None]:
    """The same, behind the balancer; taken back before what comes next."""
    apply(manifests.with_component("balancer"))
    rolled_out()
    yield
    apply(manifests.inference)
    only_new_pods()
    kinds = "deployment,service,poddisruptionbudget,networkpolicy"
    ours("delete", kinds, "balancer", "inference-replicas", "--ignore-not-found")
    ours("delete", "configmap", "--selector=app.kubernetes.io/name=balancer")


class TestBehindTheBalancer:
    @pytest.mark.parametrize("disturb", [restart, restart_the_balancer, delete_a_pod])
    def test_no_request_fails_while_it_is_done(
        self, balanced: None, enough: int, loads: list[Load], disturb: Callable[[], None]
    ) -> None:
        with constant_load(loads, f"balanced {disturb.__name__}", enough) as load:
            while load.goes_on:
                disturb()
        assert load.failures == []
        assert len(load.answers) == load.sent >= enough


def test_the_autoscaler_adds_replicas_for_work_and_nobody_notices(
    manifests: Manifests, enough: int, loads: list[Load]
) -> None:
    if run("kubectl", "get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes", check=False).returncode:
        pytest.skip("the cluster has no metrics: `minikube addons enable metrics-server`")
    with constant_load(loads, "autoscaled", enough) as load:
        apply(manifests.with_component("autoscaling"))
        target = {"op": "replace", "path": "/spec/metrics/0/containerResource/target/averageValue", "value": "20m"}
        ours("patch", "horizontalpodautoscaler/inference", "--type=json", f"--patch={json.dumps([target])}")
        until(lambda: REPLICAS.count() > 2, lambda: ours("describe", "horizontalpodautoscaler/inference"))
        ours("delete", "horizontalpodautoscaler/inference")
        apply(manifests.inference)
        only_new_pods()
    assert load.failures == []


# --- what dies at once takes its open connections along; a client that tries once more gets its answer


def kill_a_worker(image: str) -> None:
    """The process that answers; the one above it holds the port, and starts another."""
    children = "/proc/1/task/1/children"
    script = f"old=$(cat {children}); kill -9 $old; until new=$(cat {children}); [ $new ] && [ $new != $old ]; do sleep 0.1; done"
    ours("exec", next(iter(pods())), "--container=inference", "--", "sh", "-c", script)


def kill_a_container(image: str) -> None:
    """All of a container's processes, as when memory runs out; from the node, since process 1 is immune to its own."""
    name = min(pods(), key=restarts)
    before, node = restarts(name), pods()[name]["spec"]["nodeName"]
    script = f"""
for process in /proc/[0-9]*; do
  if tr '\\0' '\\n' < "$process/environ" | grep -qx HOSTNAME={name}; then kill -9 "${{process#/proc/}}"; fi
done 2> /dev/null
"""
    once("killer", image, script, namespace=STRANGERS, spec={"hostPID": True, "nodeName": node}, root=True)
    until(lambda: restarts(name) > before)


def restarts(name: str) -> int:
    return sum(each["restartCount"] for each in pods()[name]["status"]["containerStatuses"])


def kill_a_pod(image: str) -> None:
    """Without a grace period: it is gone from the cluster before its processes are."""
    ours("delete", "pod", next(iter(pods())), "--grace-period=0", "--force")


@pytest.mark.parametrize("kill", [kill_a_worker, kill_a_container, kill_a_pod])
def test_who_asks_once_more_is_answered_although_something_was_killed(
    inference: str, enough: int, loads: list[Load], kill: Callable[[str], None]
) -> None:
    with constant_load(loads, kill.__name__, enough, retry_after=LATER) as load:
        kills = 0
        while load.goes_on:
            kill(inference)
            kills += 1
            only_new_pods()
            time.sleep(2 * LATER)  # who asked once more has been answered before the next is killed
    SAID.warning("%s: %d times, %s", kill.__name__, kills, dict(Counter(load.failures)))
    assert load.failed == []
    assert len(load.answers) == load.sent >= enough


# --- what becomes of the records


def audited() -> str:
    return ours("exec", "deployment/watcher", "--", "python", "-m", "monitoring", "audit", "--grace=0")


def test_each_answer_is_stored_exactly_once_but_those_of_the_moment_in_which_a_process_is_killed(
    manifests: Manifests, loads: list[Load]
) -> None:
    lost_at_most = {load.room: 0 if load.retry_after is None else LOST_AT_MOST for load in loads}
    answered = {load.room: len(load.answers) for load in loads}
    unheard = {load.room: len(load.failures) for load in loads}  # recorded perhaps, and the answer never came

    def lost() -> dict[str, int]:
        return {room: count - stored("predictions", room) for room, count in answered.items()}

    until(lambda: all(count <= lost_at_most[room] for room, count in lost().items()), lost)
    time.sleep(CARRIED)  # more may be on their way, of those that may be lost; and what is stored twice would show
    SAID.warning("records lost: %s", lost())
    assert all(-unheard[room] <= count <= lost_at_most[room] for room, count in lost().items())


def test_no_record_is_missing_or_doubled_after_all_that(manifests: Manifests) -> None:
    said = ""

    def complete() -> bool:
        nonlocal said
        said = audited()
        return "; 0 are missing" in said and "; 0 are stored more than once" in said

    until(complete, lambda: said)


@pytest.mark.real_data
def test_a_sensor_that_is_stuck_becomes_a_verdict(manifests: Manifests, training_path: Path) -> None:
    host, port = REPLICAS.address()
    sent = ("--batch=60", "--fault=stuck:Light:start=2d20h:end=3d20h", f"--url=http://{host}:{port}")
    replay = (sys.executable, "-m", "monitoring", "replay", training_path, *sent)
    assert " answered" in run("env", f"PYTHONPATH={ROOT}", *replay).stdout
    verdicts = {
        "q": 'occupancy.room:"default" AND occupancy.verdict.sensor:"Light" AND occupancy.verdict.rule:"run"',
        "ignore_unavailable": "true",
    }

    def opened() -> bool:
        hits = ask_elasticsearch("occupancy-verdicts-*/_search", **verdicts)["hits"]["hits"]
        return any(hit["_source"]["occupancy.verdict.state"] == "opened" for hit in hits)

    until(opened, lambda: ours("logs", "deployment/watcher"))


# --- from drift to a better model

TOKEN = "a token of the tests"


@pytest.fixture
def trusted(manifests: Manifests, tmp_path: Path) -> Iterator[Path]:
    """The service takes feedback with a token, and the loop's claim is there; gives the file with the token."""
    ours("create", "secret", "generic", "feedback", f"--from-literal=token={TOKEN}")
    apply(manifests.with_component("feedback-token"))
    only_new_pods()
    (tmp_path / "token").write_text(TOKEN)
    yield tmp_path / "token"
    apply(manifests.inference)
    only_new_pods()
    ours("delete", "secret", "feedback")


def workdays(*paths: Path) -> pd.DataFrame:
    """Give the real workdays one after another, as if no weekend parted them: each of them has something to say."""
    frame = pd.concat([dataset.read(path).frame for path in paths]).sort_values(DATE)
    days = [frame[frame[DATE].dt.strftime("%d") == day] for day in ("05", "06", "03", "04", "09")]
    moved = [rows.assign(**{DATE: rows[DATE] + (days[0][DATE].min() - rows[DATE].min()).round("D")}) for rows in days]
    found: pd.DataFrame = pd.concat(
        [rows.assign(**{DATE: rows[DATE] + pd.Timedelta(days=n)}) for n, rows in enumerate(moved)]
    )
    return found


def looked(name: str, *argv: str) -> dict[str, Any]:
    """Run the loop once, as the CronJob would, with further arguments; gives its record."""
    job = json.loads(ours("create", "job", name, "--from=cronjob/retraining", "--dry-run=client", "--output=json"))
    job["spec"]["template"]["spec"]["containers"][0]["args"] += argv
    kubectl("apply", "-f", "-", stdin=json.dumps(job))
    ours("wait", "--for=condition=Complete", "--timeout=600s", f"job/{name}")
    (line,) = (each for each in ours("logs", f"job/{name}").splitlines() if '"occupancy.run"' in each)
    found: dict[str, Any] = json.loads(line)
    SAID.warning("the loop: %s: %s", found["occupancy.run.outcome"], found["occupancy.run.why"])
    return found


@pytest.mark.real_data
def test_new_lamps_give_a_third_of_the_light_and_the_loop_trains_judges_and_deploys_a_better_model(
    manifests: Manifests, trained: str, trusted: Path, training_path: Path, test_path: Path
) -> None:
    frame, dimmed = workdays(training_path, test_path), trusted.with_name("dimmed.csv")
    simulate.write(dimmed, frame.assign(Light=frame["Light"] * np.where(frame[LABEL] == 1, 1 / 3, 1)), 0)
    host, port = REPLICAS.address()
    told = ("--batch=60", "--feedback=all", f"--token-file={trusted}", "--room=dimmed", f"--url=http://{host}:{port}")
    replay = (sys.executable, "-m", "monitoring", "replay", dimmed, *told)
    assert " answered" in run("env", f"PYTHONPATH={ROOT}", *replay).stdout
    feedback = ("occupancy-feedback-*/_count", "occupancy.feedback.authenticated:true")
    until(lambda: ask_elasticsearch(feedback[0], q=feedback[1], ignore_unavailable="true")["count"] >= len(frame))
    found = looked("loop-1", "--trigger=person", "--by=test", "--room=dimmed")
    assert found["occupancy.run.outcome"] == "deployed", found["occupancy.run.why"]
    challenger = found["occupancy.run.challenger"]
    only_new_pods()
    assert predict()["model_version"] == challenger != manifests.version
    shown = ours("get", "pods", f"--selector={INFERENCE}", "--label-columns=occupancy/model", "--no-headers")
    assert {line.split()[-1] for line in shown.splitlines()} == {challenger}
    as_written = run("kubectl", "diff", "-k", manifests.with_component("feedback-token"), check=False).stdout
    assert challenger in as_written  # the one line that the overlay says otherwise
    ours("rollout", "undo", "deployment/inference")
    only_new_pods()
    assert predict()["model_version"] == manifests.version
    again = looked("loop-2", "--trigger=person", "--by=test", "--room=dimmed")
    assert again["occupancy.run.outcome"] == "blocked"
    assert "the circuit breaker is open" in again["occupancy.run.why"]
    until(lambda: ask_elasticsearch("occupancy-decisions-*/_count", ignore_unavailable="true")["count"] >= 5)


# --- who may speak with whom

CONNECT = """
python - <<'EOF'
import socket, time
for _ in range({times}):
    try:
        socket.create_connection(("{host}", {port}), 5).close()
    except OSError as error:
        print("refused:", error)
        break
    time.sleep(1)
else:
    print("reached")
EOF
"""


def connect(host: str, port: int, times: int = 1) -> str:
    """Write a script that tries to connect, so many times, until it is refused."""
    return CONNECT.format(host=host, port=port, times=times)


@pytest.fixture(scope="module")
def enforced(inference: str) -> None:
    """Skip where policies are accepted, and then ignored."""
    policy = {"podSelector": {}, "policyTypes": ["Egress"]}
    meta = {"name": "nothing", "namespace": STRANGERS}
    nothing = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": policy}
    service = f"inference.{NAMESPACE}.svc"
    address = ours("get", "service", "inference", "--output=jsonpath={.spec.clusterIP}")
    assert "reached" in once("outsider", inference, connect(service, 8080), namespace=STRANGERS)
    kubectl("create", "-f", "-", stdin=json.dumps(nothing))
    try:
        said = once("bound", inference, connect(address, 8080, times=10), namespace=STRANGERS)
    finally:
        kubectl("--namespace", STRANGERS, "delete", "networkpolicy", "nothing")
    if "reached" in said:
        pytest.skip("this cluster's network does not enforce policies")


def test_a_pod_of_another_namespace_reaches_the_service_but_not_elasticsearch(inference: str, enforced: None) -> None:
    for service, port, expected in (("inference", 8080, "reached"), ("elasticsearch", 9200, "refused")):
        script = connect(f"{service}.{NAMESPACE}.svc", port)
        assert once(f"stranger-{service}", inference, script, namespace=STRANGERS).startswith(expected)


def test_the_service_can_ask_nobody(manifests: Manifests, enforced: None) -> None:
    (address,) = {each["status"]["podIP"] for each in pods("app.kubernetes.io/name=elasticsearch").values()}
    script = connect(address, 9200)
    here = ("exec", "deployment/inference", "--container=inference", "--", "sh", "-c")
    assert ours(*here, script).startswith("refused")
    assert predict()["label"] in (0, 1)


# --- what the page for users says

NOT_RUN = {
    "port-forward": "it does not end",
    "POD": "a name to be filled in",
    "NAME": "likewise",
    "create configmap": "done for the training Job",
    "create secret": "for an Elasticsearch elsewhere; the training service's is there",
    "job/tonight": "made by the line before, which is only tried",
    "edit-last-applied": "it opens an editor",
    "overlays/production": "rendered and checked by test_cluster_manifests.py",
    "rollout restart": "done under load",
    "hpa inference": "of the component autoscaling, which its own tests add",
    "diff -k": "it ends with 1 where it has something to show",
    "top pods": "a pod has figures a minute after it has started",
}
CHANGING = ("apply", "create", "delete", "patch", "scale", "undo")


@pytest.mark.real_data
def test_every_kubectl_command_of_the_readme_works(manifests: Manifests, trained: str) -> None:
    """Those that change something are only tried: the API server checks them, and leaves all as it is."""
    page = (ROOT / "kubernetes" / "README.md").read_text("utf-8")
    commands = {
        found.split("  #")[0].strip() for found in re.findall(r"(?:^|`)(kubectl [^`\n]* [^`\n]*)", page, re.MULTILINE)
    }
    for other in ("how-to/kubernetes.md", "troubleshooting.md"):
        named = (command.removesuffix(" | tail") for command in walk.commands(ROOT / "docs" / other))
        commands |= {command for command in named if command.startswith("kubectl ")}
    tried = [command for command in sorted(commands) if not any(part in command for part in NOT_RUN)]
    assert len(tried) > 10
    for command in tried:
        of_ours = re.sub("overlays/minikube$", "overlays/test", command).replace("kubernetes/", f"{manifests.folder}/")
        _, *args = shlex.split(of_ours)
        dry = ["--dry-run=server"] if set(args) & set(CHANGING) else []
        done = run("kubectl", *args, *dry, check=False)
        found = 1 if "drift" in args else 0  # a verdict is open, and `drift` says so
        assert done.returncode in (0, found), f"{command}: {done.stderr}"


# --- the end, and after it


def left() -> set[str]:
    """Name what has our label, as kind/name; metrics of pods outlive them by a minute."""
    kinds = [
        each for each in kubectl("api-resources", "--verbs=list", "--output=name").split() if "metrics" not in each
    ]
    found = run("kubectl", "get", ",".join(kinds), "--all-namespaces", f"--selector={PART}", "--output=json").stdout
    every = [(each["kind"], each["metadata"]) for each in json.loads(found)["items"]]
    return {
        f"{kind}/{meta['name']}"
        for kind, meta in every
        if {meta.get("namespace"), meta["name"]} & {NAMESPACE, CARRIERS}
    }


DATA = {f"Namespace/{NAMESPACE}", f"Namespace/{CARRIERS}"} | {
    f"PersistentVolumeClaim/{claim}" for claim in ("models", "retraining", "watcher", "data-elasticsearch-0")
}


def test_delete_leaves_what_holds_data_and_apply_brings_back_what_used_it(manifests: Manifests, shipped: str) -> None:
    before = stored("predictions", "stored")
    remove([manifests.all])
    until(lambda: left() == DATA, left)
    apply(manifests.inference)  # each of the two parts alone
    rolled_out()
    assert predict()["model_version"] == shipped
    apply(manifests.monitoring)
    run("kubectl", "delete", "deployment/kibana", "job/dashboards", f"--namespace={NAMESPACE}")
    rolled_out()
    rolled_out(namespace=CARRIERS)
    until(lambda: stored("predictions", "stored") >= before)
    assert stored("predictions", "stored") == before
    with constant_load([], "again", 100) as load:
        pass
    until(lambda: stored("predictions", "again") == len(load.answers) == 100)


@pytest.mark.real_data
def test_the_claim_has_kept_the_trained_model(manifests: Manifests, trained: str, shipped: str) -> None:
    listed = ours("exec", "deployment/inference", "--container=inference", "--", "ls", "/models").split()
    assert {trained, shipped} <= set(listed)
    others = [name for name in listed if re.fullmatch("[0-9a-f]{12}", name) and name not in (trained, shipped)]
    assert len(others) <= 1  # what the loop has trained
