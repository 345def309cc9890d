"""`python -m training.loop trace ID [FILE...]`: from a logged prediction back to all that led to it.

ID is the `id` of an answer. Its record is looked for in the files that are named, else in Elasticsearch (by `python -m
monitoring find`, whose variables say where that is). Printed are the answer, the model's whole digest, data, settings, code and
decision, who put it live, and the run of the loop that led there; with --json as one object.

Exit status: 0 found; 2 there is no such prediction, or its model is not in LOOP_MODELS.
"""

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from occupancy import model
from occupancy.errors import InputError
from occupancy.model import Card, Model
from occupancy.reading import FEATURES
from occupancy.record import PREDICTION
from training.loop import settings
from training.loop.journal import Deployment, Journal, Run
from training.loop.settings import Common
from training.loop.steps import Step, StepFailed, execute

VERSION, SAID = "occupancy.model.version", "occupancy.feedback.occupied"


class Logged(Common, frozen=True, kw_only=True):
    """Which prediction."""

    id: Annotated[
        tuple[str, ...],
        Meta(description="the prediction's id, then files of records (.jsonl, .jsonl.gz); none: Elasticsearch"),
    ] = ()


class Trace(Logged, frozen=True, kw_only=True):
    """The settings of `trace`."""

    json: Annotated[bool, Meta(description="print one JSON object instead of words")] = False


class NoPrediction(InputError):
    """There is no such record, or it is not of a prediction that was answered."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """All that led to a prediction; deployment and run are None where the journal does not know them."""

    prediction: dict[str, Any]
    feedback: list[dict[str, Any]]
    sha256: str
    file: str
    card: Card
    deployment: Deployment | None
    run: Run | None
    report: str


def find(table: Logged, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give the prediction's record, then what was told about it; raises NoPrediction, StepFailed."""
    name = table.id[0] if table.id else ""
    with tempfile.TemporaryDirectory() as folder:
        out, argv = Path(folder, "found.out"), ("monitoring", "find", *table.id)
        found = Step(argv, execute(argv, environ, out), out)
        if found.status not in (0, 1):
            raise StepFailed(f"`python -m monitoring find` ended with status {found.status}: {found.said}")
        records = [msgspec.json.decode(line) for line in found.lines]
    of = [each for each in records if each["event.id"] == name]
    if not of or of[0]["event.dataset"] != PREDICTION:
        place = ", ".join(table.id[1:]) or "Elasticsearch"
        raise NoPrediction(f"{place}: there is no prediction {name}; is it in another file, or not yet loaded?")
    if of[0].get("event.outcome") != "success":
        raise NoPrediction(
            f"{name} is a refused reading: {of[0].get('occupancy.refusal.detail')}; no model answered it"
        )
    return [of[0], *(each for each in records if each["event.id"] != name)]


def load(table: Common, prediction: Mapping[str, Any]) -> Model:
    """Load the model that gave a prediction; raises UnusableModel."""
    version = str(prediction[VERSION])
    return model.load(path(table, version), expected=version)


def path(table: Common, version: str) -> Path:
    """Say where a model lies."""
    return Path(table.models) / version / model.FILE


def put_live(deployments: Sequence[Deployment], version: str, at: datetime) -> Deployment | None:
    """Find the deployment by which a model was live at a time: the last one of it until then."""
    return next(
        (
            each
            for each in reversed(deployments)
            if each.version == version and each.action != "reset" and each.at <= at
        ),
        None,
    )


def origin(table: Logged, environ: Mapping[str, str]) -> Origin:
    """Follow a prediction back; raises NoPrediction, UnusableModel, DamagedJournal."""
    prediction, *told = find(table, environ)
    loaded, journal = load(table, prediction), Journal(Path(table.folder))
    answered = datetime.fromisoformat(prediction["@timestamp"]).astimezone(UTC)
    deployment = put_live(journal.deployments(), loaded.version, answered)
    run = next((each for each in journal.runs() if deployment and each.id == deployment.run), None)
    report = Path(table.folder) / "runs" / run.id / "report.html" if run else None
    return Origin(
        prediction=prediction,
        feedback=told,
        sha256=loaded.sha256,
        file=str(path(table, loaded.version)),
        card=loaded.card,
        deployment=deployment,
        run=run,
        report=str(report) if report and report.exists() else "",
    )


def words(found: Origin) -> str:
    """Tell it, from the answer back to the run."""
    said, card = found.prediction, found.card
    lines = [
        f"prediction {said['event.id']} of room {said['occupancy.room']}, reading of {said['occupancy.reading.time']}",
        "  sensors       " + ", ".join(f"{f.name} {said[f'occupancy.reading.{f.name}']:g} {f.unit}" for f in FEATURES),
        f"  answer        {said['occupancy.answer']}, probability {said['occupancy.probability']!r}",
        *(
            f"  truth         {'occupied' if each[SAID] else 'empty'}, told {each['@timestamp']}"
            for each in found.feedback
        ),
        f"model {found.sha256[:12]}{'   SIMULATED DATA' if card.simulated else ''}",
        f"  sha256        {found.sha256}",
        f"  file          {found.file}",
        *(f"  data          {role}: {digest}" for role, digest in card.data.items()),
        f"  settings      {_named(card.hyperparameters)}; seed {card.seed}, preprocessing {card.preprocessing}, "
        f"search {_named(card.search)}",
        f"  code          {card.revision or 'revision not given'}; {_named(card.packages)}",
        f"  created       {card.created or 'not given'}",
        f"  measured      {_named(card.metrics)}",
        f"  gate          {_gate(card.gate)}",
        *_deployed(found),
    ]
    return "\n".join(lines)


def _deployed(found: Origin) -> list[str]:
    if not found.deployment:
        return ["put live        not by these commands: the journal knows nothing of it at that time"]
    by, run = found.deployment, found.run
    lines = [
        f"put live {by.at:%Y-%m-%d %H:%M:%S} UTC, deployment {by.id}",
        f"  {by.action:<12}  by {by.by}: {by.why}",
        f"  before it     {by.previous or 'none'}",
    ]
    if run:
        lines += [
            f"run {run.id}, {run.at:%Y-%m-%d %H:%M:%S} UTC",
            f"  trigger       {run.trigger}{f', verdict {run.event}' if run.event else ''}",
            f"  labels        {run.labels}",
            f"  outcome       {run.outcome}: {run.why}",
            f"  report        {found.report or 'is not there any more'}",
        ]
    return lines


def _gate(gate: Mapping[str, Any]) -> str:
    compared = ", ".join(f"{measure} with {rival}" for measure, rival, *_ in gate.get("checks", []))
    overridden = ", overridden" if gate.get("overridden") else ""
    return f"{'passed' if gate.get('passed') else 'not passed'}{overridden}; compared: {compared or 'nothing'}"


def _named(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives the exit status."""
    table = settings.read(Trace, "trace", argv, environ, __doc__)
    found = origin(table, environ)
    print(msgspec.json.encode(found).decode() if table.json else words(found))
    return 0
