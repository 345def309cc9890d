"""What a job is: a process on this machine, or a Job in a Kubernetes cluster; both run `training.service.job <folder>`."""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from occupancy.errors import InputError
from occupancy.settings import InvalidSetting
from training.service.jobs import LOG, Job
from training.service.settings import PREFIX, Settings

PID = "pid"
CLUSTER_SECONDS = 10.0


class CantStart(InputError):
    """A job can't be started, and trying again would not help."""


class Runner(Protocol):
    """Starts and ends jobs; each call may be repeated without harm, by another process too."""

    def start(self, job: Job, folder: Path) -> None:
        """Start a job, unless it runs already; raises CantStart."""

    def ended(self, job: Job, folder: Path) -> str:
        """Say why a job that was started does not run any more; nothing while it runs."""

    def cancel(self, job: Job, folder: Path, *, hard: bool) -> None:
        """Ask a job to end; `hard`: make it."""


class Processes:
    """Jobs as processes of this machine, in sessions of their own, so that they outlive the service.

    A process holds a lock on its job's file `pid` through its standard input, and so do the commands that it runs: the
    lock is free once all of them have ended, whoever started them.
    """

    def __init__(self) -> None:
        """Begin with no children."""
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, job: Job, folder: Path) -> None:  # noqa: ARG002 -- the folder says all
        """Start the command."""
        with (folder / PID).open("a+b") as lock, (folder / LOG).open("ab") as log:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # the service ended just when it had started it
                return
            command = [sys.executable, "-m", "training.service.job", str(folder)]
            child = subprocess.Popen(command, stdin=lock, stdout=log, stderr=log, start_new_session=True)  # noqa: S603 -- ours
            self._children.append(child)

    def ended(self, job: Job, folder: Path) -> str:  # noqa: ARG002
        """See whether the lock is free."""
        self._children = [child for child in self._children if child.poll() is None]
        with (folder / PID).open("a+b") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return ""
        return "the machine or the process ended"

    def cancel(self, job: Job, folder: Path, *, hard: bool) -> None:  # noqa: ARG002
        """Signal the job's process, which tells its command once however often it hears it; `hard`: kill them all."""
        number = (folder / PID).read_text("ascii")  # the process writes it first of all; until then: at the next look
        if number.isdecimal():
            group = int(number)
            with suppress(ProcessLookupError):
                if hard:
                    os.killpg(group, signal.SIGKILL)
                    return
                try:
                    os.kill(group, signal.SIGTERM)
                except ProcessLookupError:  # killed by somebody; its command runs on
                    os.killpg(group, signal.SIGTERM)


class Cluster:
    """Jobs as Kubernetes Jobs, made like the CronJob that stands for their kind, as `kubectl create job --from` does.

    So image, claims, rights, limits and deadline stand in a manifest. The Job mounts the folder of the jobs at the same path.
    """

    def __init__(self, namespace: str, templates: dict[str, str]) -> None:
        """Connect from within the cluster, or as KUBECONFIG says; `templates`: the CronJob of each kind of job."""
        from kubernetes import client, config  # noqa: PLC0415 -- it takes a second, and is for clusters only

        try:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        except config.ConfigException:
            try:
                config.load_kube_config()  # type: ignore[no-untyped-call]
            except config.ConfigException as error:
                raise InvalidSetting(f"{PREFIX}RUNNER=kubernetes: there is no cluster here: {error}") from None
        self._client, self._jobs, self._pods = client, cast(Any, client.BatchV1Api()), cast(Any, client.CoreV1Api())
        self._namespace, self._templates = namespace, templates

    def start(self, job: Job, folder: Path) -> None:
        """Create the Job."""
        cron, wait = self._templates[job.order.kind], {"_request_timeout": CLUSTER_SECONDS}
        try:
            template = self._jobs.read_namespaced_cron_job(cron, self._namespace, **wait).spec.job_template
            template.spec.backoff_limit = 0  # a second try is a person's decision
            pod = template.spec.template
            pod.spec.containers[0].args = ["training.service.job", str(folder)]
            pod.metadata.labels = {**(pod.metadata.labels or {}), "occupancy/job": job.id}
            metadata = self._client.V1ObjectMeta(name=_name(job), labels=pod.metadata.labels)
            body = self._client.V1Job(metadata=metadata, spec=template.spec)
            self._jobs.create_namespaced_job(self._namespace, body, **wait)
        except self._client.ApiException as error:
            if 400 <= error.status < 500 and error.status not in (408, 409, 429):
                raise CantStart(f"no Job like the CronJob {cron} can be made: {error.status} {error.reason}") from None
            if error.status != 409:  # it is there already: the service ended just when it had started it
                raise

    def ended(self, job: Job, folder: Path) -> str:  # noqa: ARG002
        """Ask for the Job's conditions."""
        found = self._get(job)
        if found is None:
            return "its Job is gone"
        conditions = found.status.conditions or []
        over = [each for each in conditions if each.type in ("Complete", "Failed") and each.status == "True"]
        return f"its Job ended: {over[0].reason}{self._how(job)}" if over else ""

    def _how(self, job: Job) -> str:
        """Say how its pod ended, such as for want of memory; nothing where there is no pod any more."""
        pods = self._pods.list_namespaced_pod(
            self._namespace, label_selector=f"occupancy/job={job.id}", _request_timeout=CLUSTER_SECONDS
        )
        states = [each.state.terminated for pod in pods.items for each in pod.status.container_statuses or []]
        return "".join(f": {state.reason} with exit status {state.exit_code}" for state in states if state)

    def cancel(self, job: Job, folder: Path, *, hard: bool) -> None:  # noqa: ARG002 -- the kubelet ends it, after its grace period by force
        """Delete the Job; it goes once its pod has."""
        found = self._get(job)
        if found and found.metadata.deletion_timestamp is None:
            with suppress(self._client.ApiException):  # it went by itself
                self._jobs.delete_namespaced_job(
                    _name(job), self._namespace, propagation_policy="Foreground", _request_timeout=CLUSTER_SECONDS
                )

    def _get(self, job: Job) -> Any:
        try:
            return self._jobs.read_namespaced_job(_name(job), self._namespace, _request_timeout=CLUSTER_SECONDS)
        except self._client.ApiException as error:
            if error.status == 404:
                return None
            raise


def _name(job: Job) -> str:
    return f"training-{job.id}"


def runner(settings: Settings) -> Runner:
    """Give the runner that the settings name."""
    if settings.runner == "process":
        return Processes()
    return Cluster(settings.namespace, {"training": settings.training_template, "loop": settings.loop_template})
