"""GET /metrics: what was counted, in Prometheus' text format."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from inference.metrics import FIGURES, SECONDS, Metrics, Snapshot

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAMILIES = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


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
        now = self._metrics.snapshot()
        found = _samples(self._metrics, now)
        for figure in FIGURES:
            name = f"occupancy_{figure.name}"
            if figure.type == "histogram":
                bounds = [*map(floatToGoString, SECONDS), "+Inf"]
                buckets = list(zip(bounds, accumulate(now.buckets), strict=True))
                yield HistogramMetricFamily(name, figure.meaning, buckets=buckets, sum_value=now.seconds)
                continue
            family = FAMILIES[figure.type](name, figure.meaning, labels=figure.labels)
            for (counted, *values), value in found.items():
                if counted == figure.name:
                    family.add_metric(values, value)
            yield family


def _samples(metrics: Metrics, now: Snapshot) -> dict[tuple[str, ...], float]:
    """Give each sample's value by its figure's name and its labels' values."""
    log, model = metrics.log, metrics.model
    found: dict[tuple[str, ...], float] = {
        **now.counts,
        ("log_records_written",): log.written,
        ("log_records_dropped",): log.dropped,
        ("log_records_queued",): log.queued,
        ("model_ready",): model is not None,
    }
    if model is not None:
        found["model_info", model.version, str(model.card.simulated).lower()] = 1
        found["model_live_timestamp_seconds",] = metrics.since
    return found
