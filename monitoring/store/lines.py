r"""Lines of a log and what they say: bare, or wrapped by a container runtime; pure but for parts that wait for the rest.

Formats: a record's JSON as the service writes it; CRI's (`2026-02-03T04:05:06.123Z stdout F {...}`, long lines in parts
P ... F), as under /var/log/pods; Docker's json-file (`{"log":"{...}\n","stream":"stdout","time":...}`, where a part ends
without a newline). What is on stderr are messages, not records.
"""

import re
from datetime import datetime
from typing import NamedTuple

import msgspec

from occupancy.record import ID, INDICES, MAX_BYTES, index

LONGEST = 16 * MAX_BYTES
"""Bytes of a line that are held: Docker may escape a record to six times its length, and parts are put together."""

_CRI = re.compile(rb"\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([A-Z])\S* ?(.*)", re.DOTALL)
_DOCKER = re.compile(rb'\{"log":".*"stream":"(stdout|stderr)"', re.DOTALL)
_ID = re.compile(rf"{ID.pattern}|[0-9a-f]{{12}}-(opened|closed)")


class Line(NamedTuple):
    """What stands in a file from one byte offset to another: a physical line, or the parts of one put together."""

    offset: int
    end: int
    number: int
    text: bytes
    """Without the newline and what a runtime wrapped around it; LONGEST bytes of it at most."""
    whole: bool = True
    """False: the file ends before the line does."""

    @property
    def too_long(self) -> bool:
        """Whether there was more than is held."""
        return len(self.text) >= LONGEST


class Document(NamedTuple):
    """A record, ready to be stored: the document is the line's own bytes."""

    into: str
    id: str
    source: bytes


class NotARecord(Exception):
    """A line is no record of ours; the text says why."""


class Unwrapped(NamedTuple):
    """What a physical line holds, and whether the next one of its stream goes on with it."""

    stream: str
    text: bytes
    goes_on: bool


class Assembler:
    """Unwraps the lines of one file and puts parts together."""

    def __init__(self) -> None:
        """Begin where no line has begun."""
        self._begun: Line | None = None

    @property
    def waiting(self) -> bool:
        """Whether a part waits for the rest."""
        return self._begun is not None

    def feed(self, line: Line) -> Line | None:
        """Take a physical line; give a whole one of standard output, if that ended it."""
        stream, text, goes_on = unwrap(line.text)
        if stream != "stdout":
            return None
        begun = self._begun or line._replace(text=b"")
        held = (begun.text + text)[:LONGEST]
        joined = Line(begun.offset, line.end, begun.number, held, line.whole)
        self._begun = joined if goes_on else None
        return None if goes_on or not (text.strip() or begun.text) else joined

    def flush(self) -> Line | None:
        """Give what waits, for the rest will not come."""
        waited, self._begun = self._begun, None
        return waited and waited._replace(whole=False)


class _Docker(msgspec.Struct):
    log: str
    stream: str


class _Head(msgspec.Struct):
    timestamp: str = msgspec.field(name="@timestamp", default="")
    dataset: str = msgspec.field(name="event.dataset", default="")
    id: str = msgspec.field(name="event.id", default="")


_read_docker = msgspec.json.Decoder(_Docker).decode
_read_head = msgspec.json.Decoder(_Head).decode


def unwrap(raw: bytes) -> Unwrapped:
    """Take away what a container runtime wrapped around a line; a bare line is standard output."""
    if raw[:1] != b"{":
        if found := _CRI.fullmatch(raw):
            return Unwrapped(found[1].decode(), found[3], found[2] == b"P")
    elif _DOCKER.match(raw):
        try:
            wrapped = _read_docker(raw)
        except msgspec.DecodeError:
            return Unwrapped("stdout", raw, goes_on=False)
        return Unwrapped(wrapped.stream, wrapped.log.encode().removesuffix(b"\n"), not wrapped.log.endswith("\n"))
    return Unwrapped("stdout", raw, goes_on=False)


def document(line: Line, prefix: str) -> Document:
    """Make of a line what is to be stored; raises NotARecord."""
    try:
        return _document(line, prefix)
    except NotARecord:
        if line.whole:
            raise
        raise NotARecord("the file ends in the middle of this line") from None


def _document(line: Line, prefix: str) -> Document:
    if line.too_long:
        raise NotARecord(f"a line of {line.end - line.offset} bytes; a record has at most {MAX_BYTES}")
    text = line.text.strip()
    if text[:1] != b"{":
        raise NotARecord("no JSON object")
    try:
        text.decode("utf-8")
        head = _read_head(text)
    except UnicodeDecodeError:
        raise NotARecord("not UTF-8") from None
    except msgspec.ValidationError as error:
        raise NotARecord(f"no record of ours: {error}") from None
    except msgspec.DecodeError:
        raise NotARecord("not JSON") from None
    return Document(prefix + _index(head), _id(head), text)


def _index(head: _Head) -> str:
    if head.dataset not in INDICES:
        what = f"event.dataset is {head.dataset[:80]!r}" if head.dataset else "it has no event.dataset"
        raise NotARecord(f"no record of ours: {what}")
    try:
        if datetime.fromisoformat(head.timestamp).tzinfo is None:
            raise NotARecord(f"@timestamp is {head.timestamp[:80]!r}, without a zone")
        return index({"@timestamp": head.timestamp, "event.dataset": head.dataset})
    except (ValueError, OverflowError):
        raise NotARecord(f"@timestamp is {head.timestamp[:80]!r}, no time") from None


def _id(head: _Head) -> str:
    if not _ID.fullmatch(head.id):
        raise NotARecord(f"event.id is {head.id[:80]!r}; expected a boot's 12 hex digits, a hyphen and a number")
    return head.id
