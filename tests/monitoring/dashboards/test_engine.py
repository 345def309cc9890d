import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from monitoring import records
from monitoring.dashboards import engine
from monitoring.dashboards.engine import Stored, TooManyBuckets
from monitoring.dashboards.panels import Panel, panels
from monitoring.store.client import Refused
from occupancy.reference import Reference
from tests.monitoring.conftest import Store
from tests.monitoring.dashboards.conftest import SINCE, UNTIL

Json = dict[str, Any]
ANSWERS = next(panel for panel in panels() if panel.name == "answers")


def chains() -> list[Panel]:
    """What panels could ask, but do not today."""
    time = {"date_histogram": {"field": "occupancy.reading.time", "min_doc_count": 0}}
    few = {"terms": {"field": "occupancy.refusal.reason", "size": 1}}
    flags = {"terms": {"field": "occupancy.flags", "size": 5, "missing": "none"}}
    kinds = {
        "filters": {
            "filters": {
                "sent": {"exists": {"field": "occupancy.reading.CO2"}},
                "none": {"term": {"occupancy.room": "C"}},
            }
        }
    }
    least = {
        "least": {"min": {"field": "occupancy.reading.CO2"}},
        "some": {"value_count": {"field": "occupancy.probability"}},
    }
    queries: dict[str, Json] = {
        "few": {"aggs": {"time": time | {"aggs": {"few": few | {"aggs": {"kinds": kinds | {"aggs": least}}}}}}},
        "flags": {"aggs": {"flags": flags | {"aggs": {"time": time}}}},
        "kinds": {"aggs": {"kinds": kinds | {"aggs": {"time": time | {"aggs": {"few": few}}}}}},
        "both": {"aggs": {"kinds": kinds | {"aggs": {"time": time | {"aggs": least}}}}},
    }  # fmt: skip
    dated: Json = {"query": {"exists": {"field": "occupancy.room"}}}
    return [replace(ANSWERS, name=name, query=query | dated) for name, query in queries.items()]


def same(one: Json, other: Json, tolerance: float) -> bool:
    """Tell whether two rows are equal; Elasticsearch's percentiles are approximate, and its sums in another order."""
    numbers = [name for name, value in one.items() if isinstance(value, float) and isinstance(other[name], float)]
    near = all(math.isclose(one[name], other[name], rel_tol=tolerance) for name in numbers)
    return near and one | dict.fromkeys(numbers) == other | dict.fromkeys(numbers) and list(one) == list(other)


def test_pandas_counts_what_elasticsearch_counts(stored: Stored, everything: list[Json], compared: Reference) -> None:
    found = records.frames(everything)
    draw = random.Random(3)
    ranges = [(SINCE, UNTIL), (UNTIL, UNTIL + timedelta(hours=1))]
    ranges += [
        (since, since + timedelta(minutes=draw.randrange(1, 600), milliseconds=draw.randrange(1000)))
        for since in (SINCE + timedelta(minutes=draw.randrange(-100, 900)) for _ in range(4))
    ]
    for panel in [*panels(compared), *chains()]:
        if panel.joined:
            continue
        frame = engine.frame(panel, found)
        for (since, until), interval in zip(ranges, ["10m", "30s", "1h", "3h", "1d", "7m"], strict=True):
            asked = engine.rows(panel, stored, since, until, interval)
            counted = engine.rows(panel, frame, since, until, interval)
            assert len(asked) == len(counted), (panel.name, interval)
            for one, other in zip(asked, counted, strict=True):
                assert same(one, other, 0.02 if panel.name == "latency" else 1e-9), (panel.name, interval)


def test_more_buckets_than_elasticsearch_counts_are_refused(elasticsearch: Store) -> None:
    with pytest.raises(TooManyBuckets, match="there are too many intervals of 1s; take a longer one"):
        engine.rows(ANSWERS, Stored(elasticsearch.client), SINCE, SINCE + timedelta(days=300), "1s")


def test_what_elasticsearch_can_not_answer_is_told(elasticsearch: Store) -> None:
    odd = replace(ANSWERS, query={"aggs": {"word": {"terms": {"field": "occupancy.room", "size": 0}}}})
    with pytest.raises(Refused, match="Elasticsearch at .* answers 400"):
        engine.rows(odd, Stored(elasticsearch.client, elasticsearch.prefix), SINCE, UNTIL, "1h")


def test_without_any_index_there_are_no_rows(elasticsearch: Store) -> None:
    assert engine.rows(ANSWERS, Stored(elasticsearch.client, elasticsearch.prefix), SINCE, UNTIL, "1h") == []


def test_without_records_each_panel_has_rows_without_values(compared: Reference) -> None:
    empty = records.frames([])
    for panel in panels(compared):
        rows = engine.rows(panel, engine.frame(panel, empty), SINCE, SINCE + timedelta(hours=2), "1h")
        assert {row["count"] for row in rows} <= {0}
        assert all(row.get("mean") is None for row in rows)


def test_a_panel_of_several_kinds_of_record_counts_them_together(everything: list[Json]) -> None:
    missing = next(panel for panel in panels() if panel.name == "missing")
    frame = engine.frame(missing, records.frames(everything))
    rows = engine.rows(missing, frame, SINCE, UNTIL + timedelta(hours=1), "1h")
    ids = [fields["event.id"] for fields in everything if "occupancy.sequence" in fields]
    for row in rows:
        numbers = [int(name.split("-")[1]) for name in ids if name.startswith(row["boot"])]
        assert (row["first"], row["last"], row["stored"]) == (min(numbers), max(numbers), len(numbers))
    assert (
        sum(row["last"] - row["first"] + 1 - row["stored"] for row in rows) == 10
    )  # twice two, then twice three were lost


def test_accuracy_joins_the_latest_feedback_to_its_prediction(everything: list[Json]) -> None:
    accuracy = next(panel for panel in panels() if panel.name == "accuracy")
    frame = engine.frame(accuracy, records.frames(everything))
    rows = engine.rows(accuracy, frame, SINCE, UNTIL, "1h")
    told = {
        fields["occupancy.feedback.prediction"]: fields["occupancy.feedback.occupied"]
        for fields in sorted(everything, key=lambda fields: fields["@timestamp"])
        if fields["event.dataset"] == "occupancy.feedback"
    }
    said = {fields["event.id"]: fields for fields in everything if fields.get("event.outcome") == "success"}
    right = [said[name]["occupancy.label"] == truth for name, truth in told.items()]
    kinds = {"occupied, told occupied", "empty, told empty"}
    assert sum(row["count"] for row in rows) == len(told) > 100
    assert sum(row["count"] for row in rows if row["kind"] in kinds) == sum(right)
    assert np.isclose(
        sum(row["mean"] * row["count"] for row in rows if row["count"]),
        sum(said[name]["occupancy.probability"] for name in told),
    )


def test_times_may_have_any_offset() -> None:
    utc = datetime(2026, 3, 28, 18, tzinfo=UTC)
    assert engine.milliseconds(utc) == 1774720800000
    assert engine.milliseconds(datetime.fromisoformat("2026-03-28T19:00+01:00")) == 1774720800000
