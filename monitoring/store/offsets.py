"""How far each file has been read, kept in a folder of its own: written only after Elasticsearch's answer, and whole.

A position is known by the bytes that were read: the first of the file and the last before the offset. So a file that was
renamed, copied or compressed is still the one that was read, and one that took its name, its inode or its place is not.
"""

import fcntl
import os
import time
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import IO

import msgspec

from occupancy.errors import InputError

EDGE = 1024
"""Bytes at both ends by which what was read is known again: more than a record's time and id."""
REMEMBERED = 1000
FORGET_SECONDS = 30 * 86400.0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far one file has been read: up to a byte of its (uncompressed) content that ends a line."""

    path: str
    device: int
    inode: int
    offset: int
    line: int
    head: str
    tail: str
    cut: int = 0
    """Bytes after the offset, of a last line without its end, that are in quarantine already."""
    at: float


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """The file of positions; they hold for one cluster and prefix."""

    destination: str = ""
    quarantined: int = 0
    """Bytes of the quarantine that belong to lines before these positions."""
    positions: tuple[Position, ...] = ()


class StateTaken(InputError):
    """Another process uses the state directory."""


class BadState(InputError):
    """The state directory can't be used, or what is in it can't be read."""


def digest(data: bytes) -> str:
    """Name some bytes."""
    return sha256(data).hexdigest()[:16]


class Offsets:
    """The positions in one state directory, for one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made where it is missing, and read what is there; raises StateTaken, BadState."""
        self.folder = folder
        self._lock = _take(folder)
        self._path = folder / "offsets.json"
        try:
            saved = msgspec.json.decode(self._path.read_bytes(), type=Saved) if self._path.exists() else Saved()
        except (msgspec.DecodeError, OSError) as error:
            self._lock.close()
            raise BadState(
                f"{self._path} can't be read ({error}); delete it: everything is read again, and nothing is stored twice"
            ) from None
        self.destination, self.quarantined = saved.destination, saved.quarantined
        self.positions = dict(enumerate(saved.positions))
        self._serial, self._most = len(self.positions), max(REMEMBERED, 2 * len(self.positions))

    def serial(self) -> int:
        """Give a number to a position that is to be kept beside all others."""
        self._serial += 1
        return self._serial

    def belong_to(self, destination: str) -> bool:
        """Forget positions that are of another destination; gives whether there were any."""
        others = bool(self.positions) and self.destination != destination
        if others:
            self.positions.clear()
        self.destination = destination
        return others

    def save(self, quarantined: int, live: Collection[int]) -> None:
        """Write all positions, in one step; those long unused and not live are forgotten at times. Raises BadState."""
        if len(self.positions) > self._most:
            old = time.time() - FORGET_SECONDS
            self.positions = {n: p for n, p in self.positions.items() if n in live or p.at > old}
            self._most = max(REMEMBERED, 2 * len(self.positions))
        saved = Saved(destination=self.destination, quarantined=quarantined, positions=tuple(self.positions.values()))
        try:
            _replace(self._path, msgspec.json.encode(saved))
        except OSError as error:
            raise BadState(f"{self._path} can't be written: {error.strerror}; nothing is lost by a new start") from None

    def close(self) -> None:
        """Let another process take the folder."""
        self._lock.close()


def _take(folder: Path) -> IO[str]:
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise BadState(
            f"MONITORING_STATE={str(folder)!r} can't be used: {error.strerror}; name a folder of your own"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        who = lock.read().strip() or "unknown"
        lock.close()
        raise StateTaken(
            f"process {who} uses {folder} already; wait for it, or set MONITORING_STATE to a folder of its own"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name outlives a power cut, too
    finally:
        os.close(folder)
