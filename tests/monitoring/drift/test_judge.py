import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monitoring.drift.command import summary
from monitoring.drift.judge import Judge, State, advance, judge
from monitoring.drift.limits import Limits
from monitoring.drift.verdict import RULES, Verdict, still_open
from occupancy import reference
from occupancy.dataset import read
from occupancy.mapping import DATE
from occupancy.simulate import Fault, simulate

from .conftest import NOTHING, Season, as_records, cut

HOUR = 60.0
NOON = 36 * HOUR  # of the judged week's second day, a Tuesday


def found(verdicts: list[Verdict]) -> set[tuple[str, str | None]]:
    return {(verdict.rule, verdict.sensor) for verdict in verdicts if verdict.state == "opened"}


def test_a_clean_week_gives_no_verdict(season: Season) -> None:
    assert judge(as_records(season.week), Judge(season.reference)) == []


@pytest.mark.real_data
def test_clean_real_days_give_no_verdict(training_path: Path, test_path: Path) -> None:
    by = Judge(reference.compute(read(training_path)))
    for path in (training_path, test_path):
        assert judge(as_records(read(path).frame), by) == []


@pytest.mark.parametrize(
    ("fault", "rule", "sensor", "minutes"),
    [
        (Fault("stuck", "CO2", NOON, NOON + 300), "run", "CO2", 10),
        (Fault("stuck", "Light", NOON, NOON + 300), "run", "Light", 60),
        (Fault("stuck", "Temperature", NOON, NOON + 300), "run", "Temperature", 60),
        (Fault("offset", "Temperature", NOON, NOON + 300, 2), "step", "Temperature", 0),
        (Fault("noise", "Humidity", NOON, NOON + 300, 5), "step", "Humidity", 5),
        (Fault("noise", "Light", NOON, NOON + 300, 100), "noise", "Light", 30),
        (Fault("missing", "CO2", NOON, NOON + 300), "missing", "CO2", 0),
        (Fault("fahrenheit", "Temperature", NOON, NOON + 300), "range", "Temperature", 0),
        (Fault("offset", "Light", 47 * HOUR, 52 * HOUR, 300), "night", "Light", 61),
        (Fault("clock", "", NOON, NOON + 300, 60), "clock", None, 0),
        (Fault("clock", "", NOON, NOON + 300, -360), "clock", None, 0),
        (Fault("gain", "CO2", NOON, NOON + 300, 5), "jump", "CO2", 60),
    ],
)
def test_each_fault_meets_its_rule(season: Season, fault: Fault, rule: str, sensor: str | None, minutes: float) -> None:
    frame = season.with_faults(fault)
    records = as_records(frame)
    if fault.kind == "clock":  # ours goes right
        right = as_records(season.week).predictions["@timestamp"]
        records = records._replace(predictions=records.predictions.assign(**{"@timestamp": right}))
    verdicts = judge(records, Judge(season.reference))
    assert (rule, sensor) in found(verdicts)
    first = next(verdict for verdict in verdicts if (verdict.rule, verdict.sensor) == (rule, sensor))
    onset = season.week[DATE].iloc[0] + pd.Timedelta(minutes=fault.start)
    if rule != "clock":
        assert pd.Timedelta(0) <= first.at - onset <= pd.Timedelta(minutes=minutes)
    assert first.layer == RULES[rule].layer
    assert sensor is None or sensor in first.message
    assert first.advice
    assert first.certainty


def test_readings_that_come_a_second_early_are_neighbours_all_the_same(season: Season) -> None:
    frame = season.with_faults(Fault("stuck", "CO2", NOON, NOON + 300))
    frame.loc[1::2, DATE] -= pd.Timedelta(seconds=1)  # as the real ones: 17:51:00, 17:51:59, 17:53:00
    state = State()
    assert found(advance(state, as_records(frame), Judge(season.reference))) == {("run", "CO2")}
    assert state.rooms["A"].judged == len(frame)


def test_readings_that_come_every_ten_seconds_are_thinned(season: Season) -> None:
    frame = season.week.head(300).loc[np.repeat(range(300), 6)].reset_index(drop=True)
    frame[DATE] = frame[DATE].iloc[0] + pd.to_timedelta(np.arange(1800) * 10, unit="s")
    state = State()
    assert advance(state, as_records(frame), Judge(season.reference)) == []
    assert state.rooms["A"].judged == 600


def test_an_event_is_told_once_and_ends(season: Season) -> None:
    verdicts = judge(as_records(season.with_faults(Fault("stuck", "CO2", NOON, NOON + 300))), Judge(season.reference))
    mine = [verdict for verdict in verdicts if verdict.rule == "run"]
    assert [verdict.state for verdict in mine] == ["opened", "closed"]
    opened, closed = mine
    assert opened.since == closed.since
    assert 290 <= closed.value <= 301  # minutes that it stood still
    assert (closed.at - opened.at).total_seconds() >= 3600
    assert not still_open(mine)


def test_the_humidity_ratio_is_held_to_physics(season: Season) -> None:
    frame = season.week.copy()
    wrong = frame.index[int(NOON) : int(NOON) + 100]
    frame.loc[wrong, "Temperature"] += 0.5  # and the ratio stays as it was
    verdicts = judge(as_records(frame), Judge(season.reference))
    assert ("ratio", "HumidityRatio") in found(verdicts)


def test_a_gap_after_an_even_pace_is_told_and_ends_with_the_next_reading(season: Season) -> None:
    frame = season.week.drop(index=range(2000, 2100)).reset_index(drop=True)
    opened, closed = judge(as_records(frame), Judge(season.reference))
    assert (opened.rule, opened.state, closed.state) == ("stale", "opened", "closed")
    assert closed.value == pytest.approx(101)
    assert closed.at - opened.at == pd.Timedelta(minutes=91)


def test_silence_is_noticed_while_it_lasts(season: Season) -> None:
    state, by = State(), Judge(season.reference)
    first, rest = cut(as_records(season.week.head(3000)), 2000)
    advance(state, first, by)
    end = first.predictions["@timestamp"].iloc[-1].timestamp()
    assert advance(state, NOTHING, by, end + 500) == []
    (opened,) = advance(state, NOTHING, by, end + 700)
    assert (opened.rule, opened.at.timestamp()) == ("stale", end + 600)
    assert advance(state, NOTHING, by, end + 7000) == []
    late = rest._replace(predictions=rest.predictions.iloc[200:].reset_index(drop=True))
    assert [(v.rule, v.state) for v in advance(state, late, by, None)] == [("stale", "closed")]


def test_a_silence_whose_readings_come_late_is_over(season: Season) -> None:
    state, by = State(), Judge(season.reference)
    first, rest = cut(as_records(season.week.head(3000)), 2000)
    advance(state, first, by)
    end = first.predictions["@timestamp"].iloc[-1].timestamp()
    (opened,) = advance(state, NOTHING, by, end + 700)
    (closed,) = advance(state, rest, by, None)
    assert (opened.state, closed.rule, closed.state) == ("opened", "stale", "closed")
    assert closed.since == opened.since
    assert closed.at >= opened.at
    assert closed.record("")["occupancy.verdict.event"] == opened.record("")["occupancy.verdict.event"]


def test_a_hundred_random_readings_are_not_judged(season: Season) -> None:
    frame = season.with_faults(Fault("offset", "Temperature", NOON, NOON + 900, 3)).sample(100, random_state=1)
    state, by = State(), Judge(season.reference)
    assert advance(state, as_records(frame.sort_values(DATE, ignore_index=True)), by) == []
    assert advance(state, as_records(frame.sort_values(DATE, ignore_index=True)), by) == []
    assert state.rooms["A"].late == 100  # they came again


def test_a_reading_from_the_future_does_not_stop_the_clock(season: Season) -> None:
    records = as_records(season.with_faults(Fault("missing", "CO2", 1000, 1001)))
    records.predictions.loc[500, "occupancy.reading.time"] = pd.Timestamp("2999-01-01", tz="UTC")
    state = State()
    assert found(advance(state, records, Judge(season.reference))) == {("missing", "CO2")}
    assert (state.rooms["A"].ahead, state.rooms["A"].late) == (1, 0)


FAULTS = (
    Fault("stuck", "CO2", NOON, NOON + 300),
    Fault("fahrenheit", "Temperature", 3000, 3100),
    Fault("offset", "Humidity", 4000, 9000, 8),
    Fault("missing", "Light", 6000, 6050),
)


@pytest.fixture(scope="session")
def spoiled(season: Season) -> Any:
    wrong = list(range(7000, 10080, 3))
    records = as_records(season.with_faults(*FAULTS), told=range(0, 10080, 7), wrong=wrong)
    return records, judge(records, Judge(season.reference))


@hypothesis_settings(max_examples=15)
@given(cuts=st.lists(st.integers(1, 10079), max_size=4))
def test_how_the_records_are_cut_makes_no_difference(season: Season, spoiled: Any, cuts: list[int]) -> None:
    records, whole = spoiled
    assert len(whole) > 6
    state, verdicts, rest, done = State(), [], records, 0
    for at in sorted(set(cuts)):
        part, rest = cut(rest, at - done)
        done = at
        verdicts += advance(state, part, Judge(season.reference))
        state = msgspec.json.decode(msgspec.json.encode(state), type=State)  # as it is kept between two starts
    verdicts += advance(state, rest, Judge(season.reference))
    key = lambda v: (v.at, v.rule, v.sensor or "", v.state)  # noqa: E731
    for one, other in zip(sorted(verdicts, key=key), sorted(whole, key=key), strict=True):
        assert msgspec.structs.replace(one, value=0, message="") == msgspec.structs.replace(other, value=0, message="")
        assert math.isclose(one.value, other.value, rel_tol=1e-6)


def test_a_room_of_its_own_learns_for_fourteen_days(season: Season) -> None:
    frame = simulate(
        21,
        12,
        season.learned[DATE].iloc[0].date(),
        faults=[Fault("stuck", "CO2", 18 * 1440 + NOON, 18 * 1440 + NOON + 300)],
    )
    by, state = Judge(season.reference, rooms=("B",)), State()
    first, rest = cut(as_records(frame, "attic"), 10 * 1440)
    assert advance(state, first, by) == []
    assert by.of("attic", state.rooms["attic"]) is None
    verdicts = advance(state, rest, by)
    learned = by.of("attic", state.rooms["attic"])
    assert learned is not None
    assert len(learned.days) == 14
    assert state.rooms["attic"].history == []
    assert found(verdicts) == {("run", "CO2")}


def test_sick_days_are_not_learned_from(season: Season) -> None:
    frame = simulate(
        21, 12, season.learned[DATE].iloc[0].date(), faults=[Fault("missing", "CO2", 3 * 1440 + 60, 3 * 1440 + 70)]
    )
    by, state = Judge(season.reference, rooms=("B",)), State()
    assert found(advance(state, as_records(frame, "attic"), by)) == {("missing", "CO2")}
    learned = state.rooms["attic"].reference
    assert learned is not None
    fourth = str((season.learned[DATE].iloc[0] + pd.Timedelta(days=3)).date())
    assert fourth not in learned.days
    assert len(learned.days) == 14


def test_a_million_readings_keep_a_small_state(season: Season) -> None:
    state = State()
    advance(state, as_records(season.week, told=range(0, 10080, 50)), Judge(season.reference))
    assert len(msgspec.json.encode(state.rooms)) < 20_000
    assert len(state.known) <= 50_000
    assert np.isfinite(state.rooms["A"].seen)


def test_whoever_names_rooms_without_end_is_not_followed_without_end(season: Season) -> None:
    records = as_records(season.week.head(300))
    rooms = [f"room {number % 100:03}" for number in range(300)]
    named = records._replace(predictions=records.predictions.assign(**{"occupancy.room": rooms}))
    by, state = Judge(season.reference, limits=Limits(rooms=40)), State()
    advance(state, named, by)
    assert list(state.rooms) == [f"room {number:03}" for number in range(40)]
    assert state.beyond == 180
    assert summary([], state, by).endswith("not judged: 180 readings of more than 40 rooms")
