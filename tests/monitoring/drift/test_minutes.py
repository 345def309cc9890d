from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift import minutes
from occupancy.reading import NAMES

BRUSSELS = ZoneInfo("Europe/Brussels")


def answered(times: list[float]) -> pd.DataFrame:
    frame = pd.DataFrame({"occupancy.reading.time": pd.to_datetime(times, unit="s", utc=True), "occupancy.label": 1.0})
    return frame.assign(**{f"occupancy.reading.{name}": np.arange(len(times), dtype=float) for name in NAMES})


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(0, 5000))
def test_none_is_sooner_than_half_a_minute_after_another(times: list[int], seen: int) -> None:
    kept, late = minutes.of(answered([float(t) for t in times]), seen, seen, 30, BRUSSELS)
    assert late == sum(t <= seen for t in times)
    assert (np.diff(kept.time, prepend=seen) >= 30).all()
    assert all(kept.time[np.searchsorted(kept.time, t, "right") - 1] > t - 30 for t in times if t >= seen + 30)


def test_the_clock_is_the_rooms() -> None:
    winter, summer = pd.Timestamp("2026-01-31T23:10Z"), pd.Timestamp("2026-06-30T21:40Z")
    found = minutes.at(np.array([winter.timestamp(), summer.timestamp()]), np.zeros((2, 5)), np.zeros(2), BRUSSELS)
    assert found.half_hour.tolist() == [0, 47]
    assert (found.day - [20485, 20634]).tolist() == [0, 0]  # the first of February, the last of June
