"""`python -m inference score FILE`: answers a file of readings as the service would, without a service.

FILE is .csv or .txt (CSV), .ndjson or .jsonl (one JSON object a line), or .json. CSV and NDJSON may be of any size: they
are read in pieces. The answers go to standard output as CSV, or to a file: all of them or, where a reading is refused,
none. The model, its digest, room and time zone are the service's settings: OCCUPANCY_MODEL and so on.

Exit status: 0 scored; 1 readings are refused; 2 a setting, the model or a file can't be used; 130 ended by SIGINT.
"""

import argparse
import csv
import io
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from inference import formats
from inference.flags import Flagger, named
from inference.formats import Part
from inference.settings import from_environment
from occupancy.errors import InputError
from occupancy.model import Model, label, load
from occupancy.reading import InvalidReading, decode, values

COLUMNS = ("line", "id", "date", "room", "probability", "label", "answer", "model_version", "flags", "error")
SHOWN = 20  # refused readings, in words
PIECE_BYTES = 2**18  # some thousand lines
LINE_SECONDS, BAR_SECONDS = 5.0, 0.1  # between two signs of progress, in a log and on a terminal
READS: dict[str, formats.Read] = {
    ".csv": formats.read_csv,
    ".txt": formats.read_csv,
    ".ndjson": formats.read_ndjson,
    ".jsonl": formats.read_ndjson,
}
REFUSED, BAD_INPUT, INTERRUPTED = 1, 2, 128 + signal.SIGINT


class Refused(Exception):
    """Readings break the contract, and nothing was written."""


class UnusableFile(InputError):
    """A file can't be read, or not be written."""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Score a file with the model that the service's settings name; gives the exit status."""
    console = Console(sys.stderr)
    try:
        chosen = _arguments().parse_args(argv)
        settings = from_environment(environ)
        model = load(settings.model, settings.model_digest)
        zone = settings.zone(model.card.timezone)
        options = {"room": settings.room, "zone": zone, "console": console, "partial": chosen.partial}
        summary = score(chosen.file, chosen.output, model, **options)
    except Refused as error:
        return _fail(console, error, REFUSED)
    except InputError as error:
        return _fail(console, error, BAD_INPUT)
    except KeyboardInterrupt:
        return _fail(console, "ended by a signal; no file was written", INTERRUPTED)
    console.say(f"inference: {summary}")
    return 0


def score(
    source: Path, target: Path | None, model: Model, *, room: str, zone: ZoneInfo, console: "Console", partial: bool
) -> str:
    """Write the answers to a file's readings into `target`, or to standard output; gives a sentence that sums it up.

    `room` and `zone`: of readings that name none. With `partial`, a refused reading's row says why and the others are
    answered. Raises Refused, or UnusableFile, and then leaves nothing.
    """
    seen = scored = 0
    with _opened(source) as file, _written(source, target) as out:
        write = _writer(out, target, simulated=model.card.simulated)
        for part in _parts(source, file, zone, console):
            for number, error in enumerate(part.batch.invalid, 1 + seen - scored):
                if number <= SHOWN:
                    console.say(f"{source}:{error.line}: {error.detail}" if error.line else f"{source}: {error}")
            good = len(part.batch.readings)
            if partial or seen + len(part.lines) == scored + good:
                for row in _answers(part, seen, model, room):
                    write(row)
            seen, scored = seen + len(part.lines), scored + good
        refused = seen - scored
        if refused > SHOWN:
            console.say(f"{source}: and {refused - SHOWN} more")
        by = f"model {model.version}"
        if model.card.simulated:
            by += ", trained on SIMULATED data: its answers mean nothing in a real room"
        if refused and not partial:
            advice = "nothing was written: mend them, or score the others with --partial"
            raise Refused(f"0 readings scored, {refused} of {seen} refused, {by}; {advice}")
    return f"{scored} readings scored, {refused} refused, {by}"


def _arguments() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m inference score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the readings")
    parser.add_argument("--output", metavar="FILE", type=Path, help="where the answers go; .ndjson or .jsonl: NDJSON")
    parser.add_argument("--partial", action="store_true", help="answer the good readings though others are refused")
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report a bad command line like every other bad setting."""
        raise InputError(f"{message}; --help says how")


def _fail(console: "Console", why: object, status: int) -> int:
    console.say(f"inference: {why}")
    return status


# --- from readings to rows


def _parts(source: Path, file: BinaryIO, zone: ZoneInfo, console: "Console") -> Iterator[Part]:
    """Read a file by its kind, in pieces where that can be; raises Refused where it can't be understood at all."""
    pieces = _pieces(source, file, console)
    try:
        if read := READS.get(source.suffix.lower()):
            yield from read(pieces, sys.maxsize, zone)
        else:
            batch = decode(b"".join(pieces), sys.maxsize, zone)
            yield Part(batch, [0] * (len(batch.readings) + len(batch.invalid)))  # which have no lines of their own
    except InvalidReading as error:
        raise Refused(f"{source}: {error}") from None


def _pieces(source: Path, file: BinaryIO, console: "Console") -> Iterator[bytes]:
    size, done = os.fstat(file.fileno()).st_size, 0
    try:
        while lines := file.readlines(PIECE_BYTES):
            piece = b"".join(lines)
            yield piece
            done += len(piece)
            console.show(str(source), done, size)
    except OSError as error:
        raise UnusableFile(f"{source}: {error.strerror}") from None


def _answers(part: Part, first: int, model: Model, room: str) -> Iterator[tuple[Any, ...]]:
    """Give a row of COLUMNS for each reading, in the order of the file; `first` is the index of the first."""
    flagger = Flagger(model.card.training_range)
    bad = {error.index or 0: error for error in part.batch.invalid}
    ordered = [values(reading) for reading in part.batch.readings]
    probabilities = model.probability(np.array(ordered, np.float32)).tolist() if ordered else []
    good = zip(part.batch.readings, ordered, probabilities, strict=True)
    for index, line in enumerate(part.lines, first):
        if error := bad.get(index):
            yield line or None, None, None, error.room or room, None, None, None, None, None, error.detail
        else:
            reading, row, probability = next(good)
            flags = " ".join(named(flagger.flags(reading, row)))
            answer = (probability, label(probability), model.answer(probability), model.version, flags or None, None)
            yield line or None, reading.id, reading.date, reading.room or room, *answer


# --- files


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    kinds = [*READS, ".json"]
    if source.suffix.lower() not in kinds:
        raise UnusableFile(f"{source}: what it holds is known by its name, which must end in {', '.join(kinds)}")
    try:
        file = source.open("rb")
    except OSError as error:
        raise UnusableFile(f"{source}: {error.strerror}; name a file of readings") from None
    with file:
        yield file


@contextmanager
def _written(source: Path, target: Path | None) -> Iterator[TextIO]:
    """Give a file to write to; unless something is raised, it becomes `target` or goes to standard output."""
    name = "standard output" if target is None else str(target)
    try:
        if target is not None and target.exists():
            if not target.is_file():
                raise UnusableFile(f"{name} is not a regular file; name another --output")
            if target.samefile(source):
                raise UnusableFile(f"{name} holds the readings; name another --output")
        with _spooled() if target is None else _beside(target.resolve()) as out:
            yield out
    except BrokenPipeError:  # who reads the answers has seen enough
        sys.stdout = None  # and the interpreter need not flush them
    except OSError as error:
        raise UnusableFile(f"{name}: {error.strerror}; name another --output, in a folder with room") from None


@contextmanager
def _beside(target: Path) -> Iterator[TextIO]:
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as out:
            yield out
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _spooled() -> Iterator[TextIO]:
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as out:
        yield out
        out.seek(0)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # whatever the locale is
        shutil.copyfileobj(out, sys.stdout)
        sys.stdout.flush()


def _writer(out: TextIO, target: Path | None, *, simulated: bool) -> Callable[[tuple[Any, ...]], object]:
    """Give what writes a row; answers of a model trained on simulated data say so, as the service's do."""
    columns, more = ((*COLUMNS, "simulated"), (True,)) if simulated else (COLUMNS, ())
    if target is not None and READS.get(target.suffix.lower()) is formats.read_ndjson:
        return lambda row: out.write(msgspec.json.encode(dict(zip(columns, row + more, strict=True))).decode() + "\n")
    write = csv.writer(out, lineterminator="\n").writerow
    write(columns)
    return lambda row: write(row + more)


class Console:
    """Standard error: lines, and a bar below them on a terminal; in a log a line now and then. Serving has no tqdm."""

    def __init__(self, stream: TextIO, line_seconds: float = LINE_SECONDS) -> None:
        """Write to a stream, in a log at most one line of progress in `line_seconds`."""
        self._stream, self._terminal = stream, stream.isatty()
        self._seconds = BAR_SECONDS if self._terminal else line_seconds
        self._shown = time.monotonic()
        self._wipe = ""

    def say(self, text: str) -> None:
        """Write a line, in the place of the bar."""
        self._stream.write(f"{self._wipe}{text}\n")
        self._stream.flush()
        self._wipe = ""

    def show(self, what: str, done: int, size: int) -> None:
        """Show how many bytes of `size` are done; a size that isn't known is 0."""
        now = time.monotonic()
        if now - self._shown < self._seconds:
            return
        share = min(done / size, 1) if size else 0.0
        text = f"{what}: {done / 1e6:.1f} MB" + (f" of {size / 1e6:.1f}, {share:.0%}" if size else "")
        if self._terminal:
            self._stream.write(f"\r\x1b[K{text} [{'#' * round(40 * share):40}]")
            self._stream.flush()
            self._wipe = "\r\x1b[K"
        else:
            self.say(text)
        self._shown = now
