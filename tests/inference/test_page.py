"""The page at GET /, in a real browser, before a real server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from inference.app import CONTENT_SECURITY_POLICY
from inference.page import html
from inference.scenes import SCENES
from occupancy.reading import NAMES
from tests.browsers import needed
from tests.browsers import opened as chromium
from tests.inference.conftest import ROOT, Process, environment, running

pytestmark = pytest.mark.browser
WAIT_MS = 30_000
PLAYED = [*SCENES, "lamp on, fresh air"]


@dataclass
class Shown:
    """The page in a browser of its own, and what went over its wire."""

    page: Page
    origin: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def by_id(self, name: str) -> Locator:
        return self.page.locator(f"#{name}")

    def number(self, name: str) -> Locator:
        return self.by_id(f"number-{name}")

    def sensor(self, name: str) -> Locator:
        return self.page.locator(".field", has=self.number(name))

    def play(self, scene: str) -> dict[str, Any]:
        """Press a scene's button; gives the answer that comes."""
        with self.page.expect_response("**/predict*") as coming:
            self.page.get_by_role("button", name=scene, exact=True).click()
        answer: dict[str, Any] = coming.value.json()
        expect(self.by_id("json")).to_contain_text(answer["id"] if "id" in answer else answer["detail"])
        return answer

    def set(self, **values: float | str) -> None:
        for name, value in values.items():
            self.number(name).fill(str(value))

    def shown(self) -> dict[str, Any]:
        """Give the answer that stands on the page as JSON."""
        answer: dict[str, Any] = json.loads(self.by_id("json").inner_text())
        return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needed()
    expect.set_options(timeout=WAIT_MS)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("page")) as process:
        yield process


Show = Callable[..., Shown]


@pytest.fixture
def show(browser: Browser) -> Iterator[Show]:
    """Open the page; afterwards nothing but its service was asked, and nothing complained but of a refused reading."""
    with ExitStack() as stack:
        yield lambda process, **options: stack.enter_context(opened(browser, process, **options))


@contextmanager
def opened(browser: Browser, process: Process, *, calm: bool = True, **options: Any) -> Iterator[Shown]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(WAIT_MS)
    shown = Shown(context.new_page(), f"http://127.0.0.1:{process.port}")
    shown.page.on("request", lambda request: shown.requests.append(request.url))
    shown.page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    shown.page.on("console", lambda message: shown.complaints.append(message.text))
    shown.page.goto(shown.origin)
    try:
        yield shown
    finally:
        context.close()
    assert {url for url in shown.requests if not url.startswith(f"{shown.origin}/")} == set()
    if calm:
        assert [text for text in shown.complaints if "status of 422" not in text] == []


@pytest.fixture
def shown(show: Show, service: Process) -> Shown:
    shown = show(service)
    expect(shown.by_id("word")).to_have_text("occupied")
    return shown


def sensors(reading: dict[str, Any]) -> dict[str, Any]:
    return {name: reading[name] for name in NAMES if name in reading}


def test_its_scenes_are_those_of_the_demo(shown: Shown) -> None:
    buttons = shown.page.locator("[data-reading]")
    found = {button.inner_text(): json.loads(button.get_attribute("data-reading") or "") for button in buttons.all()}
    assert {name: found[name] for name in SCENES} == {name: sensors(reading) for name, reading in SCENES.items()}
    assert sorted(found) == sorted(PLAYED)


@pytest.mark.parametrize("scene", [name for name in PLAYED if name != "a sensor in °F"])
def test_a_scene_is_answered_as_by_the_service(shown: Shown, service: Process, scene: str) -> None:
    said = shown.play(scene)
    reading = {name: float(shown.number(name).input_value()) for name in NAMES if name != "HumidityRatio"}
    status, _, expected = service.get("/predict", reading)
    assert (status, said["probability"], said["answer"]) == (200, expected["probability"], expected["answer"])
    expect(shown.by_id("word")).to_have_text(expected["answer"])
    expect(shown.by_id("sentence")).to_contain_text(f"{expected['probability']:.4f}")
    assert shown.by_id("gauge").get_attribute("aria-valuenow") == str(expected["probability"])
    expect(shown.page.get_by_role("button", name=scene, exact=True)).to_have_attribute("aria-pressed", "true")


def test_every_answer_is_logged_as_of_a_room_of_its_own(shown: Shown, service: Process) -> None:
    said = shown.play("a winter night")
    expect(shown.by_id("reading")).to_contain_text("logged like any other")
    assert next(r for r in service.records if r["event.id"] == said["id"])["occupancy.room"] == "page-demo"


def test_what_an_uncertain_answer_looks_like(shown: Shown, service: Process) -> None:
    light, said = next(
        (light, answer)
        for light in range(300, 600, 10)
        for answer in [
            service.get("/predict", {**sensors(SCENES["one person by the window"]), "Light": light, "CO2": 470})[2]
        ]
        if answer["answer"] == "uncertain"
    )
    shown.play("one person by the window")
    shown.set(Light=light, CO2=470)
    expect(shown.by_id("word")).to_have_text("uncertain")
    expect(shown.by_id("sentence")).to_contain_text("Rather occupied" if said["label"] else "Rather empty")
    band = service.get("/model")[2]["decision"]["uncertain"]
    texts = shown.page.locator("#gauge .tick").all_inner_texts()
    assert [float(texts[1]), float(texts[3]), float(texts[2])] == [*band, 0.5]


def test_the_contributions_sum_to_the_margin(shown: Shown) -> None:
    said = shown.play("people at work")
    explanation = said["explanation"]
    numbers = [
        float(text.replace("−", "-"))
        for text in shown.page.locator("#contributions tr td:last-child").all_inner_texts()
    ]
    total = float(shown.page.locator("#sum td:last-child").inner_text().replace("−", "-"))
    assert numbers == [round(value, 2) for value in (explanation["bias"], *explanation["contributions"].values())]
    assert total == round(explanation["margin"], 2)
    assert sum(numbers) == pytest.approx(total, abs=0.005 * len(numbers) + 0.005)
    assert shown.by_id("words").inner_text().lower() == explanation["words"].lower()
    axis = shown.page.locator("#sum td.bar").bounding_box()
    for number, bar in zip(numbers, shown.page.locator("#contributions td.bar i").all(), strict=True):
        box = bar.bounding_box()
        assert axis
        assert box
        assert (box["x"] + box["width"] / 2 > axis["x"] + axis["width"] / 2) == (number > 0)


def test_the_curl_line_gives_the_same_answer(shown: Shown) -> None:
    said = shown.play("sun in an empty room")
    line = shown.by_id("curl").inner_text()
    done = subprocess.run(
        line.replace("curl ", "curl --silent --show-error ", 1),
        shell=True, capture_output=True, check=True, env={**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert (answer["label"], answer["probability"]) == (said["label"], said["probability"])
    assert answer["explanation"] == said["explanation"]


def test_copy_takes_the_curl_line(shown: Shown) -> None:
    shown.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.by_id("copy").click()
    expect(shown.by_id("copied")).to_have_text("copied")
    assert shown.page.evaluate("navigator.clipboard.readText()") == shown.by_id("curl").inner_text()


def test_the_keyboard_alone_changes_the_answer(shown: Shown) -> None:
    shown.play("people at work")
    keyboard = shown.page.keyboard
    focused = "document.activeElement.ariaLabel ?? ''"
    for _ in range(40):
        keyboard.press("Tab")
        if shown.page.evaluate(focused).startswith("Light"):
            break
    assert shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    before = float(shown.number("Light").input_value())
    keyboard.press("ArrowRight")
    assert float(shown.number("Light").input_value()) == before + 1
    keyboard.press("PageDown")
    assert float(shown.number("Light").input_value()) < before - 10
    keyboard.press("Home")
    expect(shown.number("Light")).to_have_value("0")
    expect(shown.by_id("word")).not_to_have_text("occupied")
    keyboard.press("End")
    expect(shown.by_id("doubts")).to_contain_text("the model was trained on")


def test_a_refusal_stands_at_its_field(shown: Shown) -> None:
    detail = shown.play("a sensor in °F")["detail"]
    expect(shown.sensor("Temperature").locator(".hint")).to_have_text(detail)
    expect(shown.number("Temperature")).to_have_attribute("aria-invalid", "true")
    expect(shown.by_id("word")).to_have_text("refused")
    expect(shown.by_id("explained")).to_be_hidden()
    shown.set(Temperature="")
    expect(shown.sensor("Temperature").locator(".hint")).to_contain_text("Temperature is missing")
    shown.set(Temperature=21)
    expect(shown.by_id("word")).to_have_text("occupied")
    expect(shown.number("Temperature")).to_have_attribute("aria-invalid", "false")


def test_a_humidity_ratio_by_hand_may_contradict(shown: Shown) -> None:
    said = shown.play("a winter night")
    assert "HumidityRatio" not in shown.by_id("curl").inner_text()
    expect(shown.number("HumidityRatio")).to_be_hidden()
    expect(shown.sensor("HumidityRatio")).to_contain_text("computed from temperature and humidity")
    shown.page.get_by_label("set it by hand").check()
    shown.set(HumidityRatio=0.006)
    expect(shown.by_id("doubts")).to_contain_text("which Temperature and Humidity contradict")
    expect(shown.by_id("sentence")).to_contain_text("1 reason to doubt it")
    expect(shown.sensor("HumidityRatio").locator(".hint")).to_have_text("contradicts temperature and humidity")
    assert '"HumidityRatio": 0.006' in shown.by_id("curl").inner_text()
    shown.page.get_by_label("set it by hand").uncheck()
    expect(shown.by_id("doubts")).to_be_hidden()
    assert shown.shown()["probability"] == said["probability"]


def test_an_older_answer_never_replaces_a_newer_one(shown: Shown) -> None:
    held: list[Route] = []
    shown.page.route("**/predict*", lambda route: route.fallback() if held else held.append(route))
    with shown.page.expect_request("**/predict*"):
        shown.page.get_by_role("button", name="a winter night").click()
    shown.play("people at work")
    with shown.page.expect_response("**/predict*"):
        held[0].continue_()
    shown.page.wait_for_timeout(200)
    expect(shown.by_id("word")).to_have_text("occupied")
    assert '"Light": 459' in shown.by_id("curl").inner_text()


def test_a_movement_is_one_question(shown: Shown) -> None:
    shown.play("people at work")
    shown.requests.clear()
    with shown.page.expect_response("**/predict*"):
        for light in range(300, 320):
            shown.page.evaluate(
                "([slider, value]) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
                [shown.sensor("Light").locator("[type=range]").element_handle(), light],
            )
    shown.page.wait_for_timeout(300)
    assert len(shown.requests) < 20
    expect(shown.by_id("curl")).to_contain_text('"Light": 319')


def test_feedback_is_recorded(shown: Shown, service: Process) -> None:
    said = shown.play("people at work")
    shown.page.get_by_role("button", name="somebody was there").click()
    expect(shown.by_id("thanks")).to_contain_text(f"Recorded for {said['id']}")
    shown.play("a winter night")
    expect(shown.by_id("thanks")).to_be_empty()


def test_feedback_that_needs_a_token_says_so(show: Show, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with running(tmp_path, OCCUPANCY_FEEDBACK_TOKEN_FILE=str(tmp_path / "token")) as process:
        shown = show(process, calm=False)
        shown.page.get_by_role("button", name="nobody was there").click()
        expect(shown.by_id("thanks")).to_contain_text("Not recorded: feedback needs the token")


def test_a_simulated_model_says_so(show: Show, tmp_path: Path, simulated_path: Path) -> None:
    with running(tmp_path, OCCUPANCY_MODEL=str(simulated_path)) as process:
        shown = show(process)
        expect(shown.by_id("word")).not_to_have_text("…")
        expect(shown.by_id("simulated")).to_be_visible()
        expect(shown.by_id("simulated")).to_contain_text("SIMULATED")


def test_it_tells_which_model_is_live(shown: Shown, service: Process) -> None:
    assert shown.by_id("version").inner_text() == service.get("/model")[2]["version"]
    expect(shown.by_id("model")).to_contain_text("live since")
    expect(shown.by_id("simulated")).to_be_hidden()


def test_a_service_without_a_model_says_why(show: Show, tmp_path: Path) -> None:
    with running(tmp_path, OCCUPANCY_MODEL=str(tmp_path / "none.ubj")) as process:
        shown = show(process, calm=False)
        expect(shown.by_id("notice")).to_contain_text("no model is loaded")
        expect(shown.by_id("notice")).to_contain_text("none.ubj")
        expect(shown.page.get_by_role("button", name="a winter night")).to_be_disabled()


def test_it_recovers_when_the_service_comes_back(show: Show, tmp_path: Path) -> None:
    with running(tmp_path) as process:
        shown = show(process, calm=False)
        shown.play("a winter night")
    shown.set(Light=20)
    expect(shown.by_id("notice")).to_contain_text("does not answer")
    expect(shown.by_id("word")).to_have_text("no answer")
    with again(process.port):
        expect(shown.by_id("notice")).to_be_hidden()
        expect(shown.by_id("word")).to_have_text("empty")
        expect(shown.number("Light")).to_have_value("20")


@contextmanager
def again(port: int) -> Iterator[None]:
    """Run the service where another was before."""
    variables = {"OCCUPANCY_HOST": "127.0.0.1", "OCCUPANCY_PORT": str(port)}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-m", "inference"], cwd=ROOT, env=environment(**variables), stdout=quiet, stderr=quiet
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("width", [320, 360, 390, 1280])
def test_it_fits(show: Show, service: Process, width: int) -> None:
    shown = show(service, viewport={"width": width, "height": 740})
    expect(shown.by_id("word")).to_have_text("occupied")
    shown.page.get_by_label("set it by hand").check()
    shown.set(HumidityRatio=0.006, Temperature=25)
    expect(shown.by_id("doubts")).to_be_visible()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    for control in shown.page.locator("button:visible, input:visible").all():
        control.click(trial=True)  # it can be scrolled to, and nothing covers it
        box = control.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colors) => { // layers from the back to the front
    paint.clearRect(0, 0, 1, 1);
    for (const color of colors) { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (color) => color.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => node ? [...behind(node.parentElement), getComputedStyle(node).backgroundColor,
    ...(getComputedStyle(node).backgroundImage.match(/(rgb|color)a?\\([^)]*\\)/g) ?? []).slice(-1)] : [];
  const words = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.body.querySelectorAll("*")]
    .filter((node) => words(node) && node.checkVisibility() && !node.closest(":disabled, script, template"))
    .map((node) => {
      const back = behind(node), pair = [rgb(back), rgb([...back, getComputedStyle(node).color])].map(light).sort((a, b) => a - b);
      return [(pair[1] + 0.05) / (pair[0] + 0.05), node.textContent.trim().slice(0, 40)];
    }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(show: Show, service: Process, scheme: str) -> None:
    shown = show(service, color_scheme=scheme)
    expect(shown.by_id("word")).to_have_text("occupied")
    for scene in PLAYED:
        shown.play(scene)
        shown.page.mouse.move(0, 0)
        assert shown.page.evaluate(CONTRAST) == [], scene


def test_motion_is_left_out_where_it_is_not_wanted(show: Show, service: Process) -> None:
    shown = show(service, reduced_motion="reduce")
    expect(shown.by_id("word")).to_have_text("occupied")
    assert shown.by_id("marker").evaluate("node => getComputedStyle(node).transitionDuration") == "0s"


def test_it_needs_nothing_but_itself() -> None:
    text = html().decode()
    assert re.findall(r"(?:src|srcset|action)=|https?:|@import|url\(|innerHTML", text) == []
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
