"""`python -m training.loop deploy VERSION`: puts a model live, and says so in the journal.

VERSION is the first 12 hex digits of the model's sha256, the name of its folder in LOOP_MODELS. A model that can't be loaded,
or that the service does not take, is not put live; the one before it stays. The deployment is also printed as a JSON line.

Exit status: 0 it is live; 2 it is not, and why.
"""

import getpass
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from occupancy import model, record
from occupancy.errors import InputError
from training.loop import settings
from training.loop.journal import Deployment, Journal
from training.loop.registry import Told
from training.loop.settings import Common
from training.loop.targets import NotDeployed, Target
from training.loop.targets import target as chosen

NOT_OURS = "others"


class Decided(Common, frozen=True, kw_only=True):
    """Who decides, and why."""

    by: Annotated[str, Meta(max_length=100, description="who or what decided; empty: the user's name")] = ""
    why: Annotated[
        str, Meta(max_length=500, description="the reason, for the journal and the Deployment's history")
    ] = ""

    def person(self, environ: Mapping[str, str]) -> str:
        """Name who decided."""
        return self.by or environ.get("USER", "") or getpass.getuser()


class Deploy(Decided, frozen=True, kw_only=True):
    """The settings of `deploy`."""

    version: Annotated[tuple[str, ...], Meta(description="the model's version")] = ()


class NoVersion(InputError):
    """Not one model was named, or not by its version."""


class AlreadyLive(InputError):
    """The model is live."""


class NothingBefore(InputError):
    """There is no earlier model to go back to."""


def deploy(
    target: Target, journal: Journal, models: Path, version: str, *, by: str, why: str, run: str = "", at: datetime
) -> Deployment:
    """Put a model live and write it down, whoever holds the journal's lock.

    Raises UnusableModel for one that can't be loaded, AlreadyLive, NotDeployed where the service did not take it, or
    UnwritableJournal after having put the earlier one back.
    """
    return _deploy(target, journal, models, version, Deployment(at=at, action="deploy", by=by, why=why, run=run))


def undo(
    target: Target, journal: Journal, models: Path, *, by: str, why: str, run: str = "", at: datetime
) -> Deployment:
    """Put the model live again that the journal names before this one; undone again, the one before that.

    Raises NothingBefore, and what `deploy` does.
    """
    reconcile(target, journal, at)
    stack = lineage(journal.deployments())
    if len(stack) < 2 or not stack[-2]:
        raise NothingBefore(f"{journal.path} names no model before {target.live() or 'any'}; deploy one by its version")
    return _deploy(target, journal, models, stack[-2], Deployment(at=at, action="undo", by=by, why=why, run=run))


def reconcile(target: Target, journal: Journal, at: datetime) -> Deployment | None:
    """Write down what is live where it is not what the journal says: somebody changed it, or the journal has just begun."""
    live, known = target.live(), last(journal.deployments())
    if live == known:
        return None
    why = "changed by other means than these commands" if known else "what was live when the journal began"
    return journal.add(Deployment(at=at, action="found", version=live, previous=known, by=NOT_OURS, why=why))


def last(deployments: Sequence[Deployment]) -> str:
    """Tell what was live after the last of the deployments; empty: none."""
    return next((each.version for each in reversed(deployments) if each.action != "reset"), "")


def lineage(deployments: Sequence[Deployment]) -> list[str]:
    """Tell which models one comes to by going back again and again, the live one last."""
    stack: list[str] = []
    for each in deployments:
        if each.action == "reset":
            continue
        if each.action != "deploy" and each.version in stack:
            del stack[len(stack) - stack[::-1].index(each.version) :]
        else:
            stack.append(each.version)
    return stack


def _deploy(target: Target, journal: Journal, models: Path, version: str, entry: Deployment) -> Deployment:
    if not re.fullmatch("[0-9a-f]{12,64}", version):
        raise NoVersion(f"{version!r} is no version: expected the first 12 hex digits of a model's sha256")
    version = version[:12]
    reconcile(target, journal, entry.at)
    previous = target.live()
    if version == previous:
        raise AlreadyLive(f"{version} is live; nothing was done")
    model.load(models / version / model.FILE, expected=version)
    why = f"{entry.action} by {entry.by}: {entry.why}"
    try:
        target.deploy(version, why)
        entry = journal.add(msgspec.structs.replace(entry, version=version, previous=previous))
    except NotDeployed:  # the target has put the earlier one back, or says that it can't
        raise
    except BaseException:  # a full disk, a signal: what the journal does not name does not stay live
        if target.live() == version != last(journal.deployments()):
            target.deploy(previous, f"back from {version}: it could not be written down")
        raise
    if isinstance(target, Told):
        target.tell(version, why)
    return entry


def say(entry: Deployment) -> None:
    """Print a deployment as its record."""
    print(record.line(entry.record()).decode(), end="")


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command."""
    table = settings.read(Deploy, "deploy", argv, environ, __doc__)
    if len(table.version) != 1:
        raise NoVersion("name one model by its version: python -m training.loop deploy f8fbf10b52fd")
    journal, at = Journal(Path(table.folder)), settings.moment(table.now)
    by, why = table.person(environ), table.why or "asked for"
    with journal.locked():
        target = chosen(table)
        try:
            entry = deploy(target, journal, Path(table.models), table.version[0], by=by, why=why, at=at)
        except AlreadyLive as error:
            if table.target == "pointer":  # the link names it; the service that is known now may not have heard of it
                target.deploy(table.version[0][:12], why)
            print(f"deploy: {error}", file=sys.stderr)
            return 0
    print(f"deploy: {entry.version} is live, before it {entry.previous or 'none'}", file=sys.stderr)
    say(entry)
    return 0
