"""The quarantine: lines that are no records of ours, or that Elasticsearch will not take, each once and with its reason.

A JSONL file beside the offsets. It is written before them; what stands in it beyond the size that they know is of lines
that will be read again, and is then not written a second time.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from monitoring.store.offsets import BadState

MOST_BYTES = 256 * 1024 * 1024


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """One line in quarantine: where it stood, why it was not stored, and the line itself."""

    file: str
    device: int
    inode: int
    line: int
    offset: int
    bytes: int
    reason: str
    raw: str
    """The line, at most lines.LONGEST bytes of it; bytes that are not UTF-8 as \\xNN."""


class Quarantine:
    """The file of rejected lines, and one older one: each of at most MOST_BYTES."""

    def __init__(self, folder: Path, known: int, most_bytes: int = MOST_BYTES) -> None:
        """Open it; `known` are the bytes of it that the offsets know of."""
        self._path, self._most = folder / "quarantine.jsonl", most_bytes
        try:
            self._file = self._path.open("a+b")
            self._again = self._beyond(known)
        except OSError as error:
            raise BadState(f"{self._path} can't be used: {error.strerror}; mend its permissions") from None

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes that are in it."""
        return self._file.tell()

    def add(self, lines: Iterable[Rejected]) -> int:
        """Write lines, safe from a power cut when this returns; gives how many were not in it yet. Raises BadState."""
        new = [line for line in lines if not self._is_there(line)]
        if not new:
            return 0
        encode = msgspec.json.Encoder().encode
        try:
            if self.size > self._most:
                self._turn()
            self._file.write(b"".join(encode(line) + b"\n" for line in new))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise BadState(f"{self._path} can't be written: {error.strerror}; make room and start again") from None
        return len(new)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_there(self, line: Rejected) -> bool:
        there = line in self._again
        self._again.discard(line)  # once: an inode is used again by another file
        return there

    def _turn(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".old.jsonl"))
        self._file = self._path.open("a+b")

    def _beyond(self, known: int) -> set[Rejected]:
        """Read the lines that the offsets do not know of, and take away a last one that was cut."""
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(min(known, size))
        found: set[Rejected] = set()
        for line in self._file:
            try:
                entry = msgspec.json.decode(line, type=Rejected)
            except msgspec.DecodeError:
                if not line.endswith(b"\n"):
                    self._file.truncate(self._file.tell() - len(line))
                continue
            found.add(entry)
        self._file.seek(0, os.SEEK_END)
        return found
