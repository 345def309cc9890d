from pathlib import Path

import pytest

from benchmark import training
from occupancy.simulate import simulate, write


def test_both_searches_choose_the_same_and_a_ratio_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, days in (("TRAINING_DATA", 4), ("TEST_DATA", 2)):
        write(tmp_path / f"{variable}.csv", simulate(days=days, seed=days), days)
        monkeypatch.setenv(variable, str(tmp_path / f"{variable}.csv"))
    assert training.main(["--repeat", "1", "--candidates", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2 candidates, 4 days held out, 5760 rows" in printed
    assert "ratio scikit-learn / ours: " in printed
    assert "the same winner: True" in printed
