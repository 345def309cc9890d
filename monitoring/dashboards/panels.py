"""The panels: each chart's one definition, that Kibana and the page both draw.

A panel is a question (an Elasticsearch aggregation) and a picture (a Vega-Lite specification of the answer's flat rows).
The aggregation is a chain: one bucket aggregation in another, metrics in the last. A flat row has a column for each
bucket aggregation, by its name, then `count` and the metrics by theirs; of a date_histogram named `time` it has `time`
and `end` (milliseconds since 1970, UTC), of percentiles named `p` it has `p50`, `p95` and so on.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from occupancy.reading import FEATURES
from occupancy.record import PREDICTION
from occupancy.reference import HALF_HOURS, Reference
from occupancy.report import ACCENT, FOURTH, INK, MUTED, SECOND, THIRD

EXPECTED_TEMPERATURE = 20.0  # °C
BAND = (0.3, 0.7)  # of a model whose card names no other
DATED, ANSWERED = "occupancy.reading.time", "@timestamp"
GROUPS = {
    "model": "Model and room",
    "sensors": "Sensors against their season",
    "operation": "Operation",
}
"""What belongs together, and its title."""

Json = dict[str, Any]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One chart. `time` is the field that the time range is about; `query` lacks that range and the interval.

    `datasets` are the kinds of record it is about. `joined`: about predictions that feedback has been joined to, which
    Elasticsearch can't do, so that Kibana has no such panel.
    """

    name: str
    title: str
    meaning: str
    unit: str
    group: str
    datasets: tuple[str, ...]
    time: str
    query: Json
    spec: Json
    joined: bool = False


def panels(reference: Reference | None = None, band: tuple[float, float] = BAND) -> tuple[Panel, ...]:
    """List all panels; the sensors' season comes from the reference, without which there is none to see."""
    return (
        _probability(band),
        _temperature(),
        _anomalies(),
        *(_level(name, unit, reference) for name, unit, *_ in FEATURES),
        _traffic(),
    )


# --- questions


def _query(levels: Mapping[str, Json], where: Json | None = None, **metrics: Json) -> Json:
    """Put aggregations into one another, the metrics into the last."""
    inner: Json = {"aggs": metrics} if metrics else {}
    for name, aggregation in reversed(levels.items()):
        inner = {"aggs": {name: aggregation | inner}}
    return inner | ({"query": where} if where else {})


def _by_time(field: str, **options: Any) -> Json:
    return {"date_histogram": {"field": field, "min_doc_count": 0} | options}


def _filters(**kinds: Json) -> Json:
    return {"filters": {"filters": kinds}}


def _is(field: str, value: Any) -> Json:
    return {"term": {field: value}}


def _exists(field: str) -> Json:
    return {"exists": {"field": field}}


def _all(*clauses: Json, but: Json | None = None) -> Json:
    return {"bool": {"filter": list(clauses)} | ({"must_not": [but]} if but else {})}


_ANSWERED, _REFUSED = _is("event.outcome", "success"), _is("event.outcome", "failure")
_FLAGGED = _exists("occupancy.flags")
_OUTCOMES = _filters(answered=_ANSWERED, refused=_REFUSED)
# A reading counts once, under the first that holds.
POTENTIAL_ANOMALIES = {
    "refused": _REFUSED,
    "flagged": _all(_ANSWERED, _FLAGGED),
    "uncertain": _all(_is("occupancy.answer", "uncertain"), but=_FLAGGED),
}
"""What is counted as a potential anomaly, by kind; a reading counts once, under the first kind that holds."""


# --- pictures


def _chart(*layers: Json, transform: tuple[Json, ...] = (), **encoding: Json) -> Json:
    parts = {"encoding": encoding, "layer": list(layers)} if len(layers) > 1 else layers[0] | {"encoding": encoding}
    return ({"transform": list(transform)} if transform else {}) | parts


_X = {"field": "time", "type": "temporal", "title": None}
_END = {"field": "end"}


def _y(field: str, title: str, **more: Any) -> Json:
    return {"field": field, "type": "quantitative", "title": title} | more


def _colour(field: str, **colours: str) -> Json:
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


_BARS = {"mark": {"type": "bar", "orient": "vertical"}}
_LINE = {"type": "line", "point": {"size": 8}}
_PER_MINUTE = {"calculate": "datum.count * 60000 / (datum.end - datum.time)", "as": "per_minute"}


def _rule(value: float, **mark: Any) -> Json:
    return {
        "data": {"values": [{"value": value}]},
        "mark": {"type": "rule"} | mark,
        "encoding": {"y": {"datum": value}},
    }


# --- the panels


def _probability(band: tuple[float, float]) -> Panel:
    low, high = band
    sure = f"datum.mean >= {low} && datum.mean <= {high} ? 'uncertain' : 'sure'"
    return Panel(
        name="probability",
        title="Model output over time",
        meaning=f"How likely the room is occupied, by the model; between {low:g} and {high:g} (shaded) it calls itself "
        "uncertain. Readings that are near in time and probability are one point, the larger the more they are.",
        unit="probability",
        group="model",
        datasets=(PREDICTION,),
        time=DATED,
        query=_query(
            {
                "time": _by_time(DATED),
                "bin": {"histogram": {"field": "occupancy.probability", "interval": 0.05, "min_doc_count": 1}},
            },
            mean={"avg": {"field": "occupancy.probability"}},
        ),
        spec=_chart(
            {
                "data": {"values": [{"low": low, "high": high}]},
                "mark": {"type": "rect", "color": MUTED, "opacity": 0.2},
                "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "circle"},
                "encoding": {
                    "x": _X,
                    "y": _y("mean", "probability", scale={"domain": [0, 1]}),
                    "color": _colour("is", sure=ACCENT, uncertain=THIRD),
                    "size": {"field": "count", "type": "quantitative", "legend": None, "scale": {"range": [12, 120]}},
                },
            },
            transform=({"calculate": sure, "as": "is"},),
        ),
    )


def _temperature() -> Panel:
    field = "occupancy.reading.Temperature"
    return Panel(
        name="temperature",
        title="Temperature against its expected 20 °C",
        meaning=f"The mean temperature and its range; the dashed line is the expected {EXPECTED_TEMPERATURE:g} °C. Values "
        "of refused readings show, too: 71.6 is 22 °C in °F.",
        unit="°C",
        group="model",
        datasets=(PREDICTION,),
        time=DATED,
        query=_query(
            {"time": _by_time(DATED), "outcome": _OUTCOMES},
            where=_exists(field),
            mean={"avg": {"field": field}},
            low={"min": {"field": field}},
            high={"max": {"field": field}},
        ),
        spec=_chart(
            {
                "transform": [{"filter": "datum.outcome == 'answered'"}],
                "mark": {"type": "area", "opacity": 0.25},
                "encoding": {
                    "x": _X,
                    "y": _y("low", "°C", scale={"zero": False}),
                    "y2": {"field": "high"},
                    "color": _colour("outcome", answered=ACCENT, refused=FOURTH),
                },
            },
            {
                "transform": [{"filter": "datum.outcome == 'answered'"}],
                "mark": _LINE,
                "encoding": {"x": _X, "y": _y("mean", "°C"), "color": {"field": "outcome", "type": "nominal"}},
            },
            {
                "transform": [{"filter": "datum.outcome == 'refused' && datum.count > 0"}],
                "mark": {"type": "point", "filled": True, "size": 40},
                "encoding": {"x": _X, "y": _y("high", "°C"), "color": {"field": "outcome", "type": "nominal"}},
            },
            _rule(EXPECTED_TEMPERATURE, color=INK, strokeDash=[6, 4]),
        ),
    )


def _anomalies() -> Panel:
    return Panel(
        name="anomalies",
        title="Potential anomalies per minute",
        meaning="Readings that were refused, answers with a flag (outside of what the model was trained on, or in "
        "contradiction with themselves) and other answers that are uncertain, each reading counted once.",
        unit="readings per minute",
        group="model",
        datasets=(PREDICTION,),
        time=DATED,
        query=_query({"time": _by_time(DATED), "kind": _filters(**POTENTIAL_ANOMALIES)}),
        spec=_chart(
            _BARS,
            transform=(_PER_MINUTE,),
            x=_X,
            x2=_END,
            y=_y("per_minute", "readings per minute"),
            color=_colour("kind", refused=FOURTH, flagged=SECOND, uncertain=THIRD),
        ),
    )


def _level(name: str, unit: str, reference: Reference | None) -> Panel:
    field = f"occupancy.reading.{name}"
    level = reference.sensors[name].level if reference else []
    season = [
        {"clock": f"{half // 2:02}:{half % 2 * 30:02}", "season": value}
        for half, value in zip(range(HALF_HOURS), level, strict=False)
    ]
    scale = {"zero": False}
    return Panel(
        name=f"level_{name}",
        title=f"{name} against its season",
        meaning=f"The mean {name} of each half hour"
        + (", and dashed what it was at that time of the day where the model was trained." if reference else "."),
        unit=unit,
        group="sensors",
        datasets=(PREDICTION,),
        time=DATED,
        query=_query(
            {
                "time": _by_time(
                    DATED,
                    fixed_interval="30m",
                    time_zone=reference.timezone if reference else "UTC",
                    format="HH:mm",
                )
            },
            where=_all(_ANSWERED, _exists(field)),
            mean={"avg": {"field": field}},
        ),
        spec=_chart(
            {"mark": _LINE, "encoding": {"x": _X, "y": _y("mean", unit, scale=scale)}},
            {
                "transform": [
                    {
                        "lookup": "time_as_string",
                        "from": {"data": {"values": season}, "key": "clock", "fields": ["season"]},
                    }
                ],
                "mark": {"type": "line", "color": MUTED, "strokeDash": [6, 4], "interpolate": "step-after"},
                "encoding": {"x": _X, "y": _y("season", unit, scale=scale)},
            },
        )
        if season
        else _chart({"mark": _LINE}, x=_X, y=_y("mean", unit, scale=scale)),
    )


def _traffic() -> Panel:
    return Panel(
        name="traffic",
        title="Readings per minute",
        meaning="How many readings came, by when the service answered or refused them.",
        unit="readings per minute",
        group="operation",
        datasets=(PREDICTION,),
        time=ANSWERED,
        query=_query({"time": _by_time(ANSWERED), "outcome": _OUTCOMES}),
        spec=_chart(
            _BARS,
            transform=(_PER_MINUTE,),
            x=_X,
            x2=_END,
            y=_y("per_minute", "readings per minute"),
            color=_colour("outcome", answered=ACCENT, refused=FOURTH),
        ),
    )
