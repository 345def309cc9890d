"""What /openapi.json can't say and Schemathesis must know; it loads this in its own environment."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

Readings = list[dict[str, float]]
SENSORS = {"Temperature": (-40, 60), "Humidity": (0, 100), "Light": (0, 150_000), "CO2": (200, 40_000)}

readings = st.lists(
    st.fixed_dictionaries({name: st.floats(*limits) for name, limits in SENSORS.items()}), min_size=1, max_size=5
)
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
local = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
dates = local | st.builds(datetime.replace, local, tzinfo=offsets)


def csv(readings: Readings) -> str:
    rows = (",".join(repr(reading[name]) for name in SENSORS) for reading in readings)
    return "\n".join([",".join(SENSORS), *rows])


def ndjson(readings: Readings) -> str:
    return "\n".join(map(json.dumps, readings))


schemathesis.openapi.format("iso-8601", dates.map(datetime.isoformat))
schemathesis.openapi.format("csv", readings.map(csv))
schemathesis.openapi.format("ndjson", readings.map(ndjson))


@schemathesis.serializer("text/csv", "application/x-ndjson")  # type: ignore[untyped-decorator]
def text(context: Any, value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Don't ask for answers in part where the body is to be refused: a bad reading of several would not be."""
    body = case.meta and case.meta.components.get(ParameterLocation.BODY)
    if body and body.mode.is_negative and case.query:
        case.query.pop("partial", None)
