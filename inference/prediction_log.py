"""The prediction log: one JSON line a record, written by a thread of its own, so that a slow disk or reader hurts nobody.

A record is a line in a bounded queue before its answer is sent, and on its way out within `GATHER_SECONDS`; a process
that is killed (-9) loses those. When the queue is full, records are dropped, counted, and their loss is itself recorded.
"""

import fcntl
import logging
import os
import select
import stat
import termios
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from occupancy.record import line

ATOMIC_BYTES, MOST_BYTES = select.PIPE_BUF, 65536
"""What a pipe takes whole or not at all, so that it never holds a line cut when the process is killed; and what is written
at once where that can't block: under load, each turn that the writer needs has to be waited for."""
GATHER_SECONDS = 0.01
PATIENCE_SECONDS = 1.0
"""A request waits so long, all its records together, for room in the queue; then none waits until it is half empty."""
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0
log = logging.getLogger("inference")


class PredictionLog:
    """Writes records to a file descriptor; `loss` makes the record that admits how many were dropped."""

    def __init__(self, descriptor: int, capacity: int, loss: Callable[[int], dict[str, Any]]) -> None:
        """Start writing; the queue holds `capacity` records."""
        self.written = self.dropped = 0
        self._descriptor, self._capacity, self._loss = descriptor, capacity, loss
        self._kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        self._lines: deque[bytes] = deque()
        # taken from the queue, not yet (wholly) written, and how many lines; first of all the end of a line cut before us
        self._pending, self._unwritten = b"\n" if self._cut() else b"", 0
        self._admitted = 0
        self._lock = threading.Lock()
        self._work, self._closing = threading.Event(), threading.Event()
        self._stuck = self._failing = False  # nobody waits for it; it can't write
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """How many records wait; 0 only when all are written."""
        return len(self._lines) + self._unwritten

    def write(self, record: dict[str, Any], until: float | None = None) -> None:
        """Queue one record; drops it where there is no room `until` then, of the monotonic clock: see `patience`."""
        if len(self._lines) >= self._capacity and not self._wait_for_room(until or self.patience()):
            with self._lock:
                self.dropped += 1
            return
        self._lines.append(line(record))
        if not self._work.is_set():
            self._work.set()

    def patience(self) -> float:
        """Give the time until which a request that begins to write now waits for room."""
        return time.monotonic() + PATIENCE_SECONDS

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what is queued, for at most so long, and say what could not be written."""
        self._closing.set()
        self._work.set()
        self._thread.join(seconds)
        left = self.queued
        if left or self.dropped:
            log.error(
                "prediction log: %d records written, %d dropped, %d left unwritten", self.written, self.dropped, left
            )

    def _wait_for_room(self, until: float) -> bool:
        while not self._stuck:
            if len(self._lines) < self._capacity:
                return True
            if time.monotonic() > until:
                self._stuck = True
            time.sleep(0.001)
        return False

    def _cut(self) -> bool:
        """Say whether the file ends in a part of a line, as one does whose writer was killed (-9) in the middle."""
        if self._kind != stat.S_IFREG:
            return False
        try:
            with Path(f"/dev/fd/{self._descriptor}").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                return file.read(1) not in (b"", b"\n")
        except OSError:  # may not be read
            return False

    # --- the writing thread

    def _run(self) -> None:
        while not (self._closing.is_set() and not self._lines and not self._pending):
            self._work.wait()
            if not self._closing.is_set():
                time.sleep(GATHER_SECONDS)  # one wake-up for many records
            self._work.clear()
            while self._lines or self._pending:
                self._write_some()

    def _write_some(self) -> None:
        try:
            if not self._pending:
                self._pending = self._take()
            count = os.write(self._descriptor, self._pending)
        except OSError as error:
            if not self._failing:
                log.error("prediction log: can't write: %s; trying again", error.strerror)  # noqa: TRY400
            self._failing = self._stuck = True
            time.sleep(0.05 if self._closing.is_set() else RETRY_SECONDS)
            return
        self._pending = self._pending[count:]
        left = self._pending.count(b"\n")
        self.written += self._unwritten - left
        self._unwritten = left
        self._failing = False
        if len(self._lines) <= self._capacity // 2:
            self._stuck = False
        with self._lock:
            lost = self.dropped - self._admitted
            self._admitted = self.dropped
        if lost:
            self._lines.appendleft(line(self._loss(lost)))

    def _take(self) -> bytes:
        """Take whole lines that can be written in one piece; a longer line goes alone."""
        taken: list[bytes] = []
        size = 0
        most = self._takes_at_once()
        while self._lines and (not taken or size + len(self._lines[0]) <= most):
            self._unwritten += 1
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        return b"".join(taken)

    def _takes_at_once(self) -> int:
        """Give how many bytes a write takes without blocking.

        An empty pipe takes all that it can hold. Another says how many bytes it holds, but not in how many pages: a page
        with one byte is full.
        """
        if self._kind != stat.S_IFIFO or not hasattr(fcntl, "F_GETPIPE_SZ"):
            return MOST_BYTES if self._kind == stat.S_IFREG else ATOMIC_BYTES
        if fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4)) != bytes(4):
            return ATOMIC_BYTES
        return min(max(ATOMIC_BYTES, fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)), MOST_BYTES)
