from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from occupancy import __version__
from occupancy.settings import InvalidSetting, Setting, read, rows


class Table(msgspec.Struct, frozen=True):
    seed: Annotated[int, Meta(ge=0, description="seed of everything random")] = 42
    test_share: Annotated[float, Meta(gt=0, lt=1, description="share of the rows, 20 % of them")] = 0.2
    shift: Annotated[float, Meta(description="any finite number")] = 0.0
    quick: Annotated[bool, Meta(description="stop early")] = False
    data_path: Annotated[str, Meta(description="where the data is")] = ""
    colour: Annotated[Literal["", "red"], Meta(description="of the lamp")] = ""


def settings(*argv: str, prefix: str = "", **environ: str) -> Table:
    return read(Table, prog="training", argv=argv, environ=environ, prefix=prefix)


@pytest.mark.parametrize(
    ("argv", "environ", "expected"),
    [
        ([], {}, Table()),
        ([], {"HOME": "/", "seed": "x", "SEEDS": "x"}, Table()),
        ([], {"SEED": "7", "TEST_SHARE": "0.5"}, Table(seed=7, test_share=0.5)),
        (["--seed", "8"], {"SEED": "7"}, Table(seed=8)),
        (["--seed=8"], {"SEED": "not a number, but never looked at"}, Table(seed=8)),
        (["--shift", "-1.5"], {}, Table(shift=-1.5)),
        (["--quick", "true"], {}, Table(quick=True)),
        (["--quick", "--seed", "8"], {}, Table(quick=True, seed=8)),
        (["--quick", "0"], {"QUICK": "1"}, Table()),
        ([], {"QUICK": "True"}, Table(quick=True)),
        (["--data-path", "my data/room 1.csv"], {}, Table(data_path="my data/room 1.csv")),
        (["--data-path=--odd"], {}, Table(data_path="--odd")),
        (["--data-path", ""], {"DATA_PATH": "room.csv"}, Table()),
        ([], {"DATA_PATH": "null"}, Table(data_path="null")),
    ],
)
def test_flags_win_over_the_environment_which_wins_over_defaults(
    argv: list[str], environ: dict[str, str], expected: Table
) -> None:
    assert settings(*argv, **environ) == expected


@pytest.mark.parametrize(
    ("argv", "environ", "message"),
    [
        ([], {"SEED": "seven"}, "SEED='seven': Expected int"),
        ([], {"SEED": ""}, "SEED='': Expected int"),
        ([], {"SEED": " 7"}, "SEED=' 7': Expected int"),
        ([], {"SEED": "1.5"}, "SEED='1.5': Expected int"),
        (["--seed", "-1"], {}, "--seed='-1': Expected int >= 0"),
        ([], {"TEST_SHARE": "1"}, "TEST_SHARE='1': Expected float < 1.0"),
        ([], {"TEST_SHARE": "nan"}, "TEST_SHARE='nan': Expected float > 0.0"),
        ([], {"SHIFT": "nan"}, "SHIFT='nan': Expected a finite number"),
        ([], {"COLOUR": "blue"}, "COLOUR='blue': Expected one of '', 'red'"),
        ([], {"SHIFT": "-inf"}, "SHIFT='-inf': Expected a finite number"),
        ([], {"SHIFT": "1e999"}, "SHIFT='1e999': Number out of range"),
        (["--quick", "yes"], {}, "--quick='yes': Expected bool"),
        ([], {"SEED": "7\n8"}, "SEED='7\\n8': Expected int"),
        (["--sed", "7"], {}, "'--sed' is not a setting; did you mean --seed?"),
        (["--test_share=0.5"], {}, "'--test_share=0.5' is not a setting; did you mean --test-share?"),
        (["--see", "7"], {}, "'--see' is not a setting; did you mean --seed?"),  # nor is it an abbreviation
        (["room.csv"], {}, "'room.csv' is not a setting"),
        (["--seed"], {}, "argument --seed: expected one argument; --help lists the settings"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(argv: list[str], environ: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        settings(*argv, **environ)
    assert str(caught.value) == message


@pytest.mark.parametrize("prefix", ["ROOM_", "room_"])
def test_with_a_prefix_unknown_variables_are_refused(prefix: str) -> None:
    assert settings(prefix=prefix, ROOM_SEED="7", SEED="8", ROOMS="9") == Table(seed=7)
    assert settings("--seed", "8", prefix=prefix, ROOM_SEED="7") == Table(seed=8)
    with pytest.raises(InvalidSetting, match=r"^'ROOM_SED' is not a setting; did you mean ROOM_SEED\?$"):
        settings(prefix=prefix, ROOM_SED="7")
    with pytest.raises(InvalidSetting, match=r"^'ROOM_QQQQQQQQ' is not a setting$"):
        settings(prefix=prefix, ROOM_QQQQQQQQ="7")


def test_the_rows_are_what_the_documents_print() -> None:
    table = rows(Table, "ROOM_")
    assert [row.variable for row in table] == [
        "ROOM_SEED",
        "ROOM_TEST_SHARE",
        "ROOM_SHIFT",
        "ROOM_QUICK",
        "ROOM_DATA_PATH",
        "ROOM_COLOUR",
    ]
    assert table[1] == Setting("ROOM_TEST_SHARE", "--test-share", "0.2", "share of the rows, 20 % of them")


def test_help_names_every_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings("--help", SEED="not looked at")
    assert caught.value.code == 0
    printed = " ".join(capsys.readouterr().out.split()).replace("[VALUE]", "VALUE")  # a bool's may be left out
    for row in rows(Table):
        assert f"{row.flag} VALUE {row.help} (or {row.variable}; default: {row.default or 'none'})" in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        settings("--version")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"training {__version__}\n"


class Service(msgspec.Struct, frozen=True):
    port: Annotated[int, Meta(description="port")] = 8080


# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables, for Services named
# `occupancy` and `occupancy-web`
LINKS = {
    "OCCUPANCY_SERVICE_HOST": "10.0.0.11",
    "OCCUPANCY_SERVICE_PORT": "8080",
    "OCCUPANCY_SERVICE_PORT_HTTP": "8080",
    "OCCUPANCY_PORT": "tcp://10.0.0.11:8080",
    "OCCUPANCY_PORT_8080_TCP": "tcp://10.0.0.11:8080",
    "OCCUPANCY_PORT_8080_TCP_PROTO": "tcp",
    "OCCUPANCY_WEB_SERVICE_HOST": "10.0.0.12",
    "OCCUPANCY_WEB_PORT": "tcp://10.0.0.12:80",
}


def test_what_kubernetes_sets_for_a_service_is_no_setting() -> None:
    assert read(Service, prog="x", argv=[], environ=LINKS, prefix="OCCUPANCY_").port == 8080
    with pytest.raises(InvalidSetting, match="OCCUPANCY_PROT"):
        read(Service, prog="x", argv=[], environ={**LINKS, "OCCUPANCY_PROT": "1"}, prefix="OCCUPANCY_")


class Files(msgspec.Struct, frozen=True):
    file: Annotated[tuple[str, ...], Meta(description="files to read")] = ()
    url: Annotated[str, Meta(description="where to", extra={"variable": "SERVER_URL"})] = "http://localhost"
    follow: Annotated[bool, Meta(description="go on reading")] = False


def files(*argv: str, **environ: str) -> Files:
    return read(Files, prog="load", argv=argv, environ=environ, prefix="LOAD_", siblings=lambda: [Table])


def test_what_stands_without_a_flag() -> None:
    assert files("a", "--follow", "b", FILE="c", LOAD_FILE_X_PORT="tcp://1") == Files(file=("a", "b"), follow=True)
    assert files("a", LOAD_FOLLOW="true", SERVER_URL="http://x") == Files(("a",), "http://x", follow=True)
    assert [row.variable for row in rows(Files, "LOAD_")] == ["", "SERVER_URL", "LOAD_FOLLOW"]


def test_a_siblings_variable_is_no_error() -> None:
    assert files(LOAD_SEED="not looked at") == Files()
    with pytest.raises(InvalidSetting, match="did you mean LOAD_FOLLOW"):
        files(LOAD_FOLOW="true")
    with pytest.raises(InvalidSetting, match="did you mean --follow"):
        files("--folow")
