"""Which tags `make push` gives an image: of every commit its revision, of a release the version, too."""

import re
import subprocess
import tomllib

from occupancy import __version__
from tests.ci.graph import ROOT


def push(release: str) -> subprocess.CompletedProcess[str]:
    command = [
        "make",
        "-n",
        "push",
        "IMAGE=inference",
        "REGISTRY=docker.io/you",
        "REVISION=0123456789ab",
        f"RELEASE={release}",
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tags(release: str) -> list[str]:
    return re.findall(r"--tag docker.io/you/occupancy_inference:(\S+)", push(release).stdout)


def test_the_project_and_the_code_have_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == __version__


def test_a_commit_has_its_revision() -> None:
    assert tags("") == ["sha-0123456789ab"]


def test_a_release_has_its_version_and_the_series_that_it_continues() -> None:
    assert tags(f"v{__version__}") == ["sha-0123456789ab", __version__, __version__.rpartition(".")[0]]


def test_a_tag_that_the_code_does_not_bear_is_refused() -> None:
    done = push("v9.9.9")
    assert done.returncode != 0
    assert f"the tag v9.9.9 is not v{__version__}" in done.stderr
    assert done.stdout.count("--push") == 0
