import numpy as np
import pandas as pd
import pytest

from monitoring.drift import loss
from monitoring.drift.judge import Judge, State, advance, judge
from monitoring.drift.limits import Limits
from monitoring.drift.loss import Wealth
from monitoring.drift.verdict import Verdict
from occupancy.simulate import Fault

from .conftest import Season, as_records, cut


def hours(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One label an hour."""
    return np.arange(len(errors)) * 3600.0, errors


def first_alarm(errors: np.ndarray, limits: Limits) -> int | None:
    turns = loss.advance(Wealth(), *hours(errors), limits)
    return int(turns[0].at // 3600) if turns and turns[0].opened else None


def test_its_run_length_is_at_least_what_is_promised() -> None:
    """A model exactly at what is accepted: the mean time to a false alarm is at least the run length.

    With n hours seen and k alarms, each beginning anew, k/n may be above 1/length by chance alone; four standard errors.
    """
    limits = Limits(error=0.1, run_length=200)
    rng = np.random.default_rng(0)
    alarms, seen = 0, 0
    for _ in range(300):
        when = first_alarm((rng.random(600) < 0.1).astype(float), limits)
        alarms, seen = alarms + (when is not None), seen + (when or 600)
    assert alarms > 10  # it is a bound that is used, not one that nothing reaches
    assert alarms / seen < (1 + 4 / np.sqrt(alarms)) / 200


def test_it_holds_for_errors_that_depend_on_each_other() -> None:
    """Bursts of errors whose mean given the past is at most what is accepted: no independence is needed."""
    limits, rng, alarms, seen = Limits(error=0.2, run_length=200), np.random.default_rng(1), 0, 0
    for _ in range(200):
        chance, errors = 0.0, []
        for _ in range(600):
            errors.append(float(rng.random() < chance))
            chance = 0.2 if errors[-1] or rng.random() < 0.3 else 0.0
        when = first_alarm(np.array(errors), limits)
        alarms, seen = alarms + (when is not None), seen + (when or 600)
    assert alarms * 200 <= seen * 1.5


@pytest.mark.parametrize(("error", "within"), [(1.0, 8), (0.5, 24), (0.2, 150)])
def test_a_worse_model_is_found(error: float, within: int) -> None:
    rng = np.random.default_rng(2)
    delays = []
    for _ in range(50):
        errors = np.concatenate((rng.random(300) < 0.01, rng.random(400) < error)).astype(float)
        when = first_alarm(errors, Limits())
        assert when is not None
        delays.append(when - 300)
    assert np.median(delays) <= within


def test_it_dates_the_change_and_closes_when_it_is_over() -> None:
    errors = np.concatenate((np.zeros(100), np.ones(20), np.zeros(200)))
    opened, closed = loss.advance(Wealth(), *hours(errors), Limits())
    assert (opened.opened, closed.opened) == (True, False)
    assert opened.since / 3600 == pytest.approx(100, abs=1)
    assert opened.error > 0.9
    assert opened.at / 3600 - 100 < 10
    assert closed.error <= 0.05


def test_many_labels_of_one_hour_count_once() -> None:
    time = np.repeat(np.arange(10) * 3600.0, 30)
    dense = loss.advance(Wealth(), time, np.ones(300), Limits())
    sparse = loss.advance(Wealth(), *hours(np.ones(10)), Limits())
    assert dense == sparse


def test_wrong_answers_ask_for_retraining(season: Season) -> None:
    wrong, told = range(3000, 10080, 2), range(0, 10080, 31)
    verdicts = judge(as_records(season.week, told=told, wrong=wrong), Judge(season.reference))
    assert [(v.rule, v.state, v.consequence) for v in verdicts] == [("loss", "opened", "retrain")]
    assert "of the answers whose truth is known were wrong" in verdicts[0].message


def test_another_model_is_what_was_asked_for(season: Season) -> None:
    records = as_records(season.week, told=range(0, 10080, 31), wrong=range(3000, 8000, 2))
    records.predictions.loc[8000:, "occupancy.model.version"] = "ba9876543210"
    opened, closed = judge(records, Judge(season.reference))
    assert (opened.state, closed.state, closed.rule) == ("opened", "closed", "loss")
    assert closed.since == opened.since
    assert closed.at >= records.predictions["occupancy.reading.time"][8000]


def test_labels_that_anybody_could_send_do_not(season: Season) -> None:
    records = as_records(season.week, told=range(0, 10080, 31), wrong=range(3000, 10080, 2))
    assert [v.rule for v in judge(records, Judge(season.reference))] == ["loss"]
    records.feedback["occupancy.feedback.authenticated"] = False
    records.predictions["occupancy.label_wanted"] = True
    assert judge(records, Judge(season.reference)) == []


def test_answers_from_sick_sensors_say_nothing_about_the_model(season: Season) -> None:
    frame = season.with_faults(Fault("stuck", "CO2", 3000, 10080))
    records = as_records(frame, told=range(0, 10080, 31), wrong=range(3010, 10080, 2))
    assert {v.rule for v in judge(records, Judge(season.reference))} == {"run"}


def test_a_lie_without_the_token_does_not_keep_the_truth_from_being_heard_later(season: Season) -> None:
    records = as_records(season.week, told=range(0, 10080, 31), wrong=range(3000, 10080, 2))
    true = records.feedback
    lies = true.copy()
    lies["event.id"] = [f"lie-{n}" for n in range(len(true))]
    lies["occupancy.feedback.occupied"] = ~true["occupancy.feedback.occupied"].astype(bool)
    lies["occupancy.feedback.authenticated"] = False
    late = true.assign(**{"@timestamp": true["@timestamp"] + pd.Timedelta(days=1)})
    both = pd.concat([lies, late]).sort_values("@timestamp", kind="stable").reset_index(drop=True)
    state, verdicts, rest = State(), list[Verdict](), records._replace(feedback=both)
    for _ in range(20):
        part, rest = cut(rest, 504)
        verdicts += advance(state, part, Judge(season.reference))
    verdicts += advance(state, rest, Judge(season.reference))
    assert [verdict.rule for verdict in verdicts if verdict.state == "opened"] == ["loss"]
