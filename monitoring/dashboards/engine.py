"""The engine: a panel's flat rows, from pandas or from Elasticsearch, equal but for the rounding of percentiles.

Panels use few aggregations: a chain of date_histogram, histogram, terms and filters, with avg, min, max, value_count and
percentiles in the last; and the queries term, terms, exists and bool.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import elasticsearch
import pandas as pd

from monitoring.dashboards import counting
from monitoring.dashboards.counting import Level
from monitoring.dashboards.panels import Json, Panel
from monitoring.records import Records, latest
from monitoring.store.client import explained
from monitoring.store.templates import pattern
from occupancy.errors import InputError
from occupancy.record import FEEDBACK, INDICES, LOSS, PREDICTION, VERDICT

MOST_BUCKETS = 65_000  # of one answer; Elasticsearch's search.max_buckets is 65,536
BUCKETS = ("date_histogram", "histogram", "terms", "filters")
PREDICTED, ID, TRUTH = "occupancy.feedback.prediction", "event.id", "occupancy.feedback.occupied"


class TooManyBuckets(InputError):
    """A time range has more intervals than Elasticsearch counts at once."""


class Stored(NamedTuple):
    """The records in Elasticsearch, in indices whose names begin with the prefix."""

    client: elasticsearch.Elasticsearch
    prefix: str = ""


def rows(panel: Panel, source: pd.DataFrame | Stored, since: datetime, until: datetime, interval: str) -> list[Json]:
    """Ask a panel's question: records from `since` on and before `until`, both with their offset, in buckets of `interval`.

    A frame is what `frame` gives; an interval is a number with s, m, h or d. Rows are in the order of their buckets; what
    an empty bucket has no value for is None. Raises TooManyBuckets, and InputError where Elasticsearch can't answer.
    """
    low, high = milliseconds(since), milliseconds(until)
    aggregations = filled(panel.query["aggs"], {"fixed_interval": interval}, {"min": low, "max": high - 1})
    levels, metrics = chain(aggregations)
    if isinstance(source, pd.DataFrame):
        where = panel.query.get("query")
        return counting.rows(
            source[sorted(fields(panel))], panel.time, (low, high), where, levels=levels, metrics=metrics
        )
    if _least(levels, high - low) > MOST_BUCKETS:
        raise TooManyBuckets(f"from {since} to {until} there are too many intervals of {interval}; take a longer one")
    within = {"range": {panel.time: {"gte": low, "lt": high, "format": "epoch_millis"}}}
    query = {"bool": {"filter": [within, *conditions(panel)]}}
    with explained(source.client):
        answer = source.client.search(index=index(panel, source.prefix), query=query, aggs=aggregations, size=0)
    return flat(levels, metrics, answer.get("aggregations"))


def _least(levels: Sequence[Level], span: int) -> float:
    """Count the buckets that an answer has at least."""
    inner = 1.0
    for level in reversed(levels):
        if level.kind == "filters":
            inner = 1 + inner * len(level.options["filters"])
        elif level.kind == "date_histogram":
            inner = 1 + inner * span / counting.step(level)
    return inner


def frame(panel: Panel, records: Records) -> pd.DataFrame:
    """Choose the records that a panel is about; with the truth beside each prediction, where it wants them joined."""
    if panel.joined:
        own = sorted({ID, *fields(panel)} - {TRUTH})
        told = latest(records.feedback)[[PREDICTED, TRUTH]]
        return records.predictions[own].merge(told, left_on=ID, right_on=PREDICTED)
    of = {
        PREDICTION: records.predictions, FEEDBACK: records.feedback, LOSS: records.losses, VERDICT: records.verdicts,
    }  # fmt: skip
    chosen = [of[dataset] for dataset in panel.datasets]
    if len(chosen) == 1:
        return chosen[0]
    needed = sorted(fields(panel))
    return pd.concat([part[needed] for part in chosen if len(part)] or [chosen[0][needed]], ignore_index=True)


def fields(panel: Panel) -> set[str]:
    """Name the fields that a panel reads."""
    return {panel.time, *_fields(panel.query)}


def _fields(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "field":
                yield value
            elif key in ("term", "terms") and "field" not in value:
                yield from value
            else:
                yield from _fields(value)
    elif isinstance(part, list):
        for each in part:
            yield from _fields(each)


# --- the question


def chain(aggregations: Json) -> tuple[list[Level], Json]:
    """Take a panel's aggregations apart: the bucket aggregations, from outside in, and the metrics by name."""
    for name, aggregation in aggregations.items():
        for kind in BUCKETS:
            if kind in aggregation:
                inner, metrics = chain(aggregation.get("aggs", {}))
                return [Level(name, kind, aggregation[kind]), *inner], metrics
    return [], aggregations


def filled(aggregations: Json, interval: Json, bounds: Json) -> Json:
    """Give each date_histogram the interval, if it has none of its own, and the bounds of the time range."""
    done = {}
    for name, aggregation in aggregations.items():
        done[name] = dict(aggregation)
        if options := aggregation.get("date_histogram"):
            own = {} if "fixed_interval" in options else interval
            done[name]["date_histogram"] = options | own | {"extended_bounds": bounds}
        if "aggs" in aggregation:
            done[name]["aggs"] = filled(aggregation["aggs"], interval, bounds)
    return done


def conditions(panel: Panel) -> list[Json]:
    """Give what a record in Elasticsearch must fulfil to belong to a panel, apart from the time."""
    kinds = {"terms": {"event.dataset": list(panel.datasets)}}
    return [kinds, panel.query["query"]] if "query" in panel.query else [kinds]


def index(panel: Panel, prefix: str) -> str:
    """Name the indices that hold a panel's records."""
    # those of predictions are always asked, too: an answer from no index at all has no buckets, not even empty ones
    families = dict.fromkeys(INDICES[dataset] for dataset in (*panel.datasets, PREDICTION))
    return pattern(prefix, *families)


def milliseconds(when: datetime) -> int:
    """Give a time in milliseconds since 1970."""
    return int(when.astimezone(UTC).timestamp() * 1000)


# --- Elasticsearch's answer


def flat(levels: Sequence[Level], metrics: Json, aggregations: Json | None) -> list[Json]:
    """Write an answer's nested buckets as flat rows; an answer from no index has none."""
    return list(_flat(levels, metrics, aggregations, {})) if aggregations else []


def _flat(levels: Sequence[Level], metrics: Json, bucket: Json, outer: Json) -> Iterator[Json]:
    if not levels:
        yield outer | {"count": bucket["doc_count"]} | _values(metrics, bucket)
        return
    level, *inner = levels
    for key, each in _buckets(level, bucket[level.name]["buckets"]):
        yield from _flat(inner, metrics, each, outer | key)


def _buckets(level: Level, found: Any) -> Iterator[tuple[Json, Json]]:
    if level.kind == "filters":
        yield from (({level.name: key}, found[key]) for key in level.options["filters"])
    elif level.kind == "date_histogram":
        yield from ((counting.time(level, b["key"], b["key_as_string"]), b) for b in found)
    else:
        yield from (({level.name: b["key"]}, b) for b in sorted(found, key=lambda b: b["key"]))


def _values(metrics: Json, bucket: Json) -> Json:
    row: Json = {}
    for name, metric in metrics.items():
        if "percentiles" in metric:
            row |= {f"{name}{float(p):g}": value for p, value in bucket[name]["values"].items()}
        else:
            row[name] = bucket[name]["value"]
    return row
