import gzip
import json
from base64 import b64decode
from datetime import datetime
from typing import Any

import pytest

from monitoring import records
from monitoring.dashboards import embedded
from monitoring.dashboards.embedded import BUCKETS, FIT, INTERVALS, WEEK, Span
from monitoring.dashboards.panels import ANSWERED, DATED, Panel, panels
from monitoring.records import Records
from occupancy.reference import Reference

HOUR, DAY = 3600, 86400


@pytest.fixture(scope="module")
def found(everything: list[dict[str, Any]]) -> Records:
    return records.frames(everything)


@pytest.fixture(scope="module")
def shown(compared: Reference) -> dict[str, Panel]:
    return {panel.name: panel for panel in panels(compared)}


def test_times_are_in_whole_minutes(found: Records) -> None:
    spans = embedded.spans(found)
    assert all(second % 60 == 0 for span in spans.values() for second in span)
    for name, span in spans.items():
        first, last = (when.timestamp() for when in (found.predictions[name].min(), found.predictions[name].max()))
        assert span.since <= first < span.since + 60 * (1 + (name == ANSWERED))
        assert span.until > last


def test_of_each_interval_the_latest_values_are_kept() -> None:
    minute, ten, hour, day = embedded.kept(INTERVALS, Span(90, 100 * DAY + 30))
    assert minute.span == Span(100 * DAY + 60 - BUCKETS * 60, 100 * DAY + 60)
    assert ten.span.until - ten.span.since == BUCKETS * 600
    assert hour.span.until == 100 * DAY + HOUR
    assert day.span == Span(0, 101 * DAY)


@pytest.mark.parametrize(
    ("wanted", "title"),
    [
        (Span(99 * DAY + 23 * HOUR, 100 * DAY), "minute"),
        (Span(99 * DAY + 13 * HOUR, 100 * DAY), "10 minutes"),
        (Span(50 * DAY, 50 * DAY + HOUR), "day"),  # no finer value was kept
        (Span(0, 100 * DAY), "day"),
    ],
)
def test_what_fits_is_the_finest_that_is_there_and_has_room(wanted: Span, title: str) -> None:
    fits = embedded.fitting(embedded.kept(INTERVALS, Span(0, 100 * DAY)), wanted)
    assert fits.interval.title == title
    assert (wanted.until - wanted.since) / fits.interval.seconds <= FIT


def test_longer_than_all_is_by_the_day() -> None:
    years = Span(0, 5000 * DAY)
    assert embedded.fitting(embedded.kept(INTERVALS, years), years).interval.title == "day"


def test_what_no_choice_changes_is_on_the_page_once(found: Records) -> None:
    spans = embedded.spans(found)
    charts = {
        chart.panel.name: chart
        for chart in embedded.charts([panels(None, (0.3, 0.7)), panels(None, (0.1, 0.9))], spans)
    }
    assert charts["traffic"].choice == [0, 0]
    assert charts["probability"].choice == [0, 1]
    assert [question for question, _ in charts["probability"].variants] == [
        "probability-0"
    ] * 2  # other lines, same rows
    assert charts["traffic"].whole == spans[ANSWERED]
    assert charts["probability"].whole == spans[DATED]


def test_a_panel_that_fixes_its_interval_has_that_one(found: Records, shown: dict[str, Panel]) -> None:
    years = {DATED: Span(0, 1000 * DAY), ANSWERED: Span(0, 1000 * DAY)}
    charts = {chart.panel.name: chart for chart in embedded.charts([tuple(shown.values())], years)}
    (half_hour,) = charts["level_CO2"].kept
    assert (half_hour.interval.title, half_hour.span.until - half_hour.span.since) == ("half hour", WEEK * 1800)
    (whole,) = charts["missing"].kept
    assert whole.span == Span(0, 1000 * DAY)


def test_rooms_add_up(found: Records, shown: dict[str, Panel]) -> None:
    kept = embedded.kept(INTERVALS, embedded.spans(found)[DATED])
    by_room = [embedded.rows(shown["probability"], embedded.of_room(found, room), kept)["1d"] for room in ("A", "B")]
    whole = embedded.rows(shown["probability"], found, kept)["1d"]
    assert sum(row["count"] for rows in by_room for row in rows) == sum(row["count"] for row in whole) > 0
    assert set(embedded.of_room(found, "A").feedback["occupancy.feedback.prediction"]) <= set(
        embedded.of_room(found, "A").predictions["event.id"]
    )


def test_rows_survive_the_packing() -> None:
    rows: list[dict[str, Any]] = [
        {"time": 60_000, "count": 3, "mean": 0.123456789, "kind": "a"},
        {"time": 120_000, "count": 0, "mean": None, "kind": "a"},
    ]
    squeezed = embedded.squeezed(embedded.packed(rows))
    back = embedded.unpacked(json.loads(gzip.decompress(b64decode(squeezed))))
    assert back == [rows[0] | {"mean": 0.12346}, rows[1]]
    assert squeezed == embedded.squeezed(embedded.packed(rows))
    assert embedded.unpacked(embedded.packed([])) == []


def test_a_script_element_holds_any_text() -> None:
    text = "</script><!--&\u2028'\""
    written = embedded.script({"room": text})
    assert not set(written) & set("<>&")
    assert json.loads(written) == {"room": text}


def test_time_is_drawn_in_utc(shown: dict[str, Panel]) -> None:
    for name in ("traffic", "temperature", "level_CO2"):
        vega = embedded.compiled(shown[name])
        assert {scale["type"] for scale in vega["scales"] if scale["name"] == "x"} == {"utc"}
        assert [each["name"] for each in vega["data"]].count("rows") == 1


def test_a_drawing_has_what_a_row_says(shown: dict[str, Panel]) -> None:
    noon = int(datetime.fromisoformat("2026-03-01T12:00Z").timestamp() * 1000)
    rows = [
        {"time": noon + at * 60_000, "end": noon + (at + 1) * 60_000, "outcome": "answered", "count": 2}
        for at in range(9)
    ]
    body = embedded.drawing(shown["traffic"], rows)["body"]
    assert "12:05" in body
