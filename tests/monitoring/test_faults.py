import re
from typing import get_args

import pytest

from monitoring.faults import SIZED, InvalidFault, parse
from occupancy.simulate import PRECISION, Fault, Kind


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", []),
        ("stuck:Light:start=6h:end=1d6h", [Fault("stuck", "Light", 360, 1800)]),
        ("range:Temperature", [Fault("range", "Temperature", 0, 900, 25)]),
        ("range:Temperature:size=-87", [Fault("range", "Temperature", 0, 900, -87)]),
        ("clock:size=60", [Fault("clock", "", 0, 900, 60)]),
        (
            "offset:CO2:end=90m:size=+200 , missing:Humidity:start=0m",
            [Fault("offset", "CO2", 0, 90, 200), Fault("missing", "Humidity", 0, 900)],
        ),
    ],
)
def test_a_fault_is_read_from_text(text: str, faults: list[Fault]) -> None:
    assert parse(text, 900) == faults


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_can_be_written(kind: str) -> None:
    (fault,) = parse(f"{kind}:Light" + (":size=2" if kind in SIZED else ""), 10)
    assert fault.kind == kind


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("stuck", " is not a sensor that can break; they are " + ", ".join(PRECISION)),
        ("stuck:Lamp", "Lamp is not a sensor"),
        ("melted:Light", "melted is not a fault; they are stuck, "),
        ("offset:CO2", "offset needs a size, such as :size=1.5"),
        ("stuck:CO2:size=3", "stuck has no size"),
        ("offset:CO2:size=much", "the size 'much' is not a number"),
        ("offset:CO2:size=inf", "the size 'inf' is not a number"),
        ("range:CO2:size=0", "needs a size"),
        ("stuck:CO2:begin=3h", "after the sensor stand size, start, end, each at most once"),
        ("stuck:CO2:end=3h:end=4h", "each at most once"),
        ("stuck:CO2:3h", "after the sensor stand"),
        ("stuck:CO2:start=3", "'3' is not a time such as 90m, 6h or 1d6h"),
        ("stuck:CO2:start=6h1d", "is not a time"),
        ("stuck:CO2:start=4h:end=3h", "it would begin 240 minutes after the first row, and end after 180"),
        ("stuck:CO2:end=0m", "it would begin 0 minutes after the first row, and end after 0"),
        ("stuck:CO2:start=16h", "it would begin 960 minutes after the first row, and end after 900"),
    ],
)
def test_a_fault_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(InvalidFault, match=re.escape(why)) as raised:
        parse(text, 900)
    assert repr(text) in str(raised.value)
