"""The reading: which sensors, in which order, in which units and ranges. The one definition of the input contract.

`Sensors` is the table: to add a sensor, add a field to it (CONTRIBUTING.md). A reading is understood by name, never by position.
"""

import contextlib
import json
import math
from datetime import UTC, datetime, tzinfo
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec import Meta

from occupancy.humidity import humidity_ratio

_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$(?!\n)"  # a bare $ would let one last line break through
Text = Annotated[str, Meta(max_length=64, pattern=_PRINTABLE)]


def _sensor(
    low: float, high: float, unit: str, description: str, *, usual: tuple[float, float], step: float, label: str = ""
) -> Any:
    shown = {"unit": unit, "usual": usual, "step": step, "label": label}
    return Meta(ge=low, le=high, description=description, extra=shown)


_Ratio = Annotated[
    float,
    _sensor(
        0,
        0.2,
        "kg/kg",
        "kg of water vapour per kg of dry air",
        usual=(0.003, 0.012),
        step=0.00001,
        label="Humidity ratio",
    ),
]


class Sensors(msgspec.Struct, frozen=True, kw_only=True):
    """What the sensors of a room say: of each, what is possible, its unit and what it is.

    `usual` is where an office is on most days; `step` what a person would change it by; `label` how a person writes it.
    """

    Temperature: Annotated[float, _sensor(-40, 60, "°C", "air temperature", usual=(15, 30), step=0.1)]
    Humidity: Annotated[float, _sensor(0, 100, "%", "relative humidity", usual=(20, 60), step=0.1)]
    Light: Annotated[float, _sensor(0, 150_000, "lux", "illuminance", usual=(0, 1000), step=1)]
    CO2: Annotated[float, _sensor(200, 40_000, "ppm", "carbon dioxide", usual=(400, 2000), step=1, label="CO₂")]
    HumidityRatio: _Ratio | None = None
    """Derived, no sensor measures it: where it is left out it is computed from Temperature and Humidity."""


class Reading(Sensors, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reading of a room's sensors; the ranges are what is physically possible indoors, not what was trained on."""

    date: (
        Annotated[
            str,
            Meta(
                max_length=40,
                pattern=_PRINTABLE,
                description="event time, ISO 8601; without an offset it is the room's local time",
            ),
        ]
        | None
    ) = None
    room: Annotated[Text, Meta(description="which room this is, up to 64 characters")] | None = None
    id: (
        Annotated[
            Text, Meta(description="your own name for the reading, up to 64 characters; comes back as `reading_id`")
        ]
        | None
    ) = None


class Feature(NamedTuple):
    """One sensor of the contract: its name, unit, physically possible range, and how it is shown to people."""

    name: str
    unit: str
    low: float
    high: float
    description: str
    usual: tuple[float, float]
    step: float
    label: str


def _feature(name: str, hint: Any) -> Feature:
    metas = (meta for part in (hint, *get_args(hint)) for meta in getattr(part, "__metadata__", ()))
    meta = next(meta for meta in metas if getattr(meta, "extra", None))
    shown = meta.extra | {"label": meta.extra["label"] or name}
    return Feature(name, low=float(meta.ge), high=float(meta.le), description=meta.description, **shown)


_hints = get_type_hints(Reading, include_extras=True)
FEATURES: tuple[Feature, ...] = tuple(_feature(name, _hints[name]) for name in Sensors.__struct_fields__)
NAMES: tuple[str, ...] = tuple(f.name for f in FEATURES)
DERIVED = "HumidityRatio"
MEASURED: tuple[str, ...] = tuple(name for name in NAMES if name != DERIVED)
_BY_NAME = {f.name: f for f in FEATURES}
_in_order = attrgetter(*NAMES)


def contract() -> list[dict[str, Any]]:
    """Describe the sensors as plain data: names in order, units and ranges. It travels inside every model."""
    return [{"name": f.name, "unit": f.unit, "low": f.low, "high": f.high} for f in FEATURES]


def typical(**given: Any) -> dict[str, Any]:
    """Make a reading as a client sends it: what is given, and of each other measured sensor the middle of its usual range.

    Examples and tests that are not about a sensor hold when one is added.
    """
    middle = {name: sum(_BY_NAME[name].usual) / 2 for name in MEASURED}
    return middle | given


class InvalidReading(ValueError):
    """A reading breaks the contract: `field` names the culprit, `reason` the rule, the text says both and the range.

    `detail` is the text without the place: the `index` among several readings and, where each has its own, the `line`.
    `given`, `room` and `time` are what could be understood of it all the same: sensors whose value is a finite number,
    the room, the event time in UTC.
    """

    def __init__(self, field: str, reason: str, detail: str, index: int | None = None, line: int | None = None) -> None:
        """Keep the parts: the record and the answer to the client both need them."""
        place = "" if line is None else f" (line {line})"
        super().__init__(detail if index is None else f"reading {index}{place}: {detail}")
        self.field, self.reason, self.detail, self.index, self.line = field, reason, detail, index, line
        self.given: dict[str, float] = {}
        self.room: str | None = None
        self.time: datetime | None = None

    def at(self, index: int | None, line: int | None = None) -> "InvalidReading":
        """Give the same error with its place among several readings."""
        placed = InvalidReading(self.field, self.reason, self.detail, index, line)
        placed.given, placed.room, placed.time = self.given, self.room, self.time
        return placed


class Batch(NamedTuple):
    """What a request body held: the good readings with their event times, in UTC, and one error for each bad one.

    `single` if it was one object rather than a list.
    """

    single: bool
    readings: list[Reading]
    times: list[datetime | None]
    invalid: list[InvalidReading]


def values(reading: Reading) -> tuple[float, ...]:
    """Put a reading's values in the contract's order, computing the humidity ratio where it was left out."""
    ordered: tuple[float, ...] = _in_order(reading)
    if reading.HumidityRatio is None:
        ratio = humidity_ratio(reading.Temperature, reading.Humidity)
        return tuple(ratio if value is None else value for value in ordered)
    return ordered


def event_time(reading: Reading, room: tzinfo) -> datetime | None:
    """Give the reading's own time in UTC; without an offset `date` is the room's local time.

    When the clocks go back, a time without an offset comes twice: it is taken for the first of the two.
    Raises InvalidReading for a date that is not ISO 8601.
    """
    return None if reading.date is None else _time(reading.date, room)


def _time(date: Any, room: tzinfo) -> datetime:
    try:
        when = datetime.fromisoformat(date)
        return (when if when.tzinfo else when.replace(tzinfo=room)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        detail = f"date is {_show(date)}: expected ISO 8601, such as 2015-02-04T17:51:00+01:00"
        raise InvalidReading("date", "not_a_date", detail) from None


# --- decoding: the fast way accepts exactly what the slow way accepts; the slow way knows how to say what is wrong

_fast = msgspec.json.Decoder(Reading | list[Reading])


def decode(body: bytes, limit: int, room: tzinfo) -> Batch:
    """Decode a JSON body, one reading or a list of at most `limit` of them; `room`: the zone of dates without an offset.

    Raises InvalidReading when the body as a whole can't be understood; bad readings in a list are in Batch.invalid.
    """
    try:
        decoded = _fast.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _decode_slowly(body, limit, room)
    readings = decoded if isinstance(decoded, list) else [decoded]
    if not 0 < len(readings) <= limit or not names_once(body.count(b'"'), readings):
        return _decode_slowly(body, limit, room)
    try:
        times = [event_time(reading, room) for reading in readings]
    except InvalidReading:
        return _decode_slowly(body, limit, room)
    return Batch(decoded is not readings, readings, times, [])


def names_once(quotation_marks: int, readings: list[Reading]) -> bool:
    """Tell whether no name came twice in their JSON: each name and text brings two quotation marks, nothing else does."""
    expected = 2 * (len(NAMES) - 1) * len(readings)
    for r in readings:
        expected += 2 * (r.HumidityRatio is not None)
        expected += 4 * ((r.date is not None) + (r.room is not None) + (r.id is not None))
    return quotation_marks == expected


class _Pairs(list[tuple[str, Any]]):
    """An object's names and values as they were written, duplicates included."""


def _integer(digits: str) -> int | float:
    """Keep int() from refusing 5,000 digits, which would name no field: as a float they are merely out of range."""
    return int(digits) if len(digits) <= 20 else float(digits)


def _decode_slowly(body: bytes, limit: int, room: tzinfo) -> Batch:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidReading("body", "not_utf8", f"the body is not UTF-8 (byte {error.start})") from None
    payload = loads(text, "the body")
    single = isinstance(payload, _Pairs)
    if not single and not isinstance(payload, list):
        raise InvalidReading("body", "not_an_object", "expected a reading (an object) or a list of readings")
    items = [payload] if single else payload
    if not items:
        raise InvalidReading("body", "empty", "the list is empty: expected at least one reading")
    if len(items) > limit:
        raise InvalidReading("body", "too_many", f"the list has {len(items)} readings: at most {limit} in one request")
    batch = Batch(single, [], [], [])
    for index, item in enumerate(items):
        try:
            reading, time = check(item, room)
        except InvalidReading as error:
            batch.invalid.append(error.at(None if single else index))  # without the traceback, which holds this frame
        else:
            batch.readings.append(reading)
            batch.times.append(time)
    return batch


def loads(text: str, what: str) -> Any:
    """Decode JSON, an object with its duplicate names; raises InvalidReading, which calls the text `what`."""
    try:
        return json.loads(text, object_pairs_hook=_Pairs, parse_int=_integer)
    except RecursionError:
        detail = f"{what} is nested too deeply: expected an object or a list"
        raise InvalidReading("body", "too_deep", detail) from None
    except ValueError as error:
        why = error if text.strip() else "it is empty"
        raise InvalidReading("body", "not_json", f"{what} is not JSON: {why}") from None


def check(item: Any, room: tzinfo) -> tuple[Reading, datetime | None]:
    """Check one decoded reading, as `parse` does, and its date; gives it with its event time.

    Raises InvalidReading with what could be understood of it.
    """
    try:
        reading = parse(item)
        return reading, event_time(reading, room)
    except InvalidReading as error:
        error.given, error.room, error.time = _understood(
            _Pairs(item.items()) if isinstance(item, dict) else item, room
        )
        raise


def _understood(item: Any, zone: tzinfo) -> tuple[dict[str, float], str | None, datetime | None]:
    """Keep, of a refused reading, what a record can hold."""
    given, room, time = {}, None, None
    for name, value in item if isinstance(item, _Pairs) else []:
        if name in _BY_NAME and type(value) in (int, float) and abs(value) < 1e300:
            given[name] = float(value)
        elif name == "room":
            with contextlib.suppress(InvalidReading):
                _check_text(name, value)
                room = value
        elif name == "date":
            with contextlib.suppress(InvalidReading):
                time = _time(value, zone)
    return given, room, time


def parse(payload: Any) -> Reading:
    """Check one reading, a mapping or a list of (name, value) pairs, against the contract.

    Raises InvalidReading naming the field, the value, the unit and the range.
    """
    if isinstance(payload, dict):
        payload = _Pairs(payload.items())
    if not isinstance(payload, _Pairs):
        raise InvalidReading("body", "not_an_object", f"expected an object, got {_show(payload)}")
    seen: dict[str, Any] = {}
    for name, value in payload:
        if name in seen:
            raise InvalidReading(name, "duplicate", f"{name} is given twice")
        if name not in _hints:
            field, known = _clip(json.dumps(str(name))[1:-1]) or '""', ", ".join(Reading.__struct_fields__)
            raise InvalidReading(field, "unknown", f"{field} is not a field; the fields are {known}")
        seen[name] = value
        (_check_number if name in _BY_NAME else _check_text)(name, value)
    for feature in FEATURES:
        if feature.name not in seen and feature.name != DERIVED:
            raise InvalidReading(feature.name, "missing", f"{feature.name} is missing; {_expected(feature)}")
    fields: dict[str, Any] = {k: float(v) if k in _BY_NAME and v is not None else v for k, v in seen.items()}
    return Reading(**fields)


def _check_number(name: str, value: Any) -> None:
    feature = _BY_NAME[name]
    if value is None and name == DERIVED:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        detail = f"{name} is {_show(value)}: expected a number; {_expected(feature)}"
        raise InvalidReading(name, "not_a_number", detail)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidReading(name, "not_finite", f"{name} is {_show(value)}; {_expected(feature)}")
    if not feature.low <= value <= feature.high:
        hint = "; is it in °F?" if name == "Temperature" and feature.high < value <= 140 else ""
        raise InvalidReading(name, "out_of_range", f"{name} is {_show(value)}; {_expected(feature)}{hint}")


def _check_text(name: str, value: Any) -> None:
    try:
        msgspec.convert(value, _hints[name])
        if value is not None:
            value.encode("utf-8")
    except (msgspec.ValidationError, UnicodeError):
        expected = "a printable text of 1 to 64 characters" if name != "date" else "an ISO 8601 date"
        raise InvalidReading(name, "not_a_text", f"{name} is {_show(value)}: expected {expected}") from None


def _expected(feature: Feature) -> str:
    return f"{feature.name} is in {feature.unit}, from {feature.low:g} to {feature.high:g}"


def _show(value: Any) -> str:
    """Show a value as JSON would, short and in ASCII, so that it can stand in a log line."""
    if isinstance(value, _Pairs | dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) > 10**12:
        return "a number of more than 12 digits"
    return _clip(json.dumps(value, default=str))


def _clip(text: str) -> str:
    return text if len(text) <= 64 else text[:61] + "..."
