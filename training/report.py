"""Training's report: what was found, as JSON for programs and as a page for people."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost

from occupancy import __version__
from occupancy.dataset import SIMULATED
from occupancy.mapping import DATE
from occupancy.preprocess import STEPS
from occupancy.reading import FEATURES
from occupancy.report import Chart, Section, Table, Text, render
from training import charts, evaluate
from training.gate import Decision
from training.inputs import Inputs
from training.search import Found, log_loss
from training.settings import Settings

Array = np.ndarray[Any, Any]
CHART_MINUTES = 10


@dataclass(frozen=True)
class Result:
    """All that a run found. `held_out` and `back_test`: probabilities by method, the model first."""

    settings: Settings
    band: evaluate.Band
    inputs: Inputs
    booster: xgboost.Booster
    found: Found
    held_out: dict[str, Array]
    back_test: dict[str, Array]
    decision: Decision

    @cached_property
    def held_out_scores(self) -> dict[str, evaluate.Score]:
        """Each method's score on the held-out days."""
        return {name: evaluate.score(self.inputs.label, p, self.band) for name, p in self.held_out.items()}

    @cached_property
    def back_test_scores(self) -> dict[str, evaluate.Score]:
        """Each method's score on the test file."""
        return {name: evaluate.score(self.inputs.test.label, p, self.band) for name, p in self.back_test.items()}

    @cached_property
    def by_day(self) -> dict[str, evaluate.Score]:
        """The model's score on each day while that day was held out."""
        return evaluate.by_day(self.inputs.label, self.held_out["model"], self.inputs.day, self.band)

    @cached_property
    def calibration(self) -> list[evaluate.Bin]:
        """The model's calibration on the held-out days."""
        return evaluate.calibration(self.inputs.label, self.held_out["model"])

    @cached_property
    def differences(self) -> dict[str, evaluate.Difference]:
        """The model's log loss a row minus each baseline's on the held-out days, negative where the model is better."""
        label, day = self.inputs.label, self.inputs.day
        ours = log_loss(label, self.held_out["model"])
        return {
            name: evaluate.paired_difference(ours, log_loss(label, p), day)
            for name, p in self.held_out.items()
            if name != "model"
        }


def metrics(result: Result) -> dict[str, float]:
    """Name the numbers that trackers and the model's card get; a number that can't be had is left out."""
    scores = {"out_of_fold": result.held_out_scores["model"], "back_test": result.back_test_scores["model"]}
    return {
        f"{which}.{k}": float(v) for which, score in scores.items() for k, v in score._asdict().items() if v is not None
    }


def as_json(result: Result) -> bytes:
    """Write everything the page shows as JSON, and the reproducible inputs beside it."""
    found, inputs = result.found, result.inputs
    content = {
        "simulated": inputs.simulated,
        "version": __version__,
        "settings": msgspec.to_builtins(result.settings),
        "data": {
            role: {"path": d.path, "sha256": d.sha256, "rows": len(d.frame), "quarantined": len(d.quarantine)}
            for role, d in inputs.sets.items()
        },
        "winner": {"hyperparameters": found.winner.candidate, "log_loss": found.loss},
        "search": {
            "days": found.days,
            "fits": found.fits,
            "candidates": [{**s.candidate, "day_losses": s.losses} for s in found.scored],
        },
        "out_of_fold": {name: s._asdict() for name, s in result.held_out_scores.items()},
        "by_day": {day: s._asdict() for day, s in result.by_day.items()},
        "calibration": [b._asdict() for b in result.calibration],
        "differences": {name: d._asdict() for name, d in result.differences.items()},
        "gate": msgspec.to_builtins(result.decision._asdict()),
        "back_test": {name: s._asdict() for name, s in result.back_test_scores.items()},
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def as_html(result: Result) -> str:
    """Draw the page."""
    training, test, recent = result.inputs.training, result.inputs.test, result.inputs.recent
    facts = {
        "training data": f"{training.path}, {len(training.frame):,} rows, {len(set(training.day))} dates",
        **(
            {
                "recent data": f"{recent.path}, {len(recent.frame):,} rows, {len(set(recent.day))} dates, each row weighs "
                f"{result.inputs.weight[-1]:.3g}"
            }
            if recent and result.inputs.weight is not None
            else {}
        ),
        "back-test data": f"{test.path}, {len(test.frame):,} rows",
        "candidates": f"{len(result.found.scored)}, in {result.found.fits} fits",
        "chosen": ", ".join(f"{k} {v:.4g}" for k, v in sorted(result.found.winner.candidate.items())),
        "uncertain means": f"a probability from {result.band[0]} to {result.band[1]}",
        "seed": result.settings.seed,
    }
    warning = (
        SIMULATED.strip("# ") + " DATA: this model was trained on a generated room. It says nothing about a real one."
    )
    sections = [
        _over_time(result),
        _calibration(result),
        _by_day(result),
        _baselines(result),
        _shape(result),
        _search(result),
        _back_test(result),
        _quarantine(result),
    ]
    return render("Training report", _verdict(result), facts, sections, warning if result.inputs.simulated else "")


def _verdict(result: Result) -> str:
    ours, test, decision = result.held_out_scores["model"], result.back_test_scores["model"], result.decision
    if decision.passed:
        what = "accepted it"
    else:
        what = "refused it, and was overridden" if decision.overridden else "refused it"
    return (
        f"On days it had not seen, the model was wrong in {ours.errors:,} of {ours.rows:,} minutes "
        f"({_percent(1 - ours.accuracy)}) and uncertain in {_percent(ours.uncertain)}. On the back-test file it was "
        f"wrong in {test.errors:,} of {test.rows:,} ({_percent(1 - test.accuracy)}). The gate {what}: "
        f"{decision.sentence()}."
    )


def _over_time(result: Result) -> Section:
    frame = pd.DataFrame(
        {
            "time": result.inputs.frame[DATE].dt.tz_localize(None),
            "probability": result.held_out["model"],
            "occupied": result.inputs.label,
        }
    )
    means = frame.set_index("time").resample(f"{CHART_MINUTES}min").mean().dropna().reset_index()
    rows = [
        {"time": t.isoformat(), "probability": round(float(p), 4), "occupied": round(float(o), 3)}
        for t, p, o in means.itertuples(index=False)
    ]
    low, high = result.band
    return Section(
        "Probability against the truth",
        [
            Text(
                "Each day is predicted by a model that was trained on the other days. The candidate itself was chosen by "
                "these same days, so the figures are somewhat better than a new day's."
            ),
            Chart(
                charts.over_time(rows, result.band),
                f"Probability of occupied ({CHART_MINUTES}-minute means). Grey: the room was occupied. "
                f"Shaded: the band [{low}, {high}] that is called uncertain.",
            ),
        ],
    )


def _calibration(result: Result) -> Section:
    return Section(
        "Calibration",
        [
            Chart(
                charts.calibration([b._asdict() for b in result.calibration]),
                "Calibration: of the minutes given a probability, the share that was really occupied; on the line is perfect.",
            )
        ],
    )


def _by_day(result: Result) -> Section:
    return Section(
        "Day by day",
        [
            Table(
                ["held-out day", "rows", "errors", "log loss", "uncertain", "wrong outside the band"],
                [
                    [d, s.rows, s.errors, s.log_loss, _percent(s.uncertain), _percent(s.error_outside)]
                    for d, s in result.by_day.items()
                ],
                "How the model did on each day while that day was held out.",
            )
        ],
    )


def _baselines(result: Result) -> Section:
    rows = [{"method": name, **d._asdict()} for name, d in result.differences.items() if name != "majority"]
    return Section(
        "Beside the baselines",
        [
            _score_table(result.held_out_scores, "On held-out days of the training file."),
            Chart(
                charts.differences(rows),
                "Left of zero the model is better. The bars are 90 % intervals across days, paired by day.",
            ),
        ],
    )


def _shape(result: Result) -> Section:
    depth = result.found.winner.depth
    values = result.inputs.given
    middle = np.median(values, axis=0)
    step = STEPS[result.settings.preprocessing]
    parts: list[Text | Table | Chart] = [
        Text(
            "The trees have depth 1, so the model is a sum of one curve a sensor, and these curves are all of it."
            if depth == 1
            else f"The trees have depth {depth:g}, so sensors act together; each curve moves one and holds the others at "
            "their medians."
        )
    ]
    for index, feature in enumerate(FEATURES):
        moved = np.unique(np.quantile(values[:, index], np.linspace(0, 1, 200)))
        grid = np.tile(middle, (len(moved), 1)).astype(np.float32)
        grid[:, index] = moved
        margin = result.booster.inplace_predict(step(grid), predict_type="margin", validate_features=False)
        margin = margin - margin.mean()
        rows = [{"value": float(v), "margin": round(float(m), 5)} for v, m in zip(moved, margin, strict=True)]
        parts.append(
            Chart(
                charts.shape(rows, f"{feature.name} ({feature.unit})"),
                f"What {feature.name} adds to the log-odds of occupied.",
            )
        )
    return Section("What the model has learned", parts)


def _search(result: Result) -> Section:
    found = result.found
    complete = [s for s in found.scored if len(s.losses) == len(found.days)]
    weight = result.inputs.weight
    total = len(result.inputs.label) if weight is None else float(weight.sum())
    rows = [
        {
            "depth": int(s.depth),
            "loss": sum(s.losses) / total,
            "state": "chosen" if s is found.winner else "scored on all days",
        }
        for s in complete
    ]
    stopped = len(found.scored) - len(complete)
    by_depth = Counter(int(s.depth) for s in found.scored)
    return Section(
        "The search",
        [
            Text(
                f"{len(found.scored)} candidates were drawn. {stopped} were stopped early, once the days they had been scored "
                "on proved that they could not change the choice: the shallowest trees whose loss is within one standard "
                "error of the lowest, and among those the lowest loss."
            ),
            Chart(charts.search(rows), "The candidates that were scored on all days."),
            Table(
                ["depth", "candidates", "scored on all days"],
                [[d, n, sum(int(s.depth) == d for s in complete)] for d, n in sorted(by_depth.items())],
            ),
        ],
    )


def _back_test(result: Result) -> Section:
    return Section(
        "Back-test",
        [
            Text("This file took no part in any choice; it is looked at once, here. Repeated looks would use it up."),
            _score_table(result.back_test_scores, f"On {result.inputs.test.path}."),
        ],
    )


def _quarantine(result: Result) -> Section:
    rows = result.inputs.quarantine
    if not rows:
        return Section("Rows left out", [Text("None: every row could be believed.")])
    return Section(
        "Rows left out",
        [
            Text(f"{len(rows)} rows could not be believed; all of them are in quarantine.csv. The first ten:"),
            Table(["place", "reason"], [[f"{r.file}:{r.line}", r.reason] for r in rows[:10]]),
        ],
    )


def _score_table(scores: dict[str, evaluate.Score], caption: str) -> Table:
    return Table(
        ["method", "errors", "accuracy", "log loss", "Brier", "ROC AUC", "uncertain"],
        [
            [n, s.errors, _percent(s.accuracy, 2), s.log_loss, s.brier, s.roc_auc, _percent(s.uncertain)]
            for n, s in scores.items()
        ],
        caption,
    )


def _percent(value: float | None, digits: int = 1) -> str | None:
    return None if value is None else f"{100 * value:.{digits}f} %"
