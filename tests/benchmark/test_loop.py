"""The loop's benchmark, on a room of few days: its records, its clock, its truth, its tables."""

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from benchmark import loop
from benchmark.drift_rooms import DAY
from benchmark.loop_cases import KNOWN, SCENARIOS, Scenario
from benchmark.loop_story import story
from benchmark.loop_stream import (
    Played,
    Room,
    Stream,
    champion,
    play,
    real_room,
    simulated_room,
    stream,
    without_pictures,
)
from benchmark.loop_tables import failures, outcomes, scenarios, targets
from benchmark.loop_truth import HARMLESS, HELPED, WORSE, Change, Result, Score, judge, worth
from monitoring import records
from occupancy.dataset import read
from occupancy.mapping import DATE, LABEL
from occupancy.simulate import Fault, simulate, write

TROUBLE = Scenario(
    "much at once", KNOWN["Light × 0.3"], faults=(Fault("missing", "CO2", 60, 120),), flipped=1, late=6.0, wrong=0.0, lies=0.02
)  # fmt: skip


class Told(msgspec.Struct):
    """A stream that was played: all that it was made of, and where it left its files."""

    folder: Path
    stream: Stream
    played: Played
    found: Result


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    frame = simulate(days=9, seed=7)
    cuts = pairwise([0, DAY, 5 * DAY, 8 * DAY, 9 * DAY])
    test, history, production, future = (frame[a:b].reset_index(drop=True) for a, b in cuts)
    room = Room("room-7", test, history, production, future, onset=DAY // 2, simulated=True)
    folder = tmp_path_factory.mktemp("stream")
    given = stream(room, TROUBLE, seed=7)
    with without_pictures():
        trained = champion(room, folder / "champion", candidates=1, seed=7)
        played = play(given, TROUBLE, folder, trained, one_in=10, seed=7)
    return Told(folder, given, played, judge(given, TROUBLE, played, folder, seed=7, seconds=1.0))


def test_the_service_leaves_a_record_of_each_reading_and_each_label_without_a_gap(told: Told) -> None:
    found = records.from_files([str(told.folder / "records.jsonl")])
    assert found.unread == 0
    assert len(found.predictions) == 3 * DAY
    both = pd.concat([found.predictions, found.feedback])
    for _, numbers in both.groupby("occupancy.boot")["occupancy.sequence"]:
        assert sorted(numbers) == list(range(1, len(numbers) + 1))
    refused = found.predictions[found.predictions["event.outcome"] == "failure"]
    assert len(refused) == 60
    assert set(refused["occupancy.refusal.reason"]) == {"missing"}


def test_labels_come_late_those_of_the_flipped_day_are_wrong_and_lies_lack_the_token(told: Told) -> None:
    found = records.from_files([str(told.folder / "records.jsonl")])
    said = records.labelled(found).set_index("prediction")
    honest = said[said["trusted"].astype(bool)]
    truth = told.stream.sound.set_index(told.stream.sound[DATE].dt.tz_convert("UTC"))[LABEL] == 1
    right = honest["truth"].astype(bool).to_numpy() == truth.loc[honest["time"]].to_numpy()
    begin = told.stream.sound[DATE].iloc[told.stream.room.onset]
    flipped = ((honest["time"] - begin) // np.timedelta64(1, "D") == 1).to_numpy()
    assert flipped.sum() > 50
    np.testing.assert_array_equal(right, ~flipped)
    asked = found.feedback[found.feedback["occupancy.feedback.authenticated"] == np.True_]
    delays = asked["@timestamp"].to_numpy() - said.loc[asked["occupancy.feedback.prediction"], "time"].to_numpy()
    assert delays.min() >= np.timedelta64(1, "m")
    assert delays.max() > np.timedelta64(4, "h")
    assert (
        0.01 < (found.feedback["occupancy.feedback.authenticated"] == np.False_).sum() / len(found.predictions) < 0.03
    )


def test_the_loop_looks_once_a_day_at_the_records_own_time(told: Told) -> None:
    ends = told.stream.sound[DATE].iloc[DAY - 1 :: DAY]
    assert [run.at.timestamp() - end.timestamp() for run, end in zip(told.played.runs, ends, strict=True)] == [60.0] * 3
    assert [entry.by for entry in told.played.deployments][:1] == ["benchmark"]
    assert all((told.folder / "loop" / "runs" / run.id / "report.html").is_file() for run in told.played.runs)
    assert not [run.why for run in told.played.runs if run.outcome == "failed"]


def test_what_stays_live_is_worth_what_the_champion_is(told: Told) -> None:
    assert (told.found.changes, told.found.final) == ([], told.found.champion)
    assert told.found.served == told.found.kept
    assert told.found.oracle.accuracy > told.found.champion.accuracy
    assert told.found.end == HARMLESS


def test_a_story_is_a_page_and_a_picture(told: Told) -> None:
    page = story(told.stream, told.played, told.found, told.folder)
    assert "much at once" in page.read_text("utf-8")
    assert (told.folder / "story.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("loss", "accuracy", "what"),
    [(0.3, 0.9, HARMLESS), (0.3, 0.92, HELPED), (0.25, 0.9, HELPED), (0.25, 0.88, WORSE), (0.33, 0.95, WORSE)],
)
def test_a_model_helps_only_if_it_is_worse_in_nothing(loss: float, accuracy: float, what: str) -> None:
    assert worth(Score(0.3, 0.9, 0, 0), Score(loss, accuracy, 0, 0)) == what


def a_result(scenario: str, seed: int, final: float, oracle: float, *changes: Change) -> Result:
    def score(accuracy: float) -> Score:
        return Score(1 - accuracy, accuracy, 0.1, 0.95)

    return Result(
        scenario=scenario,
        seed=seed,
        seconds=1.0,
        asked=5.0,
        outcomes=["idle: well", "refused: no proof"],
        changes=list(changes),
        champion=score(0.8),
        final=score(final),
        oracle=score(oracle),
        served=0.9,
        kept=0.8,
    )


def test_the_tables_count_what_helped_what_harmed_and_what_was_missed() -> None:
    good, bad = Change(48.0, "deploy", "a", "b", HELPED), Change(24.0, "deploy", "a", "c", WORSE)
    found = [
        a_result("dim", 1, 0.9, 0.9, good),
        a_result("dim", 2, 0.8, 0.9),
        a_result("quiet", 1, 0.7, 0.8, bad),
    ]
    assert [row[1] for row in targets(found).rows] == ["1", "1", "1 (50%)", "1"]
    dim, quiet = scenarios(found).rows
    assert dim[:10] == ("dim", 2, 2, 1, 1, 0, 0, 2, 1, "2.0")
    assert quiet[3:9] == (1, 0, 1, 0, 0, 0)
    assert outcomes(found).rows[0] == ("dim", 2, 2)
    assert [row[2] for row in failures(found).rows] == [
        "missed 10.0 points; last: refused: no proof",
        "deploy after 1.0 days: worse",
    ]


def test_a_stream_that_has_a_result_is_not_played_again(tmp_path: Path) -> None:
    chosen = loop.Settings(results=str(tmp_path))
    kept = a_result("nothing", 5, 0.8, 0.8)
    file = tmp_path / "14 days" / "nothing" / "5.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(msgspec.json.encode(kept))
    assert loop.result(chosen, "nothing", 5) == kept
    assert json.loads(file.read_text())["seed"] == 5


def test_a_room_begins_its_work_in_the_morning_and_its_change_at_noon() -> None:
    room = simulated_room(seed=1, days=4)
    assert f"{room.days[DATE].iloc[0]:%H:%M}" == "07:00"
    assert f"{room.days[DATE].iloc[room.onset]:%H:%M}" == "12:00"
    assert (len(room.days), len(room.future), len(room.history)) == (4 * DAY, 7 * DAY, 14 * DAY)
    same = stream(room, SCENARIOS["nothing"], seed=1)
    assert same.reported.equals(room.days)
    assert same.future.equals(room.future)


def test_the_real_days_are_parted_in_time(tmp_path: Path) -> None:
    frame = simulate(days=9, seed=3)
    write(tmp_path / "a.csv", frame[: 3 * DAY], 3)
    write(tmp_path / "b.csv", frame[3 * DAY :], 3)
    room = real_room([tmp_path / "b.csv", tmp_path / "a.csv"])
    parts = [f"{part[DATE].iloc[0]:%d %H:%M}" for part in (room.history, room.test, room.days, room.future)]
    assert parts == ["02 00:00", "04 12:00", "05 00:00", "10 00:00"]
    assert len(room.days) == 5 * DAY
    assert len(read(tmp_path / "a.csv").frame) == 3 * DAY
