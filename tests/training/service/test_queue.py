import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.training.service.conftest import ended, order, until
from training.service import queue as queue_module
from training.service.jobs import OUT, Job
from training.service.orders import Data, Order
from training.service.queue import OtherJob, Queue, QueueFull
from training.service.runners import PID

Room = tuple[Path, Path]
QUICK = Order(data=Data(training="missing.csv"))  # which ends before it trains
LONG = {"candidates": 5000}


def runs(job: Job) -> bool:
    return job.state == "running"


def test_the_same_key_and_order_make_one_job(queue: Queue) -> None:
    job, new = queue.add(Order(), "person", "monday")
    again, newer = queue.add(Order(), "person", "monday")
    assert (new, newer, again.id) == (True, False, job.id)
    with pytest.raises(OtherJob):
        queue.add(QUICK, "person", "monday")
    assert queue.add(Order(), "person", "")[0].id != queue.add(Order(), "person", "")[0].id
    assert queue.add(Order(), "verdict", "monday")[1]


def test_the_queue_is_bounded(new_queue: Callable[..., Queue]) -> None:
    queue = new_queue(queue=2)
    jobs = [queue.add(Order(), "person", str(number))[0] for number in range(2)]
    with pytest.raises(QueueFull, match="2 jobs wait"):
        queue.add(Order(), "person", "2")
    assert queue.add(Order(), "person", "1")[0].id == jobs[1].id
    queue.cancel(jobs[0].id)
    assert queue.add(Order(), "person", "2")[1]


def test_many_who_ask_at_a_time_with_one_key_get_one_job(queue: Queue) -> None:
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(queue.add(Order(), "person", "key")[0].id)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 16
    assert len(set(got)) == 1


def test_jobs_run_in_turn_and_as_many_at_a_time_as_may(queue: Queue, room: Room) -> None:
    jobs = [queue.add(order(room, **LONG), "person", "")[0] for _ in range(2)]
    until(queue, jobs[0], runs)
    assert [job.state for job in queue.store.all()] == ["queued", "running"]
    queue.cancel(jobs[0].id)
    until(queue, jobs[0], ended)
    until(queue, jobs[1], runs)
    queue.cancel(jobs[1].id)
    until(queue, jobs[1], ended)


def test_a_job_that_waits_is_cancelled_at_once(queue: Queue) -> None:
    job = queue.add(Order(), "person", "")[0]
    cancelled = queue.cancel(job.id)
    assert cancelled
    assert (cancelled.state, cancelled.why) == ("cancelled", "cancelled by a request")
    queue.look()
    assert queue.store.get(job.id) == cancelled == queue.cancel(job.id)
    assert queue.cancel("unknown") is None


def test_a_job_that_runs_is_cancelled_and_leaves_nothing(queue: Queue, room: Room) -> None:
    job = queue.add(order(room, **LONG), "person", "")[0]
    until(queue, job, lambda _: b"search" in queue.store.log(job) or queue.store.progress(job))
    queue.cancel(job.id)
    done = until(queue, job, ended)
    assert (done.state, done.why) == ("cancelled", "cancelled by a request")
    assert {path.name for path in queue.store.folder(job.id).iterdir()} == {"job.json", "log", "pid"}


@pytest.mark.parametrize("number", range(6))
def test_a_job_is_cancelled_at_whatever_moment(number: int, queue: Queue, room: Room) -> None:
    job = queue.add(order(room, **LONG), "person", "")[0]
    until(queue, job, lambda _: (queue.store.folder(job.id) / PID).read_text())
    time.sleep(0.05 * number**2)
    asked = queue.cancel(job.id)
    done = until(queue, job, ended)
    assert done.state == "cancelled"
    assert asked
    assert asked.stopping
    assert done.ended
    assert done.ended - asked.stopping < queue_module.GRACE, "it had to be killed"


def test_a_job_that_takes_too_long_is_cancelled(new_queue: Callable[..., Queue], room: Room) -> None:
    queue = new_queue(seconds=1)
    done = until(queue, queue.add(order(room, **LONG), "person", "")[0], ended)
    assert (done.state, done.why) == ("cancelled", "it took longer than 1 s")


def test_a_job_that_does_not_want_to_end_is_made_to(queue: Queue, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "GRACE", timedelta(0))
    job = queue.add(order(room, **LONG), "person", "")[0]
    until(queue, job, lambda _: queue.store.log(job) or (queue.store.folder(job.id) / "work").exists())
    number = int((queue.store.folder(job.id) / PID).read_text())
    os.killpg(number, signal.SIGSTOP)
    queue.cancel(job.id)
    assert until(queue, job, ended).state == "cancelled"


def test_a_service_that_is_started_again_finds_what_runs_what_has_ended_and_what_is_lost(
    new_queue: Callable[..., Queue], room: Room
) -> None:
    before = new_queue(running=3)
    lasting, quick, lost = (
        before.add(given, "person", "")[0] for given in (order(room, **LONG), QUICK, order(room, **LONG))
    )
    until(before, lost, lambda _: (before.store.folder(lost.id) / PID).read_text())
    until(before, lasting, lambda _: (before.store.folder(lasting.id) / PID).read_text())
    waiting = before.add(QUICK, "person", "")[0]
    os.killpg(int((before.store.folder(lost.id) / PID).read_text()), signal.SIGKILL)

    after = new_queue(running=3)
    found = until(after, lost, ended)
    assert (found.state, found.why) == ("failed", "the machine or the process ended")
    assert "gone" not in until(after, quick, ended).why
    assert until(after, waiting, ended).state == "failed"
    kept = after.store.get(lasting.id)
    assert kept
    assert kept.state == "running"
    after.cancel(lasting.id)
    assert until(after, lasting, ended).state == "cancelled"


def test_a_job_started_just_before_the_service_ended_is_not_started_twice(queue: Queue, room: Room) -> None:
    job = queue.add(order(room, **LONG), "person", "")[0]
    until(queue, job, lambda _: (queue.store.folder(job.id) / PID).read_text())
    number = (queue.store.folder(job.id) / PID).read_text()
    queue.store.write(job)  # as it was before: queued
    until(queue, job, runs)
    assert (queue.store.folder(job.id) / PID).read_text() == number
    queue.cancel(job.id)
    until(queue, job, ended)


def test_only_the_last_jobs_are_kept(new_queue: Callable[..., Queue]) -> None:
    queue = new_queue(keep=2)
    jobs = [queue.add(Order(), "person", "")[0] for _ in range(4)]
    for job in jobs[:3]:
        queue.cancel(job.id)
    queue.cancel(jobs[3].id)
    queue.look()
    assert [job.id for job in queue.store.all()] == [jobs[3].id, jobs[2].id]
    assert not (queue.store.folder(jobs[0].id) / OUT).exists()
