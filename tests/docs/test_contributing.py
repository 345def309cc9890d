"""CONTRIBUTING.md is followed word by word in a copy of the tree: its changes are applied and its commands run."""

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.docs.walk import FENCED, ROOT, Walk, commands, walking

PAGE = ROOT / "CONTRIBUTING.md"
SECTIONS = {text.partition("\n")[0]: text for text in re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)}


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    with walking(tmp_path, CANDIDATES="4") as made:  # of a search of 80, which takes a minute
        (tmp_path / "out").mkdir()
        yield made


def follow(walk: Walk, section: str, *, but: str = "make check") -> None:
    """Apply a section's changes, then run its commands; each must end well."""
    text = SECTIONS[section]
    for language, block in FENCED.findall(text):
        if language == "diff":
            subprocess.run(["git", "apply", "-"], input=block.encode(), cwd=walk.folder, check=True)
    page = walk.folder / "section.md"
    page.write_text(text, "utf-8")
    for command in commands(page):
        if command != but:
            walk.run(command)
            ended = walk.said[command]
            assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"


def test_each_mark_is_told() -> None:
    marks = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["markers"]
    for mark in marks:
        assert f"`{mark.partition(':')[0]}`" in SECTIONS["Set up"]


def test_tests_are_run_as_told(walk: Walk) -> None:
    follow(walk, "Set up")
    assert all("passed" in ended.stdout for ended in walk.said.values())
    assert len(walk.said) == 3


def test_a_sixth_sensor_goes_the_whole_way(walk: Walk) -> None:
    follow(walk, "Add a sensor")
    walk.run(".venv/bin/python -m inference > out/records.jsonl")
    service = f"http://127.0.0.1:{walk.port}"
    reading = {"Temperature": 21.6, "Humidity": 27.4, "Light": 459, "CO2": 905, "Sound": 52}
    assert requests.post(f"{service}/predict", json=reading, timeout=60).json()["answer"] == "occupied"
    refused = requests.post(f"{service}/predict", json=reading | {"Sound": 141}, timeout=60).json()
    assert refused["detail"] == "Sound is 141; Sound is in dB, from 0 to 140"
    del reading["Sound"]
    refused = requests.post(f"{service}/predict", json=reading, timeout=60).json()
    assert refused["detail"] == "Sound is missing; Sound is in dB, from 0 to 140"
    assert "Sound" in [sensor["name"] for sensor in requests.get(f"{service}/model", timeout=60).json()["contract"]]
    assert '"Sound":{"label":"Sound","step":0.1,"usual":[30,70]}' in requests.get(service, timeout=60).text
    described = requests.get(f"{service}/openapi.json", timeout=60).json()["components"]["schemas"]
    assert described["Reading"]["properties"]["Sound"]["x-unit"] == "dB"
    walk.run(
        ".venv/bin/python -m monitoring replay out/test.csv --url=http://127.0.0.1:8080 --batch=60 "
        "--fault=stuck:Sound:start=1d:end=2d"
    )
    walk.stop()
    recorded = [json.loads(line) for line in (walk.folder / "out" / "records.jsonl").read_text("utf-8").splitlines()]
    assert recorded[0]["occupancy.reading.Sound"] == 52
    walk.run(".venv/bin/python -m monitoring drift --all out/records.jsonl")
    (judged,) = [ended for command, ended in walk.said.items() if "drift" in command]
    assert judged.returncode in (0, 1), judged.stderr
    assert "Sound has stood still for" in judged.stdout
    page = (walk.folder / "docs" / "dashboards.md").read_text("utf-8")
    assert "| Sound against its season |" in page


def test_a_tracker_is_told_of_a_training(walk: Walk) -> None:
    follow(walk, "Add a tracker")
    lines = (walk.folder / "out" / "tracked" / "metrics.tsv").read_text("utf-8").splitlines()
    assert {line.count("\t") for line in lines} == {1}
    assert any("log_loss" in line for line in lines)


def test_a_panel_is_listed_and_exported_and_its_tests_hold(walk: Walk) -> None:
    follow(walk, "Add a panel")
    assert "| Readings per minute by room |" in (walk.folder / "docs" / "dashboards.md").read_text("utf-8")
    assert "Readings per minute by room" in (walk.folder / "monitoring/dashboards/occupancy.ndjson").read_text("utf-8")
