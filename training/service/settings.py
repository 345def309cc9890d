"""The service's settings: one table, read from variables that begin with TRAINING_SERVICE_."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from occupancy import settings
from occupancy.errors import InputError
from occupancy.settings import InvalidSetting

PREFIX = "TRAINING_SERVICE_"


class InvalidToken(InputError):
    """The file that should hold the token is not named, can't be read, or holds none."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of the service; the documents are made from this table."""

    # not HOST and PORT: Kubernetes sets TRAINING_SERVICE_PORT itself for a Service called `training`
    listen: Annotated[
        str, Meta(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}$", description="address and port to listen on")
    ] = "127.0.0.1:8090"
    token_file: Annotated[str, Meta(description="file with the token that all but health checks must send")] = ""
    jobs: Annotated[str, Meta(min_length=1, description="folder of the jobs, each in one of its own")] = "out/jobs"
    models: Annotated[
        str, Meta(description="folder into which each model is put too, as VERSION/, to be deployed from; empty: none")
    ] = ""
    data: Annotated[
        str, Meta(min_length=1, description="folder below which the data files are that a job may name")
    ] = "data/original"
    urls: Annotated[
        str,
        Meta(description="beginnings of the URLs that a job may name, up to a /, with commas between; empty: none"),
    ] = ""
    max_download: Annotated[int, Meta(ge=1, description="bytes of a file from a URL")] = 67_108_864
    running: Annotated[int, Meta(ge=1, le=64, description="jobs at a time")] = 1
    queue: Annotated[int, Meta(ge=1, le=1000, description="jobs that may wait; more get 429")] = 16
    seconds: Annotated[int, Meta(ge=1, description="after which a job that still runs is cancelled")] = 7200
    keep: Annotated[
        int, Meta(ge=1, le=10_000, description="ended jobs that are kept; older ones go, with their models")
    ] = 100
    runner: Annotated[
        Literal["process", "kubernetes"], Meta(description="what a job is: process, or kubernetes: a Job")
    ] = "process"
    namespace: Annotated[str, Meta(min_length=1, description="the Jobs' namespace")] = "occupancy"
    training_template: Annotated[
        str, Meta(min_length=1, description="the CronJob that a Job that trains is made like")
    ] = "training-job"
    loop_template: Annotated[
        str, Meta(min_length=1, description="the CronJob that a Job that runs the loop is made like")
    ] = "retraining"

    @property
    def prefixes(self) -> list[str]:
        """What a URL may begin with."""
        return [each.strip() for each in self.urls.split(",") if each.strip()]


def read(argv: Sequence[str], environ: Mapping[str, str], about: str = "") -> Settings:
    """Read the table from variables and flags; raises InvalidSetting."""
    table = settings.read(Settings, prog="training.service", argv=argv, environ=environ, prefix=PREFIX, about=about)
    for prefix in table.prefixes:
        if not re.fullmatch(r"https?://[^/@?#\s]+/([^?#\s]*/)?", prefix):  # or another host could begin like it
            raise InvalidSetting(f"{PREFIX}URLS={prefix}: Expected http(s)://host/, or .../folder/, with the last /")
    return table


def token(path: str) -> bytes:
    """Read the token; raises InvalidToken, saying how to make one."""
    make = f"(umask 077; openssl rand -hex 32 > FILE), then {PREFIX}TOKEN_FILE=FILE"
    if not path:
        raise InvalidToken(f"the service needs a token: {make}")
    try:
        text = Path(path).read_bytes().strip()
    except OSError as error:
        raise InvalidToken(f"{PREFIX}TOKEN_FILE={path}: {error.strerror}; {make}") from None
    if not text:
        raise InvalidToken(f"{PREFIX}TOKEN_FILE={path} is empty; {make}")
    return text
