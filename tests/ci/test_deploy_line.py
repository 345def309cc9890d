"""`make deploy-line` changes what an overlay says of one image, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.ci.graph import ROOT

DIGEST = "sha256:" + "ab" * 32


def deploy_line(folder: Path, image: str, digest: str = DIGEST) -> subprocess.CompletedProcess[str]:
    variables = [f"IMAGE={image}", f"OVERLAY={folder}", f"DIGEST={digest}", "REGISTRY=ghcr.io/you"]
    command = ["make", "deploy-line", *variables]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "kubernetes/overlays/production/kustomization.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("image", ["inference", "monitoring"])
def test_one_image_becomes_another_and_all_else_stays(overlay: Path, image: str) -> None:
    file = overlay / "kustomization.yaml"
    before = file.read_text("utf-8").splitlines()
    assert deploy_line(overlay, image).returncode == 0
    after = file.read_text("utf-8").splitlines()
    assert len(after) == len(before)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.strip() for _, new in changed] == [f"newName: ghcr.io/you/occupancy_{image}", f"digest: {DIGEST}"]
    assert changed[0][0].endswith(f"/occupancy_{image}")
    deploy_line(overlay, image, "sha256:" + "cd" * 32)
    last = file.read_text("utf-8").splitlines()
    assert (
        sum(one != other for one, other in zip(after, last, strict=True)) == 1
    )  # from release to release it is one line


@pytest.mark.parametrize(("image", "digest"), [("inference", ""), ("training", DIGEST)])
def test_without_a_digest_or_the_image_nothing_is_written(overlay: Path, image: str, digest: str) -> None:
    file = overlay / "kustomization.yaml"
    before = file.read_text("utf-8")
    assert deploy_line(overlay, image, digest).returncode != 0
    assert file.read_text("utf-8") == before
