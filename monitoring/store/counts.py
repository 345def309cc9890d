"""What the carrier counts, in words and for Prometheus."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from occupancy.errors import InputError


class PortTaken(InputError):
    """The port for metrics can't be had."""


class Figure(NamedTuple):
    """One metric: its name without `occupancy_carrier_`, its type in Prometheus and what it says."""

    name: str
    type: str
    meaning: str


FIGURES = (
    Figure("read", "counter", "lines of standard output that were read"),
    Figure("written", "counter", "records that Elasticsearch stored now"),
    Figure("repeated", "counter", "records that it had already (409)"),
    Figure("quarantined", "counter", "lines that were put into quarantine"),
    Figure("retries", "counter", "requests that failed and were sent again"),
    Figure("lag_bytes", "gauge", "bytes in the files that are not stored yet (of compressed files, compressed ones)"),
    Figure("last_success_timestamp_seconds", "gauge", "when Elasticsearch last answered, in epoch seconds; 0: not yet"),
)


class Counts:
    """The carrier's counters, since it started."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.read = self.written = self.repeated = self.quarantined = self.retries = self.lag_bytes = 0
        self.last_success_timestamp_seconds = 0.0

    def succeeded(self) -> None:
        """Note that Elasticsearch answered."""
        self.last_success_timestamp_seconds = time.time()

    def __str__(self) -> str:
        """Say all in one line."""
        lag = f", {self.lag_bytes} bytes wait" if self.lag_bytes else ""
        return (
            f"{self.read} lines read, {self.written} stored, {self.repeated} stored before, "
            f"{self.quarantined} in quarantine, {self.retries} retries{lag}"
        )


class _Exposition:
    """Gives the counts to prometheus_client."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

        for figure in FIGURES:
            family = CounterMetricFamily if figure.type == "counter" else GaugeMetricFamily
            yield family(f"occupancy_carrier_{figure.name}", figure.meaning, value=getattr(self._counts, figure.name))


def expose(counts: Counts, port: int) -> Callable[[], None]:
    """Serve the counts at a port, for Prometheus, to all who can reach it; gives what ends that. Raises PortTaken."""
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 (only where somebody asks)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposition(counts))
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        raise PortTaken(
            f"no metrics at port {port}: {error.strerror}; set MONITORING_METRICS_PORT to another"
        ) from None

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
