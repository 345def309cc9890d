"""How often the gate's interval misses the truth, and how often it takes the worse of two models of one room for the better.

Two models learn from one week each of the same simulated room; nothing changes. Windows of its next six weeks, one label in ten,
play the labels held out; the true difference is that of the six weeks. Blocks of several lengths are drawn side by side.
"""

import os
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from benchmark.drift import in_processes
from benchmark.drift_rooms import DAY, HYPERPARAMETERS
from benchmark.drift_tables import markdown
from occupancy import settings
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from occupancy.report import Table
from occupancy.simulate import simulate
from training.blocks import paired_difference
from training.compare import MEASURES
from training.search import fit, fold_by_day

WEEKS, LABEL_ONE_IN, LEVEL = 6, 10, 0.05
HOURS, WINDOWS = (1, 2, 4, 6, 12, 24), (2, 3, 4, 7)
POINT = 0.005
"""Errors that a worse model makes more: half a point."""


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings."""

    rooms: Annotated[int, Meta(ge=1, description="how many rooms, with seeds from 5000")] = 24
    jobs: Annotated[int, Meta(ge=0, description="processes; 0: as many as cores")] = 0


class Window(NamedTuple):
    """One window with blocks of one length: what the interval claimed. `missed`: of either measure and end, of four."""

    days: int
    hours: int
    missed: float
    better: bool
    worse: bool


def main(argv: list[str]) -> int:
    """Measure, and print the table."""
    chosen = settings.read(Settings, prog="benchmark blocks", argv=argv, environ={}, about=__doc__ or "")
    work = [partial(room, seed) for seed in range(5000, 5000 + chosen.rooms)]
    found = [window for one in in_processes("rooms", work, chosen.jobs or os.cpu_count() or 1) for window in one]
    print(markdown(table(found)))
    return 0


def table(found: list[Window]) -> Table:
    """Average over rooms and windows."""
    rows = []
    for days in WINDOWS:
        for hours in HOURS:
            mine = [window for window in found if (window.days, window.hours) == (days, hours)]
            shares = (np.mean([getattr(window, name) for window in mine]) for name in ("missed", "better", "worse"))
            rows.append([days, hours, len(mine), *(f"{share:.1%}" for share in shares)])
    columns = [
        "days",
        "hours a block",
        "windows",
        "an end of the interval missed (5 %)",
        "called better",
        "and is half a point worse",
    ]
    return Table(columns, rows)


def room(seed: int) -> list[Window]:
    """Play one room."""
    start = date(2015, 1, 1) + timedelta(days=int(np.random.default_rng((seed, 2)).integers(365)))
    frame = simulate(14 + 7 * WEEKS, seed, start)
    values, label, day = (
        frame[list(NAMES)].to_numpy(np.float32),
        frame[LABEL].to_numpy(np.int8),
        np.arange(len(frame)) // DAY,
    )
    weeks = (day < 7, (day >= 7) & (day < 14))
    models = [fit(HYPERPARAMETERS, fold_by_day(values[w], label[w], np.zeros(w.sum())).whole, seed) for w in weeks]
    later = frame[DATE][day >= 14].reset_index(drop=True)
    truth, given = (
        label[day >= 14],
        [each.inplace_predict(values[day >= 14], validate_features=False) for each in models],
    )
    losses = [[measure(truth, p) for p in given] for measure in MEASURES.values()]
    asked = np.random.default_rng(seed).random(len(truth)) < 1 / LABEL_ONE_IN
    return list(windows(later, losses, asked))


def windows(time: pd.Series, losses: list[list[np.ndarray]], asked: np.ndarray) -> Iterator[Window]:
    """Hold the second model against the first in each window, and the interval against the truth of all weeks."""
    minute = np.arange(len(time))
    true = [float((second - first).mean()) for first, second in losses]
    for days in WINDOWS:
        for first_day in range(0, 7 * WEEKS - days + 1, days):
            rows = asked & (minute >= first_day * DAY) & (minute < (first_day + days) * DAY)
            for hours in HOURS:
                block = pd.factorize(minute[rows] // (60 * hours))[0]
                found = [paired_difference(second[rows], first[rows], block, LEVEL) for first, second in losses]
                ends = [(d.high < t, d.low > t) for d, t in zip(found, true, strict=True)]
                better = all(d.high < 0 for d in found)
                yield Window(days, hours, float(np.mean(ends)), better, better and true[1] > POINT)
