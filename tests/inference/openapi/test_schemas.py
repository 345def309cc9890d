import ast
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from inference import age
from inference.openapi.schemas import FLAGS, REASONS, schemas
from inference.problems import KINDS
from inference.settings import Settings
from occupancy.reading import FEATURES, Batch, Feature, Reading, parse
from tests.inference.conftest import GOOD, ROOT

SCHEMAS = schemas(Settings())


def second_arguments(called: str) -> Iterator[str]:
    """Find the words that calls give as their second argument, in the service and in the contract it shares."""
    for file in (ROOT / "occupancy" / "reading.py", *(ROOT / "inference").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == called:
                for part in ast.walk(node.args[1]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_sensor_has_its_unit_and_range(feature: Feature) -> None:
    shown = SCHEMAS["Reading"]["properties"][feature.name]
    number = shown.get("anyOf", [shown])[0]
    assert (number["type"], number["minimum"], number["maximum"]) == ("number", feature.low, feature.high)
    assert shown["x-unit"] == feature.unit
    assert shown["description"] == f"{feature.description}, in {feature.unit}"


def test_a_reading_has_no_other_fields() -> None:
    assert (*SCHEMAS["Reading"]["properties"],) == Reading.__struct_fields__
    assert SCHEMAS["Reading"]["additionalProperties"] is False
    assert all(shown["description"] for shown in SCHEMAS["Reading"]["properties"].values())


def test_every_reason_is_explained_and_no_other() -> None:
    now = datetime.now(UTC)
    times = [now - timedelta(days=1), now + timedelta(days=1)]
    dated = Batch(False, [parse(GOOD)] * 2, [*times], [])
    by_age = {error.reason for error in age.check(dated, timedelta(hours=1), now).invalid}
    assert {*second_arguments("InvalidReading")} | by_age == REASONS.keys()


def test_every_kind_of_problem_is_explained_and_no_other() -> None:
    assert {*second_arguments("Problem")} == KINDS.keys()
    assert KINDS.keys() <= SCHEMAS.keys()


def test_flags_are_explained() -> None:
    assert SCHEMAS["Flag"]["properties"]["reason"]["enum"] == [*FLAGS]


def test_no_answer_has_room_for_more() -> None:
    given = {"Answer", "Refused", "Flag", "Explanation", "Feedback", "Model", "Alive", "Ready", "Fault", *KINDS}
    for name in given:
        assert SCHEMAS[name]["additionalProperties"] is False
        assert SCHEMAS[name]["required"]
