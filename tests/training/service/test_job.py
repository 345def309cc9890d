import hashlib
import json
import os
import random
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from occupancy import model
from tests.training.service.conftest import ended, order, until
from training.service.jobs import OUT, RESULT, WORK, Job
from training.service.orders import Data, Order, Range
from training.service.queue import Queue
from training.service.runners import PID
from training.service.settings import Settings

Room = tuple[Path, Path]


def made(queue: Queue, job_id: str) -> set[str]:
    return {path.name for path in queue.store.folder(job_id).iterdir()}


def test_a_job_trains_a_model(queue: Queue, room: Room) -> None:
    job = until(queue, queue.add(order(room, seed=3), "person", "")[0], ended)
    out = queue.store.folder(job.id) / OUT
    assert (job.state, job.why, job.status) == ("succeeded", "", 0)
    assert job.sha256 == hashlib.sha256((out / "model.ubj").read_bytes()).hexdigest()
    loaded = model.load(out / "model.ubj")
    assert (loaded.version, loaded.card.seed) == (job.version, 3)
    assert (out / "report.html").is_file()
    assert b"training: saved " in queue.store.log(job)
    assert made(queue, job.id) == {"job.json", "log", "pid", "out", "result.json"}


def test_a_model_is_put_where_models_are_deployed_from_too(
    queue: Queue, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    monkeypatch.setenv("TRAINING_SERVICE_MODELS", str(models))
    models.write_text("no folder")
    asked = order(room, seed=3)
    lost = until(queue, queue.add(asked, "person", "")[0], ended)
    assert (lost.state, lost.version) == ("failed", "")
    assert lost.why == f"TRAINING_SERVICE_MODELS={models} can't be written: Not a directory"
    models.unlink()
    for _ in range(2):  # the same model
        job = until(queue, queue.add(asked, "person", "")[0], ended)
        assert job.state == "succeeded", job.why
        assert [path.name for path in models.iterdir()] == [job.version]
        assert model.load(models / job.version / "model.ubj").sha256 == job.sha256


def test_a_job_that_training_takes_for_wrong_says_what_training_says(queue: Queue, room: Room) -> None:
    (room[0].parent / "bad.csv").write_text("date,Temperature\n")
    job = until(queue, queue.add(Order(data=Data(training="bad.csv")), "person", "")[0], ended)
    assert (job.state, job.status, job.version) == ("failed", 2, "")
    assert "bad.csv" in job.why


def test_a_file_that_has_gone_meanwhile_fails_the_job(queue: Queue, settings: Settings) -> None:
    job = until(queue, queue.add(Order(data=Data(training="gone.csv")), "person", "")[0], ended)
    said = f"'gone.csv' is not a file below the data folder, TRAINING_SERVICE_DATA={settings.data}"
    assert (job.state, job.why) == ("failed", said)


def test_a_range_of_records_is_collected_first(
    queue: Queue, room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9")
    job = until(queue, queue.add(Order(data=Data(recent=Range(since="7d"))), "person", "")[0], ended)
    assert (job.state, job.status) == ("failed", 2)
    assert job.why.startswith("monitoring collect: ")


def begun(folder: Path, _: Job) -> bool:
    return (folder / PID).is_file() and (folder / PID).read_text() != ""


def test_a_killed_job_leaves_nothing_half_written(queue: Queue, room: Room) -> None:
    chance = random.Random(1)
    for number in range(4):
        job = queue.add(order(room, candidates=4), "person", "")[0]
        folder = queue.store.folder(job.id)
        until(queue, job, partial(begun, folder))
        time.sleep(chance.uniform(0, 1.5) * number)
        with suppress(ProcessLookupError):  # it was faster
            os.killpg(int((folder / PID).read_text()), signal.SIGKILL)
        found = until(queue, job, ended)
        assert not (folder / WORK).exists()
        if (folder / OUT).exists():
            assert model.load(folder / OUT / "model.ubj").version == (folder / OUT / "current").readlink().name
        if found.state == "succeeded":
            assert (folder / RESULT).is_file()
        else:
            assert (found.state, found.why) == ("failed", "the machine or the process ended")


RUN = {"event.dataset": "occupancy.run", "event.id": "0123456789ab-1", "occupancy.run.why": "the labels are too few"}
STANDS_IN = """
import json, os, pathlib, sys
assert sys.argv[1:] == ["run", "--trigger=verdict"], sys.argv
report = pathlib.Path(os.environ["LOOP_FOLDER"], "runs", "0123456789ab-1", "report.html")
report.parent.mkdir(parents=True)
report.write_text("the report")
print("a line that is no record")
print(json.dumps({{**{run}, "occupancy.run.outcome": "{outcome}"}}))
"""


@pytest.mark.parametrize(
    ("outcome", "state"),
    [("waiting", "succeeded"), ("refused", "refused"), ("failed", "failed"), ("deployed", "succeeded")],
)
def test_what_came_of_the_loop_is_read_from_its_record(
    outcome: str, state: str, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the loop only the command is known here; what stands in for it has its form."""
    home = tmp_path / "stands-in"
    (home / "training" / "loop").mkdir(parents=True)
    run = {**RUN, "occupancy.run.challenger": "f8fbf10b52fd"}
    (home / "training" / "loop" / "__main__.py").write_text(STANDS_IN.format(run=run, outcome=outcome))
    for name in ("__init__.py", "loop/__init__.py"):
        (home / "training" / name).write_text("")
    (home / "training" / "service").symlink_to(Path("training/service").resolve())
    (home / "training" / "settings.py").symlink_to(Path("training/settings.py").resolve())
    (home / "occupancy").symlink_to(Path("occupancy").resolve())
    monkeypatch.chdir(home)
    monkeypatch.setenv("LOOP_FOLDER", str(tmp_path / "loop"))
    job = until(queue, queue.add(Order(kind="loop"), "verdict", "")[0], ended)
    assert (job.state, job.why) == (state, f"{outcome}: the labels are too few"), queue.store.log(job)
    assert job.version == ("f8fbf10b52fd" if outcome == "deployed" else "")
    out = queue.store.folder(job.id) / OUT
    assert (out / "report.html").read_text() == "the report"
    record: dict[str, Any] = json.loads((out / "records.jsonl").read_text().splitlines()[-1])
    assert record["event.id"] == "0123456789ab-1"


@pytest.mark.parametrize("overridden", [False, True])
def test_what_the_gate_refuses_has_a_report_and_no_model(
    overridden: bool, queue: Queue, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = tmp_path / "hasty.yaml"
    hasty.write_text("max_depth: {choice: [1]}\nn_estimators: {choice: [1]}\nlearning_rate: {choice: [0.001]}")
    monkeypatch.setenv("SEARCH_SPACE", str(hasty))
    job = until(queue, queue.add(order(room, candidates=1, override_gate=overridden), "person", "")[0], ended)
    out = queue.store.folder(job.id) / OUT
    assert (out / "model.ubj").exists() == overridden
    if overridden:
        assert (job.state, job.status) == ("succeeded", 0)
    else:
        assert (job.state, job.status, job.version) == ("refused", 3, "")
        assert "Light > 365 lux" in job.why
        assert (out / "refused" / "report.html").is_file()
