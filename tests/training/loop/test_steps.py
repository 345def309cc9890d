import os
from pathlib import Path

import pytest

from training.loop.steps import Step, execute


def test_a_command_is_run_and_its_words_are_kept_and_passed_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "simulate.out"
    argv = ("occupancy.simulate", "--days=1", f"--save-path={tmp_path}/day.csv")
    done = Step(argv, execute(argv, os.environ, out), out)
    assert done.status == 0
    assert done.lines[0].endswith("occupied")
    assert done.said == done.lines[-1]
    wrong = ("occupancy.simulate", "--days=many")
    done = Step(wrong, execute(wrong, os.environ, out), out)
    assert (done.status, done.lines) == (2, [])
    assert done.said == "occupancy.simulate: --days='many': Expected int"
    assert capfd.readouterr().err == f"{done.said}\n"
