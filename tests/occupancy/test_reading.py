import json
import math
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from occupancy import reading
from occupancy.humidity import humidity_ratio
from occupancy.reading import (
    FEATURES,
    MEASURED,
    NAMES,
    Batch,
    InvalidReading,
    Reading,
    event_time,
    parse,
    typical,
    values,
)

GOOD = typical(Temperature=21.5, Humidity=30, Light=0, CO2=500, HumidityRatio=0.0047)
BRUSSELS = ZoneInfo("Europe/Brussels")


def body(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({k: v for k, v in GOOD.items() if k != name}).encode()


def decode(payload: bytes, limit: int = 1000) -> Batch:
    return reading.decode(payload, limit, UTC)


def the_error(payload: bytes, limit: int = 1000) -> InvalidReading:
    """One bad reading is in the batch; a body that can't be understood raises."""
    try:
        batch = decode(payload, limit)
    except InvalidReading as error:
        return error
    assert batch.readings == []
    (only,) = batch.invalid
    return only


RAW = json.dumps(GOOD)[1:-1]
TEMPERATURE = "Temperature is in °C, from -40 to 60"


@pytest.mark.parametrize(
    ("payload", "field", "reason", "message"),
    [
        (without("CO2"), "CO2", "missing", "CO2 is missing; CO2 is in ppm, from 200 to 40000"),
        (b"{}", "Temperature", "missing", f"Temperature is missing; {TEMPERATURE}"),
        (body(temperature=20), "temperature", "unknown", "temperature is not a field; the fields are Temperature, Hum"),
        (body(**{"\nü\x1b": 1}), "\\n\\u00fc\\u001b", "unknown", "\\n\\u00fc\\u001b is not a field"),
        (body(**{"x" * 999: 1}), "x" * 61 + "...", "unknown", "x... is not a field"),
        (b'{%s, "CO2": 500}' % RAW.encode(), "CO2", "duplicate", "CO2 is given twice"),
        (b'{%s, "\\u0043O2": 9}' % RAW.encode(), "CO2", "duplicate", "CO2 is given twice"),
        (b'{%s, "room": null, "room": "a"}' % RAW.encode(), "room", "duplicate", "room is given twice"),
        (body(Temperature=math.nan), "Temperature", "not_finite", f"Temperature is NaN; {TEMPERATURE}"),
        (body(Light=-math.inf), "Light", "not_finite", "Light is -Infinity; Light is in lux, from 0 to 150000"),
        (b'{"CO2": 1e999}', "CO2", "not_finite", "CO2 is Infinity; CO2 is in ppm"),
        (b'{"CO2": %s}' % (b"9" * 5000), "CO2", "not_finite", "CO2 is Infinity; CO2 is in ppm"),
        (body(CO2=10**15), "CO2", "out_of_range", "CO2 is a number of more than 12 digits; CO2 is in ppm"),
        (body(CO2=10**30), "CO2", "out_of_range", "CO2 is 1e+30; CO2 is in ppm"),
        (
            body(Temperature="20"),
            "Temperature",
            "not_a_number",
            f'Temperature is "20": expected a number; {TEMPERATURE}',
        ),
        (body(Temperature=True), "Temperature", "not_a_number", "Temperature is true: expected a number"),
        (
            body(Humidity=None),
            "Humidity",
            "not_a_number",
            "Humidity is null: expected a number; Humidity is in %, from",
        ),
        (body(Light=[1]), "Light", "not_a_number", "Light is a list: expected a number"),
        (body(Light={"lux": 1}), "Light", "not_a_number", "Light is an object: expected a number"),
        (body(Temperature=75.2), "Temperature", "out_of_range", f"Temperature is 75.2; {TEMPERATURE}; is it in °F?"),
        (body(Temperature=-41), "Temperature", "out_of_range", f"Temperature is -41; {TEMPERATURE}"),
        (body(Humidity=100.1), "Humidity", "out_of_range", "Humidity is 100.1; Humidity is in %, from 0 to 100"),
        (body(CO2=199), "CO2", "out_of_range", "CO2 is 199; CO2 is in ppm, from 200 to 40000"),
        (
            body(HumidityRatio=4.7),
            "HumidityRatio",
            "out_of_range",
            "HumidityRatio is 4.7; HumidityRatio is in kg/kg, fro",
        ),
        (body(room=""), "room", "not_a_text", 'room is "": expected a printable text of 1 to 64 characters'),
        (body(room="x" * 65), "room", "not_a_text", "x...: expected a printable text"),
        (body(room="a\n"), "room", "not_a_text", 'room is "a\\n": expected a printable text'),
        (body(id=7), "id", "not_a_text", "id is 7: expected a printable text"),
        (body(id="\ud800"), "id", "not_a_text", 'id is "\\ud800": expected a printable text'),
        (body(date=20150204), "date", "not_a_text", "date is 20150204: expected an ISO 8601 date"),
        (body(date="2015-02-04\n17:51"), "date", "not_a_text", 'date is "2015-02-04\\n17:51": expected an ISO 8601'),
        (b"", "body", "not_json", "the body is not JSON: it is empty"),
        (body()[:-5], "body", "not_json", "the body is not JSON: Expecting ',' delimiter"),
        (b"\xef\xbb\xbf" + body(), "body", "not_json", "the body is not JSON: Unexpected UTF-8 BOM"),
        (body().decode().encode("utf-16"), "body", "not_utf8", "the body is not UTF-8 (byte 0)"),
        (b'{"room": "\xed\xa0\x80"}', "body", "not_utf8", "the body is not UTF-8 (byte 10)"),
        (b"[" * 100_000, "body", "too_deep", "the body is nested too deeply: expected an object or a list"),
        (b'{"Light":' * 100_000, "body", "too_deep", "the body is nested too deeply"),
        (b"null", "body", "not_an_object", "expected a reading (an object) or a list of readings"),
        (b"[]", "body", "empty", "the list is empty: expected at least one reading"),
        (b"[%s, 5]" % body(), "body", "too_many", "the list has 2 readings: at most 1 in one request"),
        (b"[[1]]", "body", "not_an_object", "reading 0: expected an object, got a list"),
    ],
)
def test_what_is_wrong_is_named(payload: bytes, field: str, reason: str, message: str) -> None:
    error = the_error(payload, limit=1)
    assert (error.field, error.reason) == (field, reason)
    assert message in str(error)
    assert len(str(error)) <= 400
    assert str(error).replace("°", "").isascii()
    assert "\n" not in str(error)


def test_bad_readings_of_a_list_are_named_by_index() -> None:
    batch = decode(b"[%s, %s, 7, %s]" % (body(id="a"), body(CO2=0), without("Light")))
    assert not batch.single
    assert [r.id for r in batch.readings] == ["a"]
    assert [(e.index, e.field) for e in batch.invalid] == [(1, "CO2"), (2, "body"), (3, "Light")]
    assert str(batch.invalid[0]).startswith("reading 1: CO2 is 0; ")


def test_what_is_not_json_can_be_parsed_too() -> None:
    assert parse(GOOD) == parse({k: float(v) for k, v in GOOD.items()}) == decode(body()).readings[0]
    for value in (object(), {"a": object()}, 10**5000):
        with pytest.raises(InvalidReading, match=r"^Light is "):
            parse({**GOOD, "Light": value})


# --- the fast way and the slow way

texts = st.sampled_from(["a", 'a"b', "é", "😀", "\\", "\u2028", "", "x" * 65]) | st.text(max_size=5)
numbers = st.sampled_from([0, -1, 0.1, 10**400, -0.0, 1e-400, math.nan, 0.30000000000000004]) | st.floats(-50, 1000)
junk: st.SearchStrategy[Any] = texts | numbers | st.none() | st.booleans() | st.just([]) | st.just({})
sensors = {f.name: st.floats(f.low, f.high) | st.integers(math.ceil(f.low), int(f.high)) for f in FEATURES}
good = st.fixed_dictionaries(sensors, optional={n: st.none() | texts for n in ("date", "room", "id")})


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Write one reading, mostly good, as JSON: in any order, with names twice, keys escaped, white space anywhere."""
    pairs: list[tuple[str, Any]] = list(draw(good).items())
    if draw(st.booleans()):
        pairs.append((draw(st.sampled_from([*NAMES, "date", "room", "x"])), draw(junk)))
    if draw(st.booleans()):
        del pairs[draw(st.integers(0, len(pairs) - 1))]
    space = st.sampled_from(["", " ", "\n\t"])

    def key(name: str) -> str:
        return json.dumps(name) if draw(st.integers(0, 9)) else f'"\\u{ord(name[0]):04x}{name[1:]}"'

    ascii_only = draw(st.booleans())
    written = [f"{key(n)}{draw(space)}:{draw(space)}{json.dumps(v, ensure_ascii=ascii_only)}" for n, v in
               draw(st.permutations(pairs))]  # fmt: skip
    return "{" + f"{draw(space)},".join(written) + "}"


def outcome(way: Any, payload: bytes) -> Any:
    try:
        batch = way(payload, 3, UTC)
    except InvalidReading as error:
        return error.field, error.reason, str(error)
    messages = [str(bad) for bad in batch.invalid]
    assert all(len(text) <= 400 and text.replace("°", "").isascii() and text.isprintable() for text in messages)
    return batch.single, batch.readings, messages


@given(objects() | st.lists(objects(), max_size=4).map(lambda many: f"[{', '.join(many)}]"))
@example(f'{{{RAW}, "HumidityRatio": null}}')
@example(f'{{{RAW}, "date": "a", "date": null}}')
@example(f'{{{RAW}, "room": "\\""}}')
def test_the_fast_way_accepts_what_the_slow_way_accepts(text: str) -> None:
    payload = text.encode("utf-8", "surrogatepass")
    assert outcome(reading.decode, payload) == outcome(reading._decode_slowly, payload)


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(reading, "_decode_slowly")
    assert len(decode(b"[%s, %s]" % (body(), body(room="A 1", date="2015-02-04"))).readings) == 2
    assert decode(without("HumidityRatio")).single


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner),
)


@given(st.binary() | json_values.map(lambda v: json.dumps(v).encode()))
def test_nothing_else_is_ever_raised(payload: bytes) -> None:
    assert outcome(reading.decode, payload) == outcome(reading._decode_slowly, payload)


# --- values


@given(st.permutations(NAMES))
def test_values_are_in_the_order_of_the_contract(order: list[str]) -> None:
    (shuffled,) = decode(json.dumps({n: GOOD[n] for n in order}).encode()).readings
    assert values(shuffled) == tuple(GOOD[n] for n in NAMES)
    assert [row["name"] for row in reading.contract()] == list(NAMES) == list(GOOD)


@given(sensors["Temperature"], sensors["Humidity"])
def test_a_ratio_left_out_is_computed_and_always_within_its_range(temperature: float, humidity: float) -> None:
    room = typical(Temperature=temperature, Humidity=humidity, Light=0, CO2=500)
    ratio = values(parse(room))[-1]
    assert ratio == values(parse({**room, "HumidityRatio": None}))[-1] == humidity_ratio(temperature, humidity)
    assert 0 <= ratio < FEATURES[-1].high


# --- dates


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2015-02-04 17:51:00", datetime(2015, 2, 4, 16, 51, tzinfo=UTC)),
        ("2015-02-04T17:51:00+05:30", datetime(2015, 2, 4, 12, 21, tzinfo=UTC)),
        ("2015-02-04T17:51:00Z", datetime(2015, 2, 4, 17, 51, tzinfo=UTC)),
        ("2015-07-04", datetime(2015, 7, 3, 22, 0, tzinfo=UTC)),
        ("2015-10-25T02:30", datetime(2015, 10, 25, 0, 30, tzinfo=UTC)),  # comes twice: the first
        ("2015-10-25T02:30+01:00", datetime(2015, 10, 25, 1, 30, tzinfo=UTC)),
        ("2015-03-29T02:30", datetime(2015, 3, 29, 1, 30, tzinfo=UTC)),  # never comes: as if the clock had not changed
        ("0001-01-02T00:00:00Z", datetime(1, 1, 2, tzinfo=UTC)),
    ],
)
def test_dates_become_utc(date: str, expected: datetime) -> None:
    assert event_time(parse({**GOOD, "date": date}), BRUSSELS) == expected


@pytest.mark.parametrize(
    "date", ["yesterday", "2015", "2015-02-30", "04/02/2015", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
def test_a_date_that_is_none_is_refused(date: str) -> None:
    with pytest.raises(InvalidReading, match=rf'^date is "{date[:4]}.*: expected ISO 8601') as caught:
        event_time(parse({**GOOD, "date": date}), BRUSSELS)
    assert (caught.value.field, caught.value.reason) == ("date", "not_a_date")


def test_a_reading_without_a_date_has_no_time() -> None:
    assert event_time(Reading(**typical()), BRUSSELS) is None


# --- what is usual


def test_a_typical_reading_is_what_was_given_and_else_what_is_usual() -> None:
    assert typical(Light=0, id="a") == {**typical(), "Light": 0, "id": "a"}
    usual = {f.name: f.usual for f in FEATURES}
    said = parse(typical())
    assert all(low < getattr(said, name) < high for name, (low, high) in usual.items() if name in MEASURED)
    assert said.HumidityRatio is None


def test_what_is_usual_is_possible_and_can_be_reached_in_steps() -> None:
    for feature in FEATURES:
        assert feature.low <= feature.usual[0] < feature.usual[1] <= feature.high
        assert 0 < feature.step < feature.usual[1] - feature.usual[0]
