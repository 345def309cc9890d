"""SECURITY.md says what stops whom; each claim has a test that exists, or says that there is none."""

import ast
import re
from pathlib import Path

import pytest

PAGE = Path("SECURITY.md").read_text("utf-8")
TABLE = re.findall(r"^\|(?! who sends|---)(.*)\|$", PAGE, re.MULTILINE)
ROWS = [[cell.strip() for cell in row.split("|")] for row in TABLE]
NAMED = re.findall(r"`(tests/[^`]*)`", PAGE)
REMAINS = PAGE.partition("## What remains\n")[2]


def defined_in(path: Path) -> set[str]:
    found = ast.parse(path.read_text("utf-8")).body if path.is_file() else []
    return {each.name for each in found if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


@pytest.mark.parametrize("name", NAMED)
def test_a_test_that_is_named_exists(name: str) -> None:
    path, _, test = name.partition("::")
    assert test in defined_in(Path(path))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_every_claim_names_its_test_or_says_that_there_is_none(row: list[str]) -> None:
    _, could, stops, shown = row
    assert could
    named = re.findall(r"`tests/[^`]+::test_\w+`", shown)
    assert shown == (" ".join(named) or "no test")
    assert named or stops.startswith("**nothing** (")


@pytest.mark.parametrize(
    "sent",
    [
        "readings",
        "feedback",
        "models",
        "manifests",
        "records",
        "verdicts",
        "jobs",
        "files",
        "pages",
        "packages and changes",
    ],
)
def test_everything_that_can_be_sent_is_looked_at(sent: str) -> None:
    assert [row for row in ROWS if row[0].startswith(f"**{sent}**")]


def test_what_nothing_stops_is_told_at_the_end() -> None:
    told = set(re.findall(r"^(\d+)\. ", REMAINS, re.MULTILINE))
    referred = {number for row in ROWS for number in re.findall(r"\((\d+)\)", row[2])}
    assert referred <= told
    assert all(re.search(r"\((\d+)\)", row[2]) for row in ROWS if "**nothing**" in row[2])
