"""The engine: a panel's flat rows, from pandas or from Elasticsearch, equal but for the rounding of percentiles.

The aggregations that it knows are those that panels use: a chain of date_histogram, histogram, terms and filters, with
avg, min, max, sum, value_count, cardinality and percentiles in the last.
"""

from datetime import datetime
from typing import Any, NamedTuple

import elasticsearch
import pandas as pd

from monitoring.dashboards.panels import Panel

Json = dict[str, Any]


class Stored(NamedTuple):
    """The records in Elasticsearch, in indices whose names begin with the prefix."""

    client: elasticsearch.Elasticsearch
    prefix: str = ""


def rows(panel: Panel, source: pd.DataFrame | Stored, since: datetime, until: datetime, interval: str) -> list[Json]:
    """Ask a panel's question: records from `since` on and before `until`, both with their offset, in buckets of `interval`.

    A frame has the record's field names as columns and holds the panel's datasets; an interval is a number with s, m, h
    or d. Rows are sorted by their buckets. What an empty bucket has no value for is None.
    """
    raise NotImplementedError
