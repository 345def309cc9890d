"""The report of a run: the whole story of one look at the live model, as a page, whatever came of it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from occupancy import __version__
from occupancy.mapping import DATE, LABEL
from occupancy.report import INK, MUTED, SECOND, Chart, Section, Table, Text, render
from training.loop.journal import Deployment, Journal, Run
from training.loop.labels import Labels
from training.loop.steps import Step
from training.loop.trigger import Asked

SAID = {
    "deployed": "A new model is live",
    "idle": "Nothing to do",
    "blocked": "Stopped",
    "waiting": "Waiting for labels",
    "refused": "The new model is not put live",
    "undone": "The model deployed last was taken back",
    "failed": "Failed",
}
SHOWN = 50
"""Deployments in the picture, the last ones."""


@dataclass
class Story:
    """What a run has come to know, for its record and its report; comparison and review as `training.compare --json` prints them."""

    id: str
    at: datetime
    folder: Path
    champion: str = ""
    challenger: str = ""
    asked: Asked | None = None
    attempt: int = 0
    back_test: int = 0
    labels: Labels | None = None
    held_out: Labels | None = None
    propose: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)
    review: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


def write(run: Run, story: Story, journal: Journal, live: str) -> Path:
    """Write report.html into the run's folder; gives its path."""
    path = story.folder / "report.html"
    path.write_text(page(run, story, journal, live), "utf-8")
    return path


def page(run: Run, story: Story, journal: Journal, live: str) -> str:
    """Draw the page."""
    facts = {
        "run": run.id,
        "at": f"{run.at:%Y-%m-%d %H:%M} UTC",
        "asked by": run.trigger,
        "live now": live or "nothing",
        "champion": run.champion or None,
        "challenger": run.challenger or None,
        "labels": run.labels,
        "attempt": run.attempt or None,
        "looks at the back-test file": run.back_test,
        "version": __version__,
    }
    sections = [
        Section("What asked for it", [Text(story.asked.why if story.asked else run.why)]),
        *([_review(story)] if story.review else []),
        *([_labels(story.labels, story.held_out)] if story.labels else []),
        *([_proposed(story.propose)] if story.propose else []),
        *([_training(story)] if story.training else []),
        *([_gate(story)] if story.comparison else []),
        *([_history(deployments)] if (deployments := journal.deployments()) else []),
        _steps(story),
    ]
    return render("Retraining", f"{SAID[run.outcome]}: {run.why}.", facts, sections)


def _labels(labels: Labels, held_out: Labels | None) -> Section:
    judging = set(held_out.dates) if held_out else set()
    counts: dict[tuple[str, str], int] = {}
    for row in labels.rows:
        key = row[DATE][:10], "occupied" if row[LABEL] == "1" else "empty"
        counts[key] = counts.get(key, 0) + 1
    rows = [
        {"date": f"{date}{' (judges)' if date in judging else ''}", "truth": truth, "labels": n}
        for (date, truth), n in counts.items()
    ]
    spec = {
        "height": {"step": 24},
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "y": {"field": "date", "type": "nominal", "title": None},
            "x": {"field": "labels", "type": "quantitative", "title": "labels"},
            "color": {"field": "truth", "type": "nominal"},
        },
    }
    told = f"{labels.span}, {labels.occupied} of an occupied room."
    return Section(
        "The labels", [Text(told), Chart(spec, "Labels by date: the first dates teach, the last ones judge.")]
    )


def _proposed(lines: list[str]) -> Section:
    rows = [msgspec.json.decode(line) for line in lines]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(columns, [[row.get(name) for name in columns] for row in rows])
    return Section(
        "Minutes worth labelling", [Text("Nothing is deployed without labels; these would teach most."), table]
    )


def _training(story: Story) -> Section:
    baselines = "no worse than" if story.training["gate"]["passed"] else "worse than"
    said = (
        f"Trained on old and recent readings: {story.challenger}; {baselines} the best baseline on the days held out. Its own report: "
        f"training/{story.challenger}/report.html"
    )
    scores = {
        "days held out": story.training["out_of_fold"]["model"],
        "back-test": story.training["back_test"]["model"],
    }
    columns = ["rows", "log_loss", "errors", "accuracy", "uncertain"]
    table = Table(["on", *columns], [[name, *(row[c] for c in columns)] for name, row in scores.items()])
    parts: list[Text | Table | Chart] = [Text(said), table]
    told = "time" if story.back_test == 1 else "times"
    parts.append(
        Text(
            f"The back-test file has been looked at {story.back_test} {told} by this loop: each look makes it a little less of a test."
        )
    )
    return Section("The challenger", parts)


def _gate(story: Story) -> Section:
    against = story.comparison["against"]
    said = (
        "Everything speaks for the challenger."
        if not against
        else "Against the challenger: " + "; ".join(against) + "."
    )
    plain = ", ".join(f"{name}: {'right' if right else 'wrong'}" for name, right in story.comparison["plain"].items())
    return Section("The gate", [Text(said), *_checks(story.comparison), Text(f"Plain readings: {plain}.")])


def _review(story: Story) -> Section:
    return Section("The model deployed last, against the one before", list(_checks(story.review)))


def _checks(comparison: dict[str, Any]) -> tuple[Chart, Table]:
    """Draw each check's difference and interval beside what is allowed, and list them."""
    rows, listed = [], []
    for check in comparison["checks"]:
        name = f"{check['part']}{', ' + check['group'] if check['group'] else ''}: {check['measure']}"
        difference = check["difference"]
        rows.append(
            {"check": name, "allowed": check["allowed"], "passed": "passed" if check["passed"] else "against"}
            | {k: difference[k] for k in ("mean", "low", "high")}
        )
        listed.append(
            [name, check["readings"], check["champion"], check["challenger"], difference["mean"], check["passed"]]
        )
    y = {"field": "check", "type": "nominal", "title": None, "sort": None}
    color = {"field": "passed", "type": "nominal", "scale": {"domain": ["passed", "against"]}}
    spec = {
        "height": {"step": 26},
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "y": y,
                    "color": color,
                    "x": {
                        "field": "low",
                        "type": "quantitative",
                        "title": "challenger less champion (below 0: better)",
                    },
                    "x2": {"field": "high"},
                },
            },
            {"mark": "point", "encoding": {"y": y, "color": color, "x": {"field": "mean", "type": "quantitative"}}},
            {
                "mark": {"type": "tick", "color": INK, "thickness": 2, "size": 16},
                "encoding": {"y": y, "x": {"field": "allowed", "type": "quantitative"}},
            },
        ],
    }
    caption = "Difference and interval of each check; the dark stroke is what is allowed."
    return Chart(spec, caption), Table(["check", "readings", "champion", "challenger", "difference", "passed"], listed)


def _history(deployments: list[Deployment]) -> Section:
    changes = [d for d in deployments if d.action != "reset"][-SHOWN:]
    rows = [
        {"from": _time(d.at), "to": _time(until), "version": d.version, "action": d.action}
        for d, until in zip(changes, [*(d.at for d in changes[1:]), changes[-1].at if changes else None], strict=False)
        if until is not None
    ]
    spec = {
        "height": {"step": 26},
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "height": 10, "color": MUTED},
                "encoding": {
                    "y": {"field": "version", "type": "nominal", "title": None, "sort": None},
                    "x": {"field": "from", "type": "temporal", "title": None},
                    "x2": {"field": "to"},
                },
            },
            {
                "mark": {"type": "point", "color": SECOND},
                "encoding": {
                    "y": {"field": "version", "type": "nominal", "sort": None},
                    "x": {"field": "from", "type": "temporal"},
                },
            },
        ],
    }
    listed = [[_time(d.at).replace("T", " "), d.action, d.version, d.by, d.why] for d in reversed(deployments[-SHOWN:])]
    table = Table(["at (UTC)", "what", "model", "by", "why"], listed)
    return Section(
        "What was live when", [Chart(spec, "Each model, from when it went live."), table] if rows else [table]
    )


def _steps(story: Story) -> Section:
    rows = [[step.name, step.status, step.said] for step in story.steps]
    return Section(
        "The steps",
        [Table(["command", "exit status", "what it said last"], rows)] if rows else [Text("None was needed.")],
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
