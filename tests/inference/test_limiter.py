import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import pytest

from inference.limiter import Limiter
from inference.problems import Problem


def test_without_a_limit_all_in_the_service_predict_at_a_time() -> None:
    limiter = Limiter(0, 3)
    with limiter, limiter.turn, limiter, limiter.turn, limiter, limiter.turn, pytest.raises(Problem), limiter:
        pass


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("queue", [0, 2])
def test_so_many_are_in_so_many_wait_and_the_rest_is_turned_away_at_once(concurrency: int, queue: int) -> None:
    limiter, release, lock = Limiter(concurrency, queue), threading.Event(), threading.Lock()
    inside, most = 0, 0

    def call() -> str:
        nonlocal inside, most
        try:
            with limiter, limiter.turn:
                with lock:
                    inside += 1
                    most = max(most, inside)
                release.wait()
                with lock:
                    inside -= 1
        except Problem as error:
            return f"{error.status} {error.headers['Retry-After']}"
        return "in"

    with ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(call) for _ in range(20)]
        first = [done.result() for done in islice(as_completed(calls), 20 - concurrency - queue)]
        release.set()
        answers = [c.result() for c in calls]
    assert set(first) == {"503 1"}
    assert answers.count("in") == concurrency + queue
    assert most == concurrency
    assert call() == "in"


def test_an_error_inside_gives_the_place_back() -> None:
    limiter = Limiter(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limiter:
            raise ZeroDivisionError
