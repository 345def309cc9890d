from math import comb

import numpy as np
import pandas as pd
import pytest

from monitoring.drift import level, minutes
from monitoring.drift.judge import Judge, judge
from monitoring.drift.level import days_needed
from occupancy.mapping import DATE
from occupancy.reading import NAMES
from occupancy.simulate import Fault

from .conftest import Season, as_records


@pytest.mark.parametrize(
    ("days", "rarity", "needed"), [(7, 8, 1), (7, 500, 5), (14, 500, 3), (1, 500, 499), (30, 500, 3)]
)
def test_the_days_needed(days: int, rarity: int, needed: int) -> None:
    assert days_needed(days, rarity) == needed


def test_chance_does_it_as_seldom_as_is_said() -> None:
    """Of K + n exchangeable days, the last n are the n largest once in C(n + K, n): by simulation, heavy tails and all."""
    rng, known, new = np.random.default_rng(4), 4, 2
    days = rng.standard_cauchy((200_000, known + new))
    share = (days[:, known:].min(axis=1) > days[:, :known].max(axis=1)).mean()
    assert share == pytest.approx(1 / comb(known + new, new), rel=0.05)


def test_the_distance_is_the_hourly_mean_from_the_season(season: Season) -> None:
    clock = season.week[DATE].dt.tz_convert("UTC")
    rows = minutes.at(
        clock.to_numpy("datetime64[us]").astype(np.int64) / 1e6,
        season.week[list(NAMES)].to_numpy(float),
        np.zeros(len(clock)),
        Judge(season.reference).zone,
    )
    found = level.distances(rows, season.reference)[:, 0]
    seasons = season.week[DATE].dt.hour * 2 + season.week[DATE].dt.minute // 30
    residual = season.week["Temperature"] - seasons.map(dict(enumerate(season.reference.sensors["Temperature"].level)))
    expected = residual.set_axis(pd.DatetimeIndex(clock)).rolling("60min", min_periods=30).mean()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isnan(found[:29]).all()


def test_a_shift_that_stays_is_one_ticket_after_three_days(season: Season) -> None:
    shifted = season.with_faults(Fault("ramp", "CO2", 0, 600, 900), Fault("offset", "CO2", 600, 10080, 900))
    verdicts = [
        v for v in judge(as_records(shifted), Judge(season.reference)) if v.rule == "level" and v.sensor == "CO2"
    ]
    assert [(v.state, v.consequence) for v in verdicts] == [("opened", "ticket")]
    first = season.week[DATE].iloc[0]
    assert verdicts[0].at - first == pd.Timedelta(days=3)
    assert verdicts[0].since == first
    assert "on each of 3 days in a row" in verdicts[0].message
    assert "once in 680 times" in verdicts[0].certainty
