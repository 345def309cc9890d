"""The queue: which job waits, runs, is to end, and how it ended. Its memory is the jobs' folder, so it survives a restart."""

import logging
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from occupancy.errors import InputError
from training.service.jobs import OUT, WAITS, WORK, Job, Store
from training.service.orders import Order
from training.service.runners import CantStart, Runner
from training.service.settings import Settings

LOOK_SECONDS = 1.0
PAUSE_SECONDS = 10.0
"""Before the next look where one failed."""
GRACE = timedelta(seconds=150)
"""Between asking a job to end and making it: a deployment that the loop has begun is seen through, or taken back."""
log = logging.getLogger("training.service")


class QueueFull(InputError):
    """As many jobs wait as may."""


class OtherJob(InputError):
    """The key was used for another order."""


class Queue:
    """Takes jobs, starts them in turn, and sees how they end; `trouble` says why it can't at present."""

    def __init__(self, settings: Settings, runner: Runner) -> None:
        """Take over what an earlier service has left."""
        self.store, self._runner, self._settings = Store(Path(settings.jobs)), runner, settings
        self._wake = threading.Event()
        self.trouble = ""

    def add(self, order: Order, trigger: Literal["person", "verdict"], key: str) -> tuple[Job, bool]:
        """Queue a job, unless one has the key; gives the job and whether it is new. Raises QueueFull, OtherJob."""
        with self.store.locked():
            jobs = self.store.all()
            for job in jobs:
                if key and (job.trigger, job.key) == (trigger, key):
                    if job.order != order:
                        raise OtherJob(
                            "this Idempotency-Key came with another body before; use a new one for a new job"
                        )
                    return job, False
            if sum(job.state == "queued" for job in jobs) >= self._settings.queue:
                raise QueueFull(f"{self._settings.queue} jobs wait; cancel one, or come again")
            job = self.store.add(order, trigger, key)
        self._wake.set()
        return job, True

    def cancel(self, job_id: str) -> Job | None:
        """End a job that waits, ask one that runs to end, leave one that has ended; gives the job, None if there is none."""
        with self.store.locked():
            job = self.store.get(job_id)
            if job and job.state == "queued":
                job.state, job.why, job.ended = "cancelled", "cancelled by a request", _now()
                self.store.write(job)
            elif job and job.state == "running" and not job.stopping:
                self._stop(job, "cancelled by a request")
        self._wake.set()
        return job

    def serve(self, stop: threading.Event) -> None:
        """Look after the jobs until told to stop."""
        while not stop.is_set():
            try:
                self.look()
                self.trouble = ""
            except Exception as error:  # such as a cluster that does not answer: jobs wait for it
                if not self.trouble:
                    log.exception("jobs can't be looked after; trying again")
                self.trouble = type(error).__name__
            self._wake.wait(PAUSE_SECONDS if self.trouble else LOOK_SECONDS)
            self._wake.clear()

    def look(self) -> None:
        """See which jobs have ended, start those whose turn it is, and delete the oldest."""
        with self.store.locked():
            jobs = self.store.all()
            for job in jobs:
                if job.state == "running":
                    self._attend(job)
            free = self._settings.running - sum(job.state == "running" for job in jobs)
            for job in [job for job in reversed(jobs) if job.state == "queued"][: max(0, free)]:
                self._start(job)
            for job in [job for job in jobs if job.state not in WAITS][self._settings.keep :]:
                self.store.remove(job)

    def _start(self, job: Job) -> None:
        try:
            self._runner.start(job, self.store.folder(job.id))
            job.state, job.started = "running", _now()
        except CantStart as error:
            job.state, job.why, job.ended = "failed", str(error), _now()
        self.store.write(job)

    def _attend(self, job: Job) -> None:
        folder = self.store.folder(job.id)
        if ended := self._runner.ended(job, folder):
            self._settle(job, ended)
        elif job.stopping:
            self._runner.cancel(job, folder, hard=_now() > job.stopping + GRACE)
        elif job.started and _now() > job.started + timedelta(seconds=self._settings.seconds):
            self._stop(job, f"it took longer than {self._settings.seconds} s")

    def _stop(self, job: Job, why: str) -> None:
        job.stopping, job.why = _now(), why
        self.store.write(job)

    def _settle(self, job: Job, ended: str) -> None:
        """Write how a job ended: as its process says, unless it was ended before it could."""
        result = self.store.result(job)
        for left in (WORK,) if result else (WORK, OUT):  # of a process that was killed
            shutil.rmtree(self.store.folder(job.id) / left, ignore_errors=True)
        if result and not (job.stopping and result.state == "failed"):
            job.state, job.why, job.status = result.state, result.why, result.status
            job.version, job.sha256 = result.version, result.sha256
        elif job.stopping:
            job.state = "cancelled"
        else:
            job.state, job.why = "failed", ended
        job.ended = _now()
        self.store.write(job)


def _now() -> datetime:
    return datetime.now(UTC)
