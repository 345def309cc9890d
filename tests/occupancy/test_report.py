import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd
import pytest

from occupancy.report import ACCENT, WIDTHS, Chart, Section, Table, Text, cell, render

BAND: dict[str, Any] = {
    "height": 120,
    "data": {"values": [{"t": "2015-02-02T14:00:00", "p": 0.1}, {"t": "2015-02-02T18:00:00", "p": 0.9}]},
    "mark": {"type": "area", "clip": True, "color": ACCENT},
    "encoding": {"x": {"field": "t", "type": "temporal"}, "y": {"field": "p", "type": "quantitative"}},
}
HEAT: dict[str, Any] = {
    "data": {"values": [{"x": "empty", "n": 4}, {"x": "occupied", "n": 9}]},
    "mark": {"type": "rect", "clip": True},
    "encoding": {"x": {"field": "x", "type": "nominal"}, "color": {"field": "n", "type": "quantitative"}},
}


class Page(HTMLParser):
    """The elements of a page with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(*parts: Text | Table | Chart, title: str = "Training report", warning: str = "") -> str:
    return render(title, "Good enough.", {"seed": 7}, [Section("Quality", parts)], warning)


def texts(tag: str, html: str) -> list[str]:
    return re.findall(rf"<{tag}[ >][^<]*?>?([^<>]*)</{tag}>", html)


@pytest.fixture(scope="module")
def charts() -> str:
    return page(Chart(BAND, "Probability"), Text("between"), Chart(HEAT, "Confusion"), Chart(BAND))


def test_everything_is_escaped() -> None:
    evil = '<script>alert("1")</script>'
    titled = {**BAND, "title": evil}
    section = Section(evil, [Text(evil), Table([evil], [[evil]], evil), Chart(titled, evil)])

    html = render(evil, evil, {evil: evil}, [section], evil)

    assert not Page(html).all("script")
    assert "&lt;script&gt;" in html
    assert {svg["aria-label"] for svg in Page(html).all("svg")} == {evil}


def test_nothing_outside_the_page_is_asked_for(charts: str) -> None:
    assert not re.findall(r"""(?:src|href|srcset|data|action)\s*=\s*["']?\s*(?:\w+:)?//""", charts)
    assert not re.findall(r"""url\(\s*["']?(?!#)|@import""", charts)
    assert {element for element, _ in Page(charts).elements}.isdisjoint({"script", "img", "iframe", "object", "base"})
    assert "default-src 'none'" in charts


def test_data_that_are_not_inline_are_refused() -> None:
    with pytest.raises(ValueError, match="not allowed"):
        page(Chart({**BAND, "data": {"url": "http://localhost:9/readings.csv"}}))


def test_warning_appears_only_when_given() -> None:
    assert '<p class="warning" role="note">SIMULATED DATA</p>' in page(warning="SIMULATED DATA")
    assert 'class="warning"' not in page()


def test_ids_are_unique_and_every_reference_has_its_target(charts: str) -> None:
    ids = [attributes["id"] for _, attributes in Page(charts).elements if "id" in attributes]

    assert len(ids) == len(set(ids))
    assert sum(str(name).startswith("chart-") for name in ids) >= 6  # three charts clip, each drawn twice
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"|labelledby="([^"]+)"', charts)) <= {
        tuple(name if at == place else "" for at in range(3)) for name in ids for place in range(3)
    }


def test_same_input_gives_same_page(charts: str) -> None:
    assert page(Chart(BAND, "Probability"), Text("between"), Chart(HEAT, "Confusion"), Chart(BAND)) == charts


def test_each_chart_is_drawn_for_wide_and_narrow_screens_with_a_label(charts: str) -> None:
    drawings = Page(charts).all("svg")

    assert [svg["class"] for svg in drawings] == ["wide", "narrow"] * 3
    assert [svg["aria-label"] for svg in drawings[::2]] == ["Probability", "Confusion", "Quality"]
    assert {svg["role"] for svg in drawings} == {"img"}
    assert {svg["viewbox"].split()[2] for svg in drawings if svg["viewbox"]} == {str(w) for w in WIDTHS.values()}
    assert not any("width" in svg or "height" in svg for svg in drawings)


def test_charts_follow_the_mode_of_the_page(charts: str) -> None:
    drawn = charts[charts.index("<main>") :]
    painted = set(re.findall(r'\b(?:fill|stroke)="([^"]*)"', drawn))

    assert {ACCENT, "var(--ink)", "var(--muted)", "var(--line)"} <= painted
    assert painted.isdisjoint({"black", "#000", "white", "#fff", "#ddd", "#888"})
    for name in re.findall(r"var\((--\w+)\)", charts):
        assert len(re.findall(rf"{name}: #", charts)) >= 1, f"{name} has no colour"


def test_clock_has_24_hours(charts: str) -> None:
    assert ">16:00<" in charts
    assert "PM<" not in charts


def test_tables_show_missing_values_and_align_numbers() -> None:
    html = page(Table(["metric", "test", "note"], [["AUC", 0.99, None], ["Brier", float("nan"), "low"]], "Quality"))

    assert texts("th", html) == ["metric", "test", "note", "AUC", "Brier"]
    assert texts("td", html) == ["0.9900", "–", "–", "low"]
    assert [cell.get("class") for cell in Page(html).all("td")] == ["number", None] * 2
    assert [heading["scope"] for heading in Page(html).all("th")] == ["col"] * 3 + ["row"] * 2
    assert "<figcaption>Quality</figcaption>" in html


def test_percentages_align_as_numbers_and_dates_do_not() -> None:
    html = page(Table(["day", "errors", "from"], [["Mon", "1.5 %", "2015-02-04"], ["Tue", "−12%", "2015-02-05"]]))

    assert [cell.get("class") for cell in Page(html).all("td")] == ["number", None] * 2


def test_a_table_without_rows_keeps_its_head() -> None:
    assert texts("th", page(Table(["metric", "test"], []))) == ["metric", "test"]


@pytest.mark.parametrize("rows", [[["AUC"]], [["AUC", 0.9], ["Brier"]], [["AUC", 0.9, 1]]])
def test_a_ragged_table_is_refused(rows: list[list[object]]) -> None:
    with pytest.raises(ValueError, match="argument"):
        page(Table(["metric", "test"], rows))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.98765, "0.9877"),
        (1.0, "1.0000"),
        (0.0, "0"),
        (-0.25, "−0.2500"),
        (21.456, "21.46"),
        (1546.3333, "1546"),
        (-1234567.0, "−1,234,567"),
        (0.00067, "0.0007"),
        (3.21e-7, "3.2e-07"),
        (float("-inf"), "−∞"),
        (8143, "8143"),
        (20560, "20,560"),
        (np.float32(0.5), "0.5000"),
        (np.int64(12), "12"),
        (np.bool_(True), "yes"),
        (False, "no"),
        ("0.5", "0.5"),
        ("", ""),
        (None, "–"),
        (np.nan, "–"),
        (pd.NaT, "–"),
        (pd.NA, "–"),
        (pd.Timestamp("2015-02-04 17:51"), "2015-02-04 17:51:00"),
    ],
)
def test_cell(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_paragraphs_are_parted_by_blank_lines() -> None:
    assert texts("p", page(Text("one\nline\n\n two ")))[1:] == ["one\nline", " two"]


def test_contents_lead_to_the_sections() -> None:
    html = render("T", "V", {}, [Section("First", []), Section("Second", [])])

    assert re.findall(r'<a href="#([^"]+)">([^<]+)</a>', html) == [("section-1", "First"), ("section-2", "Second")]
    assert re.findall(r'<h2 id="(section[^"]+)">([^<]+)</h2>', html) == [
        ("section-1", "First"),
        ("section-2", "Second"),
    ]
    assert "<dl>" not in html
