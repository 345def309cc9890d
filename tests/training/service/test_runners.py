import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from occupancy.settings import InvalidSetting
from training.service.jobs import Job
from training.service.orders import Order
from training.service.runners import PID, Processes, runner
from training.service.settings import Settings


def test_a_job_is_a_process_unless_the_settings_say_otherwise() -> None:
    assert isinstance(runner(Settings()), Processes)


def test_a_service_that_finds_no_cluster_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", os.fspath(tmp_path / "none"))
    with pytest.raises(InvalidSetting, match="TRAINING_SERVICE_RUNNER=kubernetes: there is no cluster here"):
        runner(Settings(runner="kubernetes"))


def test_what_a_job_runs_is_told_to_end_also_when_the_job_s_own_process_was_killed(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 600 & echo began; wait"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as own:
        assert own.stdout
        assert own.stdout.readline() == b"began\n"
        own.kill()
        own.wait()
        (tmp_path / PID).write_text(str(own.pid))
        job = Job(id="1", order=Order(), trigger="person", key="", created=datetime.now(UTC))
        Processes().cancel(job, tmp_path, hard=False)
        assert own.stdout.read() == b""  # its end: the pipe's last holder is gone
