"""What the watch counts, at GET /metrics."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from monitoring.drift.judge import State
from monitoring.drift.verdict import RULES, Verdict


class Exposition:
    """The watch's figures, served from a thread of their own."""

    def __init__(self, port: int) -> None:
        """Serve on a port; 0 counts without serving."""
        self.registry = CollectorRegistry()
        registry = self.registry
        self._records = Counter("occupancy_watch_readings", "readings that were looked at", registry=registry)
        self._verdicts = Counter(
            "occupancy_watch_verdicts", "verdicts, by rule and state", ["layer", "rule", "state"], registry=registry
        )
        self._open = Gauge(
            "occupancy_watch_open",
            "events that are not over, by rule",
            ["layer", "rule", "consequence"],
            registry=registry,
        )
        self._late = Gauge(
            "occupancy_watch_not_judged", "readings that came too late, or with a time ahead of ours", registry=registry
        )
        self._looked = Gauge("occupancy_watch_looked_timestamp_seconds", "when it last looked", registry=registry)
        self._unsent = Gauge(
            "occupancy_watch_webhook_waiting", "verdicts that the webhook has not taken", registry=registry
        )
        if port:
            start_http_server(port, registry=self.registry)

    def show(
        self, state: State, opened: Mapping[str, Verdict], said: Sequence[Verdict], readings: int, unsent: int
    ) -> None:
        """Take the figures after one look."""
        self._records.inc(readings)
        for verdict in said:
            self._verdicts.labels(verdict.layer, verdict.rule, verdict.state).inc()
        for rule in RULES.values():
            count = sum(verdict.rule == rule.name for verdict in opened.values())
            self._open.labels(rule.layer, rule.name, rule.consequence).set(count)
        self._late.set(sum(room.late + room.ahead for room in state.rooms.values()))
        self._unsent.set(unsent)
        self._looked.set_to_current_time()
