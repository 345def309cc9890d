"""The loop's memory: a file of records that only grows, journal.jsonl, one line a run or a deployment.

`python -m monitoring load` stores its lines like all other records; they are numbered 1, 2, 3, ... under the journal's own
id, so `audit` proves that none is missing.
"""

import fcntl
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from occupancy import __version__, record
from occupancy.errors import InputError

SERVICE = "occupancy-retraining"
LONGEST = 800
"""Characters of a text in an entry, so that its line stays within a record's bytes."""
Id = Annotated[str, msgspec.Meta(pattern=f"^{record.ID.pattern}$")]
"""The journal's own id, and the entry's number; an entry that is not yet written has an empty one."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the loop: what set it off, how it ended, and why.

    trigger: verdict, schedule or person; unknown of one that was killed. outcome: deployed, idle, blocked, waiting, refused,
    undone or failed. labels: how many there were; back_test: how often the back-test file has been used; event: the
    verdict's; attempt: at this event.
    """

    id: Id = ""
    at: datetime
    trigger: str
    outcome: str
    why: str
    champion: str = ""
    challenger: str = ""
    labels: int = 0
    back_test: int = 0
    event: str = ""
    attempt: int = 0

    def record(self) -> dict[str, Any]:
        """Describe it as a record."""
        return _record(record.RUN, self)


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One change of what is live, from `previous` to `version`: deploy, undo, found (not our doing) or reset (no change)."""

    id: Id = ""
    at: datetime
    action: str
    version: str = ""
    previous: str = ""
    by: str = ""
    why: str = ""
    run: str = ""

    def record(self) -> dict[str, Any]:
        """Describe it as a record."""
        return _record(record.DEPLOYMENT, self)


Entry = TypeVar("Entry", Run, Deployment)
_KINDS: dict[str, type[Run | Deployment]] = {record.RUN: Run, record.DEPLOYMENT: Deployment}


class Busy(InputError):
    """Another command that may change what is live is under way."""


class DamagedJournal(InputError):
    """A line of the journal is not one that the loop wrote."""


class UnusableFolder(InputError):
    """The journal's folder can't be read, or not be written."""


class UnwritableJournal(InputError):
    """An entry could not be written whole, so that nothing of it was."""


class Journal:
    """The runs and deployments of one folder; who adds to it holds `locked()`."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; it is made when the first line is written."""
        self.folder, self.path = folder, folder / "journal.jsonl"
        self._drawn = ""
        self._taken: set[int] = set()

    def runs(self) -> list[Run]:
        """Give all runs, in the order they were written; raises DamagedJournal."""
        return [entry for entry in self._entries() if isinstance(entry, Run)]

    def deployments(self) -> list[Deployment]:
        """Give all deployments, in the order they were written; raises DamagedJournal."""
        return [entry for entry in self._entries() if isinstance(entry, Deployment)]

    def next_id(self) -> str:
        """Take the next id, for an entry that is added later; no other entry gets it meanwhile."""
        taken = self._next()
        self._taken.add(_number(taken))
        return taken

    def add(self, entry: Entry) -> Entry:
        """Write an entry, under the id it has or else the next one, and give it with its id; on disk when this returns.

        Raises UnwritableJournal; then, and after a signal, nothing of it is there.
        """
        entry = msgspec.structs.replace(entry, id=entry.id or self._next())
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            end = self._cut()
        try:
            with self.path.open(
                "ab"
            ) as file:  # with a buffer: a file that takes a part of it only is asked again, or fails
                file.write(record.line(entry.record()))
                file.flush()
                os.fsync(file.fileno())
            sync(self.folder)
        except BaseException as error:
            with suppress(OSError):
                os.truncate(self.path, end)
            if not isinstance(error, OSError):
                raise
            raise UnwritableJournal(
                f"{self.path} can't be written: {error.strerror}; nothing was added, make room or mend its permissions"
            ) from None
        return entry

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who changes anything; raises Busy.

        A run that was killed is written down as failed, so that its id and its folder are nobody else's.
        """
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / "lock").open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(f"another command works with {self.folder}; wait until it is done") from None
            self._end_died_runs()
            yield

    def _next(self) -> str:
        entries = self._entries()
        if not self._drawn:
            self._drawn = entries[0].id.partition("-")[0] if entries else secrets.token_hex(6)
        used = self._taken | {_number(entry.id) for entry in entries}
        return f"{self._drawn}-{max(used, default=0) + 1}"

    def _end_died_runs(self) -> None:
        """Write down each run that left no entry, but a folder or a later entry; its training saw the back-test file."""
        entries = self._entries()
        if not entries:
            return
        journal = entries[0].id.partition("-")[0]
        used = {_number(entry.id) for entry in entries}
        begun = {_number(path.name) for path in self.folder.glob(f"runs/{journal}-*") if record.ID.fullmatch(path.name)}
        back_test = max((entry.back_test for entry in entries if isinstance(entry, Run)), default=0)
        for number in sorted(begun.union(range(1, max(used))) - used):
            folder, why = (
                self.folder / "runs" / f"{journal}-{number}",
                "ended without a word: killed, or the power failed",
            )
            if number in begun:
                at, why = datetime.fromtimestamp(folder.stat().st_mtime, UTC), f"{why}; how far it came is in {folder}"
            else:
                at = next(entry.at for entry in entries if _number(entry.id) > number)
            back_test += (folder / "training.out").exists()
            self.add(Run(id=folder.name, at=at, trigger="unknown", outcome="failed", why=why, back_test=back_test))

    def _entries(self) -> list[Run | Deployment]:
        with _explained(self.folder):
            if not self.path.exists():
                return []
            lines = self.path.read_bytes().split(b"\n")
        return [self._entry(number, line) for number, line in enumerate(lines[:-1], 1)]  # what has no end is no line

    def _entry(self, number: int, line: bytes) -> Run | Deployment:
        try:
            fields = msgspec.json.decode(line)
            dataset = fields["event.dataset"]
            given = {
                "id": fields["event.id"],
                "at": fields["@timestamp"],
                **{k.removeprefix(f"{dataset}."): v for k, v in fields.items() if k.startswith(f"{dataset}.")},
            }
            return msgspec.convert(given, _KINDS[dataset])
        except (msgspec.DecodeError, UnicodeError, KeyError, TypeError, AttributeError) as error:
            raise DamagedJournal(
                f"{self.path}: line {number} is not one that the loop wrote ({error}); put it right, or move the file"
            ) from None

    def _cut(self) -> int:
        """Move what a crash left of a last line to a file beside; gives where the next line begins."""
        if not self.path.exists():
            return 0
        with self.path.open("r+b") as file:
            text = file.read()
            end = text.rfind(b"\n") + 1
            if torn := text[end:]:
                with self.path.with_name("journal.torn").open("ab") as aside:
                    aside.write(torn + b"\n")
                    os.fsync(aside.fileno())
                file.truncate(end)
                print(f"{self.path}: its last line was torn; moved to {aside.name}", file=sys.stderr)
        return end


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def _record(dataset: str, entry: Run | Deployment) -> dict[str, Any]:
    """Leave out what is empty, and of a long text its end."""
    fields = {name: value[:LONGEST] if isinstance(value, str) else value for name, value in _own(entry)}
    return record.decision(SERVICE, __version__, dataset, entry.id, at=entry.at, fields=fields)


def _own(entry: Run | Deployment) -> list[tuple[str, Any]]:
    given = msgspec.structs.asdict(entry).items()
    return [(name, value) for name, value in given if name not in ("id", "at") and value != ""]


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnusableFolder(
            f"{folder} can't be used: {error.strerror}; name a folder of your own, or mend its permissions"
        ) from None


def sync(folder: Path) -> None:
    """Have the names in a folder on disk, as a file's own fsync does not; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
