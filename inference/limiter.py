"""How many predictions run at a time: the others wait in a bounded queue, and beyond that are turned away at once."""

import threading
from types import TracebackType

from inference.problems import Problem


class Limiter:
    """A context manager that lets `concurrency` callers in and `queue` more wait; 0 lets everyone in."""

    def __init__(self, concurrency: int, queue: int) -> None:
        """Take the limits."""
        self._turn = threading.Semaphore(concurrency) if concurrency else None
        self._places = threading.Semaphore(concurrency + queue)

    def __enter__(self) -> None:
        """Wait for a turn; raises Problem 503 when the queue is full."""
        if self._turn is None:
            return
        if not self._places.acquire(blocking=False):
            raise Problem(503, "overloaded", "too many requests are waiting; try again later", {"Retry-After": "1"})
        self._turn.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the next one in."""
        if self._turn is not None:
            self._turn.release()
            self._places.release()
