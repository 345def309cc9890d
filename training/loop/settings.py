"""The settings of the loop's commands: a table each, from variables that begin with LOOP_ and from flags."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from occupancy.commands import Program
from occupancy.settings import InvalidSetting

PREFIX = "LOOP_"
COMMANDS = {
    "run": ("training.loop.run", "Loop"),
    "deploy": ("training.loop.deploy", "Deploy"),
    "undo": ("training.loop.undo", "Undo"),
    "reset": ("training.loop.reset", "Reset"),
    "history": ("training.loop.history", "History"),
    "trace": ("training.loop.trace", "Trace"),
    "replay": ("training.loop.replay", "Replay"),
}
"""Each command's module, which has a `main(argv, environ)`, and the name of its table there."""


class Common(msgspec.Struct, frozen=True, kw_only=True):
    """What all commands need: the loop's memory, the models, and where they are served."""

    folder: Annotated[str, Meta(min_length=1, description="folder of the journal and of the runs' reports")] = (
        "out/loop"
    )
    models: Annotated[
        str, Meta(min_length=1, description="folder of the models, VERSION/model.ubj: training's SAVE_PATH")
    ] = "out/training"
    target: Annotated[
        Literal["pointer", "cluster"],
        Meta(description="what serves: pointer (a link, MODELS/live, and a process) or cluster (a Deployment)"),
    ] = "pointer"
    url: Annotated[
        str,
        Meta(
            description="of pointer: the service, such as http://127.0.0.1:8080, asked which model it serves; empty: not asked"
        ),
    ] = ""
    pid_file: Annotated[
        str, Meta(description="of pointer: the service's OCCUPANCY_PID_FILE, to reload it; empty: not reloaded")
    ] = ""
    namespace: Annotated[str, Meta(min_length=1, description="of cluster: the Deployment's namespace")] = "occupancy"
    deployment: Annotated[str, Meta(min_length=1, description="of cluster: the Deployment's name")] = "inference"
    deploy_seconds: Annotated[
        float, Meta(gt=0, le=3600, description="how long a deployment may take before it is taken back")
    ] = 120.0
    tracker: Annotated[
        Literal["", "mlflow"], Meta(description="mlflow: its registry's alias `live` is moved to what is deployed")
    ] = ""
    now: Annotated[str, Meta(description="the time it is taken to be, ISO 8601; empty: the clock's")] = ""


PROGRAM = Program("training.loop", PREFIX, COMMANDS)
read, tables = PROGRAM.read, PROGRAM.tables


def moment(now: str) -> datetime:
    """Give the time that the setting `now` names, or the clock's; UTC where it has no offset. Raises InvalidSetting."""
    if not now:
        return datetime.now(UTC)
    try:
        when = datetime.fromisoformat(now)
    except ValueError:
        raise InvalidSetting(f"{PREFIX}NOW={now!r}: Expected ISO 8601, such as 2026-01-31T12:00:00+00:00") from None
    return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
