import sys
from pathlib import Path

import pytest

from occupancy.commands import BAD_INPUT, INTERRUPTED, Program

LIGHT = """
from typing import Annotated

import msgspec
from occupancy.errors import InputError

class Light(msgspec.Struct):
    lux: Annotated[int, msgspec.Meta(description="how bright")] = 1

def main(argv, environ):
    if argv == ["broken"]:
        raise InputError("lux.csv:3: not a number; correct the line")
    if argv == ["signalled"]:
        raise KeyboardInterrupt
    return 7
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    (tmp_path / "a_light.py").write_text(LIGHT)
    (tmp_path / "a_lamp.py").write_text(LIGHT.replace("lux", "watts").replace("Light", "Lamp"))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("a_light", "a_lamp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return Program("house", "HOUSE_", {"light": ("a_light", "Light"), "lamp": ("a_lamp", "Lamp")})


@pytest.mark.parametrize(
    ("argv", "status", "told"),
    [
        (["light"], 7, ""),
        (["lihgt"], BAD_INPUT, "house: 'lihgt' is not a command; they are light, lamp\n"),
        (["light", "broken"], BAD_INPUT, "house light: lux.csv:3: not a number; correct the line\n"),
        (["light", "signalled"], INTERRUPTED, "house light: ended by a signal\n"),
    ],
)
def test_the_status_and_the_words_say_how_it_ended(
    program: Program, capsys: pytest.CaptureFixture[str], argv: list[str], status: int, told: str
) -> None:
    assert program.run(argv, {}, "about") == status
    assert capsys.readouterr() == ("", told)


def test_without_a_command_it_says_what_it_is(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run([], {}, "about the house") == 0
    assert capsys.readouterr().out == "about the house\n"


def test_only_the_command_s_own_module_is_loaded(program: Program) -> None:
    program.run(["lamp"], {}, None)
    assert "a_lamp" in sys.modules
    assert "a_light" not in sys.modules


def test_a_table_knows_the_variables_of_the_other_commands(program: Program) -> None:
    tables = program.tables()
    assert list(tables) == ["light", "lamp"]
    read = program.read(tables["light"], "light", ["--lux=3"], {"HOUSE_WATTS": "60"}, None)
    assert read == tables["light"](lux=3)
