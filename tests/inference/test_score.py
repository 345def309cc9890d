import contextlib
import csv
import errno
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from inference import score
from inference.score import COLUMNS, Console, main
from occupancy import dataset, simulate
from occupancy.mapping import DATE
from occupancy.model import Model, label
from occupancy.reading import NAMES, typical

ROOT = Path(__file__).parents[2]
GOOD = typical(Temperature=21.5, Humidity=30, Light=0, CO2=500)
HEADER = ",".join(GOOD)
ROW = ",".join(map(str, GOOD.values()))


@pytest.fixture(scope="module")
def room_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of a simulated room, labelled, in the UCI files' format: 144 rows below two lines."""
    path = tmp_path_factory.mktemp("room") / "room.csv"
    simulate.write(path, simulate.simulate(days=1, seed=1, step_seconds=600), seed=1)
    return path


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def run(path: Path, *flags: str | Path, **environ: str) -> int:
    return main([str(path), *map(str, flags)], environ)


def rows(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text)))


def expected(path: Path, model: Model) -> list[float]:
    return [float(p) for p in model.probability(dataset.read(path).values)]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


# --- what is scored


def test_a_labelled_data_file_is_scored_to_standard_output(
    room_path: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(room_path, OCCUPANCY_ROOM="Bureau 1 é") == 0
    out, err = capsys.readouterr()
    answers, dates = rows(out), dataset.read(room_path).frame[DATE].dt.strftime("%Y-%m-%d %H:%M:%S").tolist()
    assert out.splitlines()[0] == ",".join(COLUMNS)
    assert [float(a["probability"]) for a in answers] == expected(room_path, model)
    assert [(a["line"], a["date"]) for a in answers] == [(str(n), date) for n, date in enumerate(dates, 3)]
    for answer in answers:
        probability = float(answer["probability"])
        assert (int(answer["label"]), answer["answer"]) == (label(probability), model.answer(probability))
        assert (answer["room"], answer["model_version"], answer["error"]) == ("Bureau 1 é", model.version, "")
    assert err == f"inference: 144 readings scored, 0 refused, model {model.version}\n"


@pytest.mark.real_data
def test_the_real_data_is_scored(test_path: Path, model: Model, tmp_path: Path, capsys: Any) -> None:
    assert run(test_path, "--output", tmp_path / "answers.csv") == 0
    answers = rows((tmp_path / "answers.csv").read_text("utf-8"))
    assert [float(a["probability"]) for a in answers] == expected(test_path, model)
    assert [int(a["line"]) for a in answers] == list(range(2, 2667))
    assert said(capsys) == [f"inference: 2665 readings scored, 0 refused, model {model.version}"]


def test_the_kinds_of_files_give_the_same_answers(room_path: Path, tmp_path: Path, capsys: Any) -> None:
    frame = dataset.read(room_path).frame
    readings = [dict(zip(NAMES, values, strict=True)) for values in frame[list(NAMES)].to_numpy().tolist()]
    for number, one in enumerate(readings):
        one |= {"id": f"r{number}", "room": "A 1"}
    texts = [json.dumps(one) for one in readings]
    table = [",".join(readings[0]), *(",".join(map(str, one.values())) for one in readings)]
    given = []
    for path in (
        written(tmp_path / "a.csv", *table),
        written(tmp_path / "a.TXT", *table),
        written(tmp_path / "a.ndjson", *texts),
        written(tmp_path / "a.jsonl", "", *texts),
        written(tmp_path / "a.json", "[", ",\n".join(texts), "]"),
    ):
        assert run(path) == 0
        given.append(rows(capsys.readouterr().out))
    lines = [[a.pop("line") for a in answers] for answers in given]
    assert [first for first, *_ in lines] == ["2", "2", "1", "2", ""]
    assert all(answers == given[0] for answers in given)
    assert [(a["id"], a["room"]) for a in given[0][:2]] == [("r0", "A 1"), ("r1", "A 1")]
    assert run(written(tmp_path / "one.json", texts[0])) == 0
    assert [a["probability"] for a in rows(capsys.readouterr().out)] == [given[0][0]["probability"]]


@pytest.mark.parametrize("name", ["answers.ndjson", "answers.JSONL"])
def test_answers_may_be_lines_of_json(room_path: Path, model: Model, tmp_path: Path, name: str) -> None:
    assert run(room_path, "--output", tmp_path / name) == 0
    answers = [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]
    assert [a["probability"] for a in answers] == expected(room_path, model)
    assert list(answers[0]) == list(COLUMNS)
    assert (answers[0]["line"], answers[0]["id"], answers[0]["room"], answers[0]["error"]) == (3, None, "default", None)


def test_a_simulated_model_says_so_in_every_row(room_path: Path, simulated_path: Path, capsys: Any) -> None:
    assert run(room_path, OCCUPANCY_MODEL=str(simulated_path)) == 0
    out, err = capsys.readouterr()
    assert {row["simulated"] for row in rows(out)} == {"True"}
    assert "trained on SIMULATED data: its answers mean nothing in a real room" in err


def test_pieces_make_no_difference(
    room_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = tmp_path / "room.csv"
    path.write_text(room_path.read_text("utf-8") + "x\n" + room_path.read_text("utf-8").splitlines()[-1], "utf-8")
    assert run(path, "--partial") == 0
    whole = capsys.readouterr()
    monkeypatch.setattr(score, "PIECE_BYTES", 500)
    assert run(path, "--partial") == 0
    assert capsys.readouterr() == whole


def test_a_file_is_never_held_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "long.csv", HEADER, *[ROW] * 100_000)
    monkeypatch.setattr(score, "PIECE_BYTES", 2**12)
    tracemalloc.start()
    try:
        assert run(path, "--output", tmp_path / "out.csv") == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20 < path.stat().st_size < (tmp_path / "out.csv").stat().st_size


# --- what is refused


def test_one_refused_reading_leaves_nothing(tmp_path: Path, model: Model, capsys: Any) -> None:
    path = written(tmp_path / "a.csv", HEADER, ROW, "71.6,30,0,500", ROW, "21.5,30,0")
    out = written(tmp_path / "out.csv", "the earlier answers")
    assert run(path, "--output", out) == 1
    assert said(capsys) == [
        f"{path}:3: Temperature is 71.6; Temperature is in °C, from -40 to 60; is it in °F?",
        f"{path}:5: expected 4 values, found 3",
        f"inference: 0 readings scored, 2 of 4 refused, model {model.version}; "
        "nothing was written: mend them, or score the others with --partial",
    ]
    assert out.read_text("utf-8") == "the earlier answers\n"
    assert sorted(tmp_path.iterdir()) == [path, out]
    assert run(path) == 1
    assert capsys.readouterr().out == ""


def test_with_partial_the_others_are_answered(tmp_path: Path, model: Model, capsys: Any) -> None:
    path = written(tmp_path / "a.csv", f"{HEADER},room", f"{ROW},", "71.6,30,0,500,A 1", f"{ROW},")
    assert run(path, "--partial", "--output", tmp_path / "out.ndjson") == 0
    good, bad, last = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text("utf-8").splitlines()]
    assert bad == dict.fromkeys(COLUMNS) | {
        "line": 3,
        "room": "A 1",
        "error": "Temperature is 71.6; Temperature is in °C, from -40 to 60; is it in °F?",
    }
    assert good == last | {"line": 2}
    assert good["answer"] == "empty"
    assert said(capsys)[-1] == f"inference: 2 readings scored, 1 refused, model {model.version}"


def test_only_the_first_refused_readings_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(score, "PIECE_BYTES", 50)
    path = written(tmp_path / "a.csv", HEADER, *[ROW, "x,30,0,500"] * 25)
    assert run(path) == 1
    lines = said(capsys)
    assert len(lines) == 22
    assert lines[19].startswith(f"{path}:41: Temperature is")
    assert lines[20] == f"{path}: and 5 more"
    assert lines[21].startswith("inference: 0 readings scored, 25 of 50 refused, ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"Temperature,Humidity,CO2\n", "the header (line 1): Light is missing; "),
        ("a.csv", b"", "there is no reading"),
        ("a.csv", f"{HEADER}\n{ROW}\n\xff\n".encode("latin-1"), "line 3 is not UTF-8"),
        ("a.json", b"[", "the body is not JSON"),
        ("a.json", b"[]", "the list is empty"),
    ],
)
def test_a_file_that_can_not_be_understood_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str, capsys: Any
) -> None:
    (tmp_path / name).write_bytes(content)
    assert run(tmp_path / name, "--partial", "--output", tmp_path / "out.csv") == 1
    (line,) = said(capsys)
    assert line.startswith(f"inference: {tmp_path / name}: {message}")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"CO2": 500}', "{}: Temperature is missing; "),
        (f"[{json.dumps(GOOD)}, 5]", "{}: reading 1: expected an"),
    ],
)  # fmt: skip
def test_a_refused_reading_of_a_json_file_is_told(tmp_path: Path, content: str, message: str, capsys: Any) -> None:
    path = written(tmp_path / "a.json", content)
    assert run(path) == 1
    assert said(capsys)[0].startswith(message.format(path))
    assert run(path, "--partial") == 0
    assert [bool(row["error"]) for row in rows(capsys.readouterr().out)][-1] is True


# --- what can't be used


@pytest.mark.parametrize(
    ("flags", "environ", "message"),
    [
        ([], {"OCCUPANCY_MODEL": "no.ubj"}, "no.ubj: No such file or directory; train one with"),
        ([], {"OCCUPANCY_MODEL_DIGEST": "0" * 12}, "has digest "),
        ([], {"OCCUPANCY_MODLE": "x"}, "OCCUPANCY_MODLE"),
        ([], {"OCCUPANCY_TIMEZONE": "Mons"}, "Expected an IANA time zone"),
        (["--outptu", "x"], {}, "unrecognized arguments: --outptu x; --help says how"),
        (["--output", "no/out.csv"], {}, "no/out.csv: No such file or directory; name another --output"),
        (["--output", "."], {}, ". is not a regular file; name another --output"),
        (["--output", "room.csv"], {}, "room.csv holds the readings; name another --output"),
    ],
)
def test_what_can_not_be_used_is_named(
    room_path: Path, flags: list[str], environ: dict[str, str], message: str, capsys: Any
) -> None:
    with contextlib.chdir(room_path.parent):
        assert run(room_path, *flags, **environ) == 2
    (line,) = said(capsys)
    assert line.startswith("inference: ")
    assert message in line
    assert list(room_path.parent.iterdir()) == [room_path]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.csv", "No such file or directory; name a file of readings"),
        (".", "which must end in .csv, .txt, .ndjson, .jsonl, .json"),
        ("folder.csv", "Is a directory; name a file of readings"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str, message: str, capsys: Any) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert run(tmp_path / name) == 2
    assert said(capsys)[0].endswith(message)


# --- as a program

PROGRAM = "import os, sys; from inference.score import main; sys.exit(main(sys.argv[1:], os.environ))"


def program(*arguments: str | Path, **streams: Any) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)], cwd=ROOT, **streams)


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """A pipe in the place of the file never ends."""
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    with program(path, "--output", tmp_path / "out.csv", stderr=subprocess.PIPE) as process:
        with contextlib.suppress(BrokenPipeError), path.open("wb", buffering=0) as pipe:
            pipe.write(f"{HEADER}\n".encode())
            while len(list(tmp_path.iterdir())) < 2:  # its own file is there: it reads
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            for _ in range(1000):
                pipe.write(f"{ROW}\n".encode() * 4000)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"inference: ended by a signal; no file was written\n")
    assert list(tmp_path.iterdir()) == [path]


def test_who_has_read_enough_may_leave(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", HEADER, *[ROW] * 5000)
    with program(path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read().decode()
    assert process.returncode == 0
    assert err.startswith("inference: 5000 readings scored, ")
    assert len(err.splitlines()) == 1


# --- progress


def test_a_log_gets_plain_lines() -> None:
    log = io.StringIO()
    console = Console(log, line_seconds=0)
    console.show("a.csv", 500_000, 2_000_000)
    console.show("a.csv", 700_000, 0)
    console.say("done")
    assert log.getvalue().splitlines() == ["a.csv: 0.5 MB of 2.0, 25%", "a.csv: 0.7 MB", "done"]


def test_a_log_is_not_flooded(room_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(score, "PIECE_BYTES", 100)
    assert run(room_path) == 0
    assert len(said(capsys)) == 1


def test_a_terminal_gets_a_bar_that_makes_room_for_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "BAR_SECONDS", 0)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        console = Console(terminal)
        console.show("a.csv", 1_000_000, 2_000_000)
        console.say("a.csv:2: bad")
    shown = b""
    try:
        while more := os.read(ours, 1024):
            shown += more
    except OSError as error:
        assert error.errno == errno.EIO  # noqa: PT017 - how a terminal says that nobody writes to it any more
    finally:
        os.close(ours)
    bar = f"a.csv: 1.0 MB of 2.0, 50% [{'#' * 20}{' ' * 20}]"
    assert shown.decode() == f"\r\x1b[K{bar}\r\x1b[Ka.csv:2: bad\r\n"
