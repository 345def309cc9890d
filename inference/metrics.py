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
COUNTERS = {
    "http_requests": ("requests, by path and status", ("path", "status")),
    "answers": ("readings answered, by answer", ("answer",)),
    "readings_refused": ("readings refused, by field and reason", ("field", "reason")),
    "flags": ("flags on answers, by field and reason", ("field", "reason")),
    "feedback": ("feedback taken, by what it says and whether it had the token", ("occupied", "authenticated")),
}


class Metrics:
    """The service's counters."""

    def __init__(self, log: PredictionLog, model: Model | None, since: float) -> None:
        """Take whose figures to give: the log's counters, the model and the time, in epoch seconds, it is live since."""
        self.log, self.model, self.since = log, model, since
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter({("answers", answer): 0 for answer in ANSWERS})
        self._buckets, self._seconds = [0] * (len(SECONDS) + 1), 0.0

    def count(self, counter: str, *labels: str) -> None:
        """Add one to a counter of COUNTERS."""
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
