"""The one way to render a report: text, tables and charts in, one HTML page out that opens without a network.

Charts are Vega-Lite specifications with inline data, drawn here as static SVG, once for a wide screen and once for a
phone. Leave a chart's width out, so that each drawing fits, and take its colours from the names below, so that it
follows the reader's light or dark mode (only a colour ramp is the same in both, light enough for black text):

    render(
        "Training report",
        "The model is good enough to serve.",
        {"seed": 7, "threshold": 0.42},
        [Section("Quality", [Text("On days never seen before."), Table(["metric", "value"], [["AUC", 0.991]])])],
    )

Times without an offset are drawn as they stand, on a 24-hour clock; a time with an offset would move to this machine's.
"""

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import vl_convert

INK, MUTED, LINE = "var(--ink)", "var(--muted)", "var(--line)"  # text, what stands back, hairlines
ACCENT, SECOND, THIRD, FOURTH = "var(--accent)", "var(--second)", "var(--third)", "var(--fourth)"  # series, in order

WIDTHS = {"wide": 720, "narrow": 336}  # CSS pixels: the text column of the page, and of a phone 375 pixels wide

_CLOCK = {"hours": "%H:%M", "minutes": "%H:%M", "date": "%-d %b", "day": "%-d %b", "week": "%-d %b"}
THEME: dict[str, Any] = {
    "autosize": {"type": "fit-x", "contains": "padding"},
    "background": None,
    "font": "sans-serif",  # measured as Arial, so the page's style draws charts in fonts of that width first
    "padding": {"left": 0, "right": 8, "top": 4, "bottom": 0},
    "view": {"stroke": None},
    "title": {"anchor": "start", "frame": "group", "color": INK, "fontSize": 13, "offset": 12, "aria": False},
    "axis": {
        "aria": False,
        "domainColor": MUTED,
        "gridColor": LINE,
        "labelColor": MUTED,
        "labelFontSize": 12,
        "labelPadding": 6,
        "tickColor": MUTED,
        "tickSize": 4,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "axisX": {"grid": False, "tickCount": {"expr": "max(3, width / 90)"}, "titleAnchor": "end"},
    "axisY": {"domain": False, "tickCount": {"expr": "max(4, height / 50)"}, "ticks": False},
    # A vertical title costs a phone a tenth of its width and the reader a turn of the head: write it above the axis.
    "axisLeft": {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0, "titleY": -10},
    "axisXBand": {"labelAngle": 0},
    "axisXPoint": {"labelAngle": 0},
    "axisTemporal": {"format": _CLOCK},
    "legend": {
        "aria": False,
        "orient": "top",
        "direction": "horizontal",
        "columnPadding": 20,
        "gradientStrokeColor": LINE,
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 300,
        "offset": 30,  # clear of the axis title below it
        "symbolStrokeWidth": 2,
        "title": None,
        "titleColor": INK,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "header": {"labelColor": INK, "labelFontSize": 12, "titleColor": INK, "titleFontSize": 12},
    "range": {
        "category": [ACCENT, SECOND, THIRD, FOURTH, MUTED],
        "ramp": ["#e2efec", "#5aa79b"],  # interpolated before the page knows its mode, hence fixed
        "heatmap": ["#e2efec", "#5aa79b"],
    },
    "mark": {"aria": False, "color": ACCENT},
    "line": {"strokeWidth": 2, "strokeJoin": "round"},
    "point": {"filled": True, "size": 45, "opacity": 0.9},
    "rule": {"color": INK, "strokeWidth": 1.5},
    "text": {"color": INK, "fontSize": 12},
    "bar": {"continuousBandSize": 12, "fillOpacity": 0.65},  # an error bar shows on it
}


@dataclass(frozen=True)
class Text:
    """Plain paragraphs, parted by blank lines."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows whose first cell names the row; numbers are formatted here, texts are shown as they are."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification (version 5 or 6) with inline data; the caption is also what a screen reader says."""

    spec: Mapping[str, Any]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A heading of the table of contents and what stands under it."""

    title: str
    parts: Sequence[Text | Table | Chart]


def render(
    title: str, verdict: str, facts: Mapping[str, object], sections: Sequence[Section], warning: str = ""
) -> str:
    """Render a self-contained HTML page; the same input gives the same page.

    Raises ValueError for a table with ragged rows, and for a chart that Vega-Lite cannot draw or whose data are not
    inline.
    """
    charts = 0
    contents = []
    for section in sections:
        parts: list[dict[str, Any]] = []
        for part in section.parts:
            match part:
                case Text():
                    parts.append({"kind": "text", "paragraphs": re.split(r"\n\s*\n", part.text.strip())})
                case Table():
                    parts.append({"kind": "table", "table": part, "numeric": _numeric_columns(part)})
                case Chart():
                    charts += 1
                    drawings = [draw(part.spec, name, f"chart-{charts}-{name}") for name in WIDTHS]
                    parts.append({"kind": "chart", "caption": part.caption, "drawings": drawings})
        contents.append({"title": section.title, "parts": parts})
    return (
        templates()
        .get_template("report.html.jinja")
        .render(title=title, verdict=verdict, facts=facts, sections=contents, warning=warning)
    )


def templates(*folders: Path) -> jinja2.Environment:
    """Give the templates of these folders and of this one, whose report.html.jinja others may extend."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell
    return environment


def cell(value: object) -> str:
    """Write a value as a reader wants it: few digits, thousands grouped from 10,000 on, a missing one as "–".

    >>> [cell(value) for value in (0.98765, 21.456, 1234.6, 0.0000321, 20560, float("nan"), None, True)]
    ['0.9877', '21.46', '1235', '3.2e-05', '20,560', '–', '–', 'yes']
    """
    text = str(value)
    if text in ("None", "nan", "NaN", "NaT", "<NA>"):
        return "–"
    if text in ("True", "False"):
        return "yes" if text == "True" else "no"
    if not isinstance(value, numbers.Real):
        return text
    number = float(value)
    size = abs(number)
    if math.isinf(number):
        text = "∞"
    elif isinstance(value, numbers.Integral) or size >= 1000:
        text = f"{size:,.0f}" if size >= 10_000 else f"{size:.0f}"
    elif size >= 10:
        text = f"{size:.2f}"
    elif size >= 0.0001:
        text = f"{size:.4f}"
    else:
        text = f"{size:.1e}" if size else "0"
    return "−" + text if number < 0 else text


def _numeric_columns(table: Table) -> list[bool]:
    """Tell for each column whether all that it shows reads as numbers or percentages."""
    columns = zip(*table.rows, strict=True) if table.rows else ((),) * len(table.columns)
    number = re.compile(r"[−+-]?([\d.,]+(e-\d+)?|∞)\s?%?|–")
    return [
        bool(column) and all(number.fullmatch(cell(value)) for value in column)
        for _, column in zip(table.columns, columns, strict=True)
    ]


def draw(spec: Mapping[str, Any], width: str, prefix: str) -> dict[str, Any]:
    """Draw a chart at one of the widths, with ids of its own: the renderer's come from a counter of the process."""
    pixels = WIDTHS[width]
    config = {
        **THEME,
        "view": {**THEME["view"], "continuousWidth": pixels, "discreteWidth": pixels},
        "axis": {**THEME["axis"], "labelLimit": 0.33 * pixels},
    }
    svg = vl_convert.vegalite_to_svg(dict(spec), config=config, allowed_base_urls=[])
    for number, name in enumerate(re.findall(r'\bid="([^"]+)"', svg)):
        own = f"{prefix}-{number}"
        svg = svg.replace(f'id="{name}"', f'id="{own}"').replace(f"url(#{name})", f"url(#{own})")
    _, across, down, body = re.split(r'<svg[^>]* width="([^"]+)" height="([^"]+)"[^>]*>', svg, maxsplit=1)
    return {"name": width, "width": across, "height": down, "body": body.removesuffix("</svg>")}
