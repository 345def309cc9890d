"""`python -m training.loop history`: what was live from when to when, who put it there, and why.

From the journal; what is live now is asked of what serves. --json prints a line of JSON for each time span instead.

Exit status: 0 what is live is what the journal says; 1 it is not: somebody changed it by other means, and the next command
that deploys writes that down.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from training.loop import settings
from training.loop.deploy import last
from training.loop.journal import Deployment, Journal, Run
from training.loop.settings import Common
from training.loop.targets import target

DID = {"deploy": "deployed", "undo": "put back", "found": "found live; changed"}


class History(Common, frozen=True, kw_only=True):
    """The settings of `history`."""

    json: Annotated[bool, Meta(description="print lines of JSON instead of words")] = False


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """How long a model was live, from when to when (None: it still is), and the deployment that began it."""

    version: str
    since: datetime
    until: datetime | None
    action: str
    by: str
    why: str
    run: str
    deployment: str


def spans(deployments: Sequence[Deployment]) -> list[Span]:
    """Make of deployments, in their order, the spans of time between them."""
    changes = [each for each in deployments if each.action != "reset"]
    ends = [*(each.at for each in changes), None][1:]
    return [
        Span(
            version=each.version, since=each.at, until=until, action=each.action,
            by=each.by, why=each.why, run=each.run, deployment=each.id,
        )
        for each, until in zip(changes, ends, strict=True)
    ]  # fmt: skip


def words(span: Span) -> str:
    """Tell one span in a line."""
    until = f"{span.until:%Y-%m-%d %H:%M}" if span.until else "now"
    run = f", run {span.run}" if span.run else ""
    return (
        f"{span.since:%Y-%m-%d %H:%M}  to  {until:<16}  {span.version or 'no model':<12}  "
        f"{DID[span.action]} by {span.by}: {span.why}{run}"
    )


def resting(runs: Sequence[Run]) -> str:
    """Count the runs by how they ended."""
    outcomes = [run.outcome for run in runs]
    counted = ", ".join(f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes))
    return f"{len(runs)} run{'s' * (len(runs) != 1)} of the loop" + (
        f" ({counted}); the last, {runs[-1].at:%Y-%m-%d %H:%M}: {runs[-1].outcome}, {runs[-1].why}" if runs else ""
    )


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives the exit status."""
    table = settings.read(History, "history", argv, environ, __doc__)
    journal = Journal(Path(table.folder))
    deployments = journal.deployments()
    if table.json:
        sys.stdout.buffer.write(b"".join(msgspec.json.encode(span) + b"\n" for span in spans(deployments)))
    else:
        print("\n".join(map(words, spans(deployments))) or f"{journal.path} names no deployment yet")
        print(resting(journal.runs()))
    live, known = target(table).live(), last(deployments)
    if not table.json:
        differs = "" if live == known else f", though the journal says {known or 'none'}"
        print(f"live now: {live or 'none'}{differs}")
    return 0 if live == known else 1
