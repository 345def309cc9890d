import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from monitoring.demo import Failed, data, main, ready, serving
from occupancy.dataset import TEST, TRAINING
from tests.inference.conftest import ROOT, environment, run


def nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_demonstration_ends_with_a_report_of_broken_sensors(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    settings = {"DATA_HOME": str(tmp_path / "none"), "SAVE_PATH": str(folder)}
    proxy = "http://127.0.0.1:9"  # discards: a demonstration on this machine must not ask it
    ended = run("-m", "monitoring.demo", http_proxy=proxy, no_proxy="", **settings)
    assert ended.returncode == 0, ended.stderr
    assert "!! WARNING: the real data is not in" in ended.stdout
    assert "SIMULATED" in ended.stdout
    assert ended.stdout.endswith(f"\nlook at   {folder / 'report.html'}\n")
    assert (folder / "report.html").stat().st_size > 100_000
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text("utf-8").splitlines()]
    rooms = Counter(r["occupancy.room"] for r in records if r["event.dataset"] == "occupancy.prediction")
    assert rooms == {"sample": 100, "default": 11520}
    refused = Counter(r["occupancy.refusal.field"] for r in records if r.get("event.outcome") == "failure")
    assert refused == {"Temperature": 60}
    feedback = [r for r in records if r["event.dataset"] == "occupancy.feedback"]
    assert 0.07 < len(feedback) / 11620 < 0.13
    assert all(record["occupancy.feedback.authenticated"] for record in feedback)
    assert "health/range  room default" in ended.stdout
    assert "Temperature is 85, which is not possible" in ended.stdout
    assert "Light has stood still" in ended.stdout
    port = re.search(r"http://127\.0\.0\.1:(\d+)", ended.stdout)
    assert port
    assert nobody_listens(int(port[1]))


def test_a_signal_ends_the_service_too(tmp_path: Path) -> None:
    for name in (TEST, TRAINING):
        (tmp_path / name).touch()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "monitoring.demo"],
        env=environment(DATA_HOME=str(tmp_path), SAVE_PATH=str(tmp_path)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    port = None
    while port is None:
        line = process.stdout.readline()
        assert line, process.communicate()
        port = re.match(r"the service is up at http://127\.0\.0\.1:(\d+)", line)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ended by a signal; the service is stopped" in errors
    assert nobody_listens(int(port[1]))


def test_the_real_data_is_taken_where_it_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (TEST, TRAINING):
        (tmp_path / name).touch()
    assert data(tmp_path, tmp_path, {}) == [str(tmp_path / TEST), str(tmp_path / TRAINING)]
    assert capsys.readouterr().out == ""


def test_a_service_that_cannot_start_is_an_error_in_its_own_words(tmp_path: Path) -> None:
    why = r"the service did not become ready:\ninference: OCCUPANCY_FEEDBACK_TOKEN_FILE=.*: No such file"
    with (
        pytest.raises(Failed, match=why),
        serving(tmp_path / "records.jsonl", tmp_path / "no token", environment()),
    ):
        pass


def test_nobody_is_not_ready() -> None:
    assert not ready(9)


def test_a_folder_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--save-path", "/dev/null/x"], {}) == 2
    assert capsys.readouterr().err.count("\n") == 1
