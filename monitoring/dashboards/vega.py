"""A panel as Kibana's Vega: a picture that asks Elasticsearch itself, with Kibana's marks for time range and filters."""

import json
from collections.abc import Sequence

from monitoring.dashboards import engine
from monitoring.dashboards.counting import Level
from monitoring.dashboards.panels import Json, Panel
from occupancy.record import PREDICTION, VERDICT
from occupancy.report import ACCENT, FOURTH, INK, MUTED, SECOND, THEME, THIRD

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
COLOURS = {ACCENT: "#209280", SECOND: "#da8b45", THIRD: "#9170b8", FOURTH: "#d36086", MUTED: "#98a2b3", INK: "#98a2b3"}
"""Colours that show on Kibana's light and on its dark ground; those of texts and axes are Kibana's own."""
MOST_BUCKETS = 200


def spec(panel: Panel, prefix: str = "") -> Json:
    """Write a panel as the Vega-Lite specification that asks Elasticsearch itself, through Kibana."""
    levels, metrics = engine.chain(panel.query["aggs"])
    drawn = json.dumps(panel.spec)
    for variable, colour in COLOURS.items():
        drawn = drawn.replace(variable, colour)
    picture = json.loads(drawn)
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "data": {
            "url": {"index": engine.index(panel, prefix), "body": body(panel)},
            "format": {"property": f"aggregations.{levels[0].name}.buckets"},
        },
        **picture,
        "transform": [*flattening(levels, metrics), *picture.get("transform", [])],
    }


def body(panel: Panel) -> Json:
    """Write a panel's search with the marks that Kibana puts time range, interval, query and filters of the dashboard for.

    Feedback and losses have no room: on such a panel a filter for one would show nothing, so that none is put.
    """
    within = {"range": {panel.time: {"%timefilter%": True}}}
    asked: Json = {"must": [within], "filter": engine.conditions(panel)}
    if not set(panel.datasets) - {PREDICTION, VERDICT}:
        marks = {clause: f"%dashboard_context-{clause}_clause%" for clause in ("must", "filter", "must_not")}
        asked = {clause: [mark, *asked.get(clause, [])] for clause, mark in marks.items()}
    bounds = {"min": {"%timefilter%": "min"}, "max": {"%timefilter%": "max"}}
    # Kibana looks for its mark under this name only, and writes fixed_interval or calendar_interval instead
    interval = {"interval": {"%autointerval%": MOST_BUCKETS}}
    return {"size": 0, "query": {"bool": asked}, "aggs": engine.filled(panel.query["aggs"], interval, bounds)}


def flattening(levels: Sequence[Level], metrics: Json) -> list[Json]:
    """Write the transforms that make the answer's nested buckets the flat rows that `engine.flat` makes."""
    (first, *inner), bucket = levels, "datum"
    steps: list[Json] = [{"calculate": "datum.key", "as": first.name}]
    if first.kind == "date_histogram":
        ends = [("min", "first_key"), ("max", "last_key"), ("count", "buckets")]
        steps.append({"joinaggregate": [{"op": op, "field": "key", "as": name} for op, name in ends]})
        width = "datum.buckets > 1 ? (datum.last_key - datum.first_key) / (datum.buckets - 1) : 60000"
        steps.append({"calculate": f"datum.key + ({width})", "as": "end"})
        steps.append({"calculate": "datum.key_as_string", "as": f"{first.name}_as_string"})
    for at, level in enumerate(inner, 1):
        found, one = f"{bucket}.{level.name}.buckets", f"bucket{at}"
        if level.kind == "filters":  # an object by name, where flatten wants an array
            each = (
                f"merge({found}[{json.dumps(key)}], {{key: {json.dumps(key)}}})" for key in level.options["filters"]
            )
            steps.append({"calculate": f"[{', '.join(each)}]", "as": one})
            steps.append({"flatten": [one]})
        else:
            steps.append({"flatten": [found.removeprefix("datum.")], "as": [one]})
        bucket = f"datum.{one}"
        steps.append({"calculate": f"{bucket}.key", "as": level.name})
    steps.append({"calculate": f"{bucket}.doc_count", "as": "count"})
    for name, metric in metrics.items():
        if "percentiles" in metric:
            percents = metric["percentiles"]["percents"]
            steps += [{"calculate": f"{bucket}.{name}.values['{float(p)}']", "as": f"{name}{p:g}"} for p in percents]
        else:
            steps.append({"calculate": f"{bucket}.{name}.value", "as": name})
    return steps


def _colourless(part: Json) -> Json:
    return {name: value for name, value in part.items() if not name.endswith(("Color", "color")) and name != "aria"}


_TAKEN = ("axis", "axisX", "axisY", "axisLeft", "axisXBand", "axisTemporal", "legend", "line", "point", "text")
CONFIG: Json = {name: _colourless(THEME[name]) for name in _TAKEN} | {
    "axisY": _colourless(THEME["axisY"]) | {"labelLimit": 260},
    "kibana": {"hideWarnings": True},  # such as: nothing to show in this time
    "mark": {"color": COLOURS[ACCENT], "tooltip": True},
    "view": {"stroke": None},
}
