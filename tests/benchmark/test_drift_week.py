from pathlib import Path

import pytest

from benchmark.drift_week import judged, main


def test_one_health_alarm_one_ticket_one_request_to_retrain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = [v for v in judged(1).verdicts if v.state == "opened"]
    assert [(v.consequence, v.rule, v.sensor) for v in opened] == [
        ("person", "run", "CO2"),
        ("ticket", "level", "Temperature"),
        ("retrain", "loss", None),
    ]
    assert main([f"--save-path={tmp_path / 'week.png'}"]) == 0
    assert (tmp_path / "week.png").read_bytes().startswith(b"\x89PNG")
    assert "CO2 has stood still" in capsys.readouterr().out
