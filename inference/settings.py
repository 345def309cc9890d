"""The service's settings: one table, read from variables that begin with OCCUPANCY_."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from occupancy import settings
from occupancy.settings import InvalidSetting

PREFIX = "OCCUPANCY_"
SHIPPED_MODEL = str(Path(__file__).parent / "model" / "model.ubj")
SPARE_THREADS = 4  # for health checks and metrics while every place in the service is taken


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the service; the documents are made from this table."""

    model: Annotated[str, Meta(description="the model file")] = SHIPPED_MODEL
    model_digest: Annotated[
        str,
        Meta(
            pattern="^([0-9a-f]{12,64})?$",
            description="sha256 it must have, or the first 12 or more digits; empty: any",
        ),
    ] = ""
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8080
    pid_file: Annotated[
        str,
        Meta(
            description="file for the process id: SIGHUP to it loads the model anew, and no request fails; empty: none"
        ),
    ] = ""
    concurrency: Annotated[
        int, Meta(ge=0, le=256, description="predictions at a time; 1 makes a serial replica; 0: no limit")
    ] = 0
    queue: Annotated[
        int, Meta(ge=0, le=4096, description="requests at a time beyond those that predict; more get 503 at once")
    ] = 256
    delay: Annotated[
        float, Meta(ge=0, le=60, description="artificial delay of each prediction in seconds, to try scaling")
    ] = 0.0
    room: Annotated[
        str, Meta(min_length=1, max_length=64, description="the room of readings that name none")
    ] = "default"  # fmt: skip
    timezone: Annotated[
        str, Meta(description="IANA zone of dates without an offset; empty: the model's training data's")
    ] = ""
    max_readings: Annotated[int, Meta(ge=1, le=100_000, description="readings in one request")] = 1000
    max_bytes: Annotated[int, Meta(ge=1024, le=2**30, description="bytes in one request")] = 1_048_576

    max_age: Annotated[
        float,
        Meta(
            ge=0,
            le=1e9,
            description="seconds that a reading's date may be from now, back or ahead; beyond: refused; 0: any",
        ),
    ] = 0.0
    label_one_in: Annotated[
        int,
        Meta(
            ge=0, description="one prediction in so many, drawn at random, asks for its label (label_wanted); 0: none"
        ),
    ] = 100
    feedback_token_file: Annotated[
        str,
        Meta(description="file with the token that POST /feedback requires; empty: feedback is open, and never trains"),
    ] = ""
    log_queue: Annotated[
        int, Meta(ge=1, le=1_000_000, description="records that may wait to be written; more are dropped and counted")
    ] = 10_000

    @property
    def server_threads(self) -> int:
        """How many threads the server may start: what waits must not keep a health check waiting."""
        return self.concurrency + self.queue + SPARE_THREADS

    def zone(self, otherwise: str) -> ZoneInfo:
        """Give the zone of dates without an offset; `otherwise`: the model's."""
        return ZoneInfo(self.timezone or otherwise)


def read(argv: Sequence[str], environ: Mapping[str, str], about: str = "") -> Settings:
    """Read the table from variables and flags; raises InvalidSetting."""
    table = settings.read(Settings, prog="inference", argv=argv, environ=environ, prefix=PREFIX, about=about)
    for name, value in msgspec.structs.asdict(table).items():
        if isinstance(value, str) and not value.isprintable():  # it will stand in records, answers and log lines
            raise InvalidSetting(f"{PREFIX}{name.upper()}={value!r}: Expected a printable text")
    if table.concurrency + table.queue == 0:
        raise InvalidSetting(f"{PREFIX}QUEUE=0 and {PREFIX}CONCURRENCY=0 leave no place for any request; raise one")
    try:
        table.zone("UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidSetting(
            f"{PREFIX}TIMEZONE={table.timezone!r}: Expected an IANA time zone such as Europe/Brussels"
        ) from None
    return table


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Read the table from variables alone; raises InvalidSetting."""
    return read([], environ)
