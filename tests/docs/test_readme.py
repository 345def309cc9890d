"""The README's answers are those that the shipped model gives."""

import json
import re
from pathlib import Path

import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import model
from tests import makefile
from tests.docs.pages import PAGES
from tests.inference.conftest import serve_model

README = Path("README.md").read_text("utf-8")
EXCHANGES = re.findall(r"\$ curl localhost:8080(\S+) -d '([^']*)'\n(\{.*\n(?:[^`\n].*\n)*)", README)


@pytest.mark.parametrize(("path", "body", "printed"), EXCHANGES)
def test_an_answer_in_the_readme_is_real(path: str, body: str, printed: str) -> None:
    served = serve_model(model.load(SHIPPED_MODEL))
    answer = json.loads(served.client.post(path, data=body).data)
    shown = json.loads("".join(printed.splitlines()).replace(",...}", "}"))
    shown.pop("id", None)
    if "probability" in shown:
        assert shown.pop("probability") == pytest.approx(answer["probability"], abs=1e-6)
    assert shown.items() <= answer.items()


def test_the_readme_shows_an_answer_and_a_refusal() -> None:
    assert len(EXCHANGES) == 2


def test_every_make_target_that_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", makefile.TEXT, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)) <= targets


FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub and the site do."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere_and_its_anchor_too(page: Path) -> None:
    for link, anchor in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), f"{link}#{anchor}"


def test_every_page_that_a_link_can_lead_to_is_in_the_site_once() -> None:
    nav = Path("mkdocs.yml").read_text("utf-8")
    hooks = Path("docs/hooks.py").read_text("utf-8")
    for page in PAGES:
        found = re.search(rf'"{page}": "(.*)"', hooks)
        assert nav.count(f" {found[1] if found else page.relative_to('docs')}\n") == 1, page
