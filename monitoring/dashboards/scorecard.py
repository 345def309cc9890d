"""The scorecard: what can be counted of a stream at a glance, and the tallies from which a page counts it again.

A tally holds histograms per interval of time, so that a reader's own date range, band and temperature limit need no
record: probabilities in steps of 0.01, distances from the expected temperature of 0.1 °C, latencies of a twelfth.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from monitoring.dashboards.panels import EXPECTED_TEMPERATURE
from monitoring.records import latest

TIME = "occupancy.reading.time"
PROBABILITY, TEMPERATURE = "occupancy.probability", "occupancy.reading.Temperature"
LATENCY_STEP = 2**0.125

Columns = dict[str, list[Any]]


class Thresholds(NamedTuple):
    """From which probability to which an answer is uncertain, and from how many °C beside the expected a temperature stands out."""

    low: float
    high: float
    limit: float


def judged(predictions: pd.DataFrame, feedback: pd.DataFrame) -> pd.DataFrame:
    """Add to each prediction what the scorecard counts: refused, flagged, truth (see `latest`), right, sure.

    `truth` and `right` are NaN where nobody told; `sure` is the model's own estimate of being right.
    """
    frame = predictions.copy(deep=False)
    frame["refused"] = frame["event.outcome"] == "failure"
    frame["flagged"] = frame["occupancy.flags"].map(lambda flags: isinstance(flags, list) and bool(flags)).astype(bool)
    told = latest(feedback).set_index("occupancy.feedback.prediction")
    frame["truth"] = frame["event.id"].map(told["occupancy.feedback.occupied"].astype(float))
    frame["right"] = (frame["truth"] == frame["occupancy.label"]).astype(float).where(frame["truth"].notna())
    frame["sure"] = np.maximum(frame[PROBABILITY], 1 - frame[PROBABILITY])
    return frame


def missing(*kinds: pd.DataFrame) -> int:
    """Count the numbers that are absent between the first and the last of each boot; the records have to be all there are."""
    numbers = pd.concat([kind[["occupancy.boot", "occupancy.sequence"]] for kind in kinds]).dropna()
    boots = numbers.drop_duplicates().groupby("occupancy.boot")["occupancy.sequence"]
    return int((boots.max() - boots.min() + 1 - boots.count()).sum())


def scores(frame: pd.DataFrame, thresholds: Thresholds) -> dict[str, float]:
    """Score judged predictions; shares and times (in ms) are NaN where there is nothing to take them of."""
    latency = frame["event.duration"].dropna() / 1e6
    probability, told = frame[PROBABILITY].dropna(), frame["right"].dropna()
    return {
        "readings": len(frame),
        "refused": int(frame["refused"].sum()),
        "uncertain": float(probability.between(thresholds.low, thresholds.high).mean()),
        "flagged": int(frame["flagged"].sum()),
        "off": int((_distance(frame) > thresholds.limit).sum()),
        "median": float(latency.median()),
        "p99": float(latency.quantile(0.99)),
        "told": len(told),
        "accuracy": float(told.mean()),
        "estimate": float(frame["sure"].mean()),
    }


def tally(frame: pd.DataFrame, since: int, seconds: int) -> dict[str, Columns]:
    """Count judged predictions from `since` on per interval of so many seconds, and make the three histograms of each."""
    when = frame[TIME].dt.as_unit("s").astype("int64")
    frame, when = frame[when >= since], when[when >= since]
    begins = (when // seconds * seconds).rename("t")
    counted = pd.DataFrame(
        {
            "t": begins,
            "readings": 1,
            "refused": frame["refused"],
            "flagged": frame["flagged"],
            "told": frame["right"].notna(),
            "right": frame["right"].fillna(0),
            "answered": frame["sure"].notna(),
            "sure": frame["sure"].fillna(0),
        }
    )
    bins = {
        "probability": (frame[PROBABILITY] * 100).clip(upper=99),
        "distance": (_distance(frame) * 10).clip(upper=500),
        "latency": np.log(frame["event.duration"].clip(lower=1)) / np.log(LATENCY_STEP),
    }
    return {
        "counts": _columns(counted.groupby("t").sum().round(1).reset_index()),
        **{name: _histogram(begins, np.floor(values.astype(float))) for name, values in bins.items()},
    }


def _distance(frame: pd.DataFrame) -> pd.Series:
    return (frame[TEMPERATURE] - EXPECTED_TEMPERATURE).abs()


def _histogram(begins: pd.Series, bins: pd.Series) -> Columns:
    known = pd.DataFrame({"t": begins, "bin": bins}).dropna().astype("int64")
    return _columns(known.groupby(["t", "bin"]).size().rename("n").reset_index())


def _columns(frame: pd.DataFrame) -> Columns:
    return {str(name): frame[name].tolist() for name in frame}
