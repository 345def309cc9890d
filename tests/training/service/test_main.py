import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from monitoring.drift import verdict, webhook
from occupancy import model
from tests.ports import free_port
from tests.training.service.conftest import TOKEN
from training.service.jobs import Job
from training.service.runners import PID
from training.service.settings import Settings

PAGE = Path("docs/training-service.md").read_text("utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
Room = tuple[Path, Path]


@contextmanager
def serving(settings: Settings, log: Path, **variables: str) -> Iterator[str]:
    """Run the service; gives its address once it is ready, and stops it as a user would."""
    listen = f"127.0.0.1:{free_port()}"
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in ("token_file", "jobs", "data")]
    with log.open("ab") as file:
        command = [sys.executable, "-m", "training.service", f"--listen={listen}", *flags]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stderr=file)
    try:
        until(lambda: ready(f"http://{listen}") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"http://{listen}"
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text()


def ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=10).ok
    except requests.ConnectionError:
        return False


def until(holds: Any) -> Any:
    deadline = time.monotonic() + 300
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


@pytest.fixture
def _no_job_is_left(settings: Settings) -> Iterator[None]:
    yield
    for number in Path(settings.jobs).glob(f"*/{PID}"):
        with suppress(ProcessLookupError, ValueError):
            os.killpg(int(number.read_text()), signal.SIGKILL)


def is_over(url: str, job_id: str) -> Any:
    shown = requests.get(f"{url}/jobs/{job_id}", headers=HEADERS, timeout=60).json()
    return shown if shown["ended"] else None


@pytest.mark.usefixtures("_no_job_is_left")
def test_a_job_outlives_the_service_that_started_it(settings: Settings, room: Room, tmp_path: Path) -> None:
    asked = {"data": {"training": room[0].name, "test": room[1].name}, "settings": {"candidates": 40}}
    with serving(settings, tmp_path / "log", JOBS="1") as url:
        first, second = (
            requests.post(f"{url}/jobs", json=asked, headers=HEADERS, timeout=60).json()["id"] for _ in range(2)
        )
        until((Path(settings.jobs) / first / PID).is_file)
    with serving(settings, tmp_path / "log", JOBS="1") as url:
        for job_id in (first, second):
            found = until(lambda job_id=job_id: is_over(url, job_id))
            assert (found["state"], found["status"]) == ("succeeded", 0), found
        answer = requests.get(f"{url}/jobs/{first}/model", headers=HEADERS, timeout=60)
        (tmp_path / "model.ubj").write_bytes(answer.content)
        assert model.load(tmp_path / "model.ubj").version == found["model_version"]


@pytest.mark.usefixtures("_no_job_is_left")
def test_a_worker_that_is_killed_is_replaced_and_its_job_goes_on(
    settings: Settings, room: Room, tmp_path: Path
) -> None:
    asked = {"data": {"training": room[0].name, "test": room[1].name}, "settings": {"candidates": 40}}
    with serving(settings, tmp_path / "log", JOBS="1") as url:
        job_id = requests.post(f"{url}/jobs", json=asked, headers=HEADERS, timeout=60).json()["id"]
        until((Path(settings.jobs) / job_id / PID).is_file)
        worker = re.findall(r"Booting worker with pid: (\d+)", (tmp_path / "log").read_text())[-1]
        os.kill(int(worker), signal.SIGKILL)
        until(lambda: ready(url))
        assert until(lambda: is_over(url, job_id))["state"] == "succeeded"


@pytest.mark.usefixtures("_no_job_is_left")
def test_the_watchers_verdict_begins_the_loop(settings: Settings, tmp_path: Path) -> None:
    figures = {"at": 2e9, "since": 2e9, "value": 0.3, "limit": 0.1, "rarity": 1e4}
    worse = verdict.say("loss", "4.12", None, "opened", **figures)
    sick = verdict.say("run", "4.12", "CO2", "opened", **figures)
    away = {"ELASTICSEARCH_URL": "http://127.0.0.1:9", "LOOP_FOLDER": str(tmp_path / "loop")}
    with serving(settings, tmp_path / "log", **away) as url:
        for _ in range(2):  # the watcher asks again where it got no answer
            assert webhook.post(f"{url}/verdicts", settings.token_file, [sick, worse]) == ([], "")
        (job,) = requests.get(f"{url}/jobs", headers=HEADERS, timeout=60).json()["jobs"]
        assert (job["order"]["kind"], job["trigger"]) == ("loop", "verdict")
        found = until(lambda: is_over(url, job["id"]))
        assert (found["state"], found["status"]) == ("failed", 2), found
        assert webhook.post(f"{url}/verdicts", "", [worse])[1].startswith("MONITORING_WEBHOOK: it answers 401")


@pytest.mark.usefixtures("_no_job_is_left")
@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl command")
def test_the_commands_of_the_page(settings: Settings, room: Room, tmp_path: Path) -> None:
    for path, name in zip(room, ("datatraining.txt", "datatest.txt"), strict=True):
        shutil.copyfile(path, tmp_path / name)
    job = 'until ask $JOB | grep --quiet \'"ended":"\'; do sleep 0.2; done\n'
    setup, asked, fetched, cancelled = COMMANDS
    asked = asked.replace('"candidates": 20', '"candidates": 1')
    (tmp_path / "out").mkdir()
    with serving(settings, tmp_path / "log", JOBS="1", DATA_HOME=str(tmp_path)) as url:
        setup = re.sub(r"URL=\S+ TOKEN_FILE=\S+", f"URL={url} TOKEN_FILE={settings.token_file}", setup)
        script = "".join(("set -e\n", setup, asked, job, fetched, cancelled))
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert model.load(tmp_path / "out" / "model.ubj").card.seed == 7
        assert "<html" in (tmp_path / "out" / "report.html").read_text()[:200]
        other = requests.get(f"{url}/jobs?limit=1", headers=HEADERS, timeout=60).json()["jobs"][0]
        assert until(lambda: is_over(url, other["id"]))["state"] == "cancelled"


def test_what_can_never_work_is_one_line(settings: Settings, tmp_path: Path) -> None:
    given = ["--token-file", settings.token_file]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wrong = {
            "needs a token": [],
            "can't listen there": [*given, f"--listen=127.0.0.1:{taken.getsockname()[1]}"],
            "can't be written": [*given, "--listen=127.0.0.1:0", f"--jobs={settings.token_file}/jobs"],
            "with the last /": [*given, "--urls=http://a"],
        }
        for said, flags in wrong.items():
            command = [sys.executable, "-m", "training.service", *flags]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
            assert said in done.stderr


def test_every_state_and_file_of_a_job_is_on_the_page() -> None:
    for name in (*Job.__annotations__["state"].__args__, "job.json", "log", "out/", "result.json"):
        assert f"`{name}`" in PAGE
