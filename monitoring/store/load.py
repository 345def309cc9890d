"""`python -m monitoring load FILE...`: records from files into Elasticsearch, each exactly once; --follow: as they are written.

FILE is a path, a glob or a folder; .gz too. What was read is kept in the state directory, and saved only after
Elasticsearch's answer: killed at any time, it goes on where it was. A record that is there already is not stored again.
Lines that are no records go to quarantine.jsonl in that directory, with file, line and reason.

Exit status: 0 all is stored; 1 something went to the quarantine, or a file is damaged; 2 a setting or a file is wrong, or
Elasticsearch is away.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, TypeVar

from msgspec import Meta

from monitoring import settings
from monitoring.settings import Elasticsearch
from monitoring.store.client import connect
from monitoring.store.counts import Counts, expose
from monitoring.store.follow import Files
from monitoring.store.lines import Document, Line, NotARecord, document
from monitoring.store.offsets import Offsets, Position
from monitoring.store.quarantine import Quarantine, Rejected
from monitoring.store.send import CHUNK, CHUNK_BYTES, Sender, Stopped
from monitoring.store.tail import Tail
from occupancy.errors import InputError
from occupancy.progress import Progress

GATHER_SECONDS, POLL_SECONDS, SCAN_SECONDS, SAVE_SECONDS, SAY_SECONDS = 1.0, 0.2, 1.0, 1.0, 60.0
STOPPED = 128 + signal.SIGTERM
T = TypeVar("T")
log = logging.getLogger("monitoring")


class Load(Elasticsearch, frozen=True, kw_only=True):
    """The settings of `load`."""

    file: Annotated[tuple[str, ...], Meta(description="files, globs or folders of records; .gz too")] = ()
    follow: Annotated[bool, Meta(description="go on as they are written, rotated, compressed and deleted")] = False
    state: Annotated[str, Meta(min_length=1, description="folder for the offsets and the quarantine")] = "out/state"
    patience: Annotated[
        float, Meta(ge=0, description="seconds to wait for Elasticsearch; with --follow it is waited for without end")
    ] = 300.0
    hold_mb: Annotated[
        int, Meta(ge=0, description="megabytes of deleted files that may be kept on the disk until they are stored")
    ] = 1024
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="port for Prometheus, at /metrics; 0: none")] = 0


class NothingNamed(InputError):
    """No file was given."""


class Batch:
    """What is sent together, and the positions that hold when all of it is settled."""

    def __init__(self) -> None:
        """Begin empty."""
        self.documents: list[Document] = []
        self.origins: list[tuple[Tail, Line]] = []
        self.rejected: list[Rejected] = []
        self.positions: dict[int, Position] = {}
        self.bytes = 0

    @property
    def full(self) -> bool:
        """Whether it is enough for one request."""
        return max(len(self.documents), len(self.rejected)) >= CHUNK or self.bytes >= CHUNK_BYTES

    def add(self, tail: Tail, lines: list[Line], prefix: str) -> None:
        """Take what was read of a file."""
        for line in lines:
            self.bytes += len(line.text)
            try:
                self.documents.append(document(line, prefix))
                self.origins.append((tail, line))
            except NotARecord as why:
                self.reject(tail, line, str(why))
        self.positions[tail.serial] = tail.position()

    def reject(self, tail: Tail, line: Line, reason: str) -> None:
        """Put a line among those for the quarantine."""
        self.rejected.append(
            Rejected(
                file=tail.path,
                device=tail.device,
                inode=tail.inode,
                line=line.number,
                offset=line.offset,
                bytes=line.end - line.offset,
                reason=reason,
                raw=line.text.decode("utf-8", "backslashreplace"),
            )
        )


Flight = tuple[Batch, "Future[list[tuple[int, str]]]"]


class Carrier:
    """Reads, sends and saves: while one batch is on its way the next is gathered, and no more than these two are held."""

    def __init__(
        self,
        table: Load,
        *,
        files: Files,
        offsets: Offsets,
        sender: Sender,
        counts: Counts,
        stop: threading.Event,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Take all its parts; `stop` ends it at the next opportunity."""
        self._table, self._files, self._offsets, self._sender = table, files, offsets, sender
        self._counts, self._stop, self._pool = counts, stop, pool
        self._saved = self._said = self._scanned = 0.0
        self._unsettled, self._unsaved = 0, False

    def run(self) -> None:
        """Carry until all is stored, or, following, until it is stopped. Raises InputError."""
        self._scan()
        try:
            destination = self._watched(self._pool.submit(self._sender.destination))
        except Stopped:
            return
        if self._offsets.belong_to(destination):
            log.warning(
                "%s is of another Elasticsearch or prefix: everything is read from its start", self._offsets.folder
            )
        known = self._offsets.quarantined
        with closing(Quarantine(self._offsets.folder, known)) as self._quarantine, self._progress() as progress:
            try:
                self._carry(progress)
            except Stopped:
                log.warning("stopped before Elasticsearch had answered; the next start sends the rest")
            finally:
                self._save(0.0)

    def _carry(self, progress: Progress | None) -> None:
        flight: Flight | None = None
        while True:
            batch = self._gather()
            self._unsettled += batch.bytes
            if flight:
                self._settle(flight)
                flight = None
            self._note_lag()
            if progress:
                progress.advance(max(0, progress.total - self._counts.lag_bytes - progress.done))
            if self._stop.is_set() or not (batch.positions or self._table.follow):
                return
            if batch.positions:
                flight = batch, self._pool.submit(self._sender.send, batch.documents)
            self._save(SAVE_SECONDS)
            self._say()

    def _gather(self) -> Batch:
        """Read until the batch is full, or a second has passed, or, not following, nothing is left."""
        batch, until = Batch(), time.monotonic() + GATHER_SECONDS
        while not (batch.full or self._stop.is_set() or time.monotonic() > until):
            if time.monotonic() - self._scanned > SCAN_SECONDS:
                self._scan()
            found = self._files.read()
            if found is None and not self._table.follow:
                break
            if found is None:
                self._stop.wait(POLL_SECONDS)
            else:
                tail, lines = found
                self._counts.read += len(lines)
                batch.add(tail, lines, self._table.elasticsearch_prefix)
        return batch

    def _settle(self, flight: Flight) -> None:
        """Wait for Elasticsearch's answer; then, and only then, what was sent is over."""
        batch, future = flight
        for number, reason in self._watched(future):
            batch.reject(*batch.origins[number], reason)
        self._counts.quarantined += self._quarantine.add(batch.rejected)
        self._offsets.positions.update(batch.positions)
        self._unsettled -= batch.bytes
        self._unsaved = True

    def _watched(self, future: "Future[T]") -> T:
        """Wait, and meanwhile hold files that appear, for they may be deleted before they are read."""
        while not wait_for([future], SCAN_SECONDS).done:
            if self._table.follow:
                self._scan()
                self._note_lag()
        return future.result()

    def _scan(self) -> None:
        began = time.monotonic()
        self._files.scan()
        ended = time.monotonic()
        self._scanned = ended + 9 * (ended - began)  # many files: at most a tenth of the time goes to looking

    def _note_lag(self) -> None:
        self._counts.lag_bytes = self._files.unread + self._unsettled

    def _save(self, after: float) -> None:
        if self._unsaved and time.monotonic() - self._saved >= after:
            self._offsets.save(self._quarantine.size, self._files.live)
            self._saved, self._unsaved = time.monotonic(), False

    def _say(self) -> None:
        if self._table.follow and time.monotonic() - self._said >= SAY_SECONDS:
            self._said = time.monotonic()
            log.info("%s", self._counts)

    @contextmanager
    def _progress(self) -> Iterator[Progress | None]:
        if self._table.follow:
            yield None
        else:
            with Progress("load", self._files.unread, "bytes") as progress:
                yield progress


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives its exit status."""
    table = settings.read(Load, "load", argv, environ, __doc__)
    if not table.file:
        raise NothingNamed("no FILE: name files, globs or folders, such as out/records.jsonl")
    counts, stop = Counts(), threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_messages())
        signals = stack.enter_context(_signals(stop))
        offsets = stack.enter_context(closing(Offsets(Path(table.state))))
        client = stack.enter_context(connect(table))
        if table.metrics_port:
            stack.callback(expose(counts, table.metrics_port))
        patience = float("inf") if table.follow else table.patience
        sender = Sender(client, table.elasticsearch_prefix, counts, stop.wait, patience)
        files = stack.enter_context(
            closing(Files(table.file, offsets, follow=table.follow, most_held=table.hold_mb * 1_000_000))
        )
        if not table.follow:
            files.check()
        pool = stack.enter_context(ThreadPoolExecutor(1, "send"))
        stack.callback(stop.set)  # before the pool is waited for
        Carrier(table, files=files, offsets=offsets, sender=sender, counts=counts, stop=stop, pool=pool).run()
    print(f"load: {counts}", *([f"see {offsets.folder / 'quarantine.jsonl'}"] if counts.quarantined else []), sep="; ")
    for path in sorted(files.damaged):
        print(f"load: {path} is damaged: what follows in it could not be read")
    if signal.SIGINT in signals:
        raise KeyboardInterrupt
    if signals and not table.follow:
        return STOPPED
    return 1 if counts.quarantined or files.damaged else 0


@contextmanager
def _signals(stop: threading.Event) -> Iterator[list[int]]:
    """Let SIGTERM and SIGINT end it after the request in hand; gives those that came. A second one ends it at once."""
    came: list[int] = []

    def told(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _messages() -> Iterator[None]:
    """Write messages to standard error, and not those of the client, whose errors are told in our words."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s monitoring load: %(message)s"))
    theirs = logging.getLogger("elastic_transport")
    level, theirs_level = log.level, theirs.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    theirs.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        theirs.setLevel(theirs_level)
