import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occupancy.model import FILE, load
from occupancy.reading import FEATURES
from occupancy.trees import Proven, prove
from tests.inference.conftest import serve_model
from tests.training.loop.conftest import Put
from training.loop.__main__ import main
from training.loop.replay import differences


@pytest.fixture
def proven(models: Path, put: Put) -> Proven:
    return prove(load(models / put(1) / FILE), "it")


@pytest.fixture
def logged(proven: Proven) -> list[dict[str, Any]]:
    """What the service logs of 1,000 random readings of the contract, alone and in lists."""
    random, served = np.random.default_rng(0), serve_model(proven.model)
    readings = [{f.name: random.uniform(f.low, f.high) for f in FEATURES} for _ in range(1000)]
    for each in readings[:500]:
        served.answer(each)
    for start in range(500, 1000, 50):
        served.answer(readings[start : start + 50])
    return served.records


def test_every_logged_prediction_is_computed_again_to_the_bit(proven: Proven, logged: list[dict[str, Any]]) -> None:
    assert [found for record in logged if (found := differences(record, proven))] == []
    assert len(logged) == 1000


Tamper = Callable[[Any], Any]


@pytest.mark.parametrize(
    ("field", "tampered", "says"),
    [
        ("occupancy.probability", lambda p: float(np.nextafter(p, 0.5)), "probability: logged"),
        ("occupancy.label", lambda label: 1 - label, "label: logged"),
        ("occupancy.answer", lambda _: "perhaps", "answer: logged perhaps"),
    ],
)
def test_a_line_that_was_tampered_with_is_found(
    proven: Proven, logged: list[dict[str, Any]], field: str, tampered: Tamper, says: str
) -> None:
    for record in logged[:50] + logged[-50:]:
        found = differences({**record, field: tampered(record[field])}, proven)
        assert found[0].startswith(says)


def test_sensor_values_that_were_swapped_between_lines_are_found(
    proven: Proven, logged: list[dict[str, Any]]
) -> None:  # but for those that lead to the same leaves
    occupied = next(record for record in logged if record["occupancy.answer"] == "occupied")
    empty = next(record for record in logged if record["occupancy.answer"] == "empty")
    values = {name: value for name, value in empty.items() if name.startswith("occupancy.reading.")}
    assert differences({**occupied, **values}, proven)


def test_the_command_says_same_or_what_differs(
    tmp_path: Path, models: Path, logged: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"LOOP_MODELS": str(models), "LOOP_FOLDER": str(tmp_path / "loop")}
    changed = {**logged[1], "occupancy.probability": 0.123}
    file = tmp_path / "records.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in (logged[0], changed, logged[2])))
    assert main(["replay", logged[0]["event.id"], str(file)], environ) == 0
    assert f"the same, {logged[0]['occupancy.probability']!r} = 0x" in capsys.readouterr().out
    assert main(["replay", logged[1]["event.id"], str(file)], environ) == 1
    assert "probability: logged 0.123, computed" in capsys.readouterr().out
    for version in models.iterdir():
        version.rename(tmp_path / "away")
    assert main(["replay", logged[0]["event.id"], str(file)], environ) == 2
    assert "No such file" in capsys.readouterr().err
