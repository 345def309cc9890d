"""What readings may come as: JSON, CSV with a header, NDJSON (one JSON object a line). The contract is the same for all.

`read_csv` and `read_ndjson` read a text of any length in pieces of whole lines. As in `occupancy.reading`, a fast way accepts
exactly what the slow way accepts, and the slow way knows how to say what is wrong.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Any, NamedTuple, TypeAlias, get_type_hints

import msgspec

from occupancy import reading
from occupancy.reading import FEATURES, Batch, InvalidReading, Reading

LABEL = "Occupancy"  # the truth, in a file for training: it is not looked at
_SPACE = " \t\r"
_NUMERIC = b"0123456789+-.eE" + _SPACE.encode()
_NOT_FINITE = frozenset(sign + word for sign in ("", "+", "-") for word in ("nan", "inf", "infinity"))
_LOWEST = {f.name: f.low for f in FEATURES}


_OTHERS = "; for CSV send Content-Type: text/csv, for one JSON object a line application/x-ndjson"


class Part(NamedTuple):
    """What some lines held; `lines`: where each reading stands, from 1, the refused ones included."""

    batch: Batch
    lines: list[int]


Read: TypeAlias = Callable[[Iterable[bytes], int, tzinfo], Iterator[Part]]


def decode(body: bytes, content_type: str, limit: int, zone: tzinfo) -> Batch:
    """Decode a body of at most `limit` readings by its media type; what is neither CSV nor NDJSON is taken for JSON.

    `zone`: of dates without an offset. Raises InvalidReading when the body as a whole can't be understood; bad
    readings of several are in Batch.invalid.
    """
    read = _BY_MEDIA_TYPE.get(content_type.partition(";")[0].strip().lower())
    if read is None:
        try:
            return reading.decode(body, limit, zone)
        except InvalidReading as error:
            if error.reason == "not_json":
                raise InvalidReading("body", "not_json", error.detail + _OTHERS) from None
            raise
    (part,) = read([body], limit, zone)
    return part.batch


def read_ndjson(pieces: Iterable[bytes], limit: int, zone: tzinfo) -> Iterator[Part]:
    """Read one JSON object a line; blank lines count as lines, not as readings.

    Raises InvalidReading for what is not UTF-8, holds no reading, or more than `limit`.
    """
    count = 0
    for lines, texts in _lines(pieces):
        _refuse_more(limit, count + len(texts))
        yield _part(lines, texts, _quick_objects, _object, first=count, zone=zone)
        count += len(texts)
    _refuse_none(count)


def read_csv(pieces: Iterable[bytes], limit: int, zone: tzinfo) -> Iterator[Part]:
    """Read CSV (RFC 4180) below a header of the contract's names in any order; an empty cell is a value left out.

    A line is a row: no quotation mark left open can swallow the lines after it. Lines above the header that begin
    with # are comments, and `Occupancy` and a first column without a name are not looked at. Where most rows of the
    first piece have one value more than the header, as in the UCI files, rows begin with a row number.
    Raises InvalidReading for what `read_ndjson` raises it for, and for a header that breaks the contract.
    """
    header: tuple[str, ...] = ()
    columns: _Columns | None = None
    count = 0
    for lines, texts in _lines(pieces):
        if not header:
            skipped = next((n for n, text in enumerate(texts) if not text.startswith("#")), len(texts))
            if skipped == len(texts):
                continue
            header = _header(_rows(texts[skipped : skipped + 1])[0], lines[skipped])
            del lines[: skipped + 1], texts[: skipped + 1]
        if not texts:
            continue
        _refuse_more(limit, count + len(texts))
        rows = _rows(texts)
        if columns is None:
            widths = Counter(len(row) for row in rows if isinstance(row, list))
            numbered = widths[len(header) + 1] > widths[len(header)]
            columns = _Columns(("", *header) if numbered else header)
        yield _part(lines, rows, columns.quick, columns.item, first=count, zone=zone)
        count += len(texts)
    _refuse_none(count)


_BY_MEDIA_TYPE: dict[str, Read] = {
    "text/csv": read_csv,
    "application/x-ndjson": read_ndjson,
    "application/ndjson": read_ndjson,
    "application/jsonl": read_ndjson,
    "application/x-jsonlines": read_ndjson,
}


# --- what both have in common


def _lines(pieces: Iterable[bytes]) -> Iterator[tuple[list[int], list[str]]]:
    """Split into lines that are not blank, and their numbers."""
    before = 0
    for piece in pieces:
        try:
            every = piece.decode("utf-8" if before else "utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            line = before + error.object.count(b"\n", 0, error.start) + 1
            raise InvalidReading("body", "not_utf8", f"line {line} is not UTF-8; save the text as UTF-8") from None
        kept = [(line, text) for line, text in enumerate(every, before + 1) if text and not text.isspace()]
        before += len(every) - 1
        if kept:
            yield [line for line, _ in kept], [text for _, text in kept]


def _refuse_more(limit: int, count: int) -> None:
    if count > limit:
        raise InvalidReading("body", "too_many", f"there are {count} readings: at most {limit} in one request")


def _refuse_none(count: int) -> None:
    if not count:
        raise InvalidReading("body", "empty", "there is no reading: expected at least one, each in a line of its own")


def _part(
    lines: list[int],
    rows: Sequence[Any],
    quick: Callable[[Any], list[Reading]],
    item: Callable[[Any], Any],
    *,
    first: int,
    zone: tzinfo,
) -> Part:
    """Decode rows all at once or, where something is wrong, one by one; `first` is the index of the first."""
    with suppress(ValueError, RecursionError, msgspec.DecodeError):
        readings = quick(rows)
        return Part(Batch(False, readings, [reading.event_time(r, zone) for r in readings], []), lines)
    batch = Batch(False, [], [], [])
    for index, (line, row) in enumerate(zip(lines, rows, strict=True), first):
        try:
            checked, time = reading.check(item(row), zone)
        except InvalidReading as error:
            batch.invalid.append(error.at(index, line))
        else:
            batch.readings.append(checked)
            batch.times.append(time)
    return Part(batch, lines)


# --- NDJSON

_one = msgspec.json.Decoder(Reading)  # its decode_lines would take two objects in one line, and one in two


def _quick_objects(texts: list[str]) -> list[Reading]:
    readings = list(map(_one.decode, texts))
    if not reading.names_once(sum(text.count('"') for text in texts), readings):
        raise ValueError
    return readings


def _object(text: str) -> Any:
    try:
        return reading.loads(text, "the line")
    except InvalidReading as error:
        error.detail = error.detail.replace(": line 1 column", ": column")  # the line's number is said elsewhere
        raise


# --- CSV

Row: TypeAlias = list[str] | InvalidReading


def _rows(texts: list[str]) -> list[Row]:
    """Split lines into cells; a line that is not CSV becomes the error that says so."""
    with suppress(csv.Error):
        rows: list[Row] = [*csv.reader(texts, strict=True, skipinitialspace=True)]
        if len(rows) == len(texts):  # else a quotation mark was left open
            return rows
    return list(map(_row, texts))


def _row(text: str) -> Row:
    try:
        return next(csv.reader([text], strict=True, skipinitialspace=True))
    except csv.Error as error:
        return InvalidReading("body", "not_csv", f"the line is not CSV: {error}")


def _header(row: Row, line: int) -> tuple[str, ...]:
    """Give the columns' names, an empty one for a column to ignore; raises InvalidReading."""
    place, expected = f"the header (line {line})", f"expected names between commas, such as {','.join(_LOWEST)}"
    if isinstance(row, InvalidReading):
        raise InvalidReading("body", row.reason, f"{place}: {row.detail}; {expected}")
    names = [cell.strip(_SPACE) for cell in row]
    if not _LOWEST.keys() & set(names):
        raise InvalidReading("body", "no_header", f"{place} names no sensor: {expected}")
    if "" in names[1:]:
        raise InvalidReading("body", "unknown", f"{place}: column {names.index('', 1) + 1} has no name")
    try:
        reading.parse({name: _LOWEST.get(name) for name in names if name not in ("", LABEL)})
    except InvalidReading as error:
        raise InvalidReading(error.field, error.reason, f"{place}: {error.detail}") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise InvalidReading(twice[0], "duplicate", f"{place}: {twice[0]} is given twice")
    return tuple("" if name == LABEL else name for name in names)


class _Columns(NamedTuple):
    """The columns of a table; an empty name is one to ignore."""

    names: tuple[str, ...]

    def quick(self, rows: list[Row]) -> list[Reading]:
        """Decode rows by column, each by its type in the contract; raises ValueError or msgspec.DecodeError."""
        cells = [row for row in rows if isinstance(row, list) and len(row) == len(self.names)]
        if len(cells) != len(rows):
            raise ValueError
        columns = {
            name: _numbers(name, texts) if name in _LOWEST else _texts(name, texts)
            for name, texts in zip(self.names, zip(*cells, strict=True), strict=True)
            if name
        }
        return [Reading(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def item(self, row: Row) -> dict[str, Any]:
        """Give a row as the object that would stand in JSON; raises InvalidReading."""
        if isinstance(row, InvalidReading):
            raise row
        if len(row) != len(self.names):
            expected = f"expected {len(self.names)} values, found {len(row)}"
            raise InvalidReading("body", "cell_count", expected)
        cells = {
            name: text for name, cell in zip(self.names, row, strict=True) if name and (text := cell.strip(_SPACE))
        }
        return {name: _number(text) if name in _LOWEST else text for name, text in cells.items()}


_TYPES: dict[str, Any] = {n: list[hint] for n, hint in get_type_hints(Reading, include_extras=True).items()}  # type: ignore[valid-type]
_NUMBERS = {name: msgspec.json.Decoder(_TYPES[name]) for name in _LOWEST}


def _numbers(name: str, texts: Sequence[str]) -> list[float | None]:
    """Decode a column as the JSON list that it nearly is: faster than float(), and within the sensor's range."""
    if not _is_numeric("".join(texts)):
        raise ValueError
    numbers: list[float | None] = _NUMBERS[name].decode(f"[{','.join([text or 'null' for text in texts])}]")
    return numbers


def _texts(name: str, texts: Sequence[str]) -> list[str | None]:
    texts_or_none: list[str | None] = msgspec.convert([text.strip(_SPACE) or None for text in texts], _TYPES[name])
    return texts_or_none


def _number(text: str) -> float | str:
    """Convert what float() takes and is of digits, sign, point and exponent, all ASCII; the contract refuses the rest."""
    if _is_numeric(text) or text.lower() in _NOT_FINITE:
        with suppress(ValueError):
            return float(text)
    return text


def _is_numeric(text: str) -> bool:
    return not text.encode().translate(None, _NUMERIC)
