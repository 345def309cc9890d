import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring import records
from monitoring.dashboards.scorecard import LATENCY_STEP, Thresholds, judged, missing, scores, tally
from monitoring.records import Records

LIMITS = Thresholds(0.3, 0.7, 1.0)


@pytest.fixture(scope="module")
def found(everything: list[dict[str, Any]]) -> Records:
    return records.frames(everything)


@pytest.fixture(scope="module")
def frame(found: Records) -> pd.DataFrame:
    return judged(found.predictions, found.feedback)


def test_scores_are_those_of_the_records(everything: list[dict[str, Any]], frame: pd.DataFrame) -> None:
    lines = [line for line in everything if line["event.dataset"] == "occupancy.prediction"]
    answers = {line["event.id"]: line for line in lines if "occupancy.label" in line}
    truth = {}
    for line in sorted(everything, key=lambda line: line["@timestamp"]):
        if "occupancy.feedback.occupied" in line:
            truth[line["occupancy.feedback.prediction"]] = line["occupancy.feedback.occupied"]
    probability = [line["occupancy.probability"] for line in answers.values()]
    temperature = [line.get("occupancy.reading.Temperature", 20) for line in lines]

    assert scores(frame, LIMITS) == {
        "readings": len(lines),
        "refused": len(lines) - len(answers),
        "uncertain": pytest.approx(np.mean([0.3 <= p <= 0.7 for p in probability])),
        "flagged": sum("occupancy.flags" in line for line in lines),
        "off": sum(abs(value - 20) > 1 for value in temperature),
        "median": pytest.approx(np.median([line["event.duration"] for line in lines]) / 1e6),
        "p99": pytest.approx(np.quantile([line["event.duration"] for line in lines], 0.99) / 1e6),
        "told": len(truth),
        "accuracy": pytest.approx(np.mean([answers[name]["occupancy.label"] == told for name, told in truth.items()])),
        "estimate": pytest.approx(np.mean([max(p, 1 - p) for p in probability])),
    }


def test_without_feedback_there_is_no_accuracy(found: Records) -> None:
    score = scores(judged(found.predictions, found.feedback.iloc[:0]), LIMITS)
    assert score["told"] == 0
    assert math.isnan(score["accuracy"])


def test_missing_are_the_numbers_between_the_first_and_the_last_of_each_boot(found: Records) -> None:
    everywhere = missing(found.predictions, found.feedback, found.losses)
    assert everywhere > 0
    inside = found.predictions.sort_values(["occupancy.boot", "occupancy.sequence"]).index[5]
    assert missing(found.predictions.drop(inside), found.feedback, found.losses) == everywhere + 1


def test_a_tally_sums_to_the_scores(frame: pd.DataFrame) -> None:
    score, counted = scores(frame, LIMITS), tally(frame, 0, 3600)
    counts = {name: sum(values) for name, values in counted["counts"].items()}

    assert set(np.diff(counted["counts"]["t"])) <= {3600, 7200}
    assert (counts["readings"], counts["refused"], counts["flagged"]) == (
        score["readings"],
        score["refused"],
        score["flagged"],
    )
    assert counts["right"] / counts["told"] == pytest.approx(score["accuracy"])
    assert counts["sure"] / counts["answered"] == pytest.approx(score["estimate"], abs=0.001)
    for name, share in (("probability", counts["answered"]), ("latency", counts["readings"])):
        assert sum(counted[name]["n"]) == share
    uncertain = sum(
        n for each, n in zip(counted["probability"]["bin"], counted["probability"]["n"], strict=True) if 30 <= each < 70
    )
    assert uncertain / counts["answered"] == pytest.approx(score["uncertain"])
    middle = np.repeat(counted["latency"]["bin"], counted["latency"]["n"])
    assert LATENCY_STEP ** (np.median(middle) + 0.5) / 1e6 == pytest.approx(score["median"], rel=0.05)


def test_a_tally_begins_when_it_is_told_to(frame: pd.DataFrame) -> None:
    since = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp())
    counted = tally(frame, since, 60)
    assert min(counted["counts"]["t"]) >= since
    assert json.dumps(counted)  # plain numbers
