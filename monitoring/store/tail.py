"""One file, read line by line from where it was left: while it is written, renamed, truncated or deleted.

It is the inode that is read, not the name: an open descriptor reads what a rotation or a deleted pod takes away.
"""

import gzip
import os
import time
import zlib
from collections.abc import Callable, Mapping
from io import FileIO
from typing import NamedTuple

from monitoring.store.lines import LONGEST, Assembler, Line
from monitoring.store.offsets import EDGE, Position, digest

BLOCK = 128 * 1024
GZIP = b"\x1f\x8b"


class Damaged(Exception):
    """A compressed file ends too early: it is still being written, or broken."""


class Content:
    """The content of an open file, unpacked if it is compressed; one that is empty yet counts as plain."""

    def __init__(self, path: str, device: int, inode: int) -> None:
        """Open it; raises OSError, FileNotFoundError too where the name is another file's by now."""
        self._raw = FileIO(path)
        self._number = self._raw.fileno()
        status = os.fstat(self._number)
        if (status.st_dev, status.st_ino) != (device, inode):
            self.close()
            raise FileNotFoundError(path)
        self._unpacked: gzip.GzipFile | None = None

    def look(self) -> None:
        """See whether it is compressed, now that it is not empty."""
        if self._unpacked is None and os.pread(self._number, len(GZIP), 0) == GZIP:
            self._unpacked = gzip.GzipFile(fileobj=self._raw)

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return self._unpacked is not None

    @property
    def size(self) -> int:
        """Its size on disk, in bytes."""
        return os.fstat(self._number).st_size

    @property
    def taken(self) -> int:
        """Bytes on disk that were taken, though they may not all have been given yet."""
        return self._raw.tell()

    @property
    def deleted(self) -> bool:
        """Whether only our descriptor holds it."""
        return os.fstat(self._number).st_nlink == 0

    def read(self, length: int, offset: int | None = None) -> bytes:
        """Read at most so many bytes, from where it is or from an offset of the content; raises OSError, Damaged."""
        try:
            if offset is not None:
                (self._unpacked or self._raw).seek(offset)
            return (self._unpacked or self._raw).read(length) or b""
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Damaged(str(error)) from None

    def edges(self, offset: int) -> tuple[bytes, bytes]:
        """Read the first bytes and those before an offset, at which it is left."""
        length = min(EDGE, offset)
        return self.read(length, 0), self.read(length, offset - length)

    def begins(self, head: bytes) -> bool:
        """Whether a plain file still begins so; of a compressed one: true."""
        return self.packed or os.pread(self._number, len(head), 0) == head

    def close(self) -> None:
        """Close it."""
        self._raw.close()


class Mark(NamedTuple):
    """An offset that ends a line, the number of that line, and the bytes before the offset."""

    offset: int
    line: int
    tail: bytes


class Tail:
    """One file, and how far it has been read; `serial` names its positions, `fresh` gives a new one."""

    def __init__(self, path: str, status: os.stat_result, fresh: Callable[[], int]) -> None:
        """Know of the file; nothing is opened yet."""
        self.path, self.device, self.inode = path, status.st_dev, status.st_ino
        self.serial = fresh()
        self.moved = self.gone = False  # it lost its first name; it has none any more where we look
        self.ended = False  # there is nothing more to read, and there will be nothing
        self.begun = False
        self.grew = time.monotonic()
        self._fresh, self._known_size, self._spoiled = fresh, status.st_size, -1
        self._content: Content | None = None
        self._lost = False
        self._start(Mark(0, 0, b""), b"", 0)

    def _start(self, mark: Mark, head: bytes, cut: int) -> None:
        self._mark, self._head, self._cut = mark, head, cut
        self._at, self._line, self._recent = mark
        self._rest, self._dropped = b"", 0  # a line that has begun; how many bytes of it are not held
        self._assembler, self._replaced = Assembler(), False

    # --- the descriptor

    def open(self) -> Content:
        """Hold it, so that it can be read though its name is taken away; raises OSError."""
        self._content = self._content or Content(self.path, self.device, self.inode)
        return self._content

    def close(self) -> None:
        """Let it go; `begin` opens it again."""
        if self._content is not None:
            self._known_size = self._content.size
            self._content.close()
        self._content, self.begun = None, False

    def spoil(self) -> None:
        """Leave it alone until its size changes."""
        self.close()
        self._spoiled = self._known_size

    def lose(self) -> None:
        """Leave it alone until it is seen again."""
        self.close()
        self._lost = True

    @property
    def ready(self) -> bool:
        """Whether there is something to read, and it can be tried."""
        return not self._lost and self.unread > 0

    def seen(self, path: str, status: os.stat_result) -> None:
        """Note where it is now, and whether it is truncated and as long as before."""
        self.moved |= path != self.path
        self.path, self._known_size, self.gone, self._lost = path, status.st_size, False, False
        self._replaced = self._content is not None and not self._content.begins(self._head)

    @property
    def opened(self) -> bool:
        """Whether it holds a descriptor."""
        return self._content is not None

    @property
    def deleted(self) -> bool:
        """Whether only our descriptor holds it."""
        return self._content is not None and self._content.deleted

    @property
    def size(self) -> int:
        """Its size on disk, in bytes."""
        return self._known_size if self._content is None else self._content.size

    @property
    def packed(self) -> bool:
        """Whether it is compressed, as far as that is known."""
        return self.path.endswith(".gz") or (self._content is not None and self._content.packed)

    @property
    def unread(self) -> int:
        """Bytes on disk that were not read; at least 1 while a compressed one has not ended, or where one is shorter than what was read."""
        size = self.size
        if self.ended or size == self._spoiled:
            return 0
        if self._content is not None and self._content.packed:
            return max(1, size - self._content.taken)
        return size - self._at if size > self._at else int(size < self._at or self._replaced)

    # --- where it was left

    @property
    def offset(self) -> int:
        """The offset after the last line that was whole."""
        return self._mark.offset

    def position(self) -> Position:
        """Give how far it was read: after the last line that was whole."""
        offset, line, tail = self._mark
        head = digest(self._head[: min(EDGE, offset)])
        return Position(
            path=self.path, device=self.device, inode=self.inode, offset=offset, line=line, head=head,
            tail=digest(tail), cut=self._cut, at=time.time(),
        )  # fmt: skip

    def begin(self, positions: Mapping[int, Position]) -> None:
        """Go on where this content was left, in this file or another; else at its first byte. Raises OSError, Damaged."""
        content = self.open()
        content.look()
        own = {self.serial: self.position()} if self._mark.offset else {}
        serial, found = self._recognised(content, {**positions, **own})
        if found is None:
            self._begin_anew(content)
        else:
            if (found.device, found.inode) == (self.device, self.inode):
                self.moved |= found.path != self.path
                self.serial = serial
            head, tail = content.edges(found.offset)
            self._start(Mark(found.offset, found.line, tail), head, found.cut)
        self.begun = True

    def _begin_anew(self, content: Content) -> None:
        if self._mark.offset:
            self.serial = self._fresh()  # the old position may be that of a copy
        self._start(Mark(0, 0, b""), b"", 0)
        content.read(0, 0)

    def _recognised(self, content: Content, positions: Mapping[int, Position]) -> tuple[int, Position | None]:
        heads: dict[int, str] = {}

        def same(position: Position) -> bool:
            length = min(EDGE, position.offset)
            if length not in heads:
                heads[length] = digest(content.read(length, 0))
            return heads[length] == position.head and digest(content.edges(position.offset)[1]) == position.tail

        def likely(item: tuple[int, Position]) -> tuple[bool, int]:
            return (item[1].device, item[1].inode) == (self.device, self.inode), item[1].offset

        known = sorted(((n, p) for n, p in positions.items() if p.offset), key=likely, reverse=True)
        return next(((serial, position) for serial, position in known if same(position)), (self.serial, None))

    # --- reading

    def read(self) -> list[Line]:
        """Read on, and give the lines that ended; raises OSError, Damaged."""
        content = self.open()
        block = content.read(BLOCK)
        # asked after reading: so what was read is still the old content
        if not content.packed and (content.size < self._at or not content.begins(self._head)):
            self._begin_anew(content)
            return []
        if not block:
            self.ended = content.packed
            return []
        self.grew = time.monotonic()
        return self._split(block)

    def _split(self, block: bytes) -> list[Line]:
        *texts, rest = (self._rest + block).split(b"\n")
        found, offset, safe = [], self._at - len(self._rest) - self._dropped, self._mark
        for text in texts:
            self._line += 1
            end = offset + len(text) + 1 + self._dropped
            line = self._assembler.feed(Line(offset, end, self._line, text[:LONGEST]))
            if line is not None:
                found.append(line)
            if not self._assembler.waiting:
                safe = Mark(end, self._line, b"")
            offset, self._dropped = end, 0
        window = self._recent + block
        if safe is not self._mark:
            end = len(window) - (self._at + len(block) - safe.offset)
            self._mark, self._cut = safe._replace(tail=window[max(0, end - EDGE) : end]), 0
        if len(self._head) < EDGE and self._at == len(self._head):
            self._head += block[: EDGE - len(self._head)]
        self._at += len(block)
        self._recent = window[-EDGE:]
        self._rest, self._dropped = rest[:LONGEST], self._dropped + max(0, len(rest) - LONGEST)
        return found

    def finish(self) -> list[Line]:
        """Give a last line without its end, once: for nothing more will be written, as it seems."""
        cut = self._at - self._mark.offset
        if not cut or cut == self._cut:
            return []
        self._cut = cut
        offset = self._at - len(self._rest) - self._dropped
        line = self._rest and self._assembler.feed(Line(offset, self._at, self._line + 1, self._rest, whole=False))
        left = line or self._assembler.flush()
        return [left] if left else []
