import doctest
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark import drift, drift_contenders, drift_tables
from benchmark.drift_cases import CASES, CLEAN, IN_THE_DARK
from benchmark.drift_contenders import Outcome, Stretch, standing
from benchmark.drift_rooms import DAY, Room, Stream, real_days, records, scored, simulated_room
from benchmark.drift_trials import Alarm, Judge, Quiet, Trial, changed, first_difference, onsets, stretch, trials
from benchmark.drift_trials import quiet as judge_quiet
from monitoring.records import Records, frames
from occupancy import dataset
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.reference import Reference
from occupancy.simulate import simulate, write

peers = pytest.mark.skipif(
    bool(drift_contenders.missing()), reason="peers are missing; `make drift-peers` installs them apart"
)
KNOWN = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def room() -> Room:
    return simulated_room(seed=1, days=9)


def says_at(*minutes: int, consequence: str = "person") -> Judge:
    """A judge that opens a verdict at some minutes of any records, and closes it at once."""

    def judge(told: Records, _: Reference) -> list[Any]:
        begin = told.predictions["@timestamp"].iloc[0]
        return [
            SimpleNamespace(layer="health", rule="rule", sensor=None, state=state, consequence=consequence, at=at)
            for minute in minutes
            for at in [begin + timedelta(minutes=minute)]
            for state in ("opened", "closed")
        ]

    return judge


def sees_refusals(told: Records, _: Reference) -> Sequence[Any]:
    refused = told.predictions[told.predictions["event.outcome"] == "failure"]
    return [
        SimpleNamespace(layer="health", rule="refused", sensor="Light", state="opened", consequence="person", at=at)
        for at in refused["@timestamp"][:1]
    ]


def test_records_are_those_that_the_service_would_have_written(room: Room) -> None:
    stream = changed(room, stretch(room, 2 * DAY, 1), KNOWN["Light missing 50%"])
    told = records(stream, room.name, room.seed, one_in=10, lies=0.1)

    def lines(frame: pd.DataFrame, name: str) -> list[dict[str, Any]]:
        rows = frame.to_dict("records")
        kept = [{str(k): v for k, v in row.items() if v is not None and v == v} for row in rows]  # noqa: PLR0124 - NaN
        for row in kept:
            row |= {k: v.isoformat() for k, v in row.items() if isinstance(v, pd.Timestamp)}
            row["event.dataset"] = name
        return kept

    read = frames(lines(told.predictions, "occupancy.prediction") + lines(told.feedback, "occupancy.feedback"))
    for ours, theirs in ((told.predictions, read.predictions), (told.feedback, read.feedback)):
        pd.testing.assert_frame_equal(ours, theirs[ours.columns])


def test_what_the_contract_refuses_has_no_answer_and_no_label(room: Room) -> None:
    stream = changed(room, stretch(room, 2 * DAY, 1), KNOWN["Temperature in °F"])
    told = records(stream, room.name, room.seed, one_in=1)
    refused = told.predictions["event.outcome"] == "failure"
    assert refused.tolist() == [False] * DAY + [True] * DAY
    assert set(told.predictions["occupancy.refusal.field"][refused]) == {"Temperature"}
    assert set(told.predictions["occupancy.refusal.reason"][refused]) == {"out_of_range"}
    assert told.predictions["occupancy.answer"][refused].isna().all()
    assert not stream.right[DAY:].any()
    assert set(told.feedback["occupancy.feedback.prediction"]) == set(told.predictions["event.id"][~refused])


def test_labels_are_the_truth_and_lies_are_its_opposite_without_the_token(room: Room) -> None:
    stream = stretch(room, 2 * DAY, 1)
    told = records(stream, room.name, room.seed, one_in=20, lies=0.1)
    joined = told.feedback.merge(told.predictions, left_on="occupancy.feedback.prediction", right_on="event.id")
    truth = stream.frame[LABEL].to_numpy() == 1
    of = [int(name.rpartition("-")[2]) - 1 for name in joined["event.id_y"]]
    honest = joined["occupancy.feedback.authenticated"].to_numpy(bool)
    said = joined["occupancy.feedback.occupied"].to_numpy(bool)
    assert 80 < honest.sum() < 220
    assert (said == truth[of])[honest].all()
    assert (said != (joined["occupancy.label"].to_numpy() == 1))[~honest].all()
    assert joined["occupancy.label_wanted"][honest].eq(True).all()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_changes_nothing_before_its_onset_and_something_after_it(room: Room, case: Any) -> None:
    before = stretch(room, DAY + 600, case.days)
    after = changed(room, before, case)
    columns = [DATE, *NAMES, LABEL]
    pd.testing.assert_frame_equal(before.frame[columns][:DAY], after.frame[columns][:DAY], rtol=1e-9)
    assert len(after.frame) == (1 + case.days) * DAY
    shows = first_difference(before.frame[DAY:], after.frame[DAY:])
    if case.lies:
        assert np.isnan(shows)
    else:
        assert 0 <= shows < case.days * DAY
    moved = (after.frame[DATE] - before.frame[DATE]).iloc[-1] / pd.Timedelta(minutes=1)
    assert moved == case.clock


def test_harm_is_the_accuracy_that_a_change_costs(room: Room) -> None:
    cases = [KNOWN[name] for name in ("Light missing 100%", "Temperature +0.5", "truth turned over", "clock +6 h")]
    found = {trial.case: trial for trial in trials(room, [DAY + 600], cases, says_at())}
    assert found["Light missing 100%"].harm > 90
    assert found["truth turned over"].harm > 80
    assert abs(found["Temperature +0.5"].harm) < 5
    assert found["clock +6 h"].harm == 0
    assert found["clock +6 h"].shows == 0


def test_an_alarm_counts_only_after_the_onset_and_if_the_change_alone_brings_it(room: Room) -> None:
    (trial,) = trials(room, [DAY + 600], [KNOWN["Light missing 100%"]], sees_refusals)
    assert trial.alarms == [Alarm("health", "refused", "Light", "person", 0.0)]
    for minute in (5, DAY + 5):
        (trial,) = trials(room, [DAY + 600], [KNOWN["Light missing 100%"]], says_at(minute))
        assert trial.alarms == []


def test_a_moved_clock_delays_no_alarm(room: Room) -> None:
    clean = stretch(room, DAY + 600, 1)
    case = KNOWN["clock +6 h"]
    after = changed(room, clean, case)
    told = records(after, room.name, room.seed)

    def judge(records_: Records, _: Reference) -> list[Any]:
        if records_.predictions["occupancy.reading.time"].equals(told.predictions["occupancy.reading.time"]):
            at = after.frame[DATE].iloc[DAY + 7]
            return [SimpleNamespace(layer="", rule="", sensor="", state="opened", consequence="", at=at)]
        return []

    (trial,) = trials(room, [DAY + 600], [case], judge)
    assert [alarm.minutes for alarm in trial.alarms] == [7.0]


def test_onsets_leave_a_day_before_them_and_enough_after(room: Room) -> None:
    drawn = onsets(room, 500, days=2)
    assert drawn == sorted(drawn)
    assert min(drawn) >= DAY
    assert max(drawn) <= 7 * DAY
    assert drawn == onsets(room, 500, days=2)
    assert onsets(room._replace(frame=room.frame[: 3 * DAY]), 1, days=2) == [DAY]


def test_who_sits_in_the_dark_is_seen_by_daylight_alone(room: Room) -> None:
    before = room.frame
    after = IN_THE_DARK(before, 0, 0)
    lit = (before[LABEL] == 1) & (before["Light"] > 420)
    assert lit.any()
    assert (after["Light"][lit] < before["Light"][lit]).all()
    assert after["Light"][~lit].equals(before["Light"][~lit].round(1))


def test_a_real_day_is_left_out_of_what_its_room_has_learnt(tmp_path: Path) -> None:
    frame = simulate(days=4, seed=3)
    write(tmp_path / "first.csv", frame[: DAY + 500], 3)
    write(tmp_path / "second.csv", frame[DAY + 600 :], 3)
    data = [dataset.read(tmp_path / name) for name in ("first.csv", "second.csv")]
    rooms = real_days(data)
    assert [room.name for room in rooms] == [
        *("2015-02-02", "2015-02-03, file 0", "2015-02-03, file 1", "2015-02-04", "2015-02-05")
    ]
    for room in rooms:
        assert room.name[:10] not in room.reference.days
        assert len(room.reference.days) == 3
    (two,) = real_days(data, together=2)
    assert (two.name, len(two.frame), len(two.reference.days)) == ("2015-02-04", 2 * DAY, 2)


def trial(harm: float, *minutes: float, consequence: str = "person", group: str = "sensor") -> Trial:
    alarms = [Alarm("health", "rule", "Light", consequence, minute) for minute in minutes]
    return Trial("Light stuck", group, "room", harm, 2.0, alarms)


def test_targets_are_held_against_what_was_found() -> None:
    tried = [trial(50, 10.0, 3.0), trial(50), trial(6, 30.0), trial(1, 5.0, consequence="retrain")]
    quiets = [Quiet("room", 14.0, [Alarm("health", "rule", "", "person", 1.0)])]
    rows = {row[0]: str(row[1]) for row in drift_tables.targets(quiets, tried).rows}
    assert rows["false pages (person) a week and room"].startswith("0.50 (at most ")
    assert rows["harmful changes (3 of 4 trials) found"] == "67%"
    assert rows["harmful changes: median delay from the onset (p90)"] == "30 min (never)"
    assert rows["harmful changes: median delay since it shows (p90)"] == "28 min (never)"
    assert rows["harmful changes of behaviour (0 of 4 trials) found"] == "–"
    assert rows["harmless changes (1 trials) that asked for retraining"] == "1"


def test_a_detector_stands_by_its_clean_days_and_what_it_finds() -> None:
    nothing = np.zeros((3 * DAY, 6))

    def made(case: str, harm: float) -> Stretch:
        return Stretch(case, 0, harm, nothing, np.full(3 * DAY, np.nan), np.arange(3.0 * DAY))

    stretches = [made(CLEAN.name, 0.0), made("a", 20.0), made("b", 30.0), made("c", 0.0)]
    found = standing(Outcome("x", [[5.0, 9.0], [7.0, DAY + 30.0], [3.0], [DAY + 1.0]]), stretches)
    assert found.clean_days_with_alarm == pytest.approx(1 / 3)
    assert found.alarms_a_clean_day == pytest.approx(2 / 3)
    assert found.harmful_found == 0.5
    assert found.delay == np.inf
    assert found.harmless_alarmed == 1
    table = drift_tables.standings([found], stretches)
    assert table.columns[0] == "1 clean stretches, 2 harmful, 1 harmless"
    assert table.rows == [("x", "33%", "0.7", "50%", "never", "100%")]
    assert (stretches[0].begin, stretches[1].begin) == (0, DAY)


def test_always_never_and_naive_ks_stand_beside_ours(room: Room) -> None:
    stretches, ours = drift_contenders.stretches_of(room, 0, DAY + 600, says_at(7))
    assert [s.case for s in stretches] == list(drift_contenders.SIDE_BY_SIDE)
    assert ours == [[7.0]] * len(stretches)
    found = {o.detector: o.alarms[0] for o in drift_contenders.plain(stretches[:1], [drift_contenders.past(room)])}
    every = list(range(359, 3 * DAY, 360))
    assert found["always"] == every
    assert found["never"] == []
    assert len(found["KS, windows of 360 min, Bonferroni"]) > 0.9 * len(every)  # as monitoring.md says of it


@pytest.mark.drift_peers
@peers
@pytest.mark.parametrize(
    ("name", "detectors"),
    [("evidently", 2), ("nannyml", 2), ("river", 4)],
)
def test_every_peer_sees_a_light_that_is_stuck(room: Room, tmp_path: Path, name: str, detectors: int) -> None:
    stream = stretch(room, 2 * DAY, 1)
    case = KNOWN["Light stuck at 450"]
    known = drift_contenders.past(room)
    frame = changed(room, stream, case).frame
    after = scored(room.booster, frame, frame[DATE])
    seen = np.column_stack((frame[list(NAMES)].to_numpy(np.float64), after.probability))
    error = np.where(np.arange(len(seen)) % 100, np.nan, 0.0)
    s = Stretch(case.name, 0, 50.0, seen[: DAY + 400], error[: DAY + 400], np.arange(DAY + 400.0))
    drift_contenders.write(tmp_path / "stretches.npz", [s], [known])
    found = drift_contenders.peer(name, tmp_path / "stretches.npz", [s])
    assert len(found) == detectors
    assert any(any(minute >= DAY for minute in outcome.alarms[0]) for outcome in found)


@pytest.mark.drift_peers
@peers
def test_evidently_is_timed_on_the_same_readings(capsys: pytest.CaptureFixture[str]) -> None:
    table = drift.speed(seed=1, days=2)
    assert [row[0] for row in table.rows] == [
        "ours, 2,880 predictions",
        "Evidently, all of them as one window",
        "Evidently, windows of 360 (five timed)",
    ]


def test_a_run_prints_its_tables_and_writes_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, days in (("TRAINING_DATA", 3), ("TEST_DATA", 1)):
        start = (pd.Timestamp("2015-02-02") + pd.Timedelta(days=10 * (days == 1))).date()
        write(tmp_path / f"{variable}.csv", simulate(days, days, start), days)
        monkeypatch.setenv(variable, str(tmp_path / f"{variable}.csv"))
    few = ["--rooms", "1", "--onsets", "1", "--real-onsets", "1", "--beside", "0", "--speed", "0", "--jobs", "1"]
    page = tmp_path / "page.html"
    assert drift.main([*few, "--only", "stuck at", "--save-path", str(page)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Seeds for tuning: 1 simulated rooms of 28 days, 1 onsets of each change.")
    for title in ("Real days", "Simulated clean months", "Changes", "Targets", "Changes on the real days"):
        assert f"\n## {title}" in printed
    assert "4.0 clean days" in printed
    assert printed.count("| Light stuck at 450 | ") == 2
    assert "<svg" in page.read_text("utf-8")


def test_a_bad_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(["--seeds", "lucky"]) == 2
    assert capsys.readouterr().err.startswith("benchmark drift: --seeds='lucky'")


def test_tuning_and_judging_never_share_a_room() -> None:
    assert drift.FIRST_SEED["judging"] - drift.FIRST_SEED["tuning"] >= 1000  # as many rooms as can be asked for


def test_the_examples_hold() -> None:
    assert doctest.testmod(drift_tables).failed == 0


def test_a_quiet_stretch_counts_what_opens(room: Room) -> None:
    quiet = judge_quiet(room, says_at(3, 900))
    assert quiet.days == pytest.approx(9, abs=0.01)
    assert [alarm.minutes for alarm in quiet.alarms] == [3.0, 900.0]


def test_refused_readings_are_never_right(room: Room) -> None:
    frame = room.frame[:10]
    stream = Stream(frame, frame[DATE], np.full(10, np.nan))
    assert not stream.right.any()
