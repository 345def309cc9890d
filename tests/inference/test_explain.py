import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.explain import explain
from inference.settings import SHIPPED_MODEL
from occupancy.model import load
from occupancy.reading import FEATURES, NAMES
from tests.inference.conftest import GOOD, Served

_model = load(SHIPPED_MODEL)


@given(st.lists(st.tuples(*(st.floats(f.low, f.high) for f in FEATURES)), min_size=1, max_size=5))
def test_contributions_sum_to_the_margin(rows: list[tuple[float, ...]]) -> None:
    expected = _model.probability(np.array(rows, np.float32)).tolist()
    for explanation, probability in zip(explain(_model, rows), expected, strict=True):
        total = sum(explanation["contributions"].values()) + explanation["bias"]
        assert total == pytest.approx(explanation["margin"])
        assert 1 / (1 + math.exp(-explanation["margin"])) == pytest.approx(probability, abs=1e-5)
        assert tuple(explanation["contributions"]) == NAMES


def ask(served: Served, query: str, body: Any) -> Any:
    return served.client.post(f"/predict?{query}", json=body).json


def test_an_answer_says_why_when_asked(served: Served) -> None:
    reading = {**GOOD, "Light": 500, "CO2": 900}
    answer = ask(served, "explain=true", reading)
    explanation = answer["explanation"]
    assert 1 / (1 + math.exp(-explanation["margin"])) == pytest.approx(answer["probability"], abs=1e-6)
    assert max(explanation["contributions"], key=explanation["contributions"].get) == "Light"
    assert explanation["words"].startswith("Light of 500 lux speaks for occupied (+")
    assert "without any sensor the log-odds are -" in explanation["words"]
    assert "explanation" not in served.answer(reading)
    assert "explanation" not in ask(served, "explain=false", reading)


def test_each_answer_of_a_batch_says_why(served: Served) -> None:
    dark, light = ask(served, "explain=1", [GOOD, {**GOOD, "Light": 500}])
    assert dark["explanation"]["contributions"]["Light"] < 0 < light["explanation"]["contributions"]["Light"]
    assert "Light of 0 lux speaks for empty" in dark["explanation"]["words"]
