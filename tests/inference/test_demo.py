import json
import shutil
from pathlib import Path

from inference.scenes import SCENES
from inference.settings import SHIPPED_MODEL
from occupancy.model import Model
from tests.inference.conftest import run


def test_the_demo_shows_answers_and_leaves_log_lines(tmp_path: Path, model: Model) -> None:
    shutil.copy(SHIPPED_MODEL, tmp_path / "model.ubj")
    proxy = "http://127.0.0.1:9"  # discards: a demo of this machine must not ask it
    ended = run("-m", "inference.demo", str(tmp_path), http_proxy=proxy, no_proxy="")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == len(SCENES) + 1
    assert [line.get("occupancy.answer") for line in lines[:3]] == ["empty", "occupied", "empty"]
    assert [line["event.outcome"] for line in lines] == ["success"] * 4 + ["failure", "success"]
    assert all(line["occupancy.model.version"] == model.version for line in lines)
    for scene, line in zip(SCENES, lines, strict=False):
        said = next(text for text in ended.stdout.splitlines() if text.strip().startswith(f"{scene}:"))
        if "occupancy.answer" in line:
            assert line["occupancy.answer"] in said
            assert f"probability {line['occupancy.probability']:.3f}" in said
    assert "refused (422): Temperature is 71.6; Temperature is in °C, from -40 to 60; is it in °F?" in ended.stdout
    assert lines[1] in [json.loads(text) for text in ended.stdout.splitlines() if text.startswith("  {")]
    assert "SIMULATED" not in ended.stdout


def test_a_simulated_model_is_shown_as_one(tmp_path: Path, simulated_path: Path) -> None:
    shutil.copy(simulated_path, tmp_path / "model.ubj")
    ended = run("-m", "inference.demo", str(tmp_path))
    assert ended.stdout.count("(SIMULATED model)") == len(SCENES) - 1


def test_without_a_model_it_says_so(tmp_path: Path) -> None:
    ended = run("-m", "inference.demo", str(tmp_path))
    assert ended.returncode == 1
    assert f"{tmp_path}/model.ubj: No such file" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_folder_it_says_how_it_is_called() -> None:
    ended = run("-m", "inference.demo")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: python -m inference.demo FOLDER")
