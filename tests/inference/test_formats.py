import csv
import io
import json
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference import formats
from occupancy import mapping, reading
from occupancy.reading import FEATURES, NAMES, Batch, InvalidReading, Reading, parse, typical

BRUSSELS = ZoneInfo("Europe/Brussels")
GOOD = typical(Temperature=21.5, Humidity=30, Light=0, CO2=500)
SENSORS = tuple(GOOD)
HEADER = ",".join(SENSORS)
ROW = ",".join(map(str, GOOD.values()))
MORE = ROW.removeprefix("21.5,30,0,500")  # the values of sensors that the rows below do not speak of
LINE = json.dumps(GOOD)
READING = parse(GOOD)
CSV, NDJSON = "text/csv", "application/x-ndjson"


def decode(text: str | bytes, media_type: str = CSV, limit: int = 1000) -> Batch:
    return formats.decode(text if isinstance(text, bytes) else text.encode(), media_type, limit, BRUSSELS)


def table(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


# --- which format


@pytest.mark.parametrize("media_type", ["text/csv", "Text/CSV; charset=utf-8; header=present", " text/csv ;x"])
def test_csv_is_known_by_its_media_type(media_type: str) -> None:
    assert decode(table(ROW), media_type) == Batch(False, [READING], [None], [])


@pytest.mark.parametrize(
    "media_type",
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "APPLICATION/X-JSONLINES;charset=utf-8"],
)
def test_ndjson_is_known_by_its_media_type(media_type: str) -> None:
    assert decode(f"{LINE}\n", media_type) == Batch(False, [READING], [None], [])


@pytest.mark.parametrize("media_type", ["", "application/json", "application/x-www-form-urlencoded", "text/plain", "?"])
def test_anything_else_is_json(media_type: str) -> None:
    assert decode(LINE, media_type) == Batch(True, [READING], [None], [])
    with pytest.raises(InvalidReading, match="the body is not JSON"):
        decode(table(ROW), media_type)


# --- CSV


@pytest.mark.parametrize(
    "text",
    [
        table(ROW),
        table(ROW).rstrip(),
        table(ROW).replace("\n", "\r\n"),
        "\ufeff" + table(ROW),
        "\ufeff" + table('"21.5","30","0","500"', header='"Temperature","Humidity","Light","CO2"'),
        "# SIMULATED\n\n#\n" + table("", ROW, " ", ""),
        table(" 21.5 ,\t30, 0,500 ", header=" Temperature , Humidity,Light ,CO2"),
        table("500,0,30,21.5", header="CO2,Light,Humidity,Temperature"),
        table(f"{ROW},,,,", header=f"{HEADER},HumidityRatio,date,room,id"),
        table(f"{ROW}, ,\t, ,", header=f"{HEADER},HumidityRatio,date,room,id"),
        table(f"{ROW},1", header=f"{HEADER},Occupancy"),
        table(f'{ROW},"what, ever\x00"', header=f"{HEADER},Occupancy"),
        table(f"0,{ROW}", header=f",{HEADER}"),  # as pandas writes its index
        table(f'"140",{ROW}'),  # as R writes its row names: the UCI files
        table(f'"140",{ROW},1', header=f"{HEADER},Occupancy"),
        table(f"2.15e1,3E+1,-0,+500{MORE}"),
        table(f"21.50,030,.0,500.{MORE}"),
    ],
)
def test_a_table_is_understood_in_all_its_spellings(text: str) -> None:
    assert decode(text) == Batch(False, [READING], [None], [])


def test_every_field_has_its_column() -> None:
    header = f"id,room,date,{','.join(NAMES)}"
    (only,), (time,) = decode(table('7,"A ""1"", left",2015-02-04 17:51:00,21.5,30,0,500,0.0047', header=header))[1:3]
    texts = {"date": "2015-02-04 17:51:00", "room": 'A "1", left', "id": "7"}  # an id of digits is a text all the same
    assert only == parse({**GOOD, "HumidityRatio": 0.0047, **texts})
    assert time is not None
    assert time.isoformat() == "2015-02-04T16:51:00+00:00"


def test_most_rows_decide_whether_they_have_a_row_number() -> None:
    batch = decode(table(f"1,{ROW}", ROW, f"3,{ROW}"))
    assert (len(batch.readings), [(e.index, e.reason) for e in batch.invalid]) == (2, [(1, "cell_count")])
    batch = decode(table(f"1,{ROW}", ROW))
    assert (len(batch.readings), [(e.index, e.reason) for e in batch.invalid]) == (1, [(0, "cell_count")])


@pytest.mark.parametrize(
    ("row", "field", "reason", "message"),
    [
        ("21.5,30,0,", "CO2", "missing", "CO2 is missing; CO2 is in ppm, from 200 to 40000"),
        (",,,", "Temperature", "missing", "Temperature is missing; "),
        ("21.5,30,0,x", "CO2", "not_a_number", 'CO2 is "x": expected a number; CO2 is in ppm'),
        ("true,30,0,500", "Temperature", "not_a_number", 'Temperature is "true": expected a number'),
        ("null,30,0,500", "Temperature", "not_a_number", 'Temperature is "null": expected a number'),
        ("21_5,30,0,500", "Temperature", "not_a_number", 'Temperature is "21_5"'),
        ("２１,30,0,500", "Temperature", "not_a_number", "expected a number"),
        ("0x15,30,0,500", "Temperature", "not_a_number", "expected a number"),
        ("2 1,30,0,500", "Temperature", "not_a_number", "expected a number"),
        ('"21,5",30,0,500', "Temperature", "not_a_number", 'Temperature is "21,5": expected a number'),
        ("21.5\u00a0,30,0,500", "Temperature", "not_a_number", "expected a number"),
        ("[21],30,0,500", "Temperature", "not_a_number", "expected a number"),
        ("NaN,30,0,500", "Temperature", "not_finite", "Temperature is NaN; Temperature is in °C"),
        ("21.5,30,-inf,500", "Light", "not_finite", "Light is -Infinity; "),
        ("21.5,30,1e999,500", "Light", "not_finite", "Light is Infinity; "),
        ("71.6,30,0,500", "Temperature", "out_of_range", "Temperature is 71.6; Temperature is in °C, from -40 to 60; is"),
        ("21.5,30,0", "body", "cell_count", f"expected {len(SENSORS)} values, found {len(SENSORS) - 1}"),
        ("21.5,30,0,500,1,2", "body", "cell_count", f"expected {len(SENSORS)} values, found {len(SENSORS) + 2}"),
        ('21.5,30,0,"500', "body", "not_csv", "the line is not CSV: unexpected end of data"),
        ('21.5,30,"0"1,500', "body", "not_csv", "the line is not CSV: ',' expected after"),
        ("21.5,30,0\r,500", "body", "not_csv", "the line is not CSV: new-line character"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_row_is_named_with_its_line(row: str, field: str, reason: str, message: str) -> None:
    batch = decode(table(ROW, "", row + MORE, ROW))
    assert len(batch.readings) == 2
    (error,) = batch.invalid
    assert (error.index, error.line, error.field, error.reason) == (1, 4, field, reason)
    assert str(error).startswith("reading 1 (line 4): ")
    assert message in str(error)


@pytest.mark.parametrize(
    ("column", "cell", "reason", "message"),
    [
        ("HumidityRatio", "4.7", "out_of_range", "HumidityRatio is 4.7; "),
        ("HumidityRatio", "null", "not_a_number", 'HumidityRatio is "null"'),
        ("room", "x" * 65, "not_a_text", "expected a printable text of 1 to 64 characters"),
        ("id", "a\x1b", "not_a_text", 'id is "a\\u001b"'),
        ("date", "04/02/2015 17:51", "not_a_date", 'date is "04/02/2015 17:51": expected ISO 8601, such as'),
        ("date", "20" * 21, "not_a_text", "expected an ISO 8601 date"),
    ],
)
def test_what_may_be_left_out_must_be_right_where_it_is_given(
    column: str, cell: str, reason: str, message: str
) -> None:
    batch = decode(table(f"{ROW},", f"{ROW},{cell}", header=f"{HEADER},{column}"))
    assert len(batch.readings) == 1
    (error,) = batch.invalid
    assert (error.index, error.line, error.field, error.reason) == (1, 3, column, reason)
    assert message in str(error)


def test_what_was_understood_of_a_refused_row_is_kept() -> None:
    (error,) = decode(table("21.5,x,0,9,A 1", header=f"{HEADER},room")).invalid
    assert (error.given, error.room) == ({"Temperature": 21.5, "Light": 0.0, "CO2": 9.0}, "A 1")


@pytest.mark.parametrize(
    ("text", "field", "reason", "message"),
    [
        ("", "body", "empty", "there is no reading: expected at least one"),
        ("\n \r\n", "body", "empty", "there is no reading"),
        (table(), "body", "empty", "there is no reading"),
        ("# only a comment\n", "body", "empty", "there is no reading"),
        (table(ROW, header="Temperature,Humidity,Light"), "CO2", "missing", "the header (line 1): CO2 is missing; CO2 is"),
        (table(ROW, header=f"{HEADER},lux"), "lux", "unknown", "the header (line 1): lux is not a field; the fields are"),
        (table(ROW, header=f"{HEADER},co2"), "co2", "unknown", "co2 is not a field"),
        (table(ROW, header=f"{HEADER},\x1bü"), "\\u001b\\u00fc", "unknown", "\\u001b\\u00fc is not a field"),
        (table(ROW, header=f"\n{HEADER},"), "body", "unknown", "the header (line 2): column 5 has no name"),
        (table(ROW, header=f"{HEADER},CO2"), "CO2", "duplicate", "the header (line 1): CO2 is given twice"),
        (table(ROW, header=f"{HEADER},Occupancy,Occupancy"), "Occupancy", "duplicate", "Occupancy is given twice"),
        (table(ROW, header=f'{HEADER},"'), "body", "not_csv", "the header (line 1): the line is not CSV: unexpected end"),
        (table(header=ROW), "body", "no_header", "the header (line 1) names no sensor: expected names between commas, such as Temp"),
        (table(header=HEADER.replace(",", ";")), "body", "no_header", "expected names between commas"),
        (LINE, "body", "not_csv", "expected names between commas, such as Temperature,Humidity,Light,CO2"),
        (table(ROW, ROW, ROW, ROW), "body", "too_many", "there are 4 readings: at most 3 in one request"),
        (table(ROW, f"{ROW}\xff").encode("latin-1"), "body", "not_utf8", "line 3 is not UTF-8; save the text as UTF-8"),
        (table(ROW).encode("utf-16"), "body", "not_utf8", "line 1 is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(text: str | bytes, field: str, reason: str, message: str) -> None:
    with pytest.raises(InvalidReading) as caught:
        decode(text, limit=3)
    error = caught.value
    assert (error.index, error.field, error.reason) == (None, field, reason)
    assert message in str(error)
    assert str(error).replace("°", "").isascii()


def test_a_quotation_mark_left_open_swallows_no_line() -> None:
    batch = decode(table(f'{ROW},"a', f'{ROW},b"', f"{ROW},c", header=f"{HEADER},id"))
    assert [r.id for r in batch.readings] == ['b"', "c"]
    assert [(e.index, e.reason) for e in batch.invalid] == [(0, "not_csv")]


def test_the_label_is_what_data_files_call_it() -> None:
    assert formats.LABEL == mapping.LABEL  # whose module loads what serving does without


# --- NDJSON


@pytest.mark.parametrize("text", [f"{LINE}\n{LINE}", f"\ufeff{LINE}\r\n\r\n{LINE}\r\n", f"\n {LINE}\t\n \n{LINE}\n\n"])
def test_lines_are_understood_in_all_their_spellings(text: str) -> None:
    assert decode(text, NDJSON, limit=2).readings == [READING] * 2


@pytest.mark.parametrize(
    ("line", "field", "reason", "message"),
    [
        ('{"CO2": 500}', "Temperature", "missing", "Temperature is missing; "),
        (LINE.replace("500", "9"), "CO2", "out_of_range", "CO2 is 9; "),
        (LINE.replace("500", "NaN"), "CO2", "not_finite", "CO2 is NaN; "),
        (LINE.replace("CO2", "co2"), "co2", "unknown", "co2 is not a field"),
        (LINE.replace('"Light": 0', '"CO2": 500'), "CO2", "duplicate", "CO2 is given twice"),
        (LINE.replace("500", '500, "date": "today"'), "date", "not_a_date", 'date is "today"'),
        ("[1]", "body", "not_an_object", "expected an object, got a list"),
        (f"[{LINE}]", "body", "not_an_object", "expected an object, got a list"),
        ("x", "body", "not_json", "the line is not JSON: Expecting value: column 1"),
        (f"{LINE}{LINE}", "body", "not_json", "the line is not JSON: Extra data"),
        (f"{LINE}\r{LINE}", "body", "not_json", "the line is not JSON: Extra data"),
        ("[" * 100_000, "body", "too_deep", "the line is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(line: str, field: str, reason: str, message: str) -> None:
    batch = decode(f"{LINE}\n\n{line}\n{LINE}\n", NDJSON)
    assert len(batch.readings) == 2
    (error,) = batch.invalid
    assert (error.index, error.line, error.field, error.reason) == (1, 3, field, reason)
    assert str(error).startswith("reading 1 (line 3): ")
    assert message in str(error)


def test_an_object_stands_in_one_line() -> None:
    batch = decode(f"{LINE} {LINE}\n{LINE[:20]}\n{LINE[20:]}", NDJSON)
    assert [error.index for error in batch.invalid] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "reason", "message"),
    [
        (b" \n", "empty", "there is no reading"),
        (f"{LINE}\n".encode() * 4, "too_many", "there are 4 readings: at most 3 in one request"),
        (f"{LINE}\n{LINE}\xff".encode("latin-1"), "not_utf8", "line 2 is not UTF-8"),
    ],
)
def test_what_is_wrong_with_all_lines_is_named(text: bytes, reason: str, message: str) -> None:
    with pytest.raises(InvalidReading, match=message) as caught:
        decode(text, NDJSON, limit=3)
    assert (caught.value.index, caught.value.field, caught.value.reason) == (None, "body", reason)


# --- in pieces


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (formats.read_csv, "\ufeff#\n#\n" + table(f"1,{ROW},", "", "x", *[f"{n},{ROW},1" for n in range(5)], header=f"{HEADER},Occupancy")),
        (formats.read_ndjson, "\n".join([LINE, "", "x", *[LINE] * 5])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_pieces_are_one_text(read: formats.Read, text: str, size: int) -> None:
    lines = text.encode().splitlines(keepends=True)
    pieces = [b"".join(lines[n : n + size]) for n in range(0, len(lines), size)]
    (whole,), parts = read([text.encode()], 7, BRUSSELS), list(read(pieces, 7, BRUSSELS))
    assert [r for part in parts for r in part.batch.readings] == whole.batch.readings
    assert [str(e) for part in parts for e in part.batch.invalid] == [str(e) for e in whole.batch.invalid]
    assert [line for part in parts for line in part.lines] == whole.lines
    with pytest.raises(InvalidReading, match="there are 7 readings: at most 6"):
        list(read([text.encode()], 6, BRUSSELS))


# --- the fast way and the slow way

numbers = st.sampled_from(
    ["", " ", "20", "+20", " 20\t", "020", ".5", "5.", "2e1", "1E+3", "-0", "1e999", "9" * 400, "nan", "-Infinity",
     "true", "null", "1_0", "２０", "1\u00a0", "--1", "1,2", "[1]", "e", ".", "20\r", "0x1F", "0.1000000000000000055511"]
) | st.floats().map(repr)  # fmt: skip
texts = st.sampled_from(["", " ", "a", 'a"b', "a,b", '"', "\\", "é", "x" * 65, "\u2028", "a\r", "a ", "null", "7"])
dates = st.sampled_from(["", "2015-02-04 17:51:00", "2015-02-04T17:51:00Z", "today", "0001-01-01T00:00:00+14:00"])
cells = {f.name: st.floats(f.low, f.high).map(repr) for f in FEATURES} | {"date": dates, "room": texts, "id": texts}
junk = {f.name: numbers for f in FEATURES} | {"Occupancy": texts}


@st.composite
def tables(draw: st.DrawFn) -> str:
    """Write a table, mostly good: columns in any order, cells quoted or not, rows with a row number or without."""
    optional = draw(st.lists(st.sampled_from(["HumidityRatio", "date", "room", "id", "Occupancy"]), unique=True))
    header = draw(st.permutations([*SENSORS, *optional]))
    numbered = draw(st.booleans())
    out = io.StringIO()
    quoting: Literal[0, 1] = csv.QUOTE_ALL if draw(st.booleans()) else csv.QUOTE_MINIMAL
    writer = csv.writer(out, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
    writer.writerow(header)
    for _ in range(draw(st.integers(0, 4))):
        odd = draw(st.sampled_from([None, *header]))
        row = [draw(junk.get(n, texts) if n == odd else cells.get(n, texts)) for n in header]
        writer.writerow([*(["1"] if numbered else []), *row, *(["x"] if draw(st.integers(0, 20)) == 9 else [])])
    return out.getvalue()


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Write lines of JSON, mostly good, sometimes with line breaks where none may be."""
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        pairs = [(name, json.dumps(draw(st.floats(f.low, f.high)))) for name, f in zip(SENSORS, FEATURES, strict=False)]
        pairs += draw(
            st.lists(st.tuples(st.sampled_from([*NAMES, "date", "room", "x"]), texts.map(json.dumps)), max_size=1)
        )
        lines.append("{" + draw(st.sampled_from([", "] * 9 + [",\n"])).join(f'"{n}": {v}' for n, v in pairs) + "}")
    return draw(st.sampled_from(["\n"] * 8 + ["\r\n", "\n\n", " ", ","])).join(lines)


def outcome(text: str, media_type: str) -> Any:
    try:
        batch = decode(text, media_type, limit=3)
    except InvalidReading as error:
        return error.field, error.reason, str(error)
    messages = [str(bad) for bad in batch.invalid]
    assert all(len(m) <= 400 and m.replace("°", "").isascii() and m.isprintable() for m in messages)
    assert sorted(bad.index or 0 for bad in batch.invalid) == [bad.index or 0 for bad in batch.invalid]
    return batch.readings, batch.times, messages


def slow_outcome(text: str, media_type: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats._Columns, "quick", no_way)
        patch.setattr(formats, "_quick_objects", no_way)
        return outcome(text, media_type)


def no_way(*_: Any) -> list[Reading]:
    raise ValueError


@given(tables() | st.text() | st.text().map(lambda t: f"{HEADER}\n{t}"))
@example(table("1,2,[3,4]", header=HEADER))
@example(table('"1],[2",30,0,500'))
@example(table(f"{ROW},", f"{ROW},0.005", header=f"{HEADER},HumidityRatio"))
def test_the_fast_way_takes_the_tables_that_the_slow_way_takes(text: str) -> None:
    assert outcome(text, CSV) == slow_outcome(text, CSV)


@given(objects() | st.text())
@example(f"{LINE}{LINE}\n{LINE[:20]}\n{LINE[20:]}")
def test_the_fast_way_takes_the_lines_that_the_slow_way_takes(text: str) -> None:
    assert outcome(text, NDJSON) == slow_outcome(text, NDJSON)


@given(st.binary(), st.sampled_from([CSV, NDJSON]))
def test_nothing_else_is_ever_raised(body: bytes, media_type: str) -> None:
    try:
        decode(body, media_type)
    except InvalidReading:
        return


def test_the_fast_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(reading, "check")
    header = f"date,{HEADER},HumidityRatio,room,Occupancy"
    rows = [f'"{n}","2015-02-04 17:51:00",{ROW},0.0047,é,1' for n in range(3)] + [f"3,,{ROW},,,0"]
    assert len(decode(table(*rows, header=header)).readings) == 4
    assert len(decode(f"{LINE}\r\n\r\n {LINE}", NDJSON).readings) == 2
