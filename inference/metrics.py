"""What Prometheus reads at GET /metrics; every label has few values, whatever clients send.

Counting is on the way of every request: it is a few additions under one lock, which prometheus_client collects and
renders when someone asks (its own counters take a lock each).
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

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


class Metrics(Collector):
    """The service's metrics, in a registry of their own."""

    def __init__(self, log: PredictionLog, model: Model | None, since: float) -> None:
        """Take whose figures to give: the log's counters, the model and the time, in epoch seconds, it is live since."""
        self._log, self._model, self._since = log, model, since
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, ...]] = Counter({("answers", answer): 0 for answer in ANSWERS})
        self._buckets, self._seconds = [0] * (len(SECONDS) + 1), 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count(self, counter: str, *labels: str) -> None:
        """Add one to a counter of COUNTERS."""
        with self._lock:
            self._counts[counter, *labels] += 1

    def predicted(self, status: str, seconds: float) -> None:
        """Count a request to POST /predict, and how long it took."""
        bucket = bisect_left(SECONDS, seconds)
        with self._lock:
            self._counts["http_requests", "/predict", status] += 1
            self._buckets[bucket] += 1
            self._seconds += seconds

    def refused(self, field: str, reason: str) -> None:
        """Count a refused reading; a field that is a client's invention is counted as `other`."""
        self.count("readings_refused", field if field in FIELDS else "other", reason)

    def page(self) -> bytes:
        """Write all of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Give the figures as they are now (prometheus_client calls this)."""
        with self._lock:
            counts, buckets, seconds = dict(self._counts), list(self._buckets), self._seconds
        for name, (help_text, labels) in COUNTERS.items():
            family = CounterMetricFamily(f"occupancy_{name}", help_text, labels=labels)
            for (counter, *values), count in counts.items():
                if counter == name:
                    family.add_metric(values, count)
            yield family
        bounds = [*map(floatToGoString, SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "occupancy_predict_duration_seconds",
            "from a request's arrival at POST /predict to its answer",
            buckets=list(zip(bounds, accumulate(buckets), strict=True)),
            sum_value=seconds,
        )
        yield CounterMetricFamily("occupancy_log_records_written", "records of the prediction log", self._log.written)
        yield CounterMetricFamily(
            "occupancy_log_records_dropped", "records that could not be written", self._log.dropped
        )
        yield GaugeMetricFamily("occupancy_log_records_queued", "records that wait to be written", self._log.queued)
        ready = self._model is not None
        yield GaugeMetricFamily("occupancy_model_ready", "1 if a model is loaded and proved itself, else 0", int(ready))
        if self._model is not None:
            info = GaugeMetricFamily(
                "occupancy_model_info", "the model that answers; always 1", labels=["version", "simulated"]
            )
            info.add_metric([self._model.version, str(self._model.card.simulated).lower()], 1)
            yield info
            yield GaugeMetricFamily("occupancy_model_live_timestamp_seconds", "since when it answers", self._since)
