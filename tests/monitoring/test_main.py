import subprocess
import sys

import pytest

from monitoring.__main__ import main
from monitoring.settings import COMMANDS


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in COMMANDS)


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lod"], {}) == 2
    assert "'lod' is not a command; they are setup, load" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    ran = subprocess.run([sys.executable, "-m", "monitoring", "--help"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("`python -m monitoring COMMAND`")


def test_a_variable_of_another_command_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help"], {"MONITORING_WEBHOOK": "http://127.0.0.1/"})
        assert f"usage: monitoring {name}" in capsys.readouterr().out
    assert main(["drift", "x"], {"MONITORING_WEBHOOK": "http://127.0.0.1/"}) == 2
    assert "x: no such file" in capsys.readouterr().err
    assert main(["drift", "x"], {"MONITORING_WEBHOK": "http://127.0.0.1/"}) == 2
    assert "'MONITORING_WEBHOK' is not a setting; did you mean MONITORING_WEBHOOK?" in capsys.readouterr().err
