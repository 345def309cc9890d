"""What the service counts, for GET /metrics; every label has few values, whatever clients send.

Counting is on the way of every request, so it is a few additions under one lock; prometheus_client renders the figures
when someone asks (see exposition.py), but does not count: its counters take a lock each.
"""

import threading
from bisect import bisect_left
from collections import Counter
from typing import NamedTuple

from inference.prediction_log import PredictionLog
from occupancy.model import ANSWERS, Model
from occupancy.reading import Reading

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FIELDS = frozenset({*Reading.__struct_fields__, "body"})


class Figure(NamedTuple):
    """One metric: its name without `occupancy_`, its type in Prometheus, its labels and what it says."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


FIGURES = (
    Figure("http_requests", "counter", ("path", "status"), "requests, by path and status"),
    Figure("answers", "counter", ("answer",), "readings answered, by answer"),
    Figure(
        "readings_refused", "counter", ("field", "reason"), "readings refused; `other`: a field that is a client's own"
    ),
    Figure("flags", "counter", ("field", "reason"), "flags on answers"),
    Figure("feedback", "counter", ("occupied", "authenticated"), "feedback taken, and whether it had the token"),
    Figure("predict_duration_seconds", "histogram", (), "from a request's arrival at POST /predict to its answer"),
    Figure("log_records_written", "counter", (), "records of the prediction log that were written"),
    Figure("log_records_dropped", "counter", (), "records that could not be written"),
    Figure("log_records_queued", "gauge", (), "records that wait to be written"),
    Figure("model_ready", "gauge", (), "1 if a model is loaded and proved itself, else 0"),
    Figure("model_info", "gauge", ("version", "simulated"), "the model that answers; always 1"),
    Figure("model_live_timestamp_seconds", "gauge", (), "since when it answers"),
)


class Metrics:
    """The service's counters."""

    def __init__(self, log: PredictionLog, model: Model | None, since: float) -> None:
        """Take whose figures to give: the log's counters, the model and the time, in epoch seconds, it is live since."""
        self.log, self.model, self.since = log, model, since
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter({("answers", answer): 0 for answer in ANSWERS})
        self._buckets, self._seconds = [0] * (len(SECONDS) + 1), 0.0

    def count(self, counter: str, *labels: str) -> None:
        """Add one to a counter of FIGURES."""
        with self._lock:
            self._counts[counter, *labels] += 1

    def predicted(self, path: str, status: str, seconds: float) -> None:
        """Count a request to POST /predict, and how long it took."""
        bucket = bisect_left(SECONDS, seconds)
        with self._lock:
            self._counts["http_requests", path, status] += 1
            self._buckets[bucket] += 1
            self._seconds += seconds

    def refused(self, field: str, reason: str) -> None:
        """Count a refused reading; a field that is a client's invention is counted as `other`."""
        self.count("readings_refused", field if field in FIELDS else "other", reason)

    def snapshot(self) -> "Snapshot":
        """Give the figures as they are now."""
        with self._lock:
            return Snapshot(dict(self._counts), list(self._buckets), self._seconds)


class Snapshot(NamedTuple):
    """What was counted up to one moment: by counter and labels; requests by bucket of SECONDS, and their seconds."""

    counts: dict[tuple[str, ...], int]
    buckets: list[int]
    seconds: float
