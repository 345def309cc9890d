import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from training.service.jobs import Job
from training.service.orders import Order
from training.service.queue import Queue
from training.service.runners import PID, Processes
from training.service.settings import Settings

TOKEN = "open sesame"


@pytest.fixture
def settings(tmp_path: Path, room: tuple[Path, Path]) -> Settings:
    """A service's settings; its data folder is the simulated room's."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return Settings(token_file=str(tmp_path / "token"), jobs=str(tmp_path / "jobs"), data=str(room[0].parent))


@pytest.fixture
def new_queue(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Queue]]:
    """Make queues of processes over one folder, as a service does that is started again; ends what they leave running."""
    monkeypatch.setenv("TRAINING_SERVICE_DATA", settings.data)
    monkeypatch.setenv("JOBS", "1")
    made = []

    def new(**changed: Any) -> Queue:
        made.append(Queue(msgspec.structs.replace(settings, **changed), Processes()))
        return made[-1]

    yield new
    for number in Path(settings.jobs).glob(f"*/{PID}"):
        with suppress(ProcessLookupError, ValueError):
            os.killpg(int(number.read_text()), signal.SIGKILL)
    for queue in made:
        for child in queue._runner._children:  # type: ignore[attr-defined]
            child.wait(30)


@pytest.fixture
def queue(new_queue: Callable[..., Queue]) -> Queue:
    return new_queue()


def order(room: tuple[Path, Path], **settings: Any) -> Order:
    """Give an order for a small training on the simulated room, named below the data folder."""
    body = {"data": {"training": room[0].name, "test": room[1].name}, "settings": {"candidates": 2, **settings}}
    return msgspec.convert(body, Order)


def until(queue: Queue, job: Job, holds: Callable[[Job], object]) -> Job:
    """Look after the jobs until one is as wanted; gives it."""
    deadline = time.monotonic() + 300
    while True:
        queue.look()
        found = queue.store.get(job.id)
        assert found
        if holds(found):
            return found
        assert time.monotonic() < deadline, (found, queue.store.log(found))
        time.sleep(0.05)


def ended(job: Job) -> bool:
    return job.ended is not None
