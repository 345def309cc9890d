"""The settings of monitoring's commands: a table each, from variables that begin with MONITORING_ and from flags.

How to reach Elasticsearch is the same for all, in variables that begin with ELASTICSEARCH_.
"""

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from occupancy.commands import Program

PREFIX = "MONITORING_"
COMMANDS = {
    "setup": ("monitoring.store.setup", "Setup"),
    "load": ("monitoring.store.load", "Load"),
    "audit": ("monitoring.store.audit", "Audit"),
    "find": ("monitoring.store.find", "Find"),
    "forget": ("monitoring.store.forget", "Forget"),
    "drift": ("monitoring.drift.command", "Drift"),
    "watch": ("monitoring.drift.watch", "Watch"),
    "verdicts": ("monitoring.verdicts", "Verdicts"),
    "propose": ("monitoring.propose", "Propose"),
    "collect": ("monitoring.collect", "Collect"),
    "report": ("monitoring.dashboards.report", "Report"),
    "replay": ("monitoring.replay", "Replay"),
}
"""Each command's module, which has a `main(argv, environ)`, and the name of its table there."""
SHIPPED_REFERENCE = str(Path(__file__).parents[1] / "inference" / "model" / "reference.json")
TIME = "ISO 8601, or back from now such as 36h or 7d; empty: no bound"


class Elasticsearch(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach Elasticsearch; of versions 8 and 9."""

    elasticsearch_url: Annotated[
        str, Meta(description="Elasticsearch, as scheme://host:port", extra={"variable": "ELASTICSEARCH_URL"})
    ] = "http://127.0.0.1:9200"
    elasticsearch_user: Annotated[
        str, Meta(description="user, with a password file", extra={"variable": "ELASTICSEARCH_USER"})
    ] = ""
    elasticsearch_password_file: Annotated[
        str, Meta(description="file with the user's password", extra={"variable": "ELASTICSEARCH_PASSWORD_FILE"})
    ] = ""
    elasticsearch_api_key_file: Annotated[
        str,
        Meta(description="file with an API key, instead of a user", extra={"variable": "ELASTICSEARCH_API_KEY_FILE"}),
    ] = ""
    elasticsearch_ca_file: Annotated[
        str,
        Meta(
            description="file with the certificate that signs Elasticsearch's; empty: the system's",
            extra={"variable": "ELASTICSEARCH_CA_FILE"},
        ),
    ] = ""

    elasticsearch_prefix: Annotated[
        str,
        Meta(
            pattern="^([a-z0-9][a-z0-9-]*-)?$",
            max_length=40,
            description="put before the name of each index and template, to keep two installations apart; such as test-",
            extra={"variable": "ELASTICSEARCH_PREFIX"},
        ),
    ] = ""


class Recorded(Elasticsearch, frozen=True, kw_only=True):
    """Which records a command is about: from files where some are named, else from Elasticsearch."""

    file: Annotated[tuple[str, ...], Meta(description="files of records (.jsonl, .jsonl.gz); none: Elasticsearch")] = ()
    room: Annotated[str, Meta(max_length=64, description="of one room; empty: of all")] = ""


class Judged(Recorded, frozen=True, kw_only=True):
    """With what a command judges records."""

    reference: Annotated[str, Meta(description="the reference.json that training wrote beside the model")] = (
        SHIPPED_REFERENCE
    )
    reference_rooms: Annotated[
        str,
        Meta(description="rooms that the reference is for, with commas between; the others learn their own; *: all"),
    ] = "default"


class Source(Judged, frozen=True, kw_only=True):
    """Records of a range of time."""

    since: Annotated[str, Meta(description=f"records from this time of the reading on: {TIME}")] = ""
    until: Annotated[str, Meta(description=f"records before this time of the reading: {TIME}")] = ""


PROGRAM = Program("monitoring", PREFIX, COMMANDS)
read, tables = PROGRAM.read, PROGRAM.tables
