"""The panels as a page carries them: drawn by Vega in the reader's browser from rows that were counted before.

Of each interval the latest BUCKETS values are kept, as round-robin databases do: the last hours by the minute, the last
years by the day. Times are UTC, since a page may be read anywhere.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
import vl_convert

from monitoring.dashboards import engine
from monitoring.dashboards.panels import ANSWERED, DATED, Json, Panel
from monitoring.records import Records
from occupancy.record import VERDICT
from occupancy.report import THEME, draw

BUCKETS = 720
WEEK = 336  # half hours: what is kept of a panel that fixes its own interval
FIT = 300  # values over time that a chart has room for
HEIGHT = 220  # CSS pixels, of a panel that names none


class Interval(NamedTuple):
    """A length of time that one value is of; `name` is the engine's."""

    name: str
    title: str
    seconds: int


INTERVALS = (
    Interval("1m", "minute", 60),
    Interval("10m", "10 minutes", 600),
    Interval("1h", "hour", 3600),
    Interval("1d", "day", 86400),
)
OWN = {
    name: Interval(name, title, seconds) for name, title, seconds in (("30m", "half hour", 1800), ("60m", "hour", 3600))
}
"""Of panels that fix their own interval."""
WHOLE = "whole"  # the interval of panels whose buckets are not of time


class Span(NamedTuple):
    """A time in seconds since 1970, its end not in it."""

    since: int
    until: int


class Kept(NamedTuple):
    """Values of an interval, and of which time the page has them."""

    interval: Interval
    span: Span

    def plain(self) -> Json:
        """Put it for the page, in milliseconds."""
        since, until = self.span
        title, seconds = self.interval.title, self.interval.seconds
        return {"name": self.interval.name, "title": title, "ms": seconds * 1000, "span": [since * 1000, until * 1000]}


class Chart(NamedTuple):
    """A panel as the page has it, once for each band of uncertain answers.

    `variants`: the different panels, by the name of their rows' question; `choice`: per band, the place of its variant.
    """

    variants: list[tuple[str, Panel]]
    choice: list[int]
    whole: Span
    kept: list[Kept]

    @property
    def panel(self) -> Panel:
        """Give the panel's first variant: they share name, title and group."""
        return self.variants[0][1]

    def plain(self) -> Json:
        """Put it for the page."""
        return {
            "name": self.panel.name,
            "variants": [{"rows": question, "vega": compiled(panel)} for question, panel in self.variants],
            "choice": self.choice,
            "whole": [second * 1000 for second in self.whole],
            "kept": [each.plain() for each in self.kept],
        }


def charts(by_band: Sequence[Sequence[Panel]], whole: Mapping[str, Span]) -> list[Chart]:
    """Make the charts of all panels; what is the same for several bands is there once."""
    found = []
    for same in zip(*by_band, strict=True):
        variants: list[tuple[str, Panel]] = []
        for panel in same:
            asked = next(
                (name for name, other in variants if other.query == panel.query), f"{panel.name}-{len(variants)}"
            )
            if panel not in [other for _, other in variants]:
                variants.append((asked, panel))
        choice = [[other for _, other in variants].index(panel) for panel in same]
        by = DATED if same[0].datasets == (VERDICT,) else same[0].time  # a verdict is observed where its reading is
        span = whole[by]
        found.append(Chart(variants, choice, span, _kept(same[0], span)))
    return found


def around(times: Sequence[pd.Series]) -> Span:
    """Give whole minutes that hold all these times, of which there is at least one."""
    known = pd.concat(list(times)).dropna()
    first, last = (int(when.timestamp()) // 60 * 60 for when in (known.min(), known.max()))
    return Span(first, last + 60)


def spans(found: Records) -> dict[str, Span]:
    """Give the time of the readings, and of the answers and whatever else was observed."""
    frames = (found.predictions, found.feedback, found.losses)
    return {DATED: around([found.predictions[DATED]]), ANSWERED: around([frame[ANSWERED] for frame in frames])}


def kept(intervals: Sequence[Interval], whole: Span, most: int = BUCKETS) -> list[Kept]:
    """Say since when each interval's values are on the page."""
    found = []
    for interval in intervals:
        until = -(-whole.until // interval.seconds) * interval.seconds
        since = max(whole.since // interval.seconds * interval.seconds, until - most * interval.seconds)
        found.append(Kept(interval, Span(since, until)))
    return found


def _kept(panel: Panel, whole: Span) -> list[Kept]:
    histogram = panel.query["aggs"].get("time", {}).get("date_histogram")
    if histogram is None:
        return [Kept(Interval(WHOLE, WHOLE, whole.until - whole.since), whole)]
    own = histogram.get("fixed_interval")
    return kept((OWN[own],), whole, WEEK) if own else kept(INTERVALS, whole)


def fitting(choices: Sequence[Kept], wanted: Span) -> Kept:
    """Choose the finest interval that is there for all of a time and gives a chart no more values than it has room for."""
    for each in choices:
        if each.span.since <= wanted.since and wanted.until - wanted.since <= FIT * each.interval.seconds:
            return each
    return choices[-1]


def of_room(found: Records, room: str) -> Records:
    """Keep one room's records; a loss is of no room."""
    predictions = found.predictions[found.predictions["occupancy.room"] == room]
    told = found.feedback["occupancy.feedback.prediction"].isin(predictions["event.id"])
    verdicts = found.verdicts[found.verdicts["occupancy.room"] == room]
    return Records(predictions, found.feedback[told], found.losses.iloc[:0], verdicts)


def rows(panel: Panel, found: Records, intervals: Sequence[Kept]) -> dict[str, list[Json]]:
    """Count a panel's rows, by the name of the interval."""
    frame, counted = engine.frame(panel, found), {}
    for interval, whole in intervals:
        since, until = (datetime.fromtimestamp(second, UTC) for second in whole)
        counted[interval.name] = engine.rows(panel, frame, since, until, interval.name.replace(WHOLE, "1d"))
    return counted


def packed(found: list[Json]) -> Json:
    """Put rows into columns, numbers with five digits."""
    columns = list(dict.fromkeys(name for row in found for name in row))
    return {"columns": columns, "values": [[_short(row.get(name)) for row in found] for name in columns]}


def unpacked(columns: Json) -> list[Json]:
    """Put columns into rows again."""
    return [dict(zip(columns["columns"], row, strict=True)) for row in zip(*columns["values"], strict=True)]


def compiled(panel: Panel) -> Json:
    """Compile a panel for Vega, its rows a data set of that name, as wide as its place.

    A browser that needn't know Vega-Lite draws a third sooner.
    """
    spec = {**_in_utc(panel.spec), "config": _SIZE, "data": {"name": "rows"}, "width": "container"}
    vega: Json = vl_convert.vegalite_to_vega(spec, config=_CONFIG)
    return vega


def drawing(panel: Panel, found: list[Json]) -> Json:
    """Draw a panel as SVG, for a reader without JavaScript."""
    spec = {**_in_utc(panel.spec), "config": _SIZE, "data": {"values": found}}
    return draw(spec, "wide", f"still-{panel.name}")


@cache
def library() -> str:
    """Give Vega with all that it needs as one script, which sets `vegaEmbed`."""
    source: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return source


_SIZE = {"view": {"continuousHeight": HEIGHT}}
_CONFIG = {**THEME, "axis": {**THEME["axis"], "labelLimit": 160}}


def _in_utc(node: Any) -> Any:
    """Have every axis of time in UTC; Kibana, for which the panels are made, too, draws them in the reader's zone."""
    if isinstance(node, list):
        return [_in_utc(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        name: {**each, "scale": {"type": "utc"} | each.get("scale", {})}
        if name == "x" and isinstance(each, dict) and each.get("type") == "temporal"
        else _in_utc(each)
        for name, each in node.items()
    }


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def script(value: Any) -> str:
    """Write JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    text = _json(value)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def squeezed(value: Any) -> str:
    """Write JSON as gzip in base64, a seventh of the size; a browser reads it again only when it is asked for."""
    return b64encode(gzip.compress(_json(value).encode(), 6, mtime=0)).decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
