"""Reading data files: the only place that knows the file format's quirks.

`read(path)` gives the rows that can be believed and, beside them, each row that can't, with line number and reason.
"""

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import numpy as np
import pandas as pd
import yaml
from msgspec import Meta

from occupancy.errors import InputError
from occupancy.reading import DERIVED, FEATURES, NAMES, humidity_ratio

LABEL = "Occupancy"
DATE = "date"
SIMULATED = "# SIMULATED"  # how the first line of a file of our own making begins
MAX_BAD_SHARE = 0.05
RATIO_TOLERANCE = 0.02  # relative; the data set agrees to 0.002 %, a temperature half a degree off moves it by 3 %


class InvalidDataset(InputError):
    """A data file can't be used: it is missing, unreadable, lacks a column, or too little of it can be believed."""


class InvalidMapping(InputError):
    """A mapping file has an unknown key, an ill-typed value or an unknown time zone."""


class MixedData(InputError):
    """One run was given real data and simulated data."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a user's own CSV names and measures things; the defaults are the UCI file's own ways."""

    columns: Annotated[dict[str, str], Meta(description="our name: the file's column name")] = {}
    temperature_unit: Annotated[str, Meta(pattern="^(°C|°F|C|F)$", description="°C or °F")] = "°C"
    timezone: Annotated[str, Meta(description="IANA zone of dates without an offset")] = "Europe/Brussels"
    occupied: Annotated[list[str], Meta(description="texts that mean occupied")] = ["1"]
    empty: Annotated[list[str], Meta(description="texts that mean empty")] = ["0"]

    def column(self, name: str) -> str:
        """Give the file's name for one of our columns."""
        return self.columns.get(name, name)


def load_mapping(path: str) -> Mapping:
    """Read a mapping file (YAML); an empty path gives the UCI files' own mapping."""
    if not path:
        return Mapping()
    try:
        mapping = msgspec.convert(yaml.safe_load(Path(path).read_text("utf-8")) or {}, Mapping)
    except OSError as error:
        raise InvalidMapping(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InvalidMapping(f"{path}: {error}; see the mapping example in data/README.md") from None
    unknown = set(mapping.columns) - {*NAMES, LABEL, DATE}
    if unknown:
        raise InvalidMapping(f"{path}: columns names {', '.join(sorted(unknown))}, which is none of ours: "
                             f"{', '.join((DATE, *NAMES, LABEL))}")  # fmt: skip
    zone(mapping.timezone, path)
    return mapping


def zone(name: str, where: str) -> ZoneInfo:
    """Find a time zone by its IANA name; raises InvalidMapping that says where the name was given."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidMapping(f"{where}: {name!r} is not a time zone: expected an IANA name such as Europe/Brussels") from None


@dataclass(frozen=True)
class BadRow:
    """A row that can't be believed."""

    file: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True)
class Dataset:
    """A data file as the rest of the project knows it.

    `frame`: one row a reading: `date` (with the room's time zone), the sensors in the contract's order and units, and
    the label as 0 or 1. `quarantine`: the rows left out. `sha256`: of the file's bytes.
    """

    path: str
    frame: pd.DataFrame
    quarantine: list[BadRow]
    sha256: str
    simulated: bool
    timezone: str

    @property
    def values(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The sensors as float32 of shape (rows, 5), in the contract's order."""
        return self.frame[list(NAMES)].to_numpy(np.float32)

    @property
    def label(self) -> np.ndarray[Any, np.dtype[np.int8]]:
        """The truth, shape (rows,): 1 occupied, 0 empty."""
        return self.frame[LABEL].to_numpy(np.int8)

    @property
    def day(self) -> pd.Series:
        """The room's local calendar date of each row, as text such as 2015-02-04."""
        return self.frame[DATE].dt.strftime("%Y-%m-%d")


def read(path: str | Path, mapping: Mapping | None = None) -> Dataset:
    """Read a data file, UCI's format or a user's own CSV with its mapping.

    Rows that can't be believed are left out and listed in `quarantine`. Raises InvalidDataset, naming file and line,
    when the file or a column is missing, none or fewer than 95 % of the rows are left, or only one class is.
    """
    mapping = mapping or Mapping()
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        advice = "; `make data` fetches the real data" if isinstance(error, FileNotFoundError) else ""
        raise InvalidDataset(f"{name}: {error.strerror}{advice}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InvalidDataset(f"{name}:{line}: not UTF-8 text; expected a CSV file") from None
    table, lines, malformed = _rows(name, text, mapping)
    frame, reasons = _check(table, mapping)
    bad = [BadRow(name, n, r, t) for n, t, r in malformed]
    bad += [
        BadRow(name, line, reason, ",".join(map(str, row)))
        for line, reason, row in zip(lines, reasons, table.itertuples(index=False), strict=True)
        if reason
    ]
    bad.sort(key=lambda row: row.line)
    good = frame[[not reason for reason in reasons]].reset_index(drop=True)
    dataset = Dataset(
        name, good, bad, hashlib.sha256(raw).hexdigest(), text.startswith(SIMULATED), mapping.timezone
    )  # fmt: skip
    _refuse_hopeless(dataset)
    return dataset


class TooManyBadRows(InvalidDataset):
    """More of a file than a twentieth can't be believed; `quarantine` holds the rows."""

    def __init__(self, message: str, quarantine: list[BadRow]) -> None:
        """Keep the rows, so that the caller can write them where a person finds them."""
        super().__init__(message)
        self.quarantine = quarantine


def _refuse_hopeless(dataset: Dataset) -> None:
    bad, good = len(dataset.quarantine), len(dataset.frame)
    if not bad + good:
        raise InvalidDataset(f"{dataset.path}:2: no rows after the header; expected one reading a line")
    if not good or bad > MAX_BAD_SHARE * (bad + good):
        first = dataset.quarantine[0]
        raise TooManyBadRows(
            f"{dataset.path}:{first.line}: {bad} of {bad + good} rows can't be believed (at most {MAX_BAD_SHARE:.0%} may be); "
            f"the first: {first.reason}",
            dataset.quarantine,
        )
    if dataset.frame[LABEL].nunique() < 2:
        only = "occupied" if dataset.frame[LABEL].iloc[0] else "empty"
        raise InvalidDataset(f"{dataset.path}: every row is {only}; expected readings of both an empty and an occupied room")


def _rows(name: str, text: str, mapping: Mapping) -> tuple[pd.DataFrame, list[int], list[tuple[int, str, str]]]:
    """Split the text into a frame of texts with our column names, the line of each row, and the malformed rows.

    The UCI files' header is one name shorter than their rows, which begin with a row number.
    """
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    malformed: list[tuple[int, str, str]] = []
    width = 0
    try:
        for row in reader:
            if not row or row[0].startswith("#"):
                continue
            if not header:
                header = [cell.strip() for cell in row]
                continue
            width = width or (len(row) if len(row) == len(header) + 1 else len(header))
            if len(row) == width:
                rows.append(row[width - len(header) :])
                lines.append(reader.line_num)
            else:
                malformed.append((reader.line_num, ",".join(row), f"expected {width} fields, found {len(row)}"))
    except csv.Error as error:
        raise InvalidDataset(f"{name}:{reader.line_num}: {error}; expected a CSV file") from None
    wanted = {ours: mapping.column(ours) for ours in (DATE, *NAMES, LABEL)}
    missing = [theirs for ours, theirs in wanted.items() if theirs not in header and ours != DERIVED]
    if missing:
        raise InvalidDataset(
            f"{name}:1: column {', '.join(missing)} is missing; the header has {', '.join(header) or 'nothing'}. "
            "A file with other names needs a mapping (DATA_MAPPING)"
        )
    frame = pd.DataFrame(rows, columns=pd.Index(header), dtype=object)
    return frame.rename(columns={v: k for k, v in wanted.items()}), lines, malformed


def _check(table: pd.DataFrame, mapping: Mapping) -> tuple[pd.DataFrame, list[str]]:
    """Turn texts into numbers, dates and labels; beside each row stands why it can't be believed, or an empty text."""
    reasons = pd.Series([""] * len(table), dtype=object)

    def refuse(which: pd.Series, why: Iterable[str] | str) -> None:
        texts = pd.Series([why] * len(table) if isinstance(why, str) else list(why), dtype=object)
        rows = which.to_numpy(bool) & (reasons == "").to_numpy(bool)
        reasons[rows] = texts[rows]

    frame = pd.DataFrame(index=table.index)
    present = [f for f in FEATURES if f.name in table]
    for feature in present:
        text = table[feature.name].str.strip()
        number = pd.to_numeric(text, errors="coerce").astype(float)
        if feature.name == "Temperature" and mapping.temperature_unit.endswith("F"):
            number = (number - 32) / 1.8
        refuse(text == "", f"{feature.name} is missing")
        refuse(number.isna(), [f"{feature.name} is {t!r}, not a number" for t in text])
        outside = ~number.between(feature.low, feature.high)
        expected = f"{feature.unit}, from {feature.low:g} to {feature.high:g}"
        refuse(outside, [f"{feature.name} is {n:g} {expected}" if o else "" for n, o in zip(number, outside, strict=True)])
        frame[feature.name] = number
    computed = pd.Series(
        [humidity_ratio(t, h) if -40 <= t <= 60 else np.nan for t, h in zip(frame.Temperature, frame.Humidity, strict=True)]
    )
    if DERIVED not in frame:
        frame[DERIVED] = computed
    contradicts = (frame[DERIVED] - computed).abs() > RATIO_TOLERANCE * computed.abs()
    refuse(contradicts, [f"{DERIVED} is {r:.6g}, but Temperature and Humidity give {c:.6g}"
                         for r, c in zip(frame[DERIVED], computed, strict=True)])  # fmt: skip
    label = table[LABEL].str.strip()
    frame[LABEL] = label.isin(mapping.occupied).astype(int)
    allowed = [*mapping.empty, *mapping.occupied]
    refuse(~label.isin(allowed), [f"{LABEL} is {t!r}, expected one of {', '.join(allowed)}" for t in label])
    frame.insert(0, DATE, _dates(table[DATE].str.strip(), mapping.timezone))
    refuse(frame[DATE].isna(), [f"{DATE} is {t!r}, not a time of {mapping.timezone} in ISO 8601 "
                                "(when clocks change, an offset is needed)" for t in table[DATE]])  # fmt: skip
    believed = frame[DATE].where(reasons == "")
    before = believed.cummax().shift()
    before = before.ffill()
    refuse(believed < before, "time goes backwards")
    refuse(believed == before, "same time as the row before")
    return frame, list(reasons)


def _dates(text: pd.Series, timezone: str) -> pd.Series:
    """Parse ISO 8601 dates; one without an offset is local time; what can't be parsed, or is ambiguous, becomes NaT."""
    offset = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", na=False)
    aware = pd.to_datetime(text.where(offset), errors="coerce", utc=True, format="ISO8601").dt.tz_convert(timezone)
    local = pd.to_datetime(text.where(~offset), errors="coerce", format="ISO8601")
    return aware.fillna(local.dt.tz_localize(timezone, ambiguous="NaT", nonexistent="NaT"))


def refuse_mixture(datasets: Iterable[Dataset]) -> bool:
    """Tell whether the data is simulated; raises MixedData if some is and some is not."""
    datasets = list(datasets)
    simulated = [d.path for d in datasets if d.simulated]
    real = [d.path for d in datasets if not d.simulated]
    if simulated and real:
        raise MixedData(
            f"{simulated[0]} is SIMULATED and {real[0]} is not; a model of both would mean nothing. "
            "`make data` fetches the real files"
        )
    return bool(simulated)


def quarantine_csv(rows: Iterable[BadRow]) -> str:
    """Write the rows left out as CSV: file, line, reason, row."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["file", "line", "reason", "row"])
    writer.writerows([r.file, r.line, r.reason, r.text] for r in rows)
    return out.getvalue()
