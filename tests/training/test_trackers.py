import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from training import trackers


def test_jsonl_appends_a_run_line_by_line(tmp_path: Path) -> None:
    for _ in range(2):
        told = trackers.load("jsonl", str(tmp_path))
        told.start({"seed": 1})
        told.metric("loss", 0.5)
        told.artifact(tmp_path / "model.ubj")
        told.end("finished")
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "metric", "artifact", "end"] * 2
    assert len({line["run"] for line in lines}) == 2
    assert lines[1]["name"] == "loss"
    assert lines[1]["value"] == 0.5


class Broken:
    def start(self, settings: Mapping[str, Any]) -> None:
        raise OSError("the server is away")

    def metric(self, name: str, value: float) -> None:
        pytest.fail("a tracker that failed is not asked again")

    def artifact(self, path: Path) -> None:
        pytest.fail("a tracker that failed is not asked again")

    def end(self, status: str) -> None:
        pytest.fail("a tracker that failed is not asked again")


def test_a_tracker_that_fails_is_left_out_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = trackers.Trackers({"broken": Broken(), "jsonl": trackers.load("jsonl", str(tmp_path))})
    told.start({})
    told.metric("loss", 1)
    told.end("finished")
    assert "tracker broken failed and is left out: OSError('the server is away')" in capsys.readouterr().err
    assert len((tmp_path / "runs.jsonl").read_text().splitlines()) == 3


def test_an_unknown_tracker_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        trackers.UnknownTracker, match="TRACKERS=jsonl,wandb: 'wandb' is not a tracker; there are jsonl"
    ):
        trackers.load("jsonl,wandb", str(tmp_path))


def test_no_tracker_is_fine_too(tmp_path: Path) -> None:
    told = trackers.load("", str(tmp_path))
    told.start({})
    told.metric("loss", 1)
    told.end("finished")
    assert not list(tmp_path.iterdir())


def test_a_run_that_never_began_has_no_end(tmp_path: Path) -> None:
    trackers.load("jsonl", str(tmp_path)).end("failed")
    assert not list(tmp_path.iterdir())
