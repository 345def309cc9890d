import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from monitoring.__main__ import main
from monitoring.drift.verdict import Verdict, say
from occupancy import record, reference
from occupancy.dataset import Dataset
from occupancy.mapping import DATE, ZONE
from occupancy.reading import NAMES
from occupancy.simulate import Fault

from .conftest import Season


def write(path: Path, frame: pd.DataFrame, room: str = "default") -> None:
    boot = record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=False)
    request = record.Request("q", "", "", 0)
    with path.open("wb") as file:
        for when, *values, label in frame[[DATE, *NAMES, "Occupancy"]].itertuples(index=False):
            fields = record.prediction(
                boot, request, room=room, reading_id=None, reading_time=when.to_pydatetime(), values=tuple(values),
                probability=float(label), label=label, answer="x", flags=[], label_wanted=False,
            )  # fmt: skip
            file.write(record.line({**fields, "@timestamp": when.to_pydatetime().astimezone(UTC)}))


@pytest.fixture
def files(season: Season, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "reference.json").write_bytes(reference.dump(season.reference))
    write(tmp_path / "clean.jsonl", season.week.head(2880))
    write(tmp_path / "stuck.jsonl", season.with_faults(Fault("stuck", "CO2", 600, 2900)).head(2880))
    write(tmp_path / "new.jsonl", season.week.head(2880), room="attic")
    write(tmp_path / "random.jsonl", season.week.sample(100, random_state=1).sort_values(DATE))
    return {path.stem: str(path) for path in tmp_path.iterdir()}


def drift(capsys: Any, files: dict[str, str], *argv: str) -> tuple[int, str]:
    status = main(["drift", *argv], {"MONITORING_REFERENCE": files["reference"]})
    return status, capsys.readouterr().out


def test_a_clean_file_says_so(capsys: Any, files: dict[str, str]) -> None:
    assert drift(capsys, files, files["clean"]) == (0, "room default: nothing is wrong\n")


def test_an_open_verdict_is_told_in_words_and_by_the_exit_status(capsys: Any, files: dict[str, str]) -> None:
    status, said = drift(capsys, files, files["stuck"])
    assert status == 1
    assert "health/run  room default, since " in said
    assert "CO2 has stood still for 6 minutes" in said
    assert "what to do: the sensor is probably stuck" in said
    assert "room default: 1 for a person to look at" in said


def test_as_json_each_line_is_a_verdict(capsys: Any, files: dict[str, str]) -> None:
    status, said = drift(capsys, files, files["stuck"], "--json", "--all")
    found = [msgspec.json.decode(line, type=Verdict) for line in said.splitlines()]
    assert (status, [verdict.sensor for verdict in found]) == (1, ["CO2"])
    assert json.loads(said)["since"].endswith("Z")


def test_a_range_of_time_is_judged_alone(capsys: Any, files: dict[str, str], season: Season) -> None:
    early = (season.week[DATE].iloc[500]).isoformat()
    assert drift(capsys, files, files["stuck"], f"--until={early}")[0] == 0
    assert "no prediction there" in (main(["drift", files["stuck"], "--room=x"], {}), capsys.readouterr().err)[1]


def test_a_new_room_is_learning(capsys: Any, files: dict[str, str]) -> None:
    status, said = drift(capsys, files, files["new"])
    assert (status, said) == (0, "room attic: nothing is wrong; learning what is normal here, 2 of 14 clean days\n")


def test_random_readings_are_said_to_be_too_few(capsys: Any, files: dict[str, str]) -> None:
    assert drift(capsys, files, files["random"]) == (
        0,
        "room default: nothing is wrong; not judged by steps, runs and noise: its readings are not next to each other\n",
    )


def test_a_room_that_reports_every_ten_minutes_is_judged_by_a_reference_of_its_own_pace(
    capsys: Any, files: dict[str, str], season: Season, tmp_path: Path
) -> None:
    slow = season.learned.iloc[::10].reset_index(drop=True)
    (tmp_path / "slow.json").write_bytes(reference.dump(reference.compute(Dataset("", slow, [], "", True, ZONE))))
    write(tmp_path / "slow.jsonl", season.week.head(2880).iloc[::10])
    said = drift(capsys, {"reference": str(tmp_path / "slow.json")}, str(tmp_path / "slow.jsonl"))
    assert said == (0, "room default: nothing is wrong\n")


def test_a_wrong_reference_is_refused(capsys: Any, files: dict[str, str]) -> None:
    assert main(["drift", files["clean"], f"--reference={files['clean']}"], {}) == 2
    assert "is not a reference" in capsys.readouterr().err


def test_verdicts_are_records_of_their_own_time() -> None:
    when = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    said = say("step", "B", "CO2", "opened", at=when.timestamp(), since=when.timestamp(), value=3, limit=2)
    assert record.index(json.loads(record.line(said.record("0123456789ab")))) == "occupancy-verdicts-2026.01"


def test_requests_without_a_room_are_not_called_well(capsys: Any, files: dict[str, str], tmp_path: Path) -> None:
    boot = record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=False)
    log = tmp_path / "log.jsonl"
    failed = record.refusal(boot, record.Request("q", "", "", 0), reason="too_large", detail="x")
    log.write_bytes(record.line(failed) + b'{"event.dataset": "cut\n')
    assert main(["drift", str(log)], {"MONITORING_REFERENCE": files["reference"]}) == 0
    said = capsys.readouterr()
    assert said.out.startswith("nothing was judged: ")
    assert "1 line that is cut" in said.err


@pytest.mark.parametrize("command", ["drift", "watch"])
def test_verdicts_that_nobody_takes_were_not_told(command: str, files: dict[str, str], tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    environ = {**os.environ, "MONITORING_REFERENCE": files["reference"], "MONITORING_WATCH_STATE": str(state)}
    argv = [sys.executable, "-m", "monitoring", command, files["stuck"], *["--once"] * (command == "watch")]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ended = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, env=environ, check=False)
    assert ended.returncode == 2
    assert (
        ended.stderr == f"monitoring {command}: standard output does not take the verdicts: No space left on device\n"
    )
    assert not state.exists()


def test_days_that_nothing_can_be_learned_from_are_not_counted(
    capsys: Any, files: dict[str, str], season: Season, tmp_path: Path
) -> None:
    write(tmp_path / "rare.jsonl", season.week.iloc[:2880:10], room="attic")
    _, said = drift(capsys, files, str(tmp_path / "rare.jsonl"))
    assert "learning what is normal here, 0 of 14 clean days" in said
