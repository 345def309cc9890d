"""A paired block bootstrap: how sure the difference of two models' losses is, when readings near in time resemble each other.

Readings are put together in blocks of four hours of a room, and whole blocks are drawn with replacement (Künsch, 1989); the
interval's quantiles are widened for few blocks as Student's t is (the expanded percentile interval: Hesterberg, 2015,
doi.org/10.1080/00031305.2015.1089789). Measured on simulated rooms, blocks of 4, 6 and 12 hours cover nearly alike, and of these
the shortest see most; shorter ones claim too much, and of few days none covers what it promises: see docs/continuous-training.md.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from training.evaluate import Difference

HOURS = 4
RESAMPLES = 4000
Array = np.ndarray[Any, Any]


def blocks(time: pd.Series, room: Array) -> Array:
    """Number the block that each reading is in; time (rows,) with a zone, room (rows,) texts, gives (rows,) integers from 0."""
    slot = time.dt.tz_localize(None).dt.floor(f"{HOURS}h").to_numpy()
    number: Array = pd.factorize(pd.MultiIndex.from_arrays([room, slot]))[0]
    return number


def paired_difference(loss: Array, other: Array, block: Array, level: float) -> Difference:
    """Compare two models' losses per row on the same rows; shapes (rows,). Beyond an end of the interval is one-sided `level`.

    Fewer blocks than a coin needs tosses to fall so often on one side show nothing (at 5 %: fewer than five): their interval has no
    bounds. Drawn with a seed of its own: the same losses give the same interval.
    """
    sums, rows = np.bincount(block, loss - other), np.bincount(block)
    count, mean = len(rows), float(sums.sum() / rows.sum())
    if 0.5**count >= level:
        return Difference(mean, np.inf, -np.inf, np.inf)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    means = (drawn @ sums) / (drawn @ rows)
    widened = float(stats.norm.cdf(np.sqrt(count / (count - 1)) * stats.t.ppf(level, count - 1)))
    low, high = np.quantile(means, [widened, 1 - widened])
    return Difference(mean, float(means.std()), float(low), float(high))
