"""How many requests are in the service at a time, and how many of them predict: beyond that they are turned away at once."""

import contextlib
import threading
from types import TracebackType

from inference.problems import Problem


class Limiter:
    """As a context manager, a place in the service; its `turn` is one to predict. Concurrency 0: all in it at a time."""

    def __init__(self, concurrency: int, queue: int) -> None:
        """Take the limits: `concurrency` predict while `queue` more wait."""
        self.turn: contextlib.AbstractContextManager[object] = (
            threading.Semaphore(concurrency) if concurrency else contextlib.nullcontext()
        )
        self._free = concurrency + queue
        self._lock = threading.Lock()  # an eighth of a semaphore's price

    def __enter__(self) -> None:
        """Take a place; raises Problem 503 when there is none."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
        raise Problem(503, "overloaded", "too many requests are waiting; try again later", {"Retry-After": "1"})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place to the next one."""
        with self._lock:
            self._free += 1
