"""The README's answers are those that the shipped model gives."""

import json
import re
from pathlib import Path

import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import model
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
    targets = set(re.findall(r"^([a-z-]+):", Path("Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE)) <= targets


PAGES = [Path("README.md"), *(page for folder in ("data", "docs", "kubernetes") for page in Path(folder).rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
