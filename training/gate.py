"""The gate: a model is saved unless the held-out days show that the best baseline is better."""

from typing import Any, NamedTuple

import numpy as np

from occupancy.errors import InputError
from occupancy.model import THRESHOLD
from training.evaluate import Difference, paired_difference
from training.search import log_loss

Array = np.ndarray[Any, Any]


class Check(NamedTuple):
    """One comparison with the baseline that is best by this measure."""

    measure: str
    rival: str
    difference: Difference
    passed: bool


class Decision(NamedTuple):
    """What the gate decided and why."""

    passed: bool
    overridden: bool
    checks: list[Check]

    def sentence(self) -> str:
        """Say the decision in one sentence."""
        worse = [c for c in self.checks if not c.passed]
        if not worse:
            return "not worse than the best baseline on the held-out days, by log loss and by errors"
        what = "; ".join(
            f"{c.measure} is {c.difference.mean:+.4f} against {c.rival} (90 % interval {c.difference.low:+.4f} to "
            f"{c.difference.high:+.4f})"
            for c in worse
        )
        return f"worse than a baseline on the held-out days: {what}"


def errors(label: Array, probability: Array) -> Array:
    """Tell which answers are wrong, as 0 or 1; shapes (rows,)."""
    wrong: Array = (probability >= THRESHOLD) != (label == 1)
    return wrong.astype(float)


def decide(
    label: Array,
    day: Array,
    model: Array,
    baselines: dict[str, Array],
    *,
    override: bool = False,
    weight: Array | None = None,
) -> Decision:
    """Compare the model's out-of-fold predictions with the best baseline's; shapes (rows,). Rows weigh what they weigh in the fits."""
    checks = []
    for measure, loss in (("log loss", log_loss), ("error rate", errors)):
        losses = {name: loss(label, given) for name, given in baselines.items()}
        rival = min(losses, key=lambda name: float(np.average(losses[name], weights=weight)))
        difference = paired_difference(loss(label, model), losses[rival], day, weight)
        checks.append(Check(measure, rival, difference, passed=difference.low <= 0))
    passed = all(c.passed for c in checks)
    return Decision(passed, override and not passed, checks)


class GateRefused(InputError):
    """The model is worse than the best baseline beyond the evidence, and nobody overrode the gate."""

    def __init__(self, decision: Decision, report: str) -> None:
        """Say why, and where the report is."""
        super().__init__(
            f"the gate refuses this model: {decision.sentence()}. The earlier model stays; see {report}. More or better data "
            "helps; OVERRIDE_GATE=true saves a refused model all the same and says so in it"
        )
