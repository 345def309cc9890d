import dataclasses
import json
import re
from pathlib import Path

import pytest

from occupancy import dataset
from training import evaluate, gate, report, search
from training.baselines import BASELINES
from training.inputs import prepare
from training.settings import Settings

CANDIDATE = {"max_depth": 1, "n_estimators": 20, "learning_rate": 0.3}


@pytest.fixture(scope="module")
def result(room: tuple[Path, Path]) -> report.Result:
    inputs = prepare(dataset.read(room[0]), dataset.read(room[1]), "identity")
    folds = search.fold_by_day(inputs.values, inputs.label, inputs.day)
    found = search.search([CANDIDATE], folds, 0, 1, lambda: None)
    booster = search.fit(CANDIDATE, folds.whole, 0)
    held_out = evaluate.predict_held_out(CANDIDATE, folds, inputs, 0)
    back_test = evaluate.predict_test(booster, inputs, "identity")
    decision = gate.Decision(passed=True, overridden=False, checks=[])
    return report.Result(Settings(), (0.3, 0.7), inputs, booster, found, held_out, back_test, decision)


def test_programs_find_what_they_found_before(result: report.Result) -> None:
    content = json.loads(report.as_json(result))
    assert list(content) == [
        "simulated",
        "version",
        "settings",
        "data",
        "winner",
        "search",
        "out_of_fold",
        "by_day",
        "calibration",
        "differences",
        "gate",
        "back_test",
    ]
    assert list(content["out_of_fold"]) == list(content["back_test"]) == ["model", *BASELINES]
    assert list(content["differences"]) == list(BASELINES)
    assert sum(day["errors"] for day in content["by_day"].values()) == content["out_of_fold"]["model"]["errors"]
    assert sum(b["rows"] for b in content["calibration"]) == content["out_of_fold"]["model"]["rows"]


def test_a_number_that_cannot_be_had_is_no_metric(result: report.Result) -> None:
    assert "out_of_fold.error_outside" in report.metrics(result)
    all_uncertain = report.metrics(dataclasses.replace(result, band=(0.0, 1.0)))
    assert "out_of_fold.error_outside" not in all_uncertain
    assert all_uncertain["out_of_fold.uncertain"] == 1


@pytest.mark.parametrize(
    ("passed", "overridden", "said"),
    [
        (True, False, "The gate accepted it: "),
        (False, False, "The gate refused it: "),
        (False, True, "The gate refused it, and was overridden: "),
    ],
)
def test_the_page_begins_with_the_verdict(result: report.Result, passed: bool, overridden: bool, said: str) -> None:
    page = report.as_html(dataclasses.replace(result, decision=gate.Decision(passed, overridden, [])))
    [verdict] = re.findall(r'<p class="verdict">(.*?)</p>', page)
    assert said in verdict
    assert re.search(r"wrong in [\d,]+ of 7,200 minutes \(\d+\.\d %\) and uncertain in \d+\.\d %\. On", verdict)


def test_the_page_has_a_section_for_each_question(result: report.Result) -> None:
    page = report.as_html(result)
    assert re.findall(r'<h2 id="section-\d+">(.*?)</h2>', page) == [
        "Probability against the truth",
        "Calibration",
        "Day by day",
        "Beside the baselines",
        "What the model has learned",
        "The search",
        "Back-test",
        "Rows left out",
    ]
    assert page.count('<svg class="wide"') == 9  # five of them one sensor's curve
    assert "None: every row could be believed." in page


def test_rows_left_out_are_named(result: report.Result) -> None:
    bad = dataset.BadRow("mine.csv", 7, "CO2 is missing", "")
    training = dataclasses.replace(result.inputs.training, quarantine=[bad] * 12)
    page = report.as_html(dataclasses.replace(result, inputs=dataclasses.replace(result.inputs, training=training)))
    assert "12 rows could not be believed" in page
    assert page.count("mine.csv:7") == 10
