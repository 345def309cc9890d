import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    plain = {k: v for k, v in os.environ.items() if k not in ("TRAINING_DATA", "TEST_DATA", "SAVE_PATH")}
    return subprocess.run(
        [sys.executable, "-m", "training", *arguments],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_variables_and_flags_and_one_line_about_the_result(room: tuple[Path, Path], tmp_path: Path) -> None:
    done = run("--candidates", "4", TRAINING_DATA=str(room[0]), TEST_DATA=str(room[1]), SAVE_PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    saved, simulated = done.stdout.splitlines()
    assert saved.startswith(f"training: saved {tmp_path}/")
    assert "SIMULATED DATA" in simulated
    assert "search: " in done.stderr
    events = [line.split('"event": ')[1].split(",")[0] for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert events[0] == '"start"'
    assert events.count('"artifact"') == 5
    assert '"status": "finished"' in (tmp_path / "runs.jsonl").read_text()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SEED": "many"}, "training: SEED='many': Expected int"),
        ({"TRAINING_DATA": "nowhere.txt"}, "training: nowhere.txt: No such file or directory; `make data`"),
        ({"SEARCH_SPACE": "nowhere.yaml"}, "training: nowhere.yaml: "),
        ({"TRACKERS": "wandb"}, "training: TRACKERS=wandb: 'wandb' is not a tracker"),
        ({"CREATED": "yesterday"}, "training: CREATED=yesterday: expected ISO 8601"),
        ({"BAND": "high"}, "training: BAND=high: expected two probabilities"),
        ({"DATA_MAPPING": "nowhere.yaml"}, "training: nowhere.yaml: No such file"),
    ],
)
def test_what_a_person_gave_wrong_is_one_line_and_status_2(
    tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    done = run(**{"SAVE_PATH": str(tmp_path), **environment})
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_flag_is_status_2() -> None:
    done = run("--sed", "3")
    assert done.returncode == 2
    assert "did you mean --seed?" in done.stderr


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_its_own_status_and_the_earlier_set_whole(
    room: tuple[Path, Path], tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    data = {"TRAINING_DATA": str(room[0]), "TEST_DATA": str(room[1]), "SAVE_PATH": str(tmp_path)}
    assert run("--candidates", "4", **data).returncode == 0
    before = (tmp_path / "current").readlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "training", "--candidates", "5000", "--seed", "9"],
        env={**os.environ, **data},
        stderr=subprocess.PIPE,
        text=True,
    )
    while (tmp_path / "runs.jsonl").read_text().count('"start"') < 2:
        time.sleep(0.05)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert "ended by a signal; the current set in SAVE_PATH is whole" in errors
    assert (tmp_path / "current").readlink() == before
    assert (tmp_path / "model.ubj").stat().st_size > 0
    assert not list(tmp_path.glob(".new-*"))
    assert '"status": "terminated"' in (tmp_path / "runs.jsonl").read_text()
