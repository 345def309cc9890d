"""Jobs as they are kept: <jobs>/<id>/job.json, and beside it what the job's own process writes.

    job.json      what is asked, and how it stands; written by the service alone
    log           what the commands say
    result.json   how it ended; written by the job's process, last of all
    out/          what it made; appears whole or not at all

Each file appears by a rename, so a reader meets no half of one.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias, get_args

import msgspec
from msgspec import Meta

from training.service.orders import Order

State: TypeAlias = Literal["queued", "running", "succeeded", "refused", "failed", "cancelled"]
STATES: tuple[State, ...] = get_args(State)
WAITS: tuple[State, State] = ("queued", "running")
ID = "^[0-9]{8}t[0-9]{6}-[0-9a-f]{8}$"
LOG, OUT, WORK, RESULT = "log", "out", "work", "result.json"
TAIL = 2**20
_PROGRESS = re.compile(r"^(\w+): (?:(\d+) of about (\d+) (\w+)|(\d+) (\w+) done)$", re.MULTILINE)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a job's process says that it ended: `status` of its last command, the model's `version` and `sha256` if any."""

    state: State
    why: str = ""
    status: int | None = None
    version: str = ""
    sha256: str = ""


class Job(msgspec.Struct, kw_only=True):
    """One job; times in UTC, `stopping`: since when it is asked to end, `key`: its Idempotency-Key."""

    id: str
    order: Order
    trigger: Literal["person", "verdict"]
    key: str
    created: datetime
    state: State = "queued"
    started: datetime | None = None
    ended: datetime | None = None
    stopping: datetime | None = None
    why: str = ""
    status: int | None = None
    version: str = ""
    sha256: str = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a command is: `done` of about `of` things called `unit`."""

    what: str
    done: int
    of: int
    unit: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A job as clients see it."""

    id: Annotated[str, Meta(pattern=ID)]
    trigger: Literal["person", "verdict"]
    order: Order
    state: State
    why: Annotated[str, Meta(description="how it came to its end, or is to come")]
    created: datetime
    started: datetime | None
    ended: datetime | None
    status: Annotated[int | None, Meta(description="exit status of its last command")]
    model_version: Annotated[str, Meta(description="the model that it made, or put live; empty: none")]
    progress: Progress | None

    @classmethod
    def of(cls, job: Job, progress: Progress | None) -> Self:
        """Show a job."""
        kept = {name: getattr(job, name) for name in cls.__struct_fields__ if hasattr(job, name)}
        return cls(**kept, model_version=job.version, progress=progress)


class Store:
    """The folder of the jobs."""

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is missing."""
        self._folder = folder.resolve()
        self._folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep everybody else, thread or process, from changing any job."""
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def folder(self, job_id: str) -> Path:
        """Name a job's folder."""
        return self._folder / job_id

    def get(self, job_id: str) -> Job | None:
        """Give a job, or None where there is none."""
        with suppress(FileNotFoundError):
            if re.fullmatch(ID, job_id):
                return msgspec.json.decode((self.folder(job_id) / "job.json").read_bytes(), type=Job)
        return None

    def all(self) -> list[Job]:
        """Give all jobs, the newest first."""
        found = (self.get(path.name) for path in self._folder.iterdir())
        return sorted((job for job in found if job), key=lambda job: (job.created, job.id), reverse=True)

    def add(self, order: Order, trigger: Literal["person", "verdict"], key: str) -> Job:
        """Make a job that waits."""
        now = datetime.now(UTC)
        job = Job(id=f"{now:%Y%m%dt%H%M%S}-{secrets.token_hex(4)}", order=order, trigger=trigger, key=key, created=now)
        self.folder(job.id).mkdir()
        self.write(job)
        return job

    def write(self, job: Job) -> None:
        """Write how a job stands."""
        write_whole(self.folder(job.id) / "job.json", msgspec.json.encode(job))

    def remove(self, job: Job) -> None:
        """Delete a job with all that it made."""
        gone = self.folder(job.id).with_name(
            f".gone-{job.id}"
        )  # at once for those who look, even if this is interrupted
        self.folder(job.id).replace(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def result(self, job: Job) -> Result | None:
        """Give what the job's process said at its end; None if it did not come so far."""
        with suppress(FileNotFoundError):
            return msgspec.json.decode((self.folder(job.id) / RESULT).read_bytes(), type=Result)
        return None

    def log(self, job: Job) -> bytes:
        """Give the end of a job's log, at most TAIL bytes."""
        return tail(self.folder(job.id) / LOG, TAIL)

    def progress(self, job: Job) -> Progress | None:
        """Read from the end of the log how far the job is."""
        found = _PROGRESS.findall(tail(self.folder(job.id) / LOG, 2**14).decode("utf-8", "replace"))
        if not found:
            return None
        what, done, of, unit, whole, units = found[-1]
        return Progress(what, int(done), int(of), unit) if done else Progress(what, int(whole), int(whole), units)


def tail(path: Path, size: int) -> bytes:
    """Give the last bytes of a file; of one that is not there, none."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - size))
        return file.read(size)
    return b""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole, or as it was, whatever happens meanwhile."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
