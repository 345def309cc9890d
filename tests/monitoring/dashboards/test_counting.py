from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.dashboards import counting
from monitoring.dashboards.counting import Level

TEN = int(datetime(2026, 3, 28, 10, tzinfo=UTC).timestamp() * 1000)
TIMES = pd.to_datetime(np.array([TEN + 59_999.9, np.nan, TEN + 60_000, TEN + 240_000]), unit="ms", utc=True).as_unit(
    "us"
)
FRAME = pd.DataFrame(
    {
        "at": TIMES,
        "word": pd.Series(["b", "a", None, "b"], dtype=object),
        "words": pd.Series([["x", "x"], None, ["y", "x"], None], dtype=object),
        "number": [1.0, 2.0, np.nan, 4.0],
        "truth": pd.Series([True, False, None, True], dtype=object),
    }
)


@pytest.mark.parametrize(
    ("clause", "rows"),
    [
        ({"term": {"word": "b"}}, [0, 3]),
        ({"term": {"words": "x"}}, [0, 2]),
        ({"term": {"truth": False}}, [1]),
        ({"term": {"number": 2}}, [1]),
        ({"terms": {"words": ["y", "z"]}}, [2]),
        ({"terms": {"word": ["a", "b"]}}, [0, 1, 3]),
        ({"exists": {"field": "words"}}, [0, 2]),
        ({"exists": {"field": "at"}}, [0, 2, 3]),
        ({"bool": {"filter": [{"term": {"word": "b"}}], "must_not": [{"term": {"number": 4}}]}}, [0]),
        ({"bool": {"should": [{"term": {"word": "a"}}, {"term": {"words": "y"}}]}}, [1, 2]),
        ({"bool": {"filter": []}}, [0, 1, 2, 3]),
    ],
)
def test_a_query_holds_for_the_rows_that_fulfil_it(clause: dict[str, Any], rows: list[int]) -> None:
    assert np.flatnonzero(counting.holds(FRAME, clause)).tolist() == rows


def count(levels: list[Level], **metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return counting.rows(FRAME, "at", (TEN, TEN + 240_001), None, levels=levels, metrics=metrics)


def test_times_are_of_the_bucket_that_their_millisecond_is_in_and_empty_ones_are_there() -> None:
    options = {"field": "at", "fixed_interval": "1m", "extended_bounds": {"min": TEN, "max": TEN + 240_000}}
    rows = count([Level("time", "date_histogram", options)], largest={"max": {"field": "number"}})
    assert [row["count"] for row in rows] == [1, 1, 0, 0, 1]
    assert [row["largest"] for row in rows] == [1.0, None, None, None, 4.0]
    assert (rows[1]["time"], rows[1]["end"]) == (TEN + 60_000, TEN + 120_000)


def test_buckets_begin_with_the_zone_s_half_hour() -> None:
    options = {
        "field": "at", "fixed_interval": "30m", "time_zone": "Asia/Kathmandu", "format": "HH:mm",
        "extended_bounds": {"min": TEN, "max": TEN + 240_000},
    }  # fmt: skip
    (row,) = count([Level("time", "date_histogram", options)])
    assert (row["time"], row["time_as_string"], row["count"]) == (TEN - 15 * 60_000, "15:30", 3)


def test_a_record_counts_once_for_each_of_its_words() -> None:
    rows = count([Level("words", "terms", {"field": "words", "size": 5})])
    assert rows == [{"words": "x", "count": 2}, {"words": "y", "count": 1}]


def test_of_too_many_terms_the_most_frequent_stay() -> None:
    assert count([Level("words", "terms", {"field": "words", "size": 1})]) == [{"words": "x", "count": 2}]
    rows = count([Level("word", "terms", {"field": "word", "size": 1, "missing": "a"})])
    assert rows == [{"word": "b", "count": 2}]


def test_percentiles_have_a_column_each() -> None:
    kinds = {"filters": {"b": {"term": {"word": "b"}}, "none": {"term": {"word": "z"}}}}
    rows = count([Level("kind", "filters", kinds)], p={"percentiles": {"field": "number", "percents": [50, 99.9]}})
    assert rows[0] == {"kind": "b", "count": 2, "p50": 2.5, "p99.9": pytest.approx(3.997)}
    assert rows[1] == {"kind": "none", "count": 0, "p50": None, "p99.9": None}
