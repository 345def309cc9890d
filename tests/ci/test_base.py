"""The base of all images is pinned once and the same everywhere, and one variable names another."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import makefile
from tests.ci.graph import IMAGES, ROOT, dockerfile, instructions

DOCKERFILES = [*map(dockerfile, IMAGES), ROOT / "kubernetes/components/model-image/Dockerfile"]
OTHER = "registry.example.com/python:3.11"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_image_stands_on_the_pinned_base_or_on_that_of_the_variable(path: Path) -> None:
    found = [(name, arguments) for name, arguments in instructions(path.read_text("utf-8")) if name in ("ARG", "FROM")]
    assert found[0] == ("ARG", "BASE=pinned")
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64} AS pinned", found[1][1])
    assert {arguments.split()[0] for name, arguments in found[2:] if name == "FROM"} == {"${BASE}"}


def test_there_is_one_base() -> None:
    assert len({line for path in DOCKERFILES for line in re.findall("@sha256:.*", path.read_text("utf-8"))}) == 1


def test_make_tells_every_build_of_the_variable() -> None:
    for target in ("images", "both", "push"):
        told = dry_run(target, BASE=OTHER)
        assert told.count(f"--build-arg BASE={OTHER} ") == 1, target
        assert "BASE=" not in dry_run(target), target


def dry_run(target: str, **variables: str) -> str:
    environ = {**{k: v for k, v in os.environ.items() if k != "BASE"}, **variables}
    command = ["make", "-n", target, "IMAGE=inference", "REGISTRY_USER=you"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


@pytest.mark.docker
def test_docker_compose_builds_on_the_variable_too() -> None:
    command = ["docker", "compose", "config", "--format", "json"]
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("there is no docker command, or its compose plugin is missing")
    for base in (None, OTHER):
        environ = {k: v for k, v in os.environ.items() if k != "BASE"} | ({"BASE": base} if base else {})
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        built = [each["build"] for each in json.loads(done.stdout)["services"].values() if "build" in each]
        assert built
        assert {each.get("args", {}).get("BASE") for each in built} == {base}


@pytest.mark.parametrize("name", ["BUILDKIT", "BINFMT", "SCANNER"])
def test_what_builds_is_pinned_too(name: str) -> None:
    line = re.search(rf"^{name} [:?]= (.*)$", makefile.TEXT, re.MULTILINE)
    assert line
    assert re.fullmatch(r"[\w/-]+:[\w.-]+@sha256:[0-9a-f]{64}", line[1])
