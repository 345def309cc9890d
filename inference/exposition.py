"""GET /metrics: what was counted, in Prometheus' text format."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from inference.metrics import COUNTERS, SECONDS, Metrics

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(metrics: Metrics) -> bytes:
    """Write the service's figures, and those of its process."""
    registry = CollectorRegistry()
    registry.register(_Figures(metrics))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Figures(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Give the figures as they are now (prometheus_client calls this)."""
        counts, buckets, seconds = self._metrics.snapshot()
        log, model = self._metrics.log, self._metrics.model
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
        yield CounterMetricFamily("occupancy_log_records_written", "records of the prediction log", log.written)
        yield CounterMetricFamily("occupancy_log_records_dropped", "records that could not be written", log.dropped)
        yield GaugeMetricFamily("occupancy_log_records_queued", "records that wait to be written", log.queued)
        yield GaugeMetricFamily(
            "occupancy_model_ready", "1 if a model is loaded and proved itself, else 0", int(model is not None)
        )
        if model is not None:
            info = GaugeMetricFamily(
                "occupancy_model_info", "the model that answers; always 1", labels=["version", "simulated"]
            )
            info.add_metric([model.version, str(model.card.simulated).lower()], 1)
            yield info
            yield GaugeMetricFamily(
                "occupancy_model_live_timestamp_seconds", "since when it answers", self._metrics.since
            )
