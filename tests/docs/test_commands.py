"""Each command of the README and of the pages is run here, by a named test, or by CI through make; or it says why not."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import makefile
from tests.docs.pages import PAGES
from tests.docs.walk import ROOT, Walk, commands, pictures, walking
from tests.monitoring.conftest import Store, elasticsearch, server  # noqa: F401 -- fixtures

COMMANDS = {str(page): commands(ROOT / page) for page in PAGES}

# --- how each is held, by the page and a part of the command; "" is each of the page's

WALKED = {  # walked through below; a command that is named in another table is left out there
    "docs/start.md",
    "docs/how-to/sensors.md",
    "docs/how-to/own-room.md",
    "docs/serving.md",
    "docs/training.md",
    "data/README.md",
    "docs/monitoring.md",
    "docs/drift.md",
    "docs/carrier.md",
    "docs/store.md",
    "docs/dashboards.md",
    "docs/troubleshooting.md",
    "docs/backup.md",
}
CLUSTER, IMAGES = "tests/integration/test_cluster.py", "tests/integration/test_images.py"
FOLLOWED = "tests/docs/test_contributing.py"
COMPOSED = "tests/integration/test_compose.py::test_everything_but_kibana_runs"
KUBECTL = f"{CLUSTER}::test_every_kubectl_command_of_the_readme_works"
DEPLOYED = "tests/training/loop/test_deploy.py::test_the_commands_say_what_they_did"
RELOADED = "tests/training/loop/test_targets.py::test_a_model_is_put_live_and_another_and_no_request_fails"
PACKED = "tests/docs/test_commands.py::test_models_and_journal_are_packed_and_asked_for_their_history_elsewhere"
RUN_BY = {  # a test that runs the command, or what the command names with the same settings
    ("README.md", "curl "): "tests/docs/test_readme.py::test_an_answer_in_the_readme_is_real",
    ("README.md", "docker run -p"): f"{IMAGES}::test_serves_the_shipped_model_read_only_and_not_as_root",
    ("README.md", "my_data"): f"{IMAGES}::test_the_documented_command",
    ("README.md", "kubectl "): KUBECTL,
    ("kubernetes/README.md", "kubectl "): KUBECTL,
    ("kubernetes/README.md", "monitoring replay"): f"{CLUSTER}::test_a_sensor_that_is_stuck_becomes_a_verdict",
    ("kubernetes/README.md", "curl $URL"): f"{CLUSTER}::test_the_service_answers_with_the_shipped_model",
    (
        "kubernetes/README.md",
        "curl -H",
    ): "tests/integration/test_training_service.py::test_a_job_trains_in_a_pod_of_its_own_and_its_model_is_fetched",
    ("CONTRIBUTING.md", "pytest tests/occupancy"): f"{FOLLOWED}::test_tests_are_run_as_told",
    ("CONTRIBUTING.md", "-n 2"): f"{FOLLOWED}::test_tests_are_run_as_told",
    ("CONTRIBUTING.md", "TRACKERS"): f"{FOLLOWED}::test_a_tracker_is_told_of_a_training",
    ("CONTRIBUTING.md", "tests/monitoring"): f"{FOLLOWED}::test_a_panel_is_listed_and_exported_and_its_tests_hold",
    ("CONTRIBUTING.md", "out/"): f"{FOLLOWED}::test_a_sixth_sensor_goes_the_whole_way",
    ("CONTRIBUTING.md", "make docs"): f"{FOLLOWED}::test_a_sixth_sensor_goes_the_whole_way",
    (
        "docs/collecting.md",
        "",
    ): "tests/docs/test_collecting.py::test_the_page_s_commands_go_from_predictions_to_a_file_to_learn_from",
    ("docs/compose.md", "docker compose up"): COMPOSED,
    ("docs/compose.md", "setup audit"): COMPOSED,
    ("docs/dashboards.md", "setup"): (
        "tests/monitoring/dashboards/test_importing.py::test_the_import_is_the_request_that_kibana_wants"
    ),
    ("docs/deploying.md", "loop trace"): (
        "tests/training/loop/test_trace.py::test_a_prediction_leads_back_to_all_that_made_it"
    ),
    ("docs/deploying.md", "loop replay"): (
        "tests/training/loop/test_replay.py::test_the_command_says_same_or_what_differs"
    ),
    ("docs/deploying.md", "LOOP_PID_FILE"): RELOADED,
    ("docs/deploying.md", "install -D"): RELOADED,
    ("docs/deploying.md", "OCCUPANCY_PID_FILE"): RELOADED,
    ("docs/deploying.md", "loop "): DEPLOYED,
    ("docs/retraining.md", "install -D"): PACKED,
    ("docs/retraining.md", "loop run"): (
        "tests/training/loop/test_run.py::test_a_model_that_is_wrong_is_replaced_by_one_that_labels_show_better"
    ),
    ("docs/retraining.md", "loop "): DEPLOYED,
    ("docs/training-service.md", "monitoring watch"): (
        "tests/training/service/test_main.py::test_the_watchers_verdict_begins_the_loop"
    ),
    ("docs/training-service.md", ""): "tests/training/service/test_main.py::test_the_commands_of_the_page",
    ("docs/training.md", "mlflow"): (
        "tests/training/test_mlflow.py::test_mlflow_gets_settings_metrics_artifacts_and_status"
    ),
    ("docs/images.md", "run --read-only -p"): f"{IMAGES}::test_serves_the_shipped_model_read_only_and_not_as_root",
    ("docs/images.md", "curl "): f"{IMAGES}::test_serves_the_shipped_model_read_only_and_not_as_root",
    ("docs/images.md", "my_data"): f"{IMAGES}::test_the_documented_command",
    ("docs/images.md", "load /records"): f"{IMAGES}::test_loads_a_mounted_file_once_into_the_real_elasticsearch",
    ("docs/images.md", "drift /records"): f"{IMAGES}::test_the_shipped_reference_is_the_default_of_what_judges",
    ("docs/images.md", "monitoring:latest --help"): f"{IMAGES}::test_every_command_of_monitoring_is_there",
    (
        "docs/images.md",
        "TRAINING_SERVICE",
    ): f"{IMAGES}::test_the_retraining_image_serves_training_read_only_and_not_as_root",
    ("docs/images.md", "umask"): f"{IMAGES}::test_the_retraining_image_serves_training_read_only_and_not_as_root",
    ("docs/images.md", "loop --help"): f"{IMAGES}::test_the_retraining_image_has_each_program",
    ("docs/images.md", "docker inspect"): f"{IMAGES}::test_labels",
    ("docs/serving.md", "docker run"): f"{IMAGES}::test_its_arguments_are_those_of_the_program",
    ("docs/serving.md", "benchmark serving"): (
        "tests/benchmark/test_serving.py::test_every_peer_answers_as_the_model_does_and_takes_part"
    ),
    ("docs/troubleshooting.md", "kubectl "): KUBECTL,
    ("docs/how-to/kubernetes.md", "kubectl "): KUBECTL,
    ("docs/ci.md", "make deploy-line"): (
        "tests/ci/test_deploy_line.py::test_one_image_becomes_another_and_all_else_stays"
    ),
    ("docs/drift-benchmark.md", ""): "tests/benchmark/test_drift.py::test_a_run_prints_its_tables_and_writes_a_page",
}
PICTURES = {  # how they begin: what is not taken for commands
    "kubernetes/",
    "the service --> its reco",
    "out/model.ubj -> current",
    "a thread of server/worke",
    "verdict records ──► aske",
    "10808 readings sent in 2",
    "time,temp_f,rh,lux,co2_p",
}
NOT_RUN = {
    ("docs/ci.md", "git diff"): "shows what the command before has changed",
    ("docs/ci.md", "kubectl apply"): "on a cluster and with names of one's own",
    ("docs/ci.md", "act "): "runs the workflows themselves",
    ("docs/ci.md", "grep -om1"): "likewise",
    ("README.md", "make data images"): f"{IMAGES} builds the images as `make images` does, and CI by `make both`",
    ("kubernetes/README.md", "make data images"): "likewise",
    ("docs/dependencies.md", "make lock"): "asks a package index what is newest; tests/requirements holds the locks",
    ("docs/dependencies.md", "make upgrade"): "likewise",
    ("docs/dependencies.md", "-s osv"): "CI asks the other service",
    ("docs/troubleshooting.md", "docker compose logs"): "shows what a part has said",
    ("docs/troubleshooting.md", "docker stats"): "shows what a container uses",
    ("docs/troubleshooting.md", "docker ps"): "shows what runs",
    ("docs/troubleshooting.md", "ss -"): "shows who has a port; not everywhere there",
    ("docs/troubleshooting.md", "lsof"): "likewise",
    ("docs/troubleshooting.md", "example.com"): "a name to be filled in",
    ("data/README.md", "/path/to"): "a name to be filled in; tests/data/test_fetch.py takes the data from a folder",
    ("kubernetes/README.md", "minikube"): "CI starts its Minikube by `make minikube`",
    ("docs/compose.md", "docker compose run --rm replay"): "the same part as `up` starts, once more",
    ("docs/compose.md", "setup report"): "the report as a program: tests/monitoring/dashboards; its folder is a mount",
    (
        "docs/continuous-training.md",
        "",
    ): "minutes to hours; tests/benchmark/test_continual.py and test_loop.py do parts",
    ("docs/deploying.md", "kubectl diff"): "shows what two versions of one line differ in",
    ("docs/images.md", "docker history"): "shows what Docker knows; the sizes are held by test_image_is_small",
    ("docs/images.md", "du -sm"): "likewise",
    ("docs/serving.md", "make peers"): "CI calls it: environments of half a gigabyte",
    ("docs/monitoring.md", "make monitoring"): "CI calls it, by itself",
    ("docs/training.md", "--candidates 200"): "minutes of search; `make train` runs it with fewer candidates",
    ("docs/deploying.md", ". .venv"): "the walks' commands have its programs first in their PATH",
    ("docs/retraining.md", ". .venv"): "likewise",
    ("docs/backup.md", "kubectl "): "a file from a claim, by the `tar` that the page's walk uses, too",
    ("docs/backup.md", "_snapshot"): "no server of the tests has a path.repo; the page says what was tried by hand",
    ("docs/backup.md", "monitoring "): "docs/monitoring.md and docs/store.md have the same, and are walked through",
    ("docs/how-to/kubernetes.md", "kubectl diff"): "shows what an apply would change",
    ("docs/scaling.md", ""): "minutes of load on a cluster; tests/benchmark/test_replicas.py and test_load.py do parts",
}


def targets() -> set[str]:
    """Name the targets that CI calls, and those that they need."""
    workflows = "".join(path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
    called = {
        word
        for line in re.findall(r"run: make ([^#\n]*)", workflows)
        for word in line.split()
        if re.fullmatch(r"[a-z-]+", word)
    }
    needs = dict(re.findall(r"^([a-z-]+):([^#\n]*)", makefile.TEXT, re.MULTILINE))
    return called | {word for name in called for word in needs.get(name, "").split()}


def held_by(page: str, command: str, table: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Find the entries of a table that speak of a command; the first one counts."""
    return [(where, part) for where, part in table if where == page and part in command]


def called_by_ci(command: str) -> bool:
    """Tell whether CI makes all that a `make` command makes."""
    words = command.split()
    return words[0] == "make" and set(words[1:]) <= targets()


EACH = [(page, command) for page, found in COMMANDS.items() for command in found]


@pytest.mark.parametrize(("page", "command"), EACH)
def test_a_command_is_run_by_a_test_or_by_ci_or_it_says_why_not(page: str, command: str) -> None:
    held = held_by(page, command, NOT_RUN) or held_by(page, command, RUN_BY)
    assert held or called_by_ci(command) or page in WALKED


def test_a_block_that_is_no_shell_is_known_as_a_picture_or_an_output() -> None:
    assert {line[:24] for page in PAGES for line in pictures(ROOT / page)} == PICTURES


@pytest.mark.parametrize("entry", [*RUN_BY, *NOT_RUN], ids="|".join)
def test_what_is_held_is_still_written_somewhere(entry: tuple[str, str]) -> None:
    table = RUN_BY if entry in RUN_BY else NOT_RUN
    assert any(held_by(page, command, table)[:1] == [entry] for page, command in EACH)


@pytest.mark.parametrize("name", sorted(set(RUN_BY.values())))
def test_a_test_that_is_named_exists(name: str) -> None:
    path, test = name.split("::")
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_walk_is_there_for_each_page_that_has_one() -> None:
    here = Path(__file__).read_text("utf-8")
    assert set(re.findall(r'follow\(\s*walk,\s*"([^"]+)"', here)) == WALKED


# --- the walks

ENDS = {  # other than with 0
    "--room=attic": {2},  # these records have no such room
    "monitoring drift": {0, 1},  # whether a verdict is open
    "training.compare": {0, 1, 3},  # what the comparison shows
}
SETTINGS = {"CANDIDATES": "4"}  # of a search of 80, which takes a minute


@pytest.fixture
def walk(tmp_path: Path, training_path: Path) -> Iterator[Walk]:
    with walking(tmp_path, DATA_SOURCE=str(training_path.parent.resolve()), **SETTINGS) as made:
        yield made


def follow(walk: Walk, page: str, *before: str, stays: bool = False) -> None:
    """Run the commands of a page that no other test runs, and see how each ends; what runs may stay."""
    if not stays:
        walk.stop()
    for command in (*before, *COMMANDS[page]):
        if any(page == where and part in command for where, part in (*RUN_BY, *NOT_RUN)):
            continue
        walk.run(command)
        if command in walk.said:
            ended = walk.said[command]
            allowed = next((codes for part, codes in ENDS.items() if part in command), {0})
            assert ended.returncode in allowed, f"{command}\n{ended.stdout}\n{ended.stderr}"


def said(walk: Walk, part: str) -> str:
    """Give what the last command with some part has printed."""
    return [ended.stdout for command, ended in walk.said.items() if part in command][-1]


@pytest.mark.real_data
def test_the_first_ten_minutes(walk: Walk) -> None:
    follow(walk, "docs/start.md")
    answers = [json.loads(ended.stdout) for command, ended in walk.said.items() if "predict" in command]
    assert [answer.get("answer") for answer in answers] == ["occupied", "empty", None]
    assert answers[2]["detail"].endswith("is it in °F?")
    assert (walk.folder / "out" / "demo" / "report.html").is_file()


@pytest.mark.real_data
def test_sensors_are_mapped_scored_judged_and_told_the_truth(walk: Walk) -> None:
    follow(walk, "docs/how-to/sensors.md")
    assert (walk.folder / "out" / "answers.csv").read_text().count("4.12") == 1728
    assert "Temperature is 85, which is not possible" in said(walk, "monitoring drift")
    assert (walk.folder / "out" / "monitoring.html").is_file()
    assert json.loads(said(walk, "/feedback"))["authenticated"] is True


@pytest.mark.real_data
def test_an_own_room_is_trained_and_judged_and_served(walk: Walk) -> None:
    follow(walk, "docs/how-to/own-room.md")
    assert "the challenger is not shown to be better" in said(walk, "training.compare")


@pytest.mark.real_data
def test_models_and_journal_are_packed_and_asked_for_their_history_elsewhere(walk: Walk) -> None:
    walk.run("install -D inference/model/model.ubj out/training/f8fbf10b52fd/model.ubj")
    walk.run(
        "LOOP_MODELS=out/training .venv/bin/python -m training.loop deploy f8fbf10b52fd --by=Ada --why='the first one'"
    )
    follow(walk, "docs/backup.md")
    assert "live now: f8fbf10b52fd" in said(walk, "loop history")
    assert "deployed by Ada: the first one" in said(walk, "loop history")


@pytest.mark.real_data
def test_what_can_be_asked_of_the_service(walk: Walk) -> None:
    walk.run("make serve")
    follow(walk, "docs/serving.md", stays=True)
    answers = [ended.stdout for command, ended in walk.said.items() if "/predict" in command]
    assert all("occupied" in answer for answer in answers)
    assert len(answers) == 6
    assert "detail" in answers[3]  # the bad one is named in its place
    assert said(walk, "inference score").splitlines()[1].endswith("occupied,f8fbf10b52fd,,")


@pytest.mark.real_data
def test_training_in_all_its_ways(walk: Walk) -> None:
    follow(walk, "data/README.md")
    given = "cp data/original/datatraining.txt my.csv && cp data/original/datatest.txt my-test.csv"
    recent = "cp my-test.csv out/recent.csv && cp my-test.csv recent.csv"
    models = "mkdir OLD NEW && cp inference/model/model.ubj OLD && cp out/my-room/model.ubj NEW"
    follow(walk, "docs/training.md", f"{given} && {recent} && {models}")
    assert (walk.folder / "out" / "mine" / "model.ubj").is_file()
    assert "challenger" in said(walk, "training.compare")


@pytest.mark.real_data
def test_records_are_stored_judged_and_drawn(
    elasticsearch: Store,  # noqa: F811
    tmp_path: Path,
    training_path: Path,
) -> None:
    source = str(training_path.parent.resolve())
    with walking(tmp_path, DATA_SOURCE=source, **elasticsearch.environ) as walk:
        follow(walk, "docs/monitoring.md")
        walk.stop()
        follow(walk, "docs/drift.md", "cp out/records.jsonl records.jsonl")
        follow(walk, "docs/carrier.md", "gzip --keep out/records.jsonl")
        follow(walk, "docs/store.md")
        follow(walk, "docs/dashboards.md", "mkdir -p out/demo && cp inference/model/reference.json out/demo/")
        walk.run("make serve")
        follow(walk, "docs/troubleshooting.md", f"export ELASTICSEARCH_URL={elasticsearch.url}", stays=True)
