"""The files that FILE names, as they come and go: new ones, renamed, compressed, deleted."""

import glob
import itertools
import logging
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitoring.store.lines import Line
from monitoring.store.offsets import Offsets
from monitoring.store.tail import Damaged, Tail
from occupancy.errors import InputError

MOST_OPEN = 512
TURN_BLOCKS = 8
SETTLE_SECONDS = 10.0
"""A file that was renamed or deleted may be written on for so long: its writer has not opened the new one yet."""
_IN_FOLDERS = re.compile(r".*\.(jsonl|log)([.-].*)?")
log = logging.getLogger("monitoring")


class NoSuchFile(InputError):
    """There is nothing of the name that was given."""


def paths(patterns: Sequence[str], *, rotated: bool) -> Iterator[str]:
    """List the files that paths, globs and folders name; `rotated`: of a path also what a rotation makes of it, F.* and F-*.

    Of a folder these are the files below it whose names end in .jsonl or .log, or go on behind a dot or hyphen.
    """
    named: Iterator[str]
    for pattern in patterns:
        if Path(pattern).is_dir():
            named = (str(p) for p in Path(pattern).rglob("*") if _IN_FOLDERS.fullmatch(p.name))
        elif glob.has_magic(pattern) and not Path(pattern).exists():
            named = glob.iglob(pattern, recursive=True)  # noqa: PTH207 (a pattern may begin at the root)
        else:
            name, folder = Path(pattern).name, Path(pattern).parent
            beside = [str(p) for mark in ".-" for p in folder.glob(glob.escape(name + mark) + "*")] if rotated else []
            named = iter([pattern, *beside])
        yield from (path for path in named if not path.endswith(".tmp"))


class Files:
    """What there is to read, and how far it has been read."""

    def __init__(self, patterns: Sequence[str], offsets: Offsets, *, follow: bool, most_held: int) -> None:
        """Take what to read, and how many bytes of deleted files may be kept on the disk while they wait."""
        self._patterns, self._offsets, self._follow, self._most_held = patterns, offsets, follow, most_held
        self._own = offsets.folder.resolve()
        self._tails: dict[tuple[int, int], Tail] = {}
        self._complained: set[tuple[str, str]] = set()
        self._passes = self._endless()
        self.damaged: set[str] = set()
        """Compressed files that end too early."""

    @property
    def live(self) -> set[int]:
        """The serials of the files that there are now."""
        return {tail.serial for tail in self._tails.values()}

    @property
    def unread(self) -> int:
        """Bytes on disk that were not read yet."""
        return sum(tail.unread for tail in self._tails.values())

    @property
    def _crowded(self) -> bool:
        return sum(tail.opened for tail in self._tails.values()) > MOST_OPEN

    def check(self) -> None:
        """Raise NoSuchFile for a FILE that names nothing."""
        for pattern in self._patterns:
            if not any(Path(path).exists() for path in paths([pattern], rotated=False)):
                raise NoSuchFile(f"{pattern!r}: there is no such file")

    def scan(self) -> None:
        """Look what is there now, and hold what is new before it can be deleted."""
        found = self._found()
        for key, tail in list(self._tails.items()):
            if key in found:
                tail.seen(*found[key])
            elif not tail.opened and tail.unread:
                self._give_up(tail, "before it could be read")
            elif not tail.opened:
                self._forget(tail)
            elif not tail.gone:
                tail.gone, tail.grew = True, time.monotonic()
        for key, (path, status) in sorted(found.items(), key=lambda item: item[1][1].st_mtime):
            if key not in self._tails:
                self._tails[key] = Tail(path, status, self._offsets.serial)
        self._hold()

    def _found(self) -> dict[tuple[int, int], tuple[str, os.stat_result]]:
        found: dict[tuple[int, int], tuple[str, os.stat_result]] = {}
        for path in sorted(paths(self._patterns, rotated=self._follow)):
            try:
                status = Path(path).stat()
            except OSError:
                continue  # gone since it was listed, or a link to nothing
            if stat.S_ISREG(status.st_mode) and self._own not in Path(path).resolve().parents:
                found.setdefault((status.st_dev, status.st_ino), (path, status))
        return found

    def _hold(self) -> None:
        """Open what waits, up to MOST_OPEN; give up the oldest of what was deleted, when it keeps too much of the disk."""
        waiting = [tail for tail in self._tails.values() if not tail.opened and tail.unread]
        for tail in waiting[: max(0, MOST_OPEN - len(self._tails) + len(waiting))]:
            try:
                tail.open()
            except OSError as error:
                self._complain(tail, error)
        held = sorted((tail for tail in self._tails.values() if tail.gone and tail.deleted), key=lambda tail: tail.grew)
        size = sum(tail.size for tail in held)
        while size > self._most_held:
            size -= held[0].size
            self._give_up(held.pop(0), "and too much waits")

    def read(self) -> tuple[Tail, list[Line]] | None:
        """Read on in the next file that has something; None where none has. Compressed files come last."""
        return next(self._passes)

    def close(self) -> None:
        """Let all files go."""
        for tail in self._tails.values():
            tail.close()

    def _endless(self) -> Iterator[tuple[Tail, list[Line]] | None]:
        while True:
            waiting = [tail for tail in self._tails.values() if tail.ready]
            for tail in [tail for tail in waiting if not tail.packed] or waiting[:1]:
                before = tail.offset
                for lines in self._turn(tail):
                    yield tail, lines
                came_on = tail.offset > before or not tail.unread  # else it would begin at the same place for ever
                if came_on and self._crowded and not (tail.packed or tail.gone or tail.deleted):
                    tail.close()
            for tail in [tail for tail in self._tails.values() if self._is_over(tail)]:
                yield tail, self._end(tail)
            if not waiting:
                yield None

    def _turn(self, tail: Tail) -> Iterator[list[Line]]:
        try:
            if not tail.begun:
                others = {each.serial: each.position() for each in self._tails.values() if each.begun}
                tail.begin({**self._offsets.positions, **others})
            for block in itertools.count():
                yield tail.read()
                if not (tail.begun and tail.unread) or (self._follow and block >= TURN_BLOCKS):
                    break
            if self._is_over(tail):
                yield self._end(tail)
        except Damaged as error:
            tail.spoil()
            self._complain(tail, error)
        except OSError as error:
            tail.lose()  # it may have been renamed a moment ago
            self._complain(tail, error)

    def _end(self, tail: Tail) -> list[Line]:
        lines = tail.finish()
        tail.close()
        tail.ended = not self._follow or tail.packed
        self.damaged.discard(tail.path)
        if tail.gone:
            self._forget(tail)
        return lines

    def _is_over(self, tail: Tail) -> bool:
        """Whether nothing more will be written to a file that is read to its end."""
        if not tail.begun or tail.unread:
            return False
        settled = time.monotonic() - tail.grew > SETTLE_SECONDS
        return tail.ended or not self._follow or ((tail.gone or tail.moved) and settled)

    def _give_up(self, tail: Tail, why: str) -> None:
        log.error("%s was deleted, %s: %d bytes of it are lost", tail.path, why, tail.unread)
        self._forget(tail)

    def _forget(self, tail: Tail) -> None:
        tail.close()
        tail.ended = True
        self._tails = {key: other for key, other in self._tails.items() if other is not tail}

    def _complain(self, tail: Tail, error: Exception) -> None:
        """Say once what is wrong with a file; where it is not followed, that is the end."""
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        if not self._follow and isinstance(error, OSError):
            raise NoSuchFile(f"{tail.path} can't be read: {why}") from None
        if isinstance(error, Damaged):
            self.damaged.add(tail.path)
        if (tail.path, why) not in self._complained:
            self._complained.add((tail.path, why))
            log.warning("%s can't be read: %s", tail.path, why)
