from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.loop import labels
from training.loop.labels import Labels

COLUMNS = ["date", "Occupancy"]


def some(*dates: str, occupied: int = 1, empty: int = 1) -> Labels:
    rows = [{"date": f"{d}T10:00:00Z", "Occupancy": o} for d in dates for o in ["1"] * occupied + ["0"] * empty]
    return Labels("", COLUMNS, rows)


def test_what_is_read_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("# SIMULATED by a test\ndate,Occupancy\n2015-02-02T10:00:00Z,1\n2015-02-03T10:00:00Z,0\n")
    found = labels.read(path)
    labels.write(tmp_path / "again.csv", found)
    assert (tmp_path / "again.csv").read_bytes() == path.read_bytes()
    assert (found.dates, found.occupied, found.span) == (
        ["2015-02-02", "2015-02-03"], 1, "2 labels of 2015-02-02 to 2015-02-03",
    )  # fmt: skip


@given(st.integers(0, 20), st.floats(0.05, 0.95), st.integers(2, 5))
def test_the_last_dates_judge_and_no_date_does_both(days: int, share: float, least: int) -> None:
    whole = some(*(f"2015-02-{day:02}" for day in range(1, days + 1)))
    learn, judge = labels.part(whole, share, least)
    assert learn.dates + judge.dates == whole.dates
    assert len(learn.rows) + len(judge.rows) == len(whole.rows)
    assert len(judge.dates) >= min(days, least)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (some("2015-02-02", occupied=9, empty=12), "21 are there to judge by, and it takes 1 occupied more"),
        (some("2015-02-02", occupied=2, empty=3), "5 are there to judge by, and it takes 8 occupied, 7 empty more"),
        (some("2015-02-02", occupied=10, empty=10), ""),
    ],
)
def test_what_labels_lack_is_said(given: Labels, said: str) -> None:
    assert labels.lacks(given, "judge by", 10, 0) == said


def test_one_date_teaches_little() -> None:
    said = labels.lacks(some("2015-02-02", occupied=50, empty=50), "learn from", 10, 2)
    assert said == "100 are there to learn from, and it takes 1 dates with 10 labels more"
    stray = some("2015-02-02", occupied=50, empty=50)._replace(
        rows=some("2015-02-02", occupied=50, empty=50).rows + some("2015-02-03").rows
    )
    assert labels.lacks(stray, "learn from", 10, 2) == said.replace("100", "102")
