"""What Elasticsearch counts, counted by pandas: the same flat rows, from a frame whose columns are the record's fields."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from monitoring.dashboards.panels import Json

UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
METRICS = {"avg": "mean", "min": "min", "max": "max", "value_count": "count"}

Array = np.ndarray[Any, Any]


class Level(NamedTuple):
    """A bucket aggregation of a chain: name, kind and options."""

    name: str
    kind: str
    options: Json


class Buckets(NamedTuple):
    """Which rows are in a bucket, each once for each of its buckets; the bucket's place; the buckets' columns by place."""

    rows: Array
    place: Array
    columns: list[Json]


def rows(
    frame: pd.DataFrame,
    field: str,
    between: tuple[int, int],
    where: Json | None,
    *,
    levels: Sequence[Level],
    metrics: Json,
) -> list[Json]:
    """Count the records whose time is in the range (milliseconds, the end not included) and that fulfil the query.

    An interval that begins before the range is counted from the range's begin on, as Elasticsearch does.
    """
    when = numbers(frame[field])
    chosen = (when >= between[0]) & (when < between[1])
    if where:
        chosen &= holds(frame, where)
    taken = np.flatnonzero(chosen)
    place, shown = np.zeros(len(taken), np.int64), np.zeros(1, np.int64)
    columns: list[list[Json]] = []
    for level in levels:
        found = _BY_KIND[level.kind](frame.iloc[taken], level, place)
        taken, columns, size = taken[found.rows], [*columns, found.columns], len(found.columns)
        place = place[found.rows] * size + found.place
        # times and filters are there though they be empty, values and terms are not
        whole = level.kind in ("date_histogram", "filters")
        shown = (shown[:, None] * size + np.arange(size)).ravel() if whole else np.unique(place)
    values = _measured(frame.iloc[taken], np.searchsorted(shown, place), len(shown), metrics)
    outer = np.unravel_index(shown, [max(len(each), 1) for each in columns])
    keys = [[found[at] for at in each.tolist()] for found, each in zip(columns, outer, strict=True)]
    written = []
    for row in zip(*keys, *([{name: v} for v in each] for name, each in values.items()), strict=True):
        written.append({name: value for part in row for name, value in part.items()})
    return written


def _measured(frame: pd.DataFrame, place: Array, size: int, metrics: Json) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"count": np.bincount(place, minlength=size).tolist()}
    for name, metric in metrics.items():
        ((kind, options),) = metric.items()
        grouped = pd.Series(numbers(frame[options["field"]])).groupby(place, sort=False)
        if kind == "percentiles":
            for percent in options["percents"]:
                columns[f"{name}{percent:g}"] = _filled(grouped.quantile(percent / 100), size, None)
        else:
            columns[name] = _filled(grouped.agg(METRICS[kind]), size, 0 if kind == "value_count" else None)
    return columns


def _filled(found: pd.Series, size: int, empty: int | None) -> list[Any]:
    values = found.reindex(range(size)).astype(object)
    return values.where(values.notna(), empty).tolist()


# --- buckets; each takes the rows that are left, the level, and the place of each row's bucket so far


def time(level: Level, key: int, text: str) -> Json:
    """Write the columns of a bucket of time: where it begins and ends, and its text where a format is asked for."""
    keys = {level.name: key, "end": key + step(level)}
    return keys | {f"{level.name}_as_string": text} if "format" in level.options else keys


def step(level: Level) -> int:
    """Give the length of a level's buckets of time, in milliseconds."""
    interval = level.options["fixed_interval"]
    return int(interval[:-1]) * UNITS[interval[-1]]


def _column(frame: pd.DataFrame, level: Level) -> pd.Series:
    field: str = level.options["field"]
    return frame[field]


def _by_time(frame: pd.DataFrame, level: Level, _: Array) -> Buckets:
    bounds, zone = level.options["extended_bounds"], ZoneInfo(level.options.get("time_zone", "UTC"))
    length = step(level)
    # the zone's offset moves all buckets by the same, for clocks are put forward and back by whole half hours
    offset = datetime.fromtimestamp(bounds["min"] / 1000, zone).utcoffset()
    shift = int(offset.total_seconds() * 1000) % length if offset else 0
    first, last = ((bounds[end] + shift) // length for end in ("min", "max"))
    keys = np.arange(first, last + 1) * length - shift
    texts = pd.to_datetime(keys, unit="ms", utc=True).tz_convert(zone).strftime("%H:%M")
    place = (numbers(_column(frame, level)).astype(np.int64) + shift) // length - first
    return Buckets(
        np.arange(len(frame)), place, [time(level, *each) for each in zip(keys.tolist(), texts, strict=True)]
    )


def _by_value(frame: pd.DataFrame, level: Level, _: Array) -> Buckets:
    values = numbers(_column(frame, level))
    there, interval = np.flatnonzero(np.isfinite(values)), level.options["interval"]
    keys, place = np.unique(np.floor(values[there] / interval), return_inverse=True)
    return Buckets(there, place, [{level.name: key} for key in (keys * interval).tolist()])


def _by_term(frame: pd.DataFrame, level: Level, outer: Array) -> Buckets:
    there, values = _each(_column(frame, level))
    if "missing" in level.options:
        lacking = np.setdiff1d(np.arange(len(frame)), there)
        there, values = np.append(there, lacking), np.append(values, [level.options["missing"]] * len(lacking))
    place, keys = pd.factorize(values, sort=True)
    if len(keys) > level.options["size"]:  # of each outer bucket the most frequent, of equal ones the first by name
        pair = outer[there] * len(keys) + place
        pairs, counts = np.unique(pair, return_counts=True)
        ranks = pd.DataFrame({"outer": pairs // len(keys), "pair": pairs, "count": -counts}).sort_values(
            ["count", "pair"]
        )
        kept = np.isin(pair, ranks.groupby("outer").head(level.options["size"])["pair"])
        there, place = there[kept], place[kept]
    return Buckets(there, place.astype(np.int64), [{level.name: key} for key in keys])


def _by_filter(frame: pd.DataFrame, level: Level, _: Array) -> Buckets:
    clauses = level.options["filters"]
    found = [np.flatnonzero(holds(frame, clause)) for clause in clauses.values()]
    place = np.repeat(np.arange(len(found)), [len(each) for each in found])
    return Buckets(np.concatenate(found), place, [{level.name: key} for key in clauses])


_BY_KIND = {"date_histogram": _by_time, "histogram": _by_value, "terms": _by_term, "filters": _by_filter}


# --- queries


def holds(frame: pd.DataFrame, clause: Json) -> Array:
    """Tell for each row whether it fulfils a query."""
    ((kind, options),) = clause.items()
    if kind == "exists":
        return np.asarray(frame[options["field"]].notna())
    if kind == "bool":
        held = np.ones(len(frame), bool)
        for each in options.get("filter", ()):
            held &= holds(frame, each)
        for each in options.get("must_not", ()):
            held &= ~holds(frame, each)
        if "should" in options:
            held &= np.any([holds(frame, each) for each in options["should"]], axis=0)
        return held
    ((field, wanted),) = options.items()
    there, values = _each(frame[field])
    matches = [values == value for value in ([wanted] if kind == "term" else wanted)]
    held = np.zeros(len(frame), bool)
    held[there[np.any(matches, axis=0)]] = True
    return held


def _each(column: pd.Series) -> tuple[Array, Array]:
    """List a column's values with their row: none where it is missing, each once where there are several."""
    values = column.to_numpy()
    if values.dtype != object:
        return np.arange(len(values)), values  # NaN equals nothing
    there = np.flatnonzero(column.notna())
    values = values[there]
    if len(values) and isinstance(values[0], list):
        several = [sorted(set(each)) for each in values]
        there = np.repeat(there, [len(each) for each in several])
        values = np.array([value for each in several for value in each], object)
    return there, values


def numbers(column: pd.Series) -> Array:
    """Give a column as numbers: times in milliseconds since 1970, what is missing as NaN."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        when = column.to_numpy("datetime64[ms]").astype(np.float64)
        return np.where(column.isna(), np.nan, when)
    return column.to_numpy()
