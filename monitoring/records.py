"""Records back from files or from Elasticsearch, as data frames whose columns are the record's own field names."""

import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from glob import glob
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from monitoring.settings import Source
from occupancy import record
from occupancy.errors import InputError
from occupancy.record import FEEDBACK, FIELDS, LOSS, PREDICTION, VERDICT

OBSERVED, TIME, ID, DATASET = "@timestamp", "occupancy.reading.time", "event.id", "event.dataset"
_OTHERS = tuple(f"occupancy.{kind}" for kind in ("verdict.", "feedback.", "lost", "run.", "deployment."))
_KEPT = {
    PREDICTION: [f.name for f in FIELDS if not f.name.startswith(_OTHERS)],
    FEEDBACK: [OBSERVED, ID, "occupancy.boot", "occupancy.sequence"]
    + [f.name for f in FIELDS if f.name.startswith("occupancy.feedback.")],
    LOSS: [OBSERVED, ID, "occupancy.boot", "occupancy.sequence", "occupancy.lost"],
    VERDICT: [OBSERVED, ID, "occupancy.room", "occupancy.model.version"]
    + [f.name for f in FIELDS if f.name.startswith("occupancy.verdict.")],
}
SINCE = "occupancy.verdict.since"
_NEEDED = {
    FEEDBACK: ["occupancy.feedback.prediction", "occupancy.feedback.occupied"],
    VERDICT: ["occupancy.room", SINCE]
    + [f"occupancy.verdict.{name}" for name in ("event", "rule", "state", "consequence", "message")],
}
_TYPES = {field.name: field.type for field in FIELDS}
_BACK = re.compile(r"\d+[mhdw]")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNIQUE = {ID, "http.request.id", "occupancy.reading.id", "occupancy.feedback.prediction", "occupancy.refusal.detail"}
PART = 50_000
LARGEST = 2**63
BELIEVED = pd.Timestamp("0002-01-01", tz="UTC"), pd.Timestamp("9998-12-31", tz="UTC")  # a zone can still move them
_FITTING: dict[str, set[type]] = {
    "date": {str, datetime, NoneType},
    "keyword": {str, NoneType},
    "boolean": {bool, NoneType},
    "double": {int, float, NoneType},
    "long": {int, float, NoneType},
    "byte": {int, float, NoneType},
}
_decode = msgspec.json.Decoder().decode


class InvalidTime(InputError):
    """A bound of a time range is neither a time nor so far back from now."""


class NoRecords(InputError):
    """There is no record to read where some were expected."""


class Records(NamedTuple):
    """Records by kind, each kind's fields as columns; numbers are float64, times datetime64 in UTC, the rest objects.

    `predictions` holds refused readings, too, in order of the reading's time; the others are in order of observation.
    Each record is there once, by its id. `unread` counts what was passed over: lines that name a dataset and are cut, of a
    kind that this version does not know, with fields of another type than theirs, or without one that tells what it is about.
    """

    predictions: pd.DataFrame
    feedback: pd.DataFrame
    losses: pd.DataFrame
    verdicts: pd.DataFrame
    unread: int = 0


class Range(NamedTuple):
    """Times of readings, from `since` on and before `until`, and a room; None and an empty room bound nothing."""

    since: datetime | None = None
    until: datetime | None = None
    room: str = ""


ALL = Range()


def time(text: str, now: datetime) -> datetime | None:
    """Read a bound: ISO 8601 (UTC where it has no offset), or back from now such as 36h; empty is None. Raises InvalidTime."""
    if not text:
        return None
    try:
        if _BACK.fullmatch(text):
            return now - back(text)
        when = datetime.fromisoformat(text)
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidTime(
            f"{text!r} is not a time: expected 2026-11-21, 2026-11-21T13:00+01:00, or back from now: 36h, 7d"
        ) from None


def back(text: str) -> timedelta:
    """Read how far back from now, such as 36h; raises OverflowError beyond what a timedelta holds."""
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def chosen(since: str, until: str, room: str) -> Range:
    """Read which records a command is about; raises InvalidTime."""
    now = datetime.now(UTC)
    return Range(time(since, now), time(until, now), room)


def read(source: Source) -> Records:
    """Read the records that a command's settings name: from files where some are named, else from Elasticsearch.

    Raises InputError: a file that can't be read, an Elasticsearch that can't be reached, or no record at all.
    """
    found = stored(source)
    if found.predictions.empty:
        index = f"{source.elasticsearch_url}/{source.elasticsearch_prefix}{record.INDICES[PREDICTION]}-*"
        place = ", ".join(source.file) or index
        passed = f" ({passed_over(found.unread)})" if found.unread else ""
        raise NoRecords(
            f"{place}: no prediction there in the chosen time and room{passed}; `python -m monitoring load` stores records"
        )
    return found


def stored(source: Source) -> Records:
    """Read the records that a command's settings name, were it none; raises InputError for a place that can't be read."""
    what = chosen(source.since, source.until, source.room)
    if source.file:
        return from_files(source.file, what)
    from monitoring.store.client import connect, explained  # noqa: PLC0415 -- files need no client

    with connect(source) as client, explained(client):
        return from_elasticsearch(client, source.elasticsearch_prefix, what)


def tell_passed_over(unread: int, command: str) -> None:
    """Say on standard error how many lines were no record that can be read, if any."""
    if unread:
        sys.stderr.write(f"monitoring {command}: {passed_over(unread)}\n")


def passed_over(unread: int) -> str:
    """Say how many lines were no record that can be read."""
    what = "line that is" if unread == 1 else "lines that are"
    return f"{unread:,} {what} cut, of a kind unknown to this version, or with a field missing or of a wrong type: passed over"


def from_files(names: Iterable[str], what: Range = ALL) -> Records:
    """Read files of record lines, plain or .gz, by name or pattern; a line that is no record of ours is passed over."""
    return frames(lines(names), what)


def decoded(line: bytes) -> Any:
    """Decode a line that names a dataset; None where it is no JSON: cut, or in a container log's envelope."""
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def lines(names: Iterable[str]) -> Iterator[Any]:
    """Decode files' lines that name a dataset, one by one; None for one that is cut. Raises NoRecords."""
    for name in names:
        paths = sorted(glob(name)) if not Path(name).exists() else [name]  # noqa: PTH207 -- the user's own pattern, as it is
        if not paths:
            raise NoRecords(f"{name}: no such file")
        for path in paths:
            try:
                with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as file:
                    for line in file:
                        if b'"event.dataset"' in line:
                            yield decoded(line)
            except (OSError, EOFError, zlib.error) as error:
                why = (isinstance(error, OSError) and error.strerror) or error
                raise NoRecords(f"{path} can't be read: {why}") from None


def from_elasticsearch(client: Any, prefix: str, what: Range = ALL) -> Records:
    """Read the records of a time and a room, with the feedback about them."""
    bounds = {"gte": what.since and what.since.isoformat(), "lt": what.until and what.until.isoformat()}
    bounds = {name: value for name, value in bounds.items() if value}
    room = [{"term": {"occupancy.room": what.room}}] if what.room else []

    def documents() -> Iterator[dict[str, Any]]:
        yield from search(client, prefix, PREDICTION, *([{"range": {TIME: bounds}}] if bounds else []), *room)
        yield from search(client, prefix, FEEDBACK)
        yield from search(client, prefix, LOSS)
        yield from search(client, prefix, VERDICT, *([{"range": {OBSERVED: bounds}}] if bounds else []), *room)

    return frames(documents(), what)


def search(client: Any, prefix: str, dataset: str, *conditions: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the stored records of a dataset for which all conditions hold, in no order."""
    from elasticsearch.helpers import scan  # noqa: PLC0415 -- files need no client

    query = {"bool": {"filter": [{"term": {DATASET: dataset}}, *conditions]}}
    index = f"{prefix}{record.INDICES[dataset]}-*"
    for hit in scan(client, index=index, query={"query": query}, size=5000, ignore_unavailable=True):
        yield hit["_source"]


def frames(lines: Iterable[Any], what: Range = ALL) -> Records:
    """Sort decoded records by kind into frames; keeps what is in the range, and of feedback what is about it."""
    unread = 0
    parts: dict[str, list[pd.DataFrame]] = {dataset: [] for dataset in _KEPT}
    waiting: dict[str, list[dict[str, Any]]] = {dataset: [] for dataset in _KEPT}
    seen: dict[str, str] = {}
    for fields in lines:
        dataset = fields.get(DATASET) if isinstance(fields, dict) else None
        rows = waiting.get(dataset) if isinstance(dataset, str) else None
        if rows is None:
            known = isinstance(dataset, str) and dataset in record.INDICES  # another program's
            unread += not known
            continue
        rows.append(fields)
        if len(rows) >= PART:  # as columns they take a tenth of the memory
            parts[fields[DATASET]].append(_frame(fields[DATASET], rows, seen))
            unread += len(rows) - len(parts[fields[DATASET]][-1])
            rows.clear()
    found = {}
    for dataset, rows in waiting.items():
        rest = _frame(dataset, rows, seen)
        unread += len(rows) - len(rest)
        frame = pd.concat([*parts[dataset], rest]) if parts[dataset] else rest
        found[dataset] = frame.drop_duplicates(ID).sort_values(OBSERVED, kind="stable", ignore_index=True)
    by_time = found[PREDICTION].sort_values(TIME, kind="stable", ignore_index=True)
    return within(Records(by_time, found[FEEDBACK], found[LOSS], found[VERDICT], unread), what)


def within(found: Records, what: Range) -> Records:
    """Keep what is in the range, and of feedback what is about it."""
    predictions, feedback = _within(found.predictions, TIME, what), found.feedback
    if what != ALL:
        about = feedback["occupancy.feedback.prediction"].isin(predictions[ID])
        feedback = feedback[about].reset_index(drop=True)
    verdicts = _within(found.verdicts, OBSERVED, what)
    return found._replace(predictions=predictions, feedback=feedback, verdicts=verdicts)


def _frame(dataset: str, rows: list[dict[str, Any]], seen: dict[str, str]) -> pd.DataFrame:
    """Make a frame of decoded records that are sound; `seen` keeps one copy of each text that comes often."""
    columns: dict[str, Any] = {}
    rows = sound(rows, dataset)
    for name in _KEPT[dataset]:
        values = [row.get(name) for row in rows]
        kind = _TYPES[name]
        if kind == "date":
            times = pd.to_datetime(pd.Series(values, dtype=object), utc=True, format="ISO8601", errors="coerce")
            columns[name] = times.astype("datetime64[us, UTC]")
        elif kind in ("double", "long", "byte"):
            columns[name] = np.array(values, np.float64)
        else:
            if name not in _UNIQUE:
                values = [seen.setdefault(v, v) if isinstance(v, str) else v for v in values]
            columns[name] = pd.Series(values, dtype=object)
    frame = pd.DataFrame(columns, columns=_KEPT[dataset])
    unclear = frame[OBSERVED].isna()
    if TIME in frame:  # a request that failed as a whole has none
        unclear |= frame[TIME].isna() & np.array([row.get(TIME) is not None for row in rows], bool)
        frame[TIME] = frame[TIME].fillna(frame[OBSERVED])
    for name in (OBSERVED, TIME, SINCE):
        if name in frame:
            unclear |= ~frame[name].between(*BELIEVED)
    return frame[~unclear].reset_index(drop=True) if unclear.any() else frame


def sound(rows: list[dict[str, Any]], dataset: str) -> list[dict[str, Any]]:
    """Leave, of a dataset's decoded records, those that have what they need and each field of its type."""
    for name in _KEPT[dataset]:
        fitting, given = _FITTING[_TYPES[name]], {type(row.get(name)) for row in rows}
        if given - fitting:
            rows = [row for row in rows if type(row.get(name)) in fitting or _flags(name, row[name])]
        if int in given:
            rows = [row for row in rows if type(row.get(name)) is not int or abs(row[name]) < LARGEST]
    for name in (ID, *_NEEDED.get(dataset, ())):
        rows = [row for row in rows if row.get(name) not in (None, "")]
    return rows


def _flags(name: str, value: Any) -> bool:
    return name == "occupancy.flags" and type(value) is list and all(type(flag) is str for flag in value)


def _within(frame: pd.DataFrame, by: str, what: Range) -> pd.DataFrame:
    inside = np.ones(len(frame), bool)
    if what.since:
        inside &= (frame[by] >= what.since).to_numpy()
    if what.until:
        inside &= (frame[by] < what.until).to_numpy()
    if what.room:
        inside &= (frame["occupancy.room"] == what.room).to_numpy()
    return frame if inside.all() else frame[inside].reset_index(drop=True)


def latest(feedback: pd.DataFrame) -> pd.DataFrame:
    """Choose what counts of several labels of one prediction: the latest, and one with the token before any without."""
    proved = feedback["occupancy.feedback.authenticated"] == np.True_
    told = feedback.assign(proved=proved).sort_values(["proved", OBSERVED], kind="stable").drop(columns="proved")
    return told.drop_duplicates("occupancy.feedback.prediction", keep="last").sort_values(OBSERVED, kind="stable")


def labelled(records: Records) -> pd.DataFrame:
    """Join predictions with the truth that was told (see `latest`), by time of the telling.

    Columns: prediction (its id), time, room, model, probability, label, truth (0 or 1), trusted (who told it had the token),
    told (when). What comes without the token anybody could send: it is shown, and starts nothing.
    """
    joined = latest(records.feedback).merge(
        records.predictions[[ID, TIME, "occupancy.room", "occupancy.model.version", "occupancy.probability", "occupancy.label"]],
        left_on="occupancy.feedback.prediction", right_on=ID,
    )  # fmt: skip
    return pd.DataFrame(
        {
            "prediction": joined["occupancy.feedback.prediction"],
            "time": joined[TIME],
            "room": joined["occupancy.room"],
            "model": joined["occupancy.model.version"],
            "probability": joined["occupancy.probability"],
            "label": joined["occupancy.label"],
            "truth": joined["occupancy.feedback.occupied"].astype(np.float64),
            "trusted": joined["occupancy.feedback.authenticated"].to_numpy() == np.True_,
            "told": joined[OBSERVED],
        }
    )
