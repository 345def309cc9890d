"""Training's report: what was found, as JSON for programs and as a page for people."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost

from occupancy import __version__
from occupancy.dataset import DATE, SIMULATED, Dataset
from occupancy.preprocess import STEPS
from occupancy.reading import FEATURES
from occupancy.report import ACCENT, INK, MUTED, SECOND, Chart, Section, Table, Text, render
from training import evaluate
from training.gate import Decision
from training.search import Found, log_loss
from training.settings import Settings

Array = np.ndarray[Any, Any]
Rows = list[dict[str, Any]]
CHART_MINUTES = 10


@dataclass(frozen=True)
class Result:
    """All that a run found. `held_out` and `back_test`: probabilities by method, the model first."""

    settings: Settings
    band: evaluate.Band
    training: Dataset
    test: Dataset
    simulated: bool
    booster: xgboost.Booster
    found: Found
    held_out: dict[str, Array]
    back_test: dict[str, Array]
    decision: Decision

    @property
    def day(self) -> Array:
        """The date of each training row, shape (rows,)."""
        return self.training.day.to_numpy()


def metrics(result: Result) -> dict[str, float]:
    """Name the numbers that trackers and the model's card get; a number that can't be had is left out."""
    scores = {
        "out_of_fold": evaluate.score(result.training.label, result.held_out["model"], result.band),
        "back_test": evaluate.score(result.test.label, result.back_test["model"], result.band),
    }
    return {
        f"{which}.{k}": float(v) for which, score in scores.items() for k, v in score._asdict().items() if v is not None
    }


def as_json(result: Result) -> bytes:
    """Write everything the page shows as JSON, and the reproducible inputs beside it."""
    found, label, band = result.found, result.training.label, result.band
    content = {
        "simulated": result.simulated,
        "version": __version__,
        "settings": msgspec.to_builtins(result.settings),
        "data": {
            role: {"path": d.path, "sha256": d.sha256, "rows": len(d.frame), "quarantined": len(d.quarantine)}
            for role, d in (("training", result.training), ("test", result.test))
        },
        "winner": {"hyperparameters": found.winner.candidate, "log_loss": found.loss},
        "search": {
            "days": found.days,
            "fits": found.fits,
            "candidates": [{**s.candidate, "day_losses": s.losses} for s in found.scored],
        },
        "out_of_fold": {name: evaluate.score(label, p, band)._asdict() for name, p in result.held_out.items()},
        "by_day": {
            d: s._asdict() for d, s in evaluate.by_day(label, result.held_out["model"], result.day, band).items()
        },
        "calibration": [b._asdict() for b in evaluate.calibration(label, result.held_out["model"])],
        "differences": {name: d._asdict() for name, d in differences(result).items()},
        "gate": msgspec.to_builtins(result.decision._asdict()),
        "back_test": {
            name: evaluate.score(result.test.label, p, band)._asdict() for name, p in result.back_test.items()
        },
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def differences(result: Result) -> dict[str, evaluate.Difference]:
    """Compare the model with each baseline: log loss a row on the held-out days, negative where the model is better."""
    label, ours = result.training.label, log_loss(result.training.label, result.held_out["model"])
    return {
        name: evaluate.paired_difference(ours, log_loss(label, p), result.day)
        for name, p in result.held_out.items()
        if name != "model"
    }


def as_html(result: Result) -> str:
    """Draw the page."""
    ours = evaluate.score(result.training.label, result.held_out["model"], result.band)
    test = evaluate.score(result.test.label, result.back_test["model"], result.band)
    verdict = (
        f"On days it had not seen, the model was wrong in {ours.errors:,} of {ours.rows:,} minutes "
        f"({1 - ours.accuracy:.1%}) and uncertain in {ours.uncertain:.1%}. On the back-test file it was wrong in "
        f"{test.errors:,} of {test.rows:,} ({1 - test.accuracy:.1%}). The gate "
        + (
            "accepted it"
            if result.decision.passed
            else "refused it, and was overridden"
            if result.decision.overridden
            else "refused it"
        )
        + f": {result.decision.sentence()}."
    )
    facts = {
        "training data": f"{result.training.path}, {len(result.training.frame):,} rows, {len(set(result.day))} dates",
        "back-test data": f"{result.test.path}, {len(result.test.frame):,} rows",
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
        _by_day(result),
        _baselines(result),
        _shape(result),
        _search(result),
        _back_test(result),
        _quarantine(result),
    ]
    return render("Training report", verdict, facts, sections, warning if result.simulated else "")


def _over_time(result: Result) -> Section:
    label, probability = result.training.label, result.held_out["model"]
    frame = pd.DataFrame(
        {"time": result.training.frame[DATE].dt.tz_localize(None), "probability": probability, "occupied": label}
    )
    means = frame.set_index("time").resample(f"{CHART_MINUTES}min").mean().dropna().reset_index()
    rows = [
        {"time": t.isoformat(), "probability": round(float(p), 4), "occupied": round(float(o), 3)}
        for t, p, o in means.itertuples(index=False)
    ]
    low, high = result.band
    x = {"field": "time", "type": "temporal", "title": None}
    scale = {"domain": [0, 1]}
    chart = {
        "height": 220,
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "area", "interpolate": "step-after", "color": MUTED, "opacity": 0.3},
                "encoding": {"x": x, "y": {"field": "occupied", "type": "quantitative"}},
            },
            {
                "data": {"values": [{"low": low, "high": high}]},
                "mark": {"type": "rect", "color": SECOND, "opacity": 0.18},
                "encoding": {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1.2, "color": ACCENT},
                "encoding": {
                    "x": x,
                    "y": {"field": "probability", "type": "quantitative", "title": "probability", "scale": scale},
                },
            },
        ],
    }
    curve = [
        {"predicted": b.predicted, "observed": b.observed, "rows": b.rows}
        for b in evaluate.calibration(label, probability)
    ]
    return Section(
        "Probability against the truth",
        [
            Text("Each day is predicted by a model that was trained on the other days."),
            Chart(
                chart,
                f"Probability of occupied ({CHART_MINUTES}-minute means). Grey: the room was occupied. "
                f"Shaded: the band [{low}, {high}] that is called uncertain.",
            ),
            Chart(
                {
                    "height": 260,
                    "layer": [
                        {
                            "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                            "mark": {"type": "line", "color": MUTED, "strokeDash": [4, 4], "strokeWidth": 1},
                            "encoding": {
                                "x": _number("x", "predicted probability"),
                                "y": _number("y", "share occupied"),
                            },
                        },
                        {
                            "data": {"values": curve},
                            "mark": {"type": "point"},
                            "encoding": {
                                "x": _number("predicted", "predicted probability"),
                                "y": _number("observed", "share occupied"),
                                "size": {
                                    "field": "rows",
                                    "type": "quantitative",
                                    "legend": None,
                                    "scale": {"type": "log"},
                                },
                            },
                        },
                    ],
                },
                "Calibration: of the minutes given a probability, the share that was really occupied; on the line is perfect.",
            ),
        ],
    )


def _by_day(result: Result) -> Section:
    scores = evaluate.by_day(result.training.label, result.held_out["model"], result.day, result.band)
    return Section(
        "Day by day",
        [
            Table(
                ["held-out day", "rows", "errors", "log loss", "uncertain", "wrong outside the band"],
                [
                    [d, s.rows, s.errors, s.log_loss, _percent(s.uncertain), _percent(s.error_outside)]
                    for d, s in scores.items()
                ],
                "How the model did on each day while that day was held out.",
            )
        ],
    )


def _baselines(result: Result) -> Section:
    compared = differences(result)
    rows: Rows = [{"method": name, **d._asdict()} for name, d in compared.items() if name != "majority"]
    chart = {
        "height": {"step": 34},
        "data": {"values": rows},
        "encoding": {"y": {"field": "method", "type": "nominal", "title": None, "sort": None}},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": ACCENT},
                "encoding": {
                    "x": {
                        "field": "low",
                        "type": "quantitative",
                        "title": "log loss: the model's minus the baseline's",
                    },
                    "x2": {"field": "high"},
                },
            },
            {"mark": {"type": "point", "color": ACCENT}, "encoding": {"x": {"field": "mean", "type": "quantitative"}}},
            {
                "data": {"values": [{"zero": 0}]},
                "mark": {"type": "rule", "strokeDash": [4, 4], "color": INK},
                "encoding": {"x": {"field": "zero", "type": "quantitative"}, "y": None},
            },
        ],
    }
    return Section(
        "Beside the baselines",
        [
            _score_table(result.held_out, result.training.label, result.band, "On held-out days of the training file."),
            Chart(chart, "Left of zero the model is better. The bars are 90 % intervals across days, paired by day."),
        ],
    )


def _shape(result: Result) -> Section:
    depth = result.found.winner.depth
    additive = depth == 1
    middle = np.median(result.training.values, axis=0)
    step = STEPS[result.settings.preprocessing]
    parts: list[Text | Table | Chart] = [
        Text(
            "The trees have depth 1, so the model is a sum of one curve a sensor, and these curves are all of it."
            if additive
            else f"The trees have depth {depth:g}, so sensors act together; each curve moves one and holds the others at "
            "their medians."
        )
    ]
    for index, feature in enumerate(FEATURES):
        values = np.unique(np.quantile(result.training.values[:, index], np.linspace(0, 1, 200)))
        grid = np.tile(middle, (len(values), 1)).astype(np.float32)
        grid[:, index] = values
        margin = result.booster.inplace_predict(step(grid), predict_type="margin", validate_features=False)
        margin = margin - margin.mean()
        rows = [{"value": float(v), "margin": round(float(m), 5)} for v, m in zip(values, margin, strict=True)]
        parts.append(
            Chart(
                {
                    "height": 120,
                    "data": {"values": rows},
                    "mark": {"type": "line", "interpolate": "step-after"},
                    "encoding": {
                        "x": _number("value", f"{feature.name} ({feature.unit})", zero=False),
                        "y": _number("margin", "log-odds"),
                    },
                },
                f"What {feature.name} adds to the log-odds of occupied.",
            )
        )
    return Section("What the model has learned", parts)


def _search(result: Result) -> Section:
    found = result.found
    complete = [s for s in found.scored if len(s.losses) == len(found.days)]
    total = len(result.training.frame)
    rows: Rows = [
        {
            "depth": int(s.depth),
            "loss": sum(s.losses) / total,
            "state": "chosen" if s is found.winner else "scored on all days",
        }
        for s in complete
    ]
    chart = {
        "height": 220,
        "data": {"values": rows},
        "mark": {"type": "point"},
        "encoding": {
            "x": _number("loss", "log loss on held-out days", zero=False),
            "y": {"field": "depth", "type": "ordinal", "title": "depth of the trees", "sort": "descending"},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"range": [SECOND, ACCENT], "domain": ["chosen", "scored on all days"]},
            },
        },
    }
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
            Chart(chart, "The candidates that were scored on all days."),
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
            _score_table(result.back_test, result.test.label, result.band, f"On {result.test.path}."),
        ],
    )


def _quarantine(result: Result) -> Section:
    rows = [*result.training.quarantine, *result.test.quarantine]
    if not rows:
        return Section("Rows left out", [Text("None: every row could be believed.")])
    return Section(
        "Rows left out",
        [
            Text(f"{len(rows)} rows could not be believed; all of them are in quarantine.csv. The first ten:"),
            Table(["place", "reason"], [[f"{r.file}:{r.line}", r.reason] for r in rows[:10]]),
        ],
    )


def _score_table(predictions: dict[str, Array], label: Array, band: evaluate.Band, caption: str) -> Table:
    scores = {name: evaluate.score(label, p, band) for name, p in predictions.items()}
    return Table(
        ["method", "errors", "accuracy", "log loss", "Brier", "ROC AUC", "uncertain"],
        [
            [n, s.errors, _percent(s.accuracy, 2), s.log_loss, s.brier, s.roc_auc, _percent(s.uncertain)]
            for n, s in scores.items()
        ],
        caption,
    )


def _number(field: str, title: str, zero: bool = True) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": zero}}


def _percent(value: float | None, digits: int = 1) -> str | None:
    return None if value is None else f"{100 * value:.{digits}f} %"
