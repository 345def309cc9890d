"""The workflows: what they may do, whose code they run, and that a person can run every step."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import makefile

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):(?!=)", makefile.TEXT, re.MULTILINE))
NOT_MAKE = {"brew install libomp": "a Mac's package manager, for what README.md asks of its user"}
# whose code runs with our source: GitHub's own, and nobody else's
ACTIONS = {"actions/checkout", "actions/setup-python", "actions/upload-artifact"}


def workflow(path: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in workflow(path)["jobs"].items():
            yield f"{path.stem}/{name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for where, job in jobs():
        yield from ((where, step) for step in job.get("steps", []))


JOBS, STEPS = list(jobs()), list(steps())


def test_there_is_a_workflow_for_every_image_and_one_for_the_tests() -> None:
    names = {path.stem for path in WORKFLOWS}
    assert names == {"test", "image", "inference", "training", "monitoring", "retraining"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_job_has_the_permissions_that_it_states_and_no_workflow_has_any(path: Path) -> None:
    assert workflow(path)["permissions"] == {}
    for name, job in workflow(path)["jobs"].items():
        assert job["permissions"].pop("contents") == "read", name
        assert job["permissions"] in ({}, {"id-token": "write"}), name


def test_only_the_job_that_pushes_meets_a_secret_and_no_pull_request_reaches_it() -> None:
    with_secrets = {where: job for where, job in JOBS if "secrets" in yaml.safe_dump(job)}
    callers = {where: job for where, job in with_secrets.items() if "uses" in job}  # they only hand it on, by its name
    assert with_secrets.keys() - callers.keys() == {"image/push"}
    for job in callers.values():
        assert job["secrets"] == {"REGISTRY_TOKEN": "${{ secrets.REGISTRY_TOKEN }}"}
        assert job["uses"] == "./.github/workflows/image.yml"
    texts = [path.read_text("utf-8") for path in WORKFLOWS]
    assert sum(text.count("secrets.") for text in texts) == len(callers) + 1  # and none outside the jobs
    job = with_secrets["image/push"]
    assert job["if"] == "github.event_name != 'pull_request' && vars.REGISTRY_USER != ''"
    assert job["environment"] == "registry"
    assert [step["run"] for step in job["steps"] if "secrets" in yaml.safe_dump(step)] == ["make login"]
    assert {event for path in WORKFLOWS for event in workflow(path)[True]} == {
        *("push", "pull_request", "schedule", "workflow_dispatch", "workflow_call")
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_is_used_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text("utf-8"))
    assert used
    for each in used:
        if each == "./.github/workflows/image.yml":
            continue
        action = re.fullmatch(r"([\w-]+/[\w-]+)@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)
        assert action, each
        assert action[1] in ACTIONS


def test_an_action_has_one_version_everywhere() -> None:
    used = {each for path in WORKFLOWS for each in re.findall(r"uses: (actions/.*)", path.read_text("utf-8"))}
    assert len(used) == len(ACTIONS)


@pytest.mark.parametrize("step", [step for _, step in STEPS if "run" in step], ids=lambda step: step["run"])
def test_a_step_is_what_a_person_can_call(step: dict[str, Any]) -> None:
    command = step["run"].strip()
    if command in NOT_MAKE:
        return
    make, *words = command.replace('"', " ").split()
    targets = list(itertools.takewhile(lambda word: "=" not in word, words))
    assert make == "make"
    assert targets
    assert set(targets) <= TARGETS
    assert "${{" not in command  # a value that others choose would be read as a command


def test_no_argued_exception_outlives_its_step() -> None:
    assert {step.get("run") for _, step in STEPS} >= NOT_MAKE.keys()


def test_the_source_is_checked_out_without_leaving_a_token() -> None:
    found = [step for _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(found) == len([job for _, job in JOBS if "steps" in job])
    assert all(step["with"] == {"persist-credentials": False} for step in found)


@pytest.mark.parametrize(("where", "job"), JOBS, ids=[where for where, _ in JOBS])
def test_a_job_that_hangs_is_ended(where: str, job: dict[str, Any]) -> None:
    assert "uses" in job or 5 <= job["timeout-minutes"] <= 90


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_newer_push_ends_the_run_of_a_pull_request_but_never_one_that_pushes_images(path: Path) -> None:
    if path.stem == "image":  # it runs within its caller's
        assert "concurrency" not in workflow(path)
        return
    which = "github.ref" if path.stem == "test" else "github.event_name == 'pull_request' && github.ref || github.sha"
    assert workflow(path)["concurrency"] == {
        "group": "${{ github.workflow }}-${{ " + which + " }}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
    }


def test_the_pythons_are_those_of_pyproject() -> None:
    requires = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert requires
    allowed = [f"3.{minor}" for minor in range(int(requires[1]), int(requires[2]))]
    assert workflow(ROOT / ".github/workflows/test.yml")["jobs"]["check"]["strategy"]["matrix"]["python"] == allowed


def test_dependabot_watches_the_locks_the_actions_and_each_dockerfile() -> None:
    config = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text("utf-8"))
    kinds = {each["package-ecosystem"]: each for each in config["updates"]}
    assert kinds.keys() == {"pip", "github-actions", "docker"}
    folders = {
        file.parent
        for file in ROOT.rglob("*Dockerfile*")
        if not file.relative_to(ROOT).parts[0].startswith((".", "out"))
    }
    assert {ROOT / folder.lstrip("/") for folder in kinds["docker"]["directories"]} == folders
    assert list((ROOT / kinds["pip"]["directory"].lstrip("/")).glob("*.txt"))


def test_the_page_says_of_every_job_what_a_person_calls_instead() -> None:
    page = (ROOT / "docs" / "ci.md").read_text("utf-8")
    told = {word for call in re.findall(r"`[^`]*make ([^`]*)`", page) for word in call.split()}
    called = {word for _, step in STEPS for word in step.get("run", "").split()}
    assert called & TARGETS <= told
    when = page.partition("## What runs when\n")[2].partition("\n## ")[0]
    listed = {cell.partition(",")[0] for cell in re.findall(r"^\| ([^|]*) \| `make ", when, re.MULTILINE)}
    assert listed == {job["name"].partition(",")[0] for _, job in JOBS if "uses" not in job}
