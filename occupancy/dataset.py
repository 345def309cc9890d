"""Reading data files: the only place that knows the file format's quirks.

`read(path)` gives the rows that can be believed and, beside them, each row that can't, with line number and reason.
"""

import csv
import hashlib
import io
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from occupancy.errors import InputError
from occupancy.humidity import humidity_ratio
from occupancy.mapping import COLUMNS, DATE, LABEL, ROOM, ColumnMapping, zone
from occupancy.reading import DERIVED, FEATURES, NAMES, Feature

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

TRAINING, TEST = "datatraining.txt", "datatest.txt"  # what the UCI set calls them
SIMULATED_PREFIX = "simulated-"  # of the files that stand in for them
SIMULATED = "# SIMULATED"  # how a line begins that marks a file of our own making
MAX_BAD_SHARE = 0.05
RATIO_TOLERANCE = 0.02  # relative; the data set agrees to 0.002 %, a temperature half a degree off moves it by 3 %


@dataclass(frozen=True)
class BadRow:
    """A row that can't be believed."""

    file: str
    line: int
    reason: str
    text: str


class InvalidDataset(InputError):
    """A data file can't be used: it is missing, unreadable, lacks a column, or too little of it can be believed."""


class TooManyBadRows(InvalidDataset):
    """More of a file than a twentieth can't be believed; `quarantine` holds the rows."""

    def __init__(self, message: str, quarantine: list[BadRow]) -> None:
        """Keep the rows, so that the caller can write them where a person finds them."""
        super().__init__(message)
        self.quarantine = quarantine


class MixedData(InputError):
    """One run was given real data and simulated data."""


@dataclass(frozen=True)
class Dataset:
    """A data file as the rest of the project knows it.

    `frame`: one row a reading: `date` (with the room's time zone), the sensors in the contract's order and units, and
    the label as 0 or 1, and `room` as text where the file has that column; in order of time within a room. `quarantine`:
    the rows left out. `sha256`: of the file's bytes.
    """

    path: str
    frame: pd.DataFrame
    quarantine: list[BadRow]
    sha256: str
    simulated: bool
    timezone: str

    @property
    def values(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The sensors as float32 of shape (rows, sensors), in the contract's order."""
        return self.frame[list(NAMES)].to_numpy(np.float32)

    @property
    def label(self) -> np.ndarray[Any, np.dtype[np.int8]]:
        """The truth, shape (rows,): 1 occupied, 0 empty."""
        return self.frame[LABEL].to_numpy(np.int8)

    @property
    def room(self) -> np.ndarray[Any, np.dtype[np.object_]]:
        """The room of each row as text, shape (rows,); empty texts where the file names none."""
        if ROOM in self.frame:
            return self.frame[ROOM].to_numpy(object)
        return np.full(len(self.frame), "", object)

    @property
    def day(self) -> pd.Series:
        """The room's local calendar date of each row, as text such as 2015-02-04."""
        day: pd.Series = self.frame[DATE].dt.strftime("%Y-%m-%d")
        return day


def read(path: str | Path, mapping: ColumnMapping | None = None) -> Dataset:
    """Read a data file, UCI's format or a user's own CSV with its mapping.

    Rows that can't be believed are left out and listed in `quarantine`. Raises InvalidDataset, naming file and line,
    when the file or a column is missing, none or fewer than 95 % of the rows are left, or only one class is.
    """
    mapping = mapping or ColumnMapping()
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
    source = list(io.StringIO(text, newline=None))  # whatever ends a line: LF, CRLF or CR
    columns, lines, wrong = _rows(name, source, mapping)
    frame, reasons = _check(columns, mapping, zone(mapping.timezone, name))
    wrong += [(line, reason) for line, reason in zip(lines, reasons, strict=True) if reason]
    dataset = Dataset(
        path=name,
        frame=frame[[not reason for reason in reasons]].reset_index(drop=True),
        quarantine=[BadRow(name, line, why, source[line - 1].rstrip("\n")[:200]) for line, why in sorted(wrong)],
        sha256=hashlib.sha256(raw).hexdigest(),
        simulated=any(line.startswith(SIMULATED) for line in source),
        timezone=mapping.timezone,
    )
    _refuse_hopeless(dataset)
    return dataset


def _refuse_hopeless(dataset: Dataset) -> None:
    bad, good = len(dataset.quarantine), len(dataset.frame)
    if not bad + good:
        raise InvalidDataset(f"{dataset.path}:2: no rows after the header; expected one reading a line")
    if not good or bad > MAX_BAD_SHARE * (bad + good):
        first = dataset.quarantine[0]
        raise TooManyBadRows(
            f"{dataset.path}:{first.line}: {bad} of {bad + good} rows can't be believed "
            f"(at most {MAX_BAD_SHARE:.0%} may be bad); the first: {first.reason}",
            dataset.quarantine,
        )
    if dataset.frame[LABEL].nunique() < 2:
        only = "occupied" if dataset.frame[LABEL].iloc[0] else "empty"
        raise InvalidDataset(
            f"{dataset.path}: every row is {only}; expected readings of both an empty and an occupied room"
        )


def _rows(
    name: str, source: list[str], mapping: ColumnMapping
) -> tuple[dict[str, list[str]], list[int], list[tuple[int, str]]]:
    """Split a file's lines into our columns as texts; gives also the line of each row, and the malformed lines.

    A line is a row: no quotation mark left open can swallow the lines after it. The UCI files' header is one name
    shorter than their rows, which begin with a row number.
    """
    start, header = 1, tuple[str, ...]()
    rows: list[tuple[str, ...]] = []  # tuples of texts: the garbage collector leaves a million of them alone
    lines: list[int] = []
    wrong: list[tuple[int, str]] = []
    for line, text in enumerate(source, 1):
        if text.startswith("#") or not text.strip():
            continue
        try:
            cells = next(csv.reader([text], skipinitialspace=True)) if '"' in text else text.split(",")
        except csv.Error as error:
            wrong.append((line, f"not CSV: {error}"))
            continue
        if header:
            rows.append(tuple(cell.strip() for cell in cells))
            lines.append(line)
        else:
            start, header = line, tuple(cell.strip() for cell in cells)
    wanted = {ours: mapping.column(ours) for ours in COLUMNS}
    if DERIVED not in header and DERIVED not in mapping.columns:
        del wanted[DERIVED]
    if ROOM in mapping.columns or (ROOM in header and ROOM not in wanted.values()):
        wanted[ROOM] = mapping.column(ROOM)
    if missing := [theirs for theirs in wanted.values() if theirs not in header]:
        found = repr(_short(",".join(header), 200)) if header else "nothing"
        raise InvalidDataset(
            f"{name}:{start}: column {', '.join(missing)} is missing; the header has {found}. "
            "A file with other names needs a mapping (DATA_MAPPING)"
        )
    if twice := [theirs for theirs in wanted.values() if header.count(theirs) > 1]:
        raise InvalidDataset(f"{name}:{start}: column {twice[0]} stands twice in the header; expected it once")
    widths = Counter(map(len, rows))
    numbered = widths[len(header) + 1] > widths[len(header)]
    width = len(header) + numbered
    if len(widths) > 1:
        sizes = list(map(len, rows))
        wrong += [(n, f"expected {width} fields, found {k}") for n, k in zip(lines, sizes, strict=True) if k != width]
        lines = [n for n, k in zip(lines, sizes, strict=True) if k == width]
        rows = [cells for cells in rows if len(cells) == width]
    at = {ours: header.index(theirs) + numbered for ours, theirs in wanted.items()}
    return {ours: [cells[i] for cells in rows] for ours, i in at.items()}, lines, wrong


def _check(columns: dict[str, list[str]], mapping: ColumnMapping, room: ZoneInfo) -> tuple[pd.DataFrame, list[str]]:
    """Turn texts into dates, numbers and labels; for each row also why it can't be believed, or an empty text."""
    reasons = [""] * len(columns[DATE])

    def refuse(which: Any, why: Callable[[int], str]) -> None:
        for i in np.flatnonzero(which).tolist():
            reasons[i] = reasons[i] or why(i)

    numbers: dict[str, Floats] = {}
    ratios = columns.get(DERIVED, [""] * len(reasons))
    left_out = np.array([not text for text in ratios], dtype=bool)
    for feature in FEATURES:
        texts = columns.get(feature.name, ratios)
        number = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(float)
        if feature.name == "Temperature" and mapping.temperature_unit.endswith("F"):
            number = (number - 32) / 1.8
        possible = (feature.low <= number) & (number <= feature.high)  # which NaN is not
        if feature.name == DERIVED:
            possible |= left_out
        refuse(~possible, partial(_impossible, feature, texts, number))
        numbers[feature.name] = number
    computed = np.full(len(reasons), np.nan)
    for i, (t, h) in enumerate(zip(numbers["Temperature"].tolist(), numbers["Humidity"].tolist(), strict=True)):
        if not reasons[i]:
            computed[i] = humidity_ratio(t, h)
    ratio = numbers[DERIVED] = np.where(left_out, computed, numbers[DERIVED])
    refuse(
        np.abs(ratio - computed) > RATIO_TOLERANCE * computed,
        lambda i: f"{DERIVED} is {ratio[i]:.6g}, but Temperature and Humidity at sea level give {computed[i]:.6g}",
    )
    labels, allowed = columns[LABEL], (*mapping.empty, *mapping.occupied)
    refuse(
        [label not in allowed for label in labels],
        lambda i: f"{LABEL} is {_short(labels[i])!r}, expected one of {', '.join(allowed)}",
    )
    texts = columns[DATE]
    dates = pd.Series([_utc(text, room) for text in texts], dtype="datetime64[us, UTC]")
    local = f"a time of {mapping.timezone} in ISO 8601 (when clocks change, an offset is needed)"
    refuse(dates.isna(), lambda i: f"{DATE} is {_short(texts[i])!r}, not {local}")
    times = dates.to_numpy("datetime64[us]").astype(np.int64)
    rows = np.flatnonzero([not reason for reason in reasons])
    rooms = columns.get(ROOM, [""] * len(reasons))
    for i, why in _disordered(rows, [rooms[i] for i in rows.tolist()], times, texts):
        reasons[i] = why
    frame = pd.DataFrame({DATE: dates.dt.tz_convert(room), **{name: numbers[name] for name in NAMES}})
    frame[LABEL] = np.array([label in mapping.occupied for label in labels], dtype=int)
    if ROOM in columns:
        frame[ROOM] = pd.Series(rooms, dtype=object)
    return frame, reasons


def _disordered(
    rows: np.ndarray[Any, np.dtype[np.int64]],
    rooms: list[str],
    times: np.ndarray[Any, np.dtype[np.int64]],
    texts: list[str],
) -> Iterator[tuple[int, str]]:
    """Find the rows that break their room's order of time, and say how; `rooms` of these rows, times and texts of all."""
    for _, mine in pd.Series(rows).groupby(rooms, sort=False):
        of_room = mine.to_numpy()
        kept = _in_order(times[of_room])
        again = set(times[of_room[kept]].tolist()).intersection(times[of_room[~kept]].tolist())
        for i in of_room[~kept].tolist():
            backwards = f"time goes backwards: the rows around {DATE} {_short(texts[i])!r} are in order without it"
            yield i, "same time as another row" if int(times[i]) in again else backwards


def _impossible(feature: Feature, texts: list[str], numbers: Floats, i: int) -> str:
    if not texts[i]:
        return f"{feature.name} is missing"
    if np.isnan(numbers[i]):
        return f"{feature.name} is {_short(texts[i])!r}, not a number"
    return f"{feature.name} is {numbers[i]:g} {feature.unit}, expected {feature.low:g} to {feature.high:g}"


def _utc(text: str, room: ZoneInfo) -> datetime | None:
    """Parse an ISO 8601 date; one without an offset is local time, and None if it comes twice or never."""
    try:
        when = datetime.fromisoformat(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=room)
            if when.utcoffset() != when.replace(fold=1).utcoffset():
                return None
        else:
            when.astimezone(room)  # year 1 in UTC is year 0 west of Greenwich
        return when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _in_order(times: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Choose the most rows whose time moves strictly forward: one wild date then costs one row, not all that follow.

    The longest increasing subsequence, by patience sorting; of rows at the same time, the first.
    """
    kept = np.ones(len(times), dtype=bool)
    if (np.diff(times) > 0).all():
        return kept
    tails: list[int] = []  # tails[k]: the earliest time at which a chain of k + 1 rows can end,
    ends: list[int] = []  # and the row that ends it
    before: list[int] = []
    for i, time in enumerate(times.tolist()):
        k = bisect_left(tails, time)
        before.append(ends[k - 1] if k else -1)
        if k == len(tails):
            tails.append(time)
            ends.append(i)
        elif time < tails[k]:
            tails[k], ends[k] = time, i
    kept[:] = False
    i = ends[-1]
    while i >= 0:
        kept[i] = True
        i = before[i]
    return kept


def _short(text: str, length: int = 40) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


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
