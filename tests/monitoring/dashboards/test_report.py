"""The page, in a real browser: what it holds, what its controls do, and that it asks for nothing."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from monitoring import records
from monitoring.dashboards import embedded, report
from monitoring.dashboards.panels import panels
from monitoring.dashboards.report import Report
from monitoring.drift.judge import Judge
from monitoring.records import NoRecords
from monitoring.saving import NotWritten
from occupancy import record
from occupancy.reference import Reference
from tests.browsers import needed, opened
from tests.monitoring.conftest import Store

EVIL = '</script><img src=x onerror="window.hit=1"><!--'
NAMES = [panel.name for panel in panels()]
Lines = list[dict[str, Any]]


def write(lines: Lines, path: Path) -> str:
    path.write_bytes(b"".join(map(record.line, lines)))
    return str(path)


def render(lines: Lines, compared: Reference, **settings: Any) -> str:
    return report.render(records.frames(lines), Judge(compared), Report(**settings))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def page(everything: Lines, pages: Path) -> Path:
    """The page of all kinds of records, of two rooms, by the command."""
    path = pages / "new" / "all.html"
    lines = write(everything, pages / "all.jsonl")
    assert report.main([lines, "--save-path", str(path), "--reference-rooms", "*"], {}) == 0
    return path


def test_a_place_that_can_not_be_written_is_told(everything: Lines, tmp_path: Path) -> None:
    lines = write(everything[:5], tmp_path / "all.jsonl")
    with pytest.raises(NotWritten, match=r"can't be written: .*; choose another with --save-path"):
        report.main([lines, "--save-path", f"{lines}/report.html"], {})


@pytest.fixture(scope="module")
def attacked(everything: Lines, compared: Reference, pages: Path) -> Path:
    """The page of records whose texts attack it."""
    names = ("occupancy.room", "occupancy.refusal.detail", "occupancy.model.version", "occupancy.boot")
    lines = [line | {name: EVIL for name in names if name in line} for line in everything[:60]]
    path = pages / "attacked.html"
    path.write_text(render(lines, compared), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needed()
    with opened() as browser:
        yield browser


Show = Callable[..., Page]


@pytest.fixture
def show(browser: Browser, page: Path) -> Iterator[Show]:
    """Open a page and wait until all is drawn; afterwards nothing was asked for, and nothing complained."""
    contexts, heard, asked = [], [], []

    def opened(path: Path = page, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(30_000)
        shown = context.new_page()
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("pageerror", lambda error: heard.append(str(error)))
        shown.on("console", lambda message: heard.append(message.text))
        shown.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            shown.wait_for_selector("body[data-drawn]")
        return shown

    yield opened
    for context in contexts:
        context.close()
    assert heard == []
    assert {url for url in asked if not url.startswith(("file:", "data:"))} == set()
    assert len(asked) == len(contexts)


@contextmanager
def drawn_anew(shown: Page) -> Iterator[None]:
    """Wait until the charts have followed what is done within."""
    before = shown.evaluate("document.body.dataset.drawn")
    yield
    shown.wait_for_function("before => (document.body.dataset.drawn ?? before) !== before", arg=before)


def card(shown: Page, name: str) -> str:
    return shown.locator(f"[data-card={name}]").inner_text()


def number(text: str) -> float:
    return float(re.sub(r"[^\d.]", "", text))


def table(shown: Page, name: str) -> list[list[str]]:
    """Read a chart's rows from its table."""
    figure = shown.locator(f"[data-panel={name}]")
    if figure.locator("details:not([open])").count():
        figure.locator("summary").click()
    expect(figure.locator("tbody tr").first).to_be_attached()
    rows: list[list[str]] = figure.locator("tbody").evaluate(
        "body => [...body.rows].map(r => [...r.cells].map(c => c.textContent))"
    )
    return rows


def of_panel(shown: Page, name: str) -> Locator:
    return shown.locator(f"[data-panel={name}] .chart svg")


def test_elasticsearch_gives_the_page_that_files_give(
    installed: Store, everything: Lines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line for line in everything if line["event.dataset"] != record.VERDICT][:200]
    installed.create(lines)
    by = ["--reference-rooms", "*", "--save-path"]

    assert report.main([*by, str(tmp_path / "stored.html")], installed.environ) == 0
    assert report.main([write(lines, tmp_path / "lines.jsonl"), *by, str(tmp_path / "read.html")], {}) == 0

    assert (tmp_path / "stored.html").read_text("utf-8") == (tmp_path / "read.html").read_text("utf-8")
    assert re.search(r"readings in .*stored.html, \d\.\d MB", capsys.readouterr().out)


def test_no_record_at_all_is_said_by_the_command(tmp_path: Path) -> None:
    with pytest.raises(NoRecords, match="no prediction there"):
        report.main([write([], tmp_path / "empty.jsonl")], {})


def test_a_band_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(report.BandReversed, match="uncertain from 0.7 to 0.3"):
        report.main(["--uncertain-from", "0.7", "--uncertain-to", "0.3"], {})


def test_nothing_to_judge_is_said_in_words(compared: Reference) -> None:
    html = render([], compared)
    assert "There is nothing to judge" in html
    assert "<script" not in html


def test_text_from_records_is_never_markup(attacked: Path) -> None:
    html = attacked.read_text("utf-8").replace(embedded.library(), "")
    assert EVIL not in html
    assert "<img" not in html
    assert html.count("</script>") == html.count("<script")


@pytest.mark.browser
class TestInABrowser:
    def test_every_panel_is_drawn(self, show: Show) -> None:
        shown = show()
        for name in NAMES:
            assert of_panel(shown, name).locator(".mark-group path, .mark-symbol path, .mark-rect path").count() > 0, (
                name
            )
            assert shown.locator(f"[data-panel={name}] .nothing").is_hidden()
        titles = shown.locator(".chart").evaluate_all(
            "all => all.map(each => each.ariaLabelledByElements[0].textContent)"
        )
        assert sorted(titles) == sorted(panel.title for panel in panels())

    def test_the_scorecard_counts_again_what_was_counted_from_the_records(self, show: Show) -> None:
        shown = show()
        names = ["readings", "refused", "uncertain", "flagged", "off", "accuracy", "estimate", "open"]
        before, latency = [card(shown, name) for name in names], number(card(shown, "latency"))
        with drawn_anew(shown):  # a control that was touched makes the page count
            shown.locator("#limit").fill("1")
        assert [card(shown, name) for name in names] == before
        assert number(card(shown, "latency")) == pytest.approx(latency, rel=0.05)

    def test_a_shorter_time_shows_less(self, show: Show) -> None:
        shown = show()
        before, rows = number(card(shown, "readings")), table(shown, "traffic")
        with drawn_anew(shown):
            shown.get_by_role("button", name="1 hour", exact=True).click()
        assert 0 < number(card(shown, "readings")) < before / 5
        assert len(table(shown, "traffic")) < len(rows)
        expect(shown.get_by_role("button", name="1 hour", exact=True)).to_have_attribute("aria-pressed", "true")
        with drawn_anew(shown):
            shown.get_by_role("button", name="Start again").click()
        assert number(card(shown, "readings")) == before

    def test_a_time_without_records_says_so(self, show: Show) -> None:
        shown = show()
        with drawn_anew(shown):
            shown.locator("#from").fill("2026-03-28T23:40")
            shown.locator("#to").fill("2026-03-29T00:10")
        assert card(shown, "readings") == "0"
        assert card(shown, "accuracy") == "–"
        expect(shown.locator("[data-panel=traffic] .nothing")).to_be_visible()
        expect(of_panel(shown, "traffic")).to_be_hidden()

    def test_a_time_that_ends_before_it_begins_is_answered_in_words(self, show: Show) -> None:
        shown = show()
        shown.locator("#to").fill("2020-01-01T00:00")
        expect(shown.locator("#shown")).to_contain_text("begins before it ends")

    def test_an_interval_of_ones_own(self, show: Show) -> None:
        shown = show()
        with drawn_anew(shown):
            shown.locator("#interval").select_option("hour")
        times = [row[0] for row in table(shown, "estimate")]
        assert {time[-2:] for time in times} == {"00"}
        assert len(set(times)) == 15
        expect(shown.locator("[data-panel=estimate] .cut")).to_have_text("One value per hour.")

    def test_a_room_of_its_own(self, show: Show) -> None:
        shown = show()
        whole, counted = number(card(shown, "readings")), []
        for room in ("A", "B"):
            with drawn_anew(shown):
                shown.locator("#room").select_option(room)
            counted.append(number(card(shown, "readings")))
            assert set(shown.locator("#sample tbody td:nth-child(2)").all_inner_texts()) == {room}
        assert sum(counted) <= whole
        assert min(counted) > whole / 3

    def test_a_wider_band_has_more_uncertain_answers_and_is_shaded(self, show: Show) -> None:
        shown = show()
        shaded = "[data-panel=probability] .chart .mark-rect path"
        before, tall = number(card(shown, "uncertain")), shown.locator(shaded).first.bounding_box()
        with drawn_anew(shown):
            shown.locator("#band").select_option("0.1 to 0.9")
        after = shown.locator(shaded).first.bounding_box()
        assert tall
        assert after
        assert after["height"] == pytest.approx(tall["height"] * 2, abs=3)
        assert number(card(shown, "uncertain")) > before
        expect(shown.locator("[data-note=uncertain]")).to_have_text("of answers, from 0.1 to 0.9")

    def test_a_larger_distance_has_fewer_temperatures(self, show: Show) -> None:
        shown = show()
        with drawn_anew(shown):
            shown.locator("#limit").fill("0.5")
        near = number(card(shown, "off"))
        with drawn_anew(shown):
            shown.locator("#limit").fill("30")
        assert near > number(card(shown, "off")) > 0

    def test_single_readings_are_sorted_and_filtered(self, show: Show, everything: Lines) -> None:
        shown = show()
        refused = sum(line.get("event.outcome") == "failure" for line in everything)
        head, cells = shown.locator("#sample thead"), shown.locator("#sample tbody tr")
        expect(cells).to_have_count(50)
        shown.get_by_role("button", name="50 more").click()
        expect(cells).to_have_count(100)
        shown.locator("#kind").select_option("refused")
        expect(shown.locator("#counted")).to_contain_text(f"of {refused} readings")
        head.get_by_role("button", name="Temperature").click()
        expect(head.locator("th", has_text="Temperature")).to_have_attribute("aria-sort", "ascending")
        head.get_by_role("button", name="Temperature").click()
        assert cells.first.locator("td").nth(4).inner_text() == "71.6"
        shown.locator("#words").fill("nothing like it")
        expect(cells).to_have_count(0)

    def test_the_keyboard_alone_does_it(self, show: Show) -> None:
        shown = show()
        focused: list[str] = []
        for _ in range(30):
            shown.keyboard.press("Tab")
            focused.append(shown.evaluate("document.activeElement.id || document.activeElement.textContent"))
            if focused[-1] == "band":
                break
        assert {"from", "to", "interval", "room", "all", "1 hour"} <= set(focused)
        assert shown.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        with drawn_anew(shown):
            shown.keyboard.press("ArrowDown")
        expect(shown.locator("[data-note=uncertain]")).to_have_text("of answers, from 0.2 to 0.8")

    @pytest.mark.parametrize("width", [360, 1280])
    def test_it_fits(self, show: Show, width: int) -> None:
        shown = show(viewport={"width": width, "height": 800})
        assert shown.evaluate("document.documentElement.scrollWidth") <= width
        for chart in shown.locator(".chart svg").all():
            box = chart.bounding_box()
            assert box
            assert box["x"] + box["width"] <= width

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_every_text_has_contrast(self, show: Show, scheme: str) -> None:
        shown = show(color_scheme=scheme)
        table(shown, "temperature")
        assert shown.evaluate(CONTRAST) == []

    def test_without_scripts_there_are_verdict_scorecard_and_drawings(self, show: Show) -> None:
        shown = show(java_script_enabled=False)
        expect(shown.locator("#verdict")).to_contain_text("room A")
        expect(shown.locator("[data-card=readings]")).to_be_visible()
        expect(shown.locator("noscript > svg")).to_have_count(len(NAMES))
        expect(shown.locator("#controls")).to_be_hidden()

    def test_what_is_simulated_says_so(self, show: Show, everything: Lines, compared: Reference, pages: Path) -> None:
        path = pages / "simulated.html"
        path.write_text(render([everything[1] | {"occupancy.simulated": True}], compared), "utf-8")
        shown = show(path)
        expect(shown.get_by_role("note")).to_contain_text("SIMULATED DATA")
        assert card(shown, "readings") == "1"
        expect(shown.locator("[data-panel=accuracy] .nothing")).to_be_visible()
        expect(shown.locator("[data-note=accuracy]")).to_have_text("nobody told the truth in this time")
        expect(show().get_by_role("note")).to_have_count(0)

    def test_an_attack_in_a_record_is_text(self, show: Show, attacked: Path) -> None:
        shown = show(attacked)
        table(shown, "models")
        with drawn_anew(shown):
            shown.locator("#room").select_option(EVIL)
        assert shown.evaluate("window.hit") is None
        assert shown.locator("img").count() == 0
        expect(shown.locator("#verdict")).to_contain_text(EVIL)
        expect(shown.locator("#shown")).to_contain_text(EVIL)


# every text in HTML with less contrast than 4.5 against what is painted behind it, and every text in a chart against the page
CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colors) => {
    paint.clearRect(0, 0, 1, 1);
    for (const color of colors) { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (color) => color.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => node ? [...behind(node.parentElement), getComputedStyle(node).backgroundColor] : ["white"];
  const words = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((node) => words(node) && node.checkVisibility() && !node.closest("script, noscript, option"))
    .map((node) => {
      const style = getComputedStyle(node), back = behind(node), ink = node instanceof SVGElement ? style.fill : style.color;
      const pair = [rgb(back), rgb([...back, ink])].map(light).sort((a, b) => a - b);
      return [(pair[1] + 0.05) / (pair[0] + 0.05), node.textContent.trim().slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
}"""
