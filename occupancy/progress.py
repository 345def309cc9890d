"""Progress of long work: a bar on a terminal, a plain line now and then in a log."""

import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

from tqdm import tqdm

LINE_SECONDS = 5.0


class Progress:
    """Counts steps of work and shows them on standard error; `total` is a guess until the end.

    Use it as a context manager; `advance` may be called from any thread.
    """

    def __init__(
        self, what: str, total: int, unit: str, stream: TextIO | None = None, line_seconds: float = LINE_SECONDS
    ) -> None:
        """Show `what`, of `total` steps called `unit`; in a log at most one line in `line_seconds`."""
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.stream = stream or sys.stderr
        self._line_seconds = line_seconds
        self._lock = threading.Lock()
        self._said = time.monotonic()
        terminal = self.stream.isatty()
        self._bar = tqdm(total=total, desc=what, unit=unit, file=self.stream, leave=False) if terminal else None

    def advance(self, steps: int = 1) -> None:
        """Note that so many steps are done."""
        with self._lock:
            self.done += steps
            if self._bar is not None:
                self._bar.total = self.total = max(self.total, self.done)
                self._bar.update(steps)
            elif time.monotonic() - self._said >= self._line_seconds:
                self._said = time.monotonic()
                self._say(f"{self.done} of about {max(self.total, self.done)} {self.unit}")

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bar and say in one last line how far it came."""
        if self._bar is not None:
            self._bar.close()
        self._say(f"{self.done} {self.unit} done" if kind is None else f"stopped after {self.done} {self.unit}")

    def _say(self, text: str) -> None:
        print(f"{self.what}: {text}", file=self.stream, flush=True)
