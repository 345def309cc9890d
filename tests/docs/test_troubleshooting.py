"""docs/troubleshooting.md has an entry for each message that the code can give, and none for one that it can't."""

import html
import re
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from inference import problems as inference
from tests.browsers import needed, opened
from tests.docs.messages import Module, Reader, messages, tidy
from training.service import problems as training

PAGE = Path("docs/troubleshooting.md")
TEXT = PAGE.read_text("utf-8")
ENTRIES = [found[2] for found in re.finditer(r"^- (`+) ?(.+?) ?\1$", TEXT, re.MULTILINE)]


def entry(text: str) -> str:
    """Write a message as the page has it."""
    return f"- `` {text} ``" if "`" in text else f"- `{text}`"


def test_each_message_has_its_entry() -> None:
    lacking = {text: place for text, place in messages().items() if text not in ENTRIES}
    lines = "\n".join(
        f"{place} says what {PAGE} does not have; to its group add\n{entry(text)}" for text, place in lacking.items()
    )
    assert not lacking, f"\n{lines}"


def test_each_entry_is_a_message_of_the_code() -> None:
    known = messages()
    stale = [text for text in ENTRIES if text not in known]
    assert not stale, f"nothing in the code says so any more; delete or change in {PAGE}:\n" + "\n".join(
        map(entry, stale)
    )


def test_no_entry_stands_twice() -> None:
    assert [text for text, times in Counter(ENTRIES).items() if times > 1] == []


def test_each_type_of_problem_has_its_line() -> None:
    kinds = {*inference.KINDS, *training.KINDS}
    assert set(re.findall(r"^\| `urn:occupancy:problem:([a-z-]+)` \|", TEXT, re.MULTILINE)) == kinds


def test_each_group_says_what_to_do() -> None:
    for group in re.split(r"^###? ", TEXT, flags=re.MULTILINE)[1:]:
        if re.search(r"^- `", group, re.MULTILINE):
            prose = [line for line in group.splitlines()[1:] if line and not line.startswith(("- `", "|"))]
            assert prose, f"{group.splitlines()[0]} has messages and no word on them"


def test_links_within_the_page_lead_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", TEXT)) <= anchors


# --- what is found in code

HEAD = "import logging, sys\nfrom occupancy.errors import InputError\nlog = logging.getLogger()\nSIZE = 3\n"


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Give what is found in a module of these functions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    path = Path(f"said_{uuid4().hex}.py")

    def read(functions: str) -> list[str]:
        path.write_text(HEAD + textwrap.dedent(functions), "utf-8")
        return list(Reader([Module(path)]).found)

    return read


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ('def f(path, room): raise InputError(f"{path}: no such room {room!r}")', "…: no such room …"),
        ('def f(near): raise InputError("no such room" + (f"; is it {near}?" if near else ""))', "no such room…"),
        ('def f(): raise ValueError("no such room")', "no such room"),
        ('def f(n): return InputError(f"there are {n} rooms")', "there are … rooms"),
        ('def f(): return InputError(f"there are {SIZE} rooms")', "there are 3 rooms"),
        ('def f(room, w): log.warning("room %s is %.1f m wide", room, w)', "room … is … m wide"),
        ('def f(room): print(f"training: room {room} is gone", file=sys.stderr)', "room … is gone"),
        ('def f(room):\n gone = "it is gone"\n raise InputError(f"{room}: {gone}")', "…: it is gone"),
        ('def g(): return "it is gone"\ndef f(): raise InputError(g())', "it is gone"),
        ('def say(text): sys.stderr.write(f"{text}!")\ndef f(): say("it is gone")', "it is gone!"),
        ('class Gone(InputError):\n def __init__(self): super().__init__("it is gone")', "it is gone"),
        ('class Gone(InputError):\n def __str__(self): return "it is gone"', "it is gone"),
        ('def f(job): job.why = "it is gone"', "it is gone"),
        ('def f(when): return Stop("blocked", f"since {when} nothing came")', "since … nothing came"),
    ],
)
def test_a_message_is_found(function: str, expected: str, found: Callable[[str], list[str]]) -> None:
    assert found(function) == [expected]


def test_of_a_text_that_says_nothing_by_itself_each_filling_is_a_message(found: Callable[[str], list[str]]) -> None:
    function = """
    def f(path, away):
        gone = "it is gone" if away else "it does not open"
        raise InputError(f"{path}: {gone}")
    """
    assert found(function) == ["it is gone", "it does not open"]


@pytest.mark.parametrize(
    "function",
    [
        'def f(): raise AssertionError("the best is not the best")',
        'def f(path, error): raise InputError(f"{path}: {error}")',
        "def f(): raise",
        'def f(): print("three rooms are there")',
        'def f(): log.info("three rooms are there")',
        'def f(): return ValueError("three rooms are there")',
    ],
)
def test_what_is_no_message_is_left_out(function: str, found: Callable[[str], list[str]]) -> None:
    assert found(function) == []


def test_a_programs_name_and_double_gaps_are_left_out() -> None:
    assert tidy("monitoring load: ……  is\tgone") == "… is gone"


# --- the box that finds an entry


@pytest.mark.browser
def test_the_box_finds_the_entry_of_a_pasted_message(tmp_path: Path) -> None:
    needed()
    page = tmp_path / "page.html"
    listed = "".join(
        f"<h3 id='group-{n}'>{n}</h3><ul><li><code>{html.escape(text)}</code></li></ul>"
        for n, text in enumerate(ENTRIES)
    )
    script = PAGE.with_suffix(".js").read_text("utf-8")
    page.write_text(
        f"<!doctype html><meta charset=utf-8><h1 id=troubleshooting>T</h1>{listed}<script>{script}</script>", "utf-8"
    )
    pasted = [f"monitoring load: {text.replace('…', 'out/a b.csv')}\n" for text in ENTRIES]
    with opened() as browser:
        shown = browser.new_page()
        shown.goto(page.as_uri())
        first = shown.evaluate(
            """(pasted) => pasted.map((text) => {
                const [box, list] = [document.querySelector("textarea"), document.querySelector("textarea + ul")];
                box.value = text;
                box.dispatchEvent(new Event("input"));
                return [...list.querySelectorAll("code")].map((code) => code.textContent);
            })""",
            pasted,
        )
        nothing = shown.evaluate(
            """() => {
                document.querySelector("textarea").value = "segmentation fault";
                document.querySelector("textarea").dispatchEvent(new Event("input"));
                return document.querySelector("textarea + ul").textContent;
            }"""
        )
    assert [text for text, found in zip(ENTRIES, first, strict=True) if text not in found] == []
    assert nothing == "No entry is like it."
