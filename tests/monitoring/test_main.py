import subprocess
import sys

import pytest

from monitoring.__main__ import COMMANDS, main


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
