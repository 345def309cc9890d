"""The path filters of the images' workflows let through what reaches the image, and no more; and images lack nothing."""

import ast
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ci import graph
from tests.ci.graph import IMAGES, ROOT


def patterns(image: str) -> dict[str, list[str]]:
    text = (ROOT / ".github" / "workflows" / f"{image}.yml").read_text("utf-8")
    events: dict[Any, Any] = yaml.safe_load(text)[True]  # YAML 1.1 takes `on` for true
    return {event: events[event]["paths"] for event in ("push", "pull_request")}


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Name the files of the repository, those too that are not added yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return {path for path in listed if (ROOT / path).is_file()}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_every_module_that_its_programs_import(image: str) -> None:
    assert graph.imported(image) - graph.copied(image) == set()


@pytest.mark.parametrize("image", IMAGES)
def test_a_change_to_what_reaches_an_image_builds_it_and_no_other_change_does(image: str, tracked: set[str]) -> None:
    built_by = {f".github/workflows/{image}.yml", ".github/workflows/image.yml", ".dockerignore", "images.mk"}
    reaching = {*built_by, graph.dockerfile(image).relative_to(ROOT).as_posix(), *(graph.copied(image) & tracked)}
    for event, filters in patterns(image).items():
        assert {path for path in tracked if graph.matches(path, filters)} == reaching, event


@pytest.mark.parametrize("image", IMAGES)
def test_the_programs_that_are_followed_are_those_that_the_image_starts(image: str) -> None:
    words = graph.entry_point(image)
    script = Path(words[0])
    if script.is_absolute():  # a script of ours under /src
        words = (ROOT / script.relative_to("/src")).read_text("utf-8").split()
    assert {f"{word}.__main__" for word in words} & set(graph.PROGRAMS[image])


# --- what the above is worth: the graph sees what a new dependency would look like


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import occupancy.model", "occupancy.model"),
        ("from occupancy import model", "occupancy.model"),
        ("def late():\n    from occupancy.model import load", "occupancy.model"),
        ("COMMANDS = {'load': ('monitoring.store.load', 'Settings')}", "monitoring.store.load"),
        ("run([sys.executable, '-m', 'training', '--help'])", "training.__main__"),
        ("import_module(f'training.trackers.{name}')", "training.trackers.*"),
    ],
)
def test_an_import_is_seen_however_it_is_written(source: str, name: str) -> None:
    assert name in set(graph.named(ast.parse(source)))


@pytest.mark.parametrize(
    ("image", "far"),
    [
        ("inference", "occupancy/trees.py"),
        ("training", "training/trackers/jsonl.py"),
        ("monitoring", "monitoring/store/load.py"),
        ("retraining", "monitoring/collect.py"),
    ],
)
def test_the_walk_arrives_where_names_in_strings_lead(image: str, far: str) -> None:
    assert far in graph.imported(image)


def test_what_a_dockerfile_copies_is_read_over_lines_and_without_other_stages() -> None:
    text = "FROM a AS b\n# COPY no no/\nCOPY --chown=1:1 one two/ \\\n# a comment between\n     three all/\nCOPY --from=b /x /y\nADD four .\n"
    assert graph.sources(text) == ["one", "two/", "three", "four"]


def test_what_is_ignored_does_not_reach_an_image() -> None:
    rules = ["*", "!monitoring", "monitoring/prometheus", "**/__pycache__"]
    paths = ["monitoring/a.py", "monitoring/prometheus/rules.yml", "monitoring/__pycache__/a.pyc", "README.md"]
    assert [path for path in paths if graph.is_sent(path, rules)] == ["monitoring/a.py"]


@pytest.mark.parametrize(
    ("path", "filters", "through"),
    [
        ("inference/server/wsgi.py", ["inference/**"], True),
        ("inference.py", ["inference/**"], False),
        ("inference/server/wsgi.py", ["inference/*"], False),
        ("a/b.md", ["**.md"], True),
        ("monitoring/prometheus/rules.yml", ["monitoring/**", "!monitoring/prometheus/**"], False),
        ("a/b", ["!a/**", "a/b"], True),
        ("occupancy/modelXpy", ["occupancy/model.py"], False),
    ],
)
def test_filters_match_as_github_documents_it(path: str, filters: list[str], through: bool) -> None:
    assert graph.matches(path, filters) is through
