"""The panels: each chart's one definition, which Kibana and the page both draw.

A panel is a question (an Elasticsearch aggregation) and a picture (a Vega-Lite specification of the answer's flat rows).
The aggregation is a chain: one bucket aggregation in another, metrics in the last. A flat row has a column for each
bucket aggregation, by its name, then `count` and the metrics by theirs; of a date_histogram named `time` it has `time`
and `end` (milliseconds since 1970), of percentiles named `p` it has `p50`, `p95` and so on.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from occupancy.reading import FEATURES, NAMES
from occupancy.record import FEEDBACK, LOSS, PREDICTION, VERDICT
from occupancy.reference import HALF_HOURS, Reference
from occupancy.report import ACCENT, FOURTH, INK, MUTED, SECOND, THIRD

EXPECTED_TEMPERATURE = 20.0  # °C
BAND = (0.3, 0.7)  # of a model whose card names no other
DATED, ANSWERED = "occupancy.reading.time", "@timestamp"
GROUPS = {"model": "Model and room", "sensors": "Sensors", "operation": "Operation"}
"""What belongs together, and its title."""

Json = dict[str, Any]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One chart. `time` is the field that the time range is about; `query` lacks that range and the interval.

    `datasets` are the kinds of record it is about. `joined`: about predictions beside the truth that feedback told of them;
    Elasticsearch can't join, so that Kibana has no such panel.
    """

    name: str
    title: str
    meaning: str
    unit: str
    group: str
    datasets: tuple[str, ...] = (PREDICTION,)
    time: str = DATED
    query: Json
    spec: Json
    joined: bool = False


def panels(reference: Reference | None = None, band: tuple[float, float] = BAND) -> tuple[Panel, ...]:
    """List all panels; the sensors' season comes from the reference, without which there is none to see."""
    return (
        _probability(band),
        _temperature(),
        _anomalies(),
        _answers(),
        _estimate(),
        _accuracy(),
        _feedback(),
        _verdicts(),
        _health(),
        *(_level(feature.name, feature.unit, reference) for feature in FEATURES),
        _traffic(),
        _refusals(),
        _latency(),
        _models(),
        _missing(),
    )


# --- questions


def _query(levels: Mapping[str, Json], where: Json | None = None, **metrics: Json) -> Json:
    """Put aggregations into one another, the metrics into the last."""
    inner: Json = {"aggs": metrics} if metrics else {}
    for name, aggregation in reversed(list(levels.items())):
        inner = {"aggs": {name: aggregation | inner}}
    return inner | ({"query": where} if where else {})


def _by_time(field: str = DATED, **options: Any) -> Json:
    return {"date_histogram": {"field": field, "min_doc_count": 0} | options}


def _by_term(field: str, size: int, **options: Any) -> Json:
    return {"terms": {"field": field, "size": size} | options}


def _filters(**kinds: Json) -> Json:
    return {"filters": {"filters": kinds}}


def _metric(kind: str, field: str) -> Json:
    return {kind: {"field": field}}


def _is(field: str, value: Any) -> Json:
    return {"term": {field: value}}


def _exists(field: str) -> Json:
    return {"exists": {"field": field}}


def _all(*clauses: Json, but: Json | None = None) -> Json:
    return {"bool": {"filter": list(clauses)} | ({"must_not": [but]} if but else {})}


_ANSWERED, _REFUSED = _is("event.outcome", "success"), _is("event.outcome", "failure")
_SAID = {"occupied": _is("occupancy.label", 1), "empty": _is("occupancy.label", 0)}
_TOLD = {name: _is("occupancy.feedback.occupied", name == "occupied") for name in _SAID}
_TOKEN = _is("occupancy.feedback.authenticated", True)
_FLAGGED = _exists("occupancy.flags")
_OUTCOMES = _filters(answered=_ANSWERED, refused=_REFUSED)
POTENTIAL_ANOMALIES = {
    "refused": _REFUSED,
    "flagged": _all(_ANSWERED, _FLAGGED),
    "uncertain": _all(_is("occupancy.answer", "uncertain"), but=_FLAGGED),
}
"""What counts as a potential anomaly, by kind; no reading is of two kinds."""


# --- pictures


_X = {"field": "time", "type": "temporal", "title": None}
_LINE = {"type": "line", "point": {"size": 10}}  # without points, a reading between two gaps would not show
_DASHED = {"strokeDash": [6, 4]}


def _y(field: str, title: str, **more: Any) -> Json:
    return {"field": field, "type": "quantitative", "title": title} | more


def _colour(field: str, **colours: str) -> Json:
    scale = {"domain": list(colours), "range": list(colours.values())} if colours else {"scheme": "tableau10"}
    return {"field": field, "type": "nominal", "title": None, "scale": scale}


def _layer(mark: Json, *transform: Json, **encoding: Json) -> Json:
    return {"mark": mark, "encoding": encoding} | ({"transform": list(transform)} if transform else {})


def _bars(title: str, color: Json, *, stack: str = "zero") -> Json:
    """Draw stacked bars over time: per minute, however long a bucket is; or, normalized, as shares."""
    per_minute = {"calculate": "datum.count * 60000 / (datum.end - datum.time)", "as": "per_minute"}
    form = {"axis": {"format": "%"}} if stack == "normalize" else {}
    y = _y("per_minute", title, stack=stack, **form)
    mark = {
        "type": "bar",
        "orient": "vertical",
        "fillOpacity": 1,
        "x2Offset": 0.6,
    }  # no bar thinner, no seam between two
    return _layer(mark, per_minute, x=_X, x2={"field": "end"}, y=y, color=color)


# --- the panels


def _probability(band: tuple[float, float]) -> Panel:
    low, high = band
    sure = f"datum.mean >= {low} && datum.mean <= {high} ? 'uncertain' : 'sure'"
    field = "occupancy.probability"
    size = {"field": "count", "type": "quantitative", "legend": None, "scale": {"range": [14, 140]}}
    shown = _y("mean", "probability of occupied", scale={"domain": [0, 1]})
    shaded = _layer({"type": "rect", "color": MUTED, "opacity": 0.2}, y={"datum": low}, y2={"datum": high})
    points = _layer({"type": "circle"}, x=_X, y=shown, color=_colour("is", sure=ACCENT, uncertain=THIRD), size=size)
    return Panel(
        name="probability",
        title="Model output over time",
        meaning=f"How likely the room is occupied, by the model; from {low:g} to {high:g} (shaded) it calls its answer "
        "uncertain. Readings near in time and in probability are one point, the larger the more they are.",
        unit="probability",
        group="model",
        query=_query(
            {"time": _by_time(), "bin": {"histogram": {"field": field, "interval": 0.05, "min_doc_count": 1}}},
            mean=_metric("avg", field),
        ),
        spec={
            "transform": [{"calculate": sure, "as": "is"}],
            "layer": [{"data": {"values": [{}]}} | shaded, points],
        },
    )


def _temperature() -> Panel:
    field = "occupancy.reading.Temperature"
    color = _colour("outcome", answered=ACCENT, refused=FOURTH)
    answered, refused = {"filter": "datum.outcome == 'answered'"}, {"filter": "datum.outcome == 'refused'"}
    scale = {"zero": False}
    expected = _layer({"type": "rule", "color": INK} | _DASHED, y={"datum": EXPECTED_TEMPERATURE})
    return Panel(
        name="temperature",
        title=f"Temperature against its expected {EXPECTED_TEMPERATURE:g} °C",
        meaning="Mean and range of the temperature; dashed, what is expected. Refused readings show, too: a sensor that "
        "was set to °F says 71.6.",
        unit="°C",
        group="model",
        query=_query(
            {"time": _by_time(), "outcome": _OUTCOMES},
            where=_exists(field),
            mean=_metric("avg", field),
            low=_metric("min", field),
            high=_metric("max", field),
        ),
        spec={
            "layer": [
                _layer(
                    {"type": "area", "color": ACCENT, "opacity": 0.25},
                    answered,
                    x=_X,
                    y=_y("low", "°C", scale=scale),
                    y2={"field": "high"},
                ),
                _layer(_LINE, answered, x=_X, y=_y("mean", "°C", scale=scale), color=color),
                _layer({"type": "point", "filled": True}, refused, x=_X, y=_y("mean", "°C", scale=scale), color=color),
                {"data": {"values": [{}]}} | expected,
            ]
        },
    )


def _anomalies() -> Panel:
    return Panel(
        name="anomalies",
        title="Potential anomalies per minute",
        meaning="Refused readings; answers with a flag, whose reading is outside of what the model was trained on or "
        "contradicts itself; and uncertain answers without a flag.",
        unit="readings per minute",
        group="model",
        query=_query(
            {"time": _by_time(), "kind": _filters(**POTENTIAL_ANOMALIES)},
            where=_exists("occupancy.room"),  # a request that failed as a whole had no reading
        ),
        spec=_bars("readings per minute", _colour("kind", refused=FOURTH, flagged=SECOND, uncertain=THIRD)),
    )


def _answers() -> Panel:
    kinds = {name: _is("occupancy.answer", name) for name in ("occupied", "empty", "uncertain")}
    return Panel(
        name="answers",
        title="Answers by certainty",
        meaning="What share of the answers was occupied, empty or uncertain.",
        unit="share of answers",
        group="model",
        query=_query({"time": _by_time(), "answer": _filters(**kinds)}),
        spec=_bars(
            "share of answers",
            _colour("answer", occupied=ACCENT, empty=MUTED, uncertain=THIRD),
            stack="normalize",
        ),
    )


_SURE = {"calculate": "datum.count * (datum.said == 'occupied' ? datum.mean : 1 - datum.mean)", "as": "sure"}


def _estimate() -> Panel:
    sums = [{"op": "sum", "field": name, "as": name} for name in ("sure", "count")]
    return Panel(
        name="estimate",
        title="Accuracy, as the model itself estimates it",
        meaning="The mean probability of the answers that were given. It is an estimate, not a measurement: a broken sensor "
        "can make the model wrong and sure.",
        unit="share of answers",
        group="model",
        query=_query({"time": _by_time(), "said": _filters(**_SAID)}, mean=_metric("avg", "occupancy.probability")),
        spec=_layer(
            _LINE,
            _SURE,
            {"aggregate": sums, "groupby": ["time"]},
            {"calculate": "datum.count ? datum.sure / datum.count : null", "as": "estimate"},
            x=_X,
            y=_y("estimate", "estimated accuracy", scale={"domain": [0.5, 1]}, axis={"format": "%"}),
        ),
    )


def _accuracy() -> Panel:
    kinds = {f"{said}, told {told}": _all(_SAID[said], _TOLD[told]) for said in _SAID for told in _TOLD}
    sums = [{"op": "sum", "field": name, "as": name} for name in ("right", "sure", "count")]
    color = _colour("of", measured=SECOND, estimated=ACCENT)
    return Panel(
        name="accuracy",
        title="Accuracy by feedback, beside the estimate",
        meaning="Of the answers that somebody told the truth about: the share that was right, and what the model estimated "
        "for the same answers. Who tells is not chosen at random, unless labels were asked for.",
        unit="share of answers",
        group="model",
        datasets=(PREDICTION, FEEDBACK),
        joined=True,
        query=_query(
            {"time": _by_time(fixed_interval="60m"), "kind": _filters(**kinds)},
            mean=_metric("avg", "occupancy.probability"),
        ),
        spec=_layer(
            _LINE,
            {"calculate": "split(datum.kind, ', told ')[0]", "as": "said"},
            {"calculate": "datum.said == split(datum.kind, ', told ')[1] ? datum.count : 0", "as": "right"},
            _SURE,
            {"aggregate": sums, "groupby": ["time"]},
            {"calculate": "datum.count ? datum.right / datum.count : null", "as": "measured"},
            {"calculate": "datum.count ? datum.sure / datum.count : null", "as": "estimated"},
            {"fold": ["measured", "estimated"], "as": ["of", "share"]},
            x=_X,
            y=_y("share", "accuracy", scale={"domain": [0, 1]}, axis={"format": "%"}),
            color=color,
        ),
    )


def _feedback() -> Panel:
    kinds = {name: _all(told, _TOKEN) for name, told in _TOLD.items()} | {"unproved": _all(but=_TOKEN)}
    return Panel(
        name="feedback",
        title="Feedback per minute",
        meaning="What was told about the room by those who hold the token; unproved is what came without it, which never "
        "trains a model. By the time of the telling.",
        unit="feedback per minute",
        group="model",
        datasets=(FEEDBACK,),
        time=ANSWERED,
        query=_query({"time": _by_time(ANSWERED), "told": _filters(**kinds)}),
        spec=_bars("feedback per minute", _colour("told", occupied=ACCENT, empty=MUTED, unproved=SECOND)),
    )


def _verdicts() -> Panel:
    of = "occupancy.verdict."
    one = {"size": 1}  # an event has one room, rule and so on
    what = "(datum.sensor ? datum.sensor + ': ' : '') + datum.rule + ' (' + datum.room + ')'"
    color = _colour("layer", health=SECOND, level=ACCENT, loss=FOURTH)
    y = {"field": "what", "type": "nominal", "title": None}
    shape: Json = {
        "field": "state",
        "type": "nominal",
        "title": None,
        "scale": {"domain": ["opened", "closed"], "range": ["triangle-right", "square"]},
        "legend": {"symbolFillColor": MUTED, "symbolStrokeColor": MUTED},
    }
    return Panel(
        name="verdicts",
        title="Verdicts",
        meaning="What monitoring found: health of a sensor (somebody is to look), level against the season (a ticket), loss "
        "(retraining). A bar reaches from the first reading it is about to where the verdict was opened or closed.",
        unit="",
        group="sensors",
        datasets=(VERDICT,),
        time=ANSWERED,
        query=_query(
            {
                "event": _by_term(f"{of}event", 200),
                "room": _by_term("occupancy.room", **one),
                "layer": _by_term(f"{of}layer", **one),
                "rule": _by_term(f"{of}rule", **one),
                "sensor": _by_term(f"{of}sensor", missing="", **one),
                "state": _by_term(f"{of}state", 2),
            },
            since=_metric("min", f"{of}since"),
            at=_metric("max", ANSWERED),
        ),
        spec={
            "transform": [{"calculate": what, "as": "what"}],
            "layer": [
                _layer(
                    {"type": "bar", "height": 8, "fillOpacity": 0.5},
                    x={"field": "since", "type": "temporal", "title": None},
                    x2={"field": "at"},
                    y=y,
                    color=color,
                ),
                _layer(
                    {"type": "point", "filled": True, "size": 90, "opacity": 1},
                    x={"field": "at", "type": "temporal", "title": None},
                    y=y,
                    color=color,
                    shape=shape,
                ),
            ],
        },
    )


def _health() -> Panel:
    def about(name: str) -> Json:
        flags = {"terms": {"occupancy.flags": [f"{reason}:{name}" for reason in ("beyond_training", "contradiction")]}}
        return {"bool": {"should": [flags, _is("occupancy.refusal.field", name)]}}

    return Panel(
        name="health",
        title="Refusals and flags by sensor",
        meaning="Readings per minute that were refused or flagged because of a sensor; the stronger the more.",
        unit="readings per minute",
        group="sensors",
        query=_query({"time": _by_time(), "sensor": _filters(**{name: about(name) for name in NAMES})}),
        spec=_layer(
            {"type": "rect", "color": FOURTH, "x2Offset": 0.6},
            {"filter": "datum.count > 0"},
            {"calculate": "datum.count * 60000 / (datum.end - datum.time)", "as": "per_minute"},
            x=_X,
            x2={"field": "end"},
            y={"field": "sensor", "type": "nominal", "title": None, "scale": {"domain": list(NAMES)}},
            opacity=_y("per_minute", "per minute", scale={"range": [0.2, 1], "domainMin": 0}),
        ),
    )


def _level(name: str, unit: str, reference: Reference | None) -> Panel:
    field = f"occupancy.reading.{name}"
    mean = _layer(_LINE, x=_X, y=_y("mean", unit, scale={"zero": False}))
    season = [
        {"clock": f"{half // 2:02}:{half % 2 * 30:02}", "season": value}
        for half, value in zip(range(HALF_HOURS), reference.sensors[name].level if reference else [], strict=False)
    ]
    looked_up = {"data": {"values": season}, "key": "clock", "fields": ["season"]}
    usual = _layer(
        {"type": "line", "color": MUTED, "interpolate": "step-after"} | _DASHED,
        {"lookup": "time_as_string", "from": looked_up},
        x=_X,
        y=_y("season", unit, scale={"zero": False}),
    )
    return Panel(
        name=f"level_{name}",
        title=f"{name} against its season",
        meaning=f"{name} by the half hour"
        + ("; dashed, what was usual at that time of the day where the model was trained." if reference else "."),
        unit=unit,
        group="sensors",
        query=_query(
            {
                "time": _by_time(
                    fixed_interval="30m", time_zone=reference.timezone if reference else "UTC", format="HH:mm"
                )
            },
            where=_all(_ANSWERED, _exists(field)),
            mean=_metric("avg", field),
        ),
        spec={"layer": [usual, mean]} if season else mean,
    )


def _traffic() -> Panel:
    return Panel(
        name="traffic",
        title="Readings per minute",
        meaning="Readings that were answered or refused, by the time when they were.",
        unit="readings per minute",
        group="operation",
        time=ANSWERED,
        query=_query({"time": _by_time(ANSWERED), "outcome": _OUTCOMES}),
        spec=_bars("readings per minute", _colour("outcome", answered=ACCENT, refused=FOURTH)),
    )


def _refusals() -> Panel:
    return Panel(
        name="refusals",
        title="Errors and refusals by reason",
        meaning="Readings and requests that got no answer, by the rule that they broke or the error.",
        unit="refusals per minute",
        group="operation",
        time=ANSWERED,
        query=_query({"time": _by_time(ANSWERED), "reason": _by_term("occupancy.refusal.reason", 10)}, where=_REFUSED),
        spec=_bars("refusals per minute", _colour("reason")),
    )


def _latency() -> Panel:
    return Panel(
        name="latency",
        title="Time to answer",
        meaning="From a request's arrival to its answer: half of the readings were answered faster than p50, 1 % slower "
        "than p99. A batch's time counts for each of its readings.",
        unit="ms",
        group="operation",
        time=ANSWERED,
        query=_query(
            {"time": _by_time(ANSWERED)}, p={"percentiles": {"field": "event.duration", "percents": [50, 95, 99]}}
        ),
        spec=_layer(
            _LINE,
            {"fold": ["p50", "p95", "p99"], "as": ["percentile", "duration"]},
            {"calculate": "datum.duration == null ? null : datum.duration / 1e6", "as": "milliseconds"},
            x=_X,
            y=_y("milliseconds", "ms"),
            color=_colour("percentile", p50=ACCENT, p95=THIRD, p99=FOURTH),
        ),
    )


def _models() -> Panel:
    return Panel(
        name="models",
        title="Model versions",
        meaning="Which model answered: the first digits of its file's sum.",
        unit="readings per minute",
        group="operation",
        time=ANSWERED,
        query=_query({"time": _by_time(ANSWERED), "version": _by_term("occupancy.model.version", 10)}),
        spec=_bars("readings per minute", _colour("version")),
    )


def _missing() -> Panel:
    number = "occupancy.sequence"
    text = "format(datum.missing, ',') + ' of ' + format(datum.last - datum.first + 1, ',')"
    y = {
        "field": "boot",
        "type": "nominal",
        "title": None,
        "sort": {"field": "missing", "op": "max", "order": "descending"},
    }
    return Panel(
        name="missing",
        title="Missing records",
        meaning="A start of the service numbers its records without a gap: what is not there between the first and the last "
        "is missing (or still on its way). The ten starts with the most.",
        unit="records",
        group="operation",
        datasets=(PREDICTION, FEEDBACK, LOSS),
        time=ANSWERED,
        query=_query(
            {"boot": _by_term("occupancy.boot", 1000)},
            first=_metric("min", number),
            last=_metric("max", number),
            stored=_metric("value_count", number),
        ),
        spec={
            "transform": [
                {"calculate": "datum.last - datum.first + 1 - datum.stored", "as": "missing"},
                {"calculate": text, "as": "text"},
                {
                    "window": [{"op": "row_number", "as": "place"}],
                    "sort": [{"field": "missing", "order": "descending"}],
                },
                {"filter": "datum.place <= 10"},
            ],
            "layer": [
                _layer({"type": "bar", "color": FOURTH, "height": 14}, x=_y("missing", "records"), y=y),
                _layer(
                    {"type": "text", "align": "left", "dx": 6, "color": INK},
                    x=_y("missing", "records"),
                    y=y,
                    text={"field": "text"},
                ),
            ],
        },
    )
