"""`python -m training.loop run [FILE...]`: from a believable drift to a better model, or to none.

Looks at the model deployed last, and takes it back where labels since show it worse than the one before. Then: what asks for
a new model? -> its labels -> a model trained on old and recent readings -> the gate, on labels that came later -> a deployment. It
stops at the first doubt, and leaves a record (standard output, and the journal; so do deployments) and a report in any case.

Exit status: 0 done, whatever was decided: the record says what; 1 the live model was taken back; 2 a setting or a file is wrong,
or a step failed.
"""

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from occupancy import model, record
from occupancy.errors import InputError
from occupancy.publish import put_beside
from training.loop import labels, limits, settings, steps, targets, trigger
from training.loop.deploy import deploy, reconcile, say, undo
from training.loop.journal import Deployment, Journal, Run
from training.loop.report import Story, write
from training.loop.settings import Common
from training.loop.steps import Execute, Step, StepFailed
from training.loop.targets import NotDeployed, Target
from training.loop.trigger import Asked, Stop

BETTER, WORSE = 0, 3  # exit statuses of training.compare
STATUS = {"undone": 1, "failed": 2}
REVIEW_LEVEL = 0.01
"""One-sided, and low: a review looks again at each run, and what it finds opens the circuit breaker."""


class Loop(Common, frozen=True, kw_only=True):
    """What `run` can be told; how Elasticsearch, training and its data are set, their own variables say."""

    file: Annotated[tuple[str, ...], Meta(description="files of records, verdicts too; none: Elasticsearch")] = ()
    trigger: Annotated[
        Literal["verdict", "schedule", "person"],
        Meta(description="who asks: verdict (an open one on the loss), schedule (a clock), or person"),
    ] = "verdict"
    by: Annotated[str, Meta(description="who, in words, for the records")] = ""
    room: Annotated[str, Meta(max_length=64, description="learn from the labels of one room; empty: of all")] = ""
    recent_days: Annotated[float, Meta(gt=0, description="how far back labels are taken, at most")] = 14.0
    recent_share: Annotated[
        float, Meta(gt=0, lt=1, description="what the recent readings weigh together, of all that is learned from")
    ] = 0.5
    least: Annotated[int, Meta(ge=20, description="labels that are needed")] = 200
    held_out_share: Annotated[
        float, Meta(gt=0, lt=1, description="share of the recent dates that judge, the last ones")
    ] = 0.5
    least_days: Annotated[int, Meta(ge=2, description="dates that both parts need")] = 2
    least_each: Annotated[int, Meta(ge=1, description="labels of occupied, and of empty, that both parts need")] = 10
    cooldown_hours: Annotated[float, Meta(ge=0, description="time that a deployed model is given")] = 24.0
    budget: Annotated[int, Meta(ge=0, description="deployments by the loop within BUDGET_DAYS")] = 4
    budget_days: Annotated[float, Meta(gt=0, description="days that the budget and the attempts are for")] = 30.0
    attempts: Annotated[
        int, Meta(ge=1, description="challengers that may fail in a row before a person has to look")
    ] = 7
    review_days: Annotated[
        float, Meta(ge=0, description="how long a deployed model is held against the one before")
    ] = 14.0


@dataclass
class Work:
    """What a run works with: settings, environment, memory, the place of deployment, and what runs commands."""

    table: Loop
    environ: Mapping[str, str]
    journal: Journal
    target: Target
    execute: Execute
    story: Story

    def step(self, name: str, *argv: str, expected: Sequence[int] = (0,), **variables: str) -> Step:
        """Run a command, with further variables, its output named by the step; raises StepFailed."""
        print(f"{name}: python -m {' '.join(argv)}", file=sys.stderr, flush=True)
        out = self.story.folder / f"{name}.out"
        done = Step(argv, self.execute(argv, {**self.environ, **variables}, out), out)
        self.story.steps.append(done)
        if done.status not in expected:
            raise StepFailed(f"`{done.name}` ended with status {done.status}: {done.said}")
        return done


def main(argv: Sequence[str], environ: Mapping[str, str], execute: Execute = steps.execute) -> int:
    """Run the loop once, and print the record of it; gives the exit status."""
    table = settings.read(Loop, "run", argv, environ, __doc__)
    journal, at, target = Journal(Path(table.folder)), settings.moment(table.now), targets.target(table)
    with journal.locked():
        known = len(journal.deployments())
        reconcile(target, journal, at)
        run_id = journal.next_id()
        story = Story(run_id, at, Path(table.folder) / "runs" / run_id)
        story.folder.mkdir(parents=True)
        stop = whatever(Work(table, environ, journal, target, execute, story))
        entry = journal.add(
            Run(
                id=run_id,
                at=at,
                trigger=table.trigger,
                outcome=stop.outcome,
                why=stop.why,
                champion=story.champion,
                challenger=story.challenger,
                labels=len(story.labels.rows) if story.labels else 0,
                back_test=story.back_test,
                event=story.asked.event if story.asked else "",
                attempt=story.attempt,
            )
        )
        for change in journal.deployments()[known:]:
            say(change)
        sys.stdout.write(record.line(entry.record()).decode())
        print(f"{entry.outcome}: {entry.why}", file=sys.stderr)
        print(f"look at   {write(entry, story, journal, live=target.live())}", file=sys.stderr)
    return STATUS.get(entry.outcome, 0)


def whatever(work: Work) -> Stop:
    """Go the way, and give how it ended, whatever happened on it: a run leaves its record."""
    try:
        return attempt(work)
    except InputError as error:
        return Stop("failed", str(error))
    except KeyboardInterrupt:
        return Stop("failed", "ended by a signal")
    except Exception as error:  # noqa: BLE001 -- a full disk, a bug: the record says so, and the traceback where
        traceback.print_exc()
        return Stop("failed", f"{type(error).__name__}: {error}")


def attempt(work: Work) -> Stop:
    """Go the whole way; gives how it ended."""
    table, story, journal = work.table, work.story, work.journal
    deployments, runs = journal.deployments(), journal.runs()
    story.champion, story.back_test = work.target.live(), limits.back_tests(runs)
    if not story.champion:
        return Stop(
            "failed",
            "no model is live; put the first one live with `python -m training.loop deploy VERSION`: docs/deploying.md",
        )
    if taken_back := review(work, deployments):
        return taken_back
    earliest = story.at - timedelta(days=table.recent_days)
    asked = trigger.asked(table.trigger, *_verdicts(work), by=table.by or table.trigger, earliest=earliest)
    if isinstance(asked, Stop):
        return asked
    story.asked = asked
    story.attempt = limits.attempt(runs, deployments, story.at, table.budget_days)
    if story.attempt > table.attempts:
        return Stop(
            "blocked",
            f"{table.attempts} challengers have failed in a row: look why, then `python -m training.loop reset --why=...`",
        )
    for why in (
        limits.breaker(deployments),
        limits.cooldown(deployments, story.at, table.cooldown_hours),
        limits.budget(deployments, story.at, table.budget, table.budget_days),
    ):
        if why:
            return Stop("blocked", why)
    return (
        collect(work, asked)
        or train(work)
        or judge(work)
        or put_live(work, f"{asked.why}; shown better on {story.held_out.span if story.held_out else ''}")
    )


def review(work: Work, deployments: Sequence[Deployment]) -> Stop | None:
    """Hold the model deployed last against the one before, on the labels since; take it back where it is shown worse."""
    last = next((entry for entry in reversed(deployments) if entry.action != "reset"), None)
    if not last or last.action != "deploy" or not last.previous:
        return None
    if not last.run or work.story.at > last.at + timedelta(days=work.table.review_days):
        return None
    path = work.story.folder / "review.csv"
    least = work.table.least_each
    collected = work.step(
        "review-labels", *_collect(work, path, last.at, 4 * least), f"--least-each={least}", expected=(0, 1)
    )
    if collected.status or labels.lacks(labels.read(path), "judge by", least, work.table.least_days):
        return None
    paths = (*_models(work, last.previous, last.version), str(path))
    argv = ("training.compare", "--json", f"--level={REVIEW_LEVEL}", *paths)
    compared = work.step("review", *argv, expected=(0, 1, WORSE))
    work.story.review = msgspec.json.decode(compared.lines[-1])
    if compared.status != WORSE:
        return None
    why = f"labels since {last.at:%Y-%m-%d %H:%M} show {last.version} worse than {last.previous}"
    undo(work.target, work.journal, Path(work.table.models), by="loop", why=why, run=work.story.id, at=work.story.at)
    return Stop("undone", f"{why}: {last.previous} is live again")


def collect(work: Work, asked: Asked) -> Stop | None:
    """Collect labels, and part them in time: the earlier ones to learn from, the later ones to judge by."""
    table, story = work.table, work.story
    since = asked.since
    path = story.folder / "labels.csv"
    done = work.step("collect", *_collect(work, path, since, table.least), expected=(0, 1))
    if done.status == 0:
        story.labels = labels.read(path)
        learn, story.held_out = labels.part(story.labels, table.held_out_share, table.least_days)
        parts = {"learn from": learn, "judge by": story.held_out}
        lacking = (labels.lacks(part, what, table.least_each, table.least_days) for what, part in parts.items())
        lacks = next(filter(None, lacking), "")
        if not lacks:
            labels.write(story.folder / "recent.csv", learn)
            labels.write(story.folder / "held-out.csv", story.held_out)
            return None
        why = f"of {len(story.labels.rows)} labels since {since:%Y-%m-%d %H:%M}, {lacks}"
    else:
        why = done.said
    proposed = work.step(
        "propose",
        "monitoring",
        "propose",
        "--json",
        *table.file,
        *_room(table),
        *_between(since, story.at),
        expected=(0, 1),
    )
    story.propose = proposed.lines
    return Stop("waiting", why)


def train(work: Work) -> Stop | None:
    """Train the challenger, beside what is live."""
    story = work.story
    saved = story.folder / "training"
    story.back_test += 1
    work.step(
        "training", "training",
        RECENT_DATA=str(story.folder / "recent.csv"), RECENT_SHARE=f"{work.table.recent_share:g}", SAVE_PATH=str(saved),
        OVERRIDE_GATE="true",  # its rivals are baselines: what counts here is the model that is live, and the gate that comes
    )  # fmt: skip
    story.challenger = (saved / "current").readlink().name
    story.training = msgspec.json.decode((saved / "report.json").read_bytes())
    return Stop("refused", "training gave the model that is live") if story.challenger == story.champion else None


def judge(work: Work) -> Stop | None:
    """Let the gate judge, on the labels held out and on the old days."""
    story = work.story
    challenger = story.folder / "training" / story.challenger / model.FILE
    paths = (*_models(work, story.champion), str(challenger), str(story.folder / "held-out.csv"))
    done = work.step("compare", "training.compare", "--json", "--old", *paths, expected=(0, 1, WORSE))
    story.comparison = msgspec.json.decode(done.lines[-1])
    if done.status == BETTER:
        return None
    first, *others = story.comparison["against"]
    return Stop("refused", f"{first}{f' (and {len(others)} more)' if others else ''}")


def put_live(work: Work, why: str) -> Stop:
    """Put the challenger's set beside the others, whole or not at all, and deploy it."""
    story, models = work.story, Path(work.table.models)
    put_beside(story.folder / "training" / story.challenger, models, story.id)
    try:
        by = work.table.by or "loop"
        deploy(work.target, work.journal, models, story.challenger, by=by, why=why, run=story.id, at=story.at)
    except NotDeployed as error:
        return Stop("failed", str(error))
    return Stop("deployed", why)


def _verdicts(work: Work) -> tuple[list[str], list[str]]:
    """Give the verdicts that are open, and all that ever were."""
    if work.table.trigger != "verdict":
        return [], []
    argv = ("monitoring", "verdicts", *work.table.file, *_room(work.table))
    still, ever = (
        work.step(*step, *argv[2:], expected=(0, 1)) for step in (("open", *argv[:2]), ("verdicts", *argv[:2], "--all"))
    )
    return still.lines, ever.lines


def _collect(work: Work, path: Path, since: datetime, least: int) -> tuple[str, ...]:
    table = work.table
    return (
        "monitoring", "collect", *table.file, *_room(table), *_between(since, work.story.at), f"--save-path={path}", f"--least={least}",
    )  # fmt: skip


def _models(work: Work, *versions: str) -> list[str]:
    return [str(Path(work.table.models) / version / model.FILE) for version in versions]


def _room(table: Loop) -> list[str]:
    return [f"--room={table.room}"] if table.room else []


def _between(since: datetime, until: datetime) -> list[str]:
    return [f"--since={since.isoformat()}", f"--until={until.isoformat()}"]
