from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occupancy import dataset
from occupancy.dataset import BadRow, Dataset, InvalidDataset, MixedData, TooManyBadRows, read
from occupancy.humidity import humidity_ratio
from occupancy.mapping import ColumnMapping, load_mapping
from occupancy.reading import NAMES, typical

HEADER = f"date,{','.join(NAMES)},Occupancy"
RATIO = humidity_ratio(21.5, 30)
Write = Callable[..., Path]


def row(i: int, step: int = 60) -> str:
    when = datetime(2015, 2, 4, 12) + timedelta(seconds=step * i)
    given = typical(Temperature=21.5, Humidity=30, Light=400 * (i % 2), CO2=500, HumidityRatio=f"{RATIO:.8f}")
    return f"{when},{','.join(str(given[name]) for name in NAMES)},{i % 2}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(rows: list[str], header: str = HEADER, end: str = "\n") -> Path:
        path = tmp_path / "room.csv"
        path.write_bytes((end.join([header, *rows]) + end).encode())
        return path

    return write


def rows(n: int = 40, /, **changes: str) -> list[str]:
    """Good rows, the tenth (line 12) changed."""
    cells = dict(zip(HEADER.split(","), row(10).split(","), strict=True)) | changes
    return [row(i) if i != 10 else ",".join(cells.values()) for i in range(n)]


# --- what is read


@pytest.mark.real_data
def test_the_real_files_are_read_whole(training_path: Path, test_path: Path) -> None:
    for path, count, occupied in ((training_path, 8143, 1729), (test_path, 2665, 972)):
        data = read(path)
        assert (len(data.frame), data.quarantine, data.simulated) == (count, [], False)
        assert data.values.shape == (count, 5)
        assert data.values.dtype == np.float32
        assert data.label.sum() == occupied
    assert read(training_path).day.unique().tolist() == [f"2015-02-{day:02}" for day in range(4, 11)]


def test_columns_come_in_the_order_of_the_contract_whatever_the_files(write: Write) -> None:
    header = "Occupancy,CO2,extra,HumidityRatio,Light,date,Humidity,Temperature"
    data = read(write([f"{i % 2},500,?,{RATIO},100,2015-02-04 12:0{i},30,21.5" for i in range(4)], header))
    assert list(data.frame.columns) == ["date", *NAMES, "Occupancy"]
    assert data.values[0].tolist() == pytest.approx([21.5, 30, 100, 500, RATIO])
    assert data.frame["date"].iloc[0] == datetime(2015, 2, 4, 11, tzinfo=UTC)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", "\n  \n", "\n# a remark\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_every_way_to_write_it_gives_the_same(write: Write, end: str, bom: str, quoted: bool, numbered: bool) -> None:
    lines = [HEADER, *([f"{i + 1},{row(i)}" for i in range(4)] if numbered else map(row, range(4)))]
    if quoted:
        lines = [", ".join(f'"{cell}"' for cell in line.split(",")) for line in lines]
    data = read(write(lines[1:], bom + lines[0], end))
    assert data.quarantine == []
    assert data.frame.equals(read(write([row(i) for i in range(4)])).frame)


def test_a_humidity_ratio_left_out_is_computed(write: Write) -> None:
    header = HEADER.replace("HumidityRatio", "other")
    assert read(write(rows(), header)).frame["HumidityRatio"].tolist() == [humidity_ratio(21.5, 30)] * 40
    one_empty = read(write(rows(HumidityRatio=" ", Temperature="25")))
    assert one_empty.quarantine == []
    given = float(f"{RATIO:.8f}")
    assert one_empty.frame["HumidityRatio"].tolist() == [given] * 10 + [humidity_ratio(25, 30)] + [given] * 29


@pytest.mark.parametrize("step", [1, 60, 900])
def test_any_sampling_is_read(write: Write, step: int) -> None:
    assert len(read(write([row(i, step) for i in range(500)])).frame) == 500


# --- bad rows


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CO2": ""}, "CO2 is missing"),
        ({"HumidityRatio": "?"}, "HumidityRatio is '?', not a number"),
        ({"HumidityRatio": "", "Humidity": ""}, "Humidity is missing"),
        ({"Temperature": "warm"}, "Temperature is 'warm', not a number"),
        ({"Temperature": "21\x00"}, "Temperature is '21\\x00', not a number"),
        ({"Light": "x" * 99}, f"Light is '{'x' * 37}...', not a number"),
        ({"Light": "nan"}, "Light is 'nan', not a number"),
        ({"Light": "inf"}, "Light is inf lux, expected 0 to 150000"),
        ({"CO2": "1e999"}, "CO2 is inf ppm, expected 200 to 40000"),
        ({"Temperature": "70.7"}, "Temperature is 70.7 °C, expected -40 to 60"),
        ({"Humidity": "-1"}, "Humidity is -1 %, expected 0 to 100"),
        ({"HumidityRatio": "0.005"}, "HumidityRatio is 0.005, but Temperature and Humidity at sea level give 0.0047"),
        ({"Occupancy": "2"}, "Occupancy is '2', expected one of 0, 1"),
        ({"Occupancy": ""}, "Occupancy is '', expected one of 0, 1"),
        ({"date": "yesterday"}, "date is 'yesterday', not a time of Europe/Brussels in ISO 8601"),
        ({"date": "2015"}, "date is '2015', not a time"),
        ({"date": "0001-01-01"}, "date is '0001-01-01', not a time"),
        ({"date": "9999-12-31T23:59:59-12:00"}, "date is '9999-12-31T23:59:59-12:00', not a time"),
        (
            {"date": "2015-02-04 12:05:30"},
            "time goes backwards: the rows around date '2015-02-04 12:05:30' are in order",
        ),
        ({"date": "2099-01-01"}, "time goes backwards: the rows around date '2099-01-01' are in order without it"),
        ({"date": "2015-02-04 12:09:00"}, "same time as another row"),
        ({"Occupancy": "1,1"}, "expected 7 fields, found 8"),
        ({"date": '"2015-02-04 12:10:00'}, "expected 7 fields, found 1"),
        ({"Light": f'"{"1" * 200_000}"'}, "not CSV: field larger than field limit (131072)"),
    ],
)
def test_a_bad_row_is_left_out_with_line_and_reason(write: Write, changes: dict[str, str], reason: str) -> None:
    path = write(rows(**changes))
    data = read(path)
    (bad,) = data.quarantine
    assert (bad.file, bad.line) == (str(path), 12)
    assert reason in bad.reason
    assert bad.text == rows(**changes)[10][:200]
    assert len(data.frame) == 39
    assert data.frame["date"].is_monotonic_increasing


def test_lines_are_the_files_own_and_in_order(write: Write) -> None:
    lines = [*rows(60, CO2="?"), "", "# a remark", "1,2", row(99), row(98)]
    assert [(bad.line, bad.reason[:8]) for bad in read(write(lines)).quarantine] == [
        (12, "CO2 is '"),
        (64, "expected"),
        (65, "time goe"),
    ]


def test_the_first_row_does_not_decide_how_wide_rows_are(write: Write) -> None:
    lines = [f"{i},{row(i)}" for i in range(40)]
    (bad,) = read(write([row(0), *lines[1:]])).quarantine
    assert (bad.line, bad.reason) == (2, "expected 8 fields, found 7")


def test_of_rows_at_one_time_the_first_stays(write: Write) -> None:
    assert read(write([*rows(), rows()[-1].replace(",500,", ",600,")])).frame["CO2"].max() == 500


@given(st.lists(st.integers(0, 12), max_size=12))
def test_the_most_rows_stay_whose_time_moves_forward(times: list[int]) -> None:
    array = np.array(times, dtype=np.int64)
    kept = array[dataset._in_order(array)]
    assert (np.diff(kept) > 0).all()
    longest = [0] * len(times)  # the same by the definition, in quadratic time
    for i, time in enumerate(times):
        longest[i] = 1 + max((longest[j] for j in range(i) if times[j] < time), default=0)
    assert len(kept) == max(longest, default=0)


def test_the_quarantine_is_written_as_csv() -> None:
    text = dataset.quarantine_csv([BadRow("a.csv", 3, "CO2 is missing", '"x",1')])
    assert text.splitlines() == ["file,line,reason,row", 'a.csv,3,CO2 is missing,"""x"",1"']


# --- bad files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ":1: column date, Temperature, Humidity, Light, CO2, Occupancy is missing; the header has nothing"),
        (b"# made by hand\n\n", ":1: column date, Temperature"),
        (
            f"# a remark\n{HEADER.replace('CO2', 'co2')}\n".encode(),
            ":2: column CO2 is missing; the header has 'date,Temp",
        ),
        (f"{HEADER},CO2\n".encode(), ":1: column CO2 stands twice in the header"),
        (f"{HEADER}\n".encode(), ":2: no rows after the header"),
        (f"{HEADER}\n{row(0)}\n\xff".encode("latin-1"), ":3: not UTF-8 text; expected a CSV file"),
        (
            "\n".join([HEADER, *(row(2 * i) for i in range(9))]).encode(),
            ": every row is empty; expected readings of both",
        ),
        ("\n".join([HEADER, *(row(2 * i + 1) for i in range(9))]).encode(), ": every row is occupied; expected"),
        (
            f"{HEADER}\n?{row(0)}\n".encode(),
            ":2: 1 of 1 rows can't be believed (at most 5% may be bad); the first: date is",
        ),
    ],
)
def test_a_file_of_no_use_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidDataset) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidDataset, match=r"none\.csv: No such file or directory; `make data` fetches the real data"
    ):
        read(tmp_path / "none.csv")
    with pytest.raises(InvalidDataset, match=r": Is a directory$"):
        read(tmp_path)


def test_one_bad_row_in_twenty_is_borne_and_no_more(write: Write) -> None:
    good = rows()[:38]
    assert len(read(write([*good, "1,2", "3,4"])).quarantine) == 2
    with pytest.raises(TooManyBadRows, match=r":40: 3 of 41 rows can't be believed \(at most 5% ") as caught:
        read(write([*good, "1,2", "3,4", "5,6"]))
    assert [bad.line for bad in caught.value.quarantine] == [40, 41, 42]


# --- a user's own file


MAPPING = """
columns: {date: time, Temperature: temp_f, Humidity: rh, Light: lux, CO2: co2, Occupancy: busy}
temperature_unit: °F
timezone: America/New_York
occupied: [yes, 1]
empty: [no, 0]
"""


def test_a_file_of_ones_own_is_read_through_a_mapping(tmp_path: Path, write: Write) -> None:
    own = ["2015-07-01T12:00,70.7,30,0,500,99,no", "2015-07-01T12:01-04:00,70.7,30,0,500,99,yes"]
    path = write(own, "time,temp_f,rh,lux,co2,Temperature,busy")  # their Temperature is none of ours
    mapping = tmp_path / "own mapping.yaml"
    mapping.write_text(MAPPING, "utf-8")
    data = read(path, load_mapping(str(mapping)))
    assert data.quarantine == []
    assert data.values[0].tolist() == pytest.approx([21.5, 30, 0, 500, RATIO])
    assert data.label.tolist() == [0, 1]
    assert data.frame["date"].tolist() == [datetime(2015, 7, 1, 16, m, tzinfo=UTC) for m in (0, 1)]
    assert (data.timezone, data.day.iloc[0]) == ("America/New_York", "2015-07-01")


def test_names_can_be_swapped(write: Write) -> None:
    swapped = ColumnMapping(columns={"Temperature": "Humidity", "Humidity": "Temperature"})
    header = HEADER.replace("Temperature,Humidity", "Humidity,Temperature")
    assert read(write(rows(), header), swapped).frame["Temperature"].max() == 21.5


def test_a_ratio_asked_for_must_be_there(write: Write) -> None:
    with pytest.raises(InvalidDataset, match="column hr is missing"):
        read(write(rows()), ColumnMapping(columns={"HumidityRatio": "hr"}))


def test_when_clocks_change_only_dates_with_an_offset_are_believed(write: Write) -> None:
    clock = [f"2015-10-25 0{h}:{m:02}" for h in (1, 2, 3) for m in range(0, 60, 10)]
    lines = [f"{when},{row(i).partition(',')[2]}" for i, when in enumerate(clock)]
    many = [row(i) for i in range(200)]
    assert [bad.line for bad in read(write([*many, *lines])).quarantine] == [*range(208, 214)]
    lines[6:12] = [line.replace(",", f"{offset},", 1) for offset in ("+02:00", "+0100") for line in lines[6:12]]
    data = read(write([*many, *lines]))
    assert data.quarantine == []
    assert data.frame["date"].iloc[200:].diff().iloc[1:].unique().tolist() == [timedelta(minutes=10)]
    never = read(write([*many, lines[0].replace("2015-10-25 01", "2015-03-29 02")])).quarantine
    assert "(when clocks change, an offset is needed)" in never[0].reason


# --- several rooms


def in_rooms(names: list[str], count: int = 30) -> list[str]:
    return [f"{row(i)},{name}" for i in range(count) for name in names]


def test_rooms_may_share_their_minutes(write: Write) -> None:
    data = read(write(in_rooms(["lab", "attic"]), f"{HEADER},room"))
    assert data.quarantine == []
    assert list(data.frame.columns) == ["date", *NAMES, "Occupancy", "room"]
    assert data.room.tolist() == ["lab", "attic"] * 30
    one_after_the_other = [f"{row(i)},{name}" for name in ("lab", "attic") for i in range(30)]
    apart = read(write(one_after_the_other, f"{HEADER},room"))
    assert apart.quarantine == []
    assert (
        apart.frame[apart.room == "lab"]
        .reset_index(drop=True)
        .equals(data.frame[data.room == "lab"].reset_index(drop=True))
    )


def test_within_a_room_time_moves_forward(write: Write) -> None:
    lines = in_rooms(["lab", "attic"])
    lines += [lines[20], lines[-1]]  # lab's tenth minute, and attic's last, again
    data = read(write(lines, f"{HEADER},room"))
    assert [bad.line for bad in data.quarantine] == [62, 63]
    assert {bad.reason for bad in data.quarantine} == {"same time as another row"}
    back = f"{row(5, 61)},lab"
    (bad,) = read(write([*in_rooms(["lab", "attic"]), back], f"{HEADER},room")).quarantine
    assert bad.reason.startswith("time goes backwards")


def test_a_file_without_rooms_has_none(write: Write) -> None:
    data = read(write(rows()))
    assert "room" not in data.frame
    assert data.room.tolist() == [""] * 40


def test_the_room_has_the_name_that_the_mapping_gives_it(write: Write) -> None:
    path = write(in_rooms(["4.12", ""]), f"{HEADER},place")
    data = read(path, ColumnMapping(columns={"room": "place"}))
    assert data.room.tolist() == ["4.12", ""] * 30  # a text, whatever it looks like
    with pytest.raises(InvalidDataset, match="column office is missing"):
        read(path, ColumnMapping(columns={"room": "office"}))
    busy = read(write(rows(), HEADER.replace("Occupancy", "room")), ColumnMapping(columns={"Occupancy": "room"}))
    assert "room" not in busy.frame  # it says who is there, not where


# --- real and simulated


def test_real_and_simulated_data_do_not_mix(write: Write) -> None:
    real = read(write(rows()))
    assert not dataset.refuse_mixture([real, real])
    simulated: Dataset = replace(
        read(write([*rows()[:20], f"{dataset.SIMULATED} room", *rows()[20:]])), path="made.csv"
    )
    assert simulated.simulated  # whatever line says so
    assert dataset.refuse_mixture(iter([simulated]))
    with pytest.raises(MixedData, match=r"^made\.csv is SIMULATED and .*room\.csv is not"):
        dataset.refuse_mixture([real, simulated])
