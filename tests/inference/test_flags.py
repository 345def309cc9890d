from typing import Any

import pytest

from inference.flags import Flagger
from occupancy.humidity import humidity_ratio
from occupancy.model import Model
from occupancy.reading import NAMES, parse, values
from tests.inference.conftest import GOOD, Served

DRY = humidity_ratio(GOOD["Temperature"], GOOD["Humidity"])


@pytest.mark.parametrize(
    ("changes", "flagged"),
    [
        ({}, []),
        ({"Temperature": 19.0}, []),  # the ends of the range were trained on
        ({"Temperature": 23.18, "HumidityRatio": humidity_ratio(23.18, 30)}, []),
        ({"Temperature": 23.19}, [("Temperature", "beyond_training")]),
        ({"CO2": 5000, "Light": 1600}, [("Light", "beyond_training"), ("CO2", "beyond_training")]),
        ({"HumidityRatio": round(DRY, 4)}, []),  # what rounding explains
        ({"HumidityRatio": DRY * 1.04}, []),
        ({"HumidityRatio": DRY * 1.07}, [("HumidityRatio", "contradiction")]),
        ({"HumidityRatio": DRY * 0.93}, [("HumidityRatio", "contradiction")]),
        ({"HumidityRatio": 0.1}, [("HumidityRatio", "beyond_training"), ("HumidityRatio", "contradiction")]),
    ],
)
def test_doubt_is_in_the_answer_and_in_the_record(
    served: Served, changes: dict[str, Any], flagged: list[tuple[str, str]]
) -> None:
    reading = {**GOOD, **changes}
    for answer in (served.answer(reading), *served.answer([reading, reading])):
        assert [(flag["field"], flag["reason"]) for flag in answer.get("flags", [])] == flagged
        assert answer["probability"] >= 0  # it is answered all the same
    for record in served.records:
        assert record.get("occupancy.flags", []) == [f"{reason}:{field}" for field, reason in flagged]
    metrics = served.client.get("/metrics").text
    for field, reason in flagged:
        assert f'occupancy_flags_total{{field="{field}",reason="{reason}"}} 3.0' in metrics


def test_the_words_say_value_unit_and_range(served: Served) -> None:
    first, second = served.answer({**GOOD, "HumidityRatio": 0.1})["flags"]
    assert first["detail"] == "HumidityRatio is 0.1 kg/kg; the model was trained on 0.00267413 to 0.00647601"
    assert "which Temperature and Humidity contradict" in second["detail"]


def test_a_model_that_knows_no_range_flags_none(model: Model) -> None:
    reading = parse({**GOOD, "CO2": 40_000})
    assert Flagger({}).flags(reading, values(reading)) == []
    assert set(model.card.training_range) == set(NAMES)
