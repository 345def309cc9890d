import os
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from occupancy.settings import InvalidSetting
from training.service.runners import Processes, runner
from training.service.settings import Settings


def test_a_job_is_a_process_unless_the_settings_say_otherwise() -> None:
    assert isinstance(runner(Settings()), Processes)


def test_a_service_that_finds_no_cluster_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", os.fspath(tmp_path / "none"))
    with pytest.raises(InvalidSetting, match="TRAINING_SERVICE_RUNNER=kubernetes: there is no cluster here"):
        runner(Settings(runner="kubernetes"))
