"""The charts of training's report, as Vega-Lite specifications."""

from typing import Any

from occupancy.report import ACCENT, INK, MUTED, SECOND

Rows = list[dict[str, Any]]
Spec = dict[str, Any]


def over_time(rows: Rows, band: tuple[float, float]) -> Spec:
    """Draw the probability over the time, on the truth and the band; rows of time, probability, occupied."""
    low, high = band
    x = {"field": "time", "type": "temporal", "title": None}
    scale = {"domain": [0, 1]}
    return {
        "height": 220,
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "area", "interpolate": "step-after", "color": MUTED, "opacity": 0.3},
                "encoding": {"x": x, "y": {"field": "occupied", "type": "quantitative"}},
            },
            {
                "data": {"values": [{"low": low, "high": high}]},
                "mark": {"type": "rect", "color": SECOND, "opacity": 0.18},
                "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1.2, "color": ACCENT},
                "encoding": {
                    "x": x,
                    "y": {"field": "probability", "type": "quantitative", "title": "probability", "scale": scale},
                },
            },
        ],
    }


def calibration(rows: Rows) -> Spec:
    """Draw the share occupied against the predicted probability; rows of predicted, observed, rows."""
    size = {"field": "rows", "type": "quantitative", "legend": None, "scale": {"type": "log"}}
    return {
        "height": 260,
        "layer": [
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 4], "strokeWidth": 1},
                "encoding": {"x": _number("x", "predicted probability"), "y": _number("y", "share occupied")},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "point"},
                "encoding": {
                    "x": _number("predicted", "predicted probability"),
                    "y": _number("observed", "share occupied"),
                    "size": size,
                },
            },
        ],
    }


def differences(rows: Rows) -> Spec:
    """Draw the model's loss minus each baseline's, with its interval; rows of method, mean, low, high."""
    title = "log loss: the model's minus the baseline's"
    return {
        "height": {"step": 34},
        "data": {"values": rows},
        "encoding": {"y": {"field": "method", "type": "nominal", "title": None, "sort": None}},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": ACCENT},
                "encoding": {
                    "x": {"field": "low", "type": "quantitative", "title": title},
                    "x2": {"field": "high"},
                },
            },
            {"mark": {"type": "point", "color": ACCENT}, "encoding": {"x": {"field": "mean", "type": "quantitative"}}},
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": INK},
                "encoding": {"x": {"field": "zero", "type": "quantitative"}, "y": None},
            },
        ],
    }


def shape(rows: Rows, sensor: str) -> Spec:
    """Draw what one sensor adds; rows of value, margin."""
    return {
        "height": 120,
        "data": {"values": rows},
        "mark": {"type": "line", "interpolate": "step-after"},
        "encoding": {"x": _number("value", sensor, zero=False), "y": _number("margin", "log-odds")},
    }


def search(rows: Rows) -> Spec:
    """Draw the candidates by depth and loss; rows of depth, loss, state."""
    return {
        "height": 220,
        "data": {"values": rows},
        "mark": {"type": "point"},
        "encoding": {
            "x": _number("loss", "log loss on held-out days", zero=False),
            "y": {"field": "depth", "type": "ordinal", "title": "depth of the trees", "sort": "descending"},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"range": [SECOND, ACCENT], "domain": ["chosen", "scored on all days"]},
            },
        },
    }


def _number(field: str, title: str, zero: bool = True) -> Spec:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": zero}}
