import json
from datetime import UTC, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.__main__ import main
from monitoring.drift.judge import Judge
from monitoring.propose import APART, Proposal, entropy, proposals
from monitoring.records import Records
from occupancy import record, reference
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.simulate import Fault
from tests.monitoring.conftest import Store
from tests.monitoring.drift.conftest import Season, as_records

DAY = 1440


@pytest.fixture(scope="module")
def season() -> Season:
    return Season()


def sure_but(found: Records, doubtful: dict[int, float]) -> Records:
    """Let the model be sure of every answer but of the rows with these probabilities."""
    rows = found.predictions.copy()
    rows["occupancy.probability"] = np.where(rows["occupancy.label"] == 1, 0.999, 0.001)
    rows.loc[list(doubtful), "occupancy.probability"] = list(doubtful.values())
    rows.loc[list(doubtful), "occupancy.answer"] = "uncertain"
    return found._replace(predictions=rows)


def rows_of(chosen: list[Proposal]) -> list[int]:
    return [int(each.prediction.partition("-")[2]) - 1 for each in chosen]


def test_a_doubtful_minute_comes_before_a_sure_and_familiar_one(season: Season) -> None:
    by = Judge(season.reference)
    found = sure_but(as_records(season.week.head(DAY)), {700: 0.5, 300: 0.35, 1000: 0.6})
    chosen = proposals(found, by, 5)
    assert rows_of(chosen)[:3] == [700, 1000, 300]
    assert chosen[0].why.startswith("the model is in doubt: 0.50")
    assert (chosen[0].uncertainty, chosen[0].probability) == (1.0, 0.5)
    assert chosen[3].uncertainty < 0.02
    assert {name: getattr(chosen[0], name) for name in NAMES} == season.week.iloc[700][list(NAMES)].to_dict()


def test_what_is_near_counts_for_less_and_doubt_still_comes_before_certainty(season: Season) -> None:
    found = sure_but(as_records(season.week.head(DAY)), {700: 0.5, 701: 0.5, 730: 0.5, 900: 0.4, 1100: 0.9})
    chosen = rows_of(proposals(found, Judge(season.reference), 5))
    assert chosen[:4] == [700, 900, 1100, 730]
    told = sure_but(as_records(season.week.head(DAY), told=[690]), {700: 0.5, 730: 0.5, 900: 0.4})
    assert rows_of(proposals(told, Judge(season.reference), 5))[:2] == [900, 730]


def test_what_no_clean_day_had_comes_before_what_is_familiar(season: Season) -> None:
    warm = season.with_faults(Fault("offset", "Temperature", 600, 700, size=8.0)).head(DAY)
    found = sure_but(as_records(warm), {})
    chosen = proposals(found, Judge(season.reference), 3)
    (first, *_) = [each for each in chosen if each.novelty]
    assert first is chosen[0]
    assert 600 <= rows_of(chosen)[0] < 760
    assert first.why.startswith("Temperature +")
    assert first.why.endswith("°C from its season, beyond the clean days")
    unknown = proposals(found, Judge(season.reference, rooms=("another",)), 3)
    assert all(each.novelty == 0 for each in unknown)  # it learns yet


@pytest.fixture(scope="module")
def morning(season: Season) -> Records:
    frame = season.week.iloc[480:660].reset_index(drop=True)
    one, other = as_records(frame, "A"), as_records(frame, "B")
    twin = other.predictions.assign(**{"event.id": other.predictions["event.id"].str.replace("01", "99")})
    return one._replace(predictions=pd.concat([one.predictions, twin], ignore_index=True))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_proposals_are_apart_complete_and_the_same_again(
    morning: Records, season: Season, count: int, seed: int
) -> None:
    by = Judge(season.reference)
    probability = np.random.default_rng(seed).choice([0.01, 0.2, 0.5, 0.51, 0.97], len(morning.predictions))
    rows = morning.predictions.assign(**{"occupancy.probability": probability})
    chosen = proposals(morning._replace(predictions=rows), by, count)
    assert len(chosen) <= count
    for one, other in combinations(chosen, 2):
        assert one.room != other.room or abs((one.time - other.time).total_seconds()) >= APART
    assert chosen[0].probability in (0.5, 0.51)
    assert chosen[0].uncertainty == pytest.approx(entropy(np.array(probability)).max(), abs=1e-3)
    for name, taken in rows[["occupancy.room", "occupancy.reading.time"]].itertuples(index=False):
        near = any(each.room == name and abs((each.time - taken).total_seconds()) < APART for each in chosen)
        assert near or len(chosen) == count
    shuffled = rows.sample(frac=1, random_state=seed)
    in_order = shuffled.sort_values("occupancy.reading.time", kind="stable", ignore_index=True)
    assert proposals(morning._replace(predictions=in_order), by, count) == chosen


def test_what_was_told_never_comes_back_nor_do_its_neighbours(season: Season) -> None:
    frame, by = season.week.head(DAY), Judge(season.reference)
    told: list[int] = []
    for _ in range(4):
        found = sure_but(as_records(frame, told=told), dict.fromkeys(range(600, 800), 0.5))
        chosen = rows_of(proposals(found, by, 8))
        assert len(chosen) == 8
        assert all(abs(row - earlier) >= APART / 60 for row in chosen for earlier in told)
        told = sorted(told + chosen)
    every = as_records(frame, told=range(0, DAY, 10))
    assert proposals(every, by, 8) == []
    lies = every._replace(feedback=every.feedback.assign(**{"occupancy.feedback.authenticated": False}))
    assert len(proposals(lies, by, 8)) == 8  # what came without the token is no truth


def test_nothing_is_asked_about_a_sick_sensor(season: Season) -> None:
    stuck = season.with_faults(Fault("stuck", "CO2", 600, 900)).head(DAY)
    found = sure_but(as_records(stuck), dict.fromkeys(range(650, 850), 0.5))
    chosen = rows_of(proposals(found, Judge(season.reference), 50))
    assert chosen
    assert not [row for row in chosen if 650 <= row < 850]


def test_what_was_before_the_chosen_time_is_judged_by(season: Season) -> None:
    by, since = Judge(season.reference), season.week[DATE].iloc[700].to_pydatetime()
    stuck = season.with_faults(Fault("stuck", "CO2", 600, 900)).head(DAY)  # begun before
    found = sure_but(as_records(stuck), dict.fromkeys(range(650, 850), 0.5))
    chosen = rows_of(proposals(found, by, 50, since))
    assert chosen
    assert all(row >= 850 for row in chosen)
    told = sure_but(as_records(season.week.head(DAY), told=[690]), {710: 0.5, 800: 0.5, 900: 0.4})
    assert rows_of(proposals(told, by, 5, since))[:2] == [900, 800]  # the label before makes its neighbours worth less
    warm = season.with_faults(Fault("offset", "Temperature", DAY + 600, DAY + 900, size=8.0)).head(2 * DAY)
    whole = sure_but(as_records(pd.concat([season.learned, warm], ignore_index=True)), {})
    unknown = Judge(season.reference, rooms=("another",))
    first = proposals(whole, unknown, 1, season.week[DATE].iloc[DAY + 500].to_pydatetime())[0]
    assert first.novelty > 0  # of a room that learned its reference before


@pytest.fixture
def lines(season: Season) -> list[dict[str, Any]]:
    """Records of a day, half of it told, in which the model doubts a few minutes."""
    boot, request = (
        record.Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=False),
        record.Request("q", "", "", 0),
    )
    written = []
    for n, (when, *values, label) in enumerate(
        season.week.head(DAY)[[DATE, *NAMES, LABEL]].itertuples(index=False, name=None)
    ):
        at = when.to_pydatetime().astimezone(UTC)
        said = record.prediction(
            boot, request, room="default", reading_id=None, reading_time=at, values=tuple(values),
            probability=0.45 if n % 100 == 0 else 0.01, label=0, answer="uncertain" if n % 100 == 0 else "empty",
            flags=[], label_wanted=n == 900,
        )  # fmt: skip
        written.append({**said, "@timestamp": at})
        if n < DAY // 2 and n % 10 == 0:
            truth = record.feedback(boot, request, prediction=said["event.id"], occupied=label == 1, authenticated=True)
            written.append({**truth, "@timestamp": at + timedelta(minutes=5)})
    return [json.loads(record.line(fields)) for fields in written]


@pytest.fixture
def asked(tmp_path: Path, season: Season, lines: list[dict[str, Any]]) -> list[str]:
    """Write the records and the reference; gives the command that names three minutes."""
    (tmp_path / "reference.json").write_bytes(reference.dump(season.reference))
    (tmp_path / "records.jsonl").write_text("".join(f"{json.dumps(fields)}\n" for fields in lines))
    return ["propose", "--count=3", "--reference", str(tmp_path / "reference.json"), str(tmp_path / "records.jsonl")]


def test_it_prints_a_table_or_json_lines(asked: list[str], capfd: Any) -> None:
    assert main([*asked, "--json"], {}) == 0
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [each["probability"] for each in said] == [0.45] * 3
    assert [each["asked"] for each in said] == [True, False, False]  # the service had drawn the first one
    assert list(said[0]) == list(Proposal.__struct_fields__)
    assert main(asked, {}) == 0
    head, *table = capfd.readouterr().out.splitlines()
    assert head.split()[:4] == ["time", "(UTC)", "room", "probability"]
    assert [each["prediction"] in line for each, line in zip(said, table, strict=True)] == [True] * 3
    for quiet in (["--since=2026-03-16", "--until=2026-03-16T08:00"], ["--since=2027-03-16"], ["--room=attic"]):
        assert main([*asked, *quiet], {}) == 1
        assert "nothing to name: no reading is there, or each has its truth" in capfd.readouterr().out
    assert main([*asked, "--since=2026-03-16T16:00", "--json"], {}) == 0
    late = [json.loads(line)["time"] for line in capfd.readouterr().out.splitlines()]
    assert len(late) == 3
    assert min(late) >= "2026-03-16T16:00"


def test_elasticsearch_names_the_same_minutes(
    asked: list[str], lines: list[dict[str, Any]], installed: Store, capfd: Any
) -> None:
    assert main([*asked, "--json"], {}) == 0
    of_files = capfd.readouterr().out
    installed.create(lines)
    assert main([*asked[:-1], "--json"], installed.environ) == 0
    assert capfd.readouterr().out == of_files
