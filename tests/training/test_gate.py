import numpy as np
import pytest

from training.gate import GateRefused, decide

DAY = np.repeat([f"2015-02-0{d}" for d in range(1, 8)], 100)
RNG = np.random.default_rng(0)
LABEL = (RNG.random(700) < 0.3).astype(int)
GOOD = np.where(LABEL == 1, 0.9, 0.1) + 0.01 * RNG.random(700)
POOR = np.where(RNG.random(700) < 0.2, 1 - GOOD, GOOD)


def test_a_better_model_passes() -> None:
    decision = decide(LABEL, DAY, GOOD, {"poor": POOR})
    assert decision.passed
    assert not decision.overridden
    assert "not worse than the best baseline" in decision.sentence()


def test_a_model_worse_beyond_the_evidence_is_refused_and_the_rival_named() -> None:
    decision = decide(LABEL, DAY, POOR, {"good": GOOD, "poor": POOR})
    assert not decision.passed
    assert {c.rival for c in decision.checks} == {"good"}
    assert "log loss is +" in decision.sentence()
    assert "against good" in decision.sentence()
    assert "OVERRIDE_GATE=true" in str(GateRefused(decision, "refused/report.html"))


def test_a_model_worse_within_the_evidence_passes() -> None:
    one_bad_day = np.where(DAY[0] == DAY, POOR, GOOD)
    assert decide(LABEL, DAY, one_bad_day, {"good": GOOD}).passed


@pytest.mark.parametrize(("model", "overridden"), [(POOR, True), (GOOD, False)])
def test_an_override_is_said_only_where_it_was_needed(model: np.ndarray, overridden: bool) -> None:
    assert decide(LABEL, DAY, model, {"good": GOOD}, override=True).overridden is overridden


def test_a_model_as_good_as_the_baseline_is_seldom_refused() -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        truth = (rng.random(700) < 0.3).astype(int)
        model, rival = (np.clip(truth * 0.8 + 0.1 + rng.normal(0, 0.2, 700), 0.01, 0.99) for _ in range(2))
        refused += not decide(truth, DAY, model, {"rival": rival}).passed
    assert refused <= 200 * 0.15  # two one-sided tests at 5 %


def test_rows_weigh_in_the_gate_what_they_weigh_in_the_fits() -> None:
    """A model that gives up a little of many old days for the new ones, which weigh as much together."""
    new = np.isin(DAY, ["2015-02-06", "2015-02-07"])
    model, baseline = np.where(new, GOOD, POOR), np.where(new, 1 - GOOD, GOOD)
    flat, heavy = (decide(LABEL, DAY, model, {"light": baseline}, weight=w) for w in (None, np.where(new, 2.5, 1.0)))
    assert flat.checks[1].difference.mean > heavy.checks[1].difference.mean
    assert heavy.passed
