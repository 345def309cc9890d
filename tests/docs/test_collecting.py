"""The commands of docs/collecting.md do what the page says, one after the other, with a service that runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.demo import serving
from monitoring.records import from_files, labelled
from occupancy import dataset
from tests.inference.conftest import ROOT, environment

PAGE = (ROOT / "docs" / "collecting.md").read_text("utf-8")
START, *BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_page_s_commands_go_from_predictions_to_a_file_to_learn_from(tmp_path: Path) -> None:
    token, said = tmp_path / "out" / "token", {}
    token.parent.mkdir()
    token.write_text("s3cret")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = environment(PATH=path, PYTHONPATH=str(ROOT))
    with serving(tmp_path / "out" / "records.jsonl", token, environment()) as url:
        for block in BLOCKS:
            script = block.replace("localhost:8080", url).replace("--batch=60", f"--batch=60 --url={url}")
            command = ["bash", "-euo", "pipefail", "-c", script]
            ended = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
            last = block.strip().splitlines()[-1]
            said[last.split()[3 if last.startswith("python") else 0]] = ended
            assert ended.returncode == 0 or ("verdicts" in last and ended.returncode == 1), ended
    assert said.keys() == {"replay", "curl", "propose", "collect", "verdicts"}
    (told,) = [json.loads(line) for line in said["curl"].stdout.splitlines()]
    assert (told["occupied"], told["authenticated"]) == (True, True)
    head, *named = said["propose"].stdout.splitlines()
    assert head.startswith("time (UTC)")
    assert len(named) == 3
    found = labelled(from_files([str(tmp_path / "out" / "records.jsonl")]))
    assert told["id"] in set(found["prediction"])
    assert told["id"] not in said["propose"].stdout
    collected = dataset.read(tmp_path / "out" / "recent.csv")
    assert (collected.quarantine, set(collected.room)) == ([], {"default"})
    assert f"recent.csv: {len(collected.frame)} readings with their truth" in said["collect"].stdout
    verdicts = lines_of(tmp_path / "out" / "verdicts.jsonl")
    assert "left out while a sensor of their room was unwell" in said["collect"].stdout
    assert {(v["occupancy.verdict.rule"], v["occupancy.verdict.sensor"]) for v in verdicts} >= {("run", "CO2")}
    assert [json.loads(line) for line in said["verdicts"].stdout.splitlines()] == verdicts


@pytest.mark.parametrize("word", ["OCCUPANCY_LABEL_ONE_IN=10", "OCCUPANCY_FEEDBACK_TOKEN_FILE=out/token"])
def test_the_page_s_service_is_the_one_that_was_tried(word: str) -> None:
    assert word in START
