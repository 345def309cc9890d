"""Where a model is served, and how another is put there: a link on one machine, a Deployment in a cluster.

Either way a model is named by its version, and what can't be put live leaves live what was.
"""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from occupancy.errors import InputError
from training.loop import registry
from training.loop.journal import sync
from training.loop.settings import Common

POLL_SECONDS = 0.2
ANSWER_SECONDS = 5.0
LINK = "live"
DIGEST, LABEL, CAUSE = "OCCUPANCY_MODEL_DIGEST", "occupancy/model", "kubernetes.io/change-cause"
CONTAINER = "inference"


class NotDeployed(InputError):
    """The model could not be put live; the one before it is."""


class Unreachable(InputError):
    """What serves can't be asked or told anything."""


class Target(Protocol):
    """What serves one model."""

    def live(self) -> str:
        """Give the version of the model that is live, 12 hex digits; empty: none. Raises Unreachable."""

    def deploy(self, version: str, why: str) -> None:
        """Put a model live, and wait until it is; raises NotDeployed after having put the earlier one back."""


def target(table: Common) -> Target:
    """Choose what the settings name."""
    models = Path(table.models)
    chosen: Target = (
        Cluster(table.namespace, table.deployment, table.deploy_seconds)
        if table.target == "cluster"
        else Pointer(models, table.url, table.pid_file, table.deploy_seconds)
    )
    return registry.told(chosen, models) if table.tracker else chosen


class Pointer(NamedTuple):
    """A link, MODELS/live, to a model's folder, and a service that runs with OCCUPANCY_MODEL=MODELS/live/model.ubj."""

    models: Path
    url: str
    pid_file: str
    seconds: float

    def live(self) -> str:
        """Read the link; raises Unreachable where something else has its name."""
        link = self.models / LINK
        if link.is_symlink():
            return link.readlink().name
        if link.exists():
            raise Unreachable(f"{link} is no link to a model's folder; move it away")
        return ""

    def deploy(self, version: str, why: str) -> None:  # noqa: ARG002 -- a link has no room for a reason
        """Move the link by one rename, have the service load its model anew, and wait until it says that it has."""
        previous, answered = self.live(), self._asked()
        try:
            self._serve(version, fails_at_once=answered.ready)
        except NotDeployed as error:
            with suppress(NotDeployed):  # of the two, the first says more
                self._serve(previous, fails_at_once=False)
            raise NotDeployed(f"{version} was not put live, {previous or 'none'} is: {error}") from None
        except KeyboardInterrupt:
            self._point(previous)
            if self.pid_file:
                self._reload()
            raise

    def _serve(self, version: str, *, fails_at_once: bool) -> None:
        self._point(version)
        if self.pid_file:
            self._reload()
        if not self.url or not version:
            return
        deadline = time.monotonic() + self.seconds
        while (answer := self._asked()).version != version:
            if (fails_at_once and answer.refused) or time.monotonic() > deadline:
                raise NotDeployed(f"{self.url} {answer}{self._advice(answer)}")
            time.sleep(POLL_SECONDS)

    def _point(self, version: str) -> None:
        link, new = self.models / LINK, self.models / f".{LINK}-{os.getpid()}"
        try:
            if not version:
                link.unlink(missing_ok=True)
            else:
                new.unlink(missing_ok=True)
                new.symlink_to(version)
                new.replace(link)
            sync(self.models)  # before the journal says so
        except OSError as error:
            raise NotDeployed(f"{link} can't be written: {error.strerror}; may you write to that folder?") from None

    def _reload(self) -> None:
        try:
            number = int(Path(self.pid_file).read_text("ascii"))
            if not _serves(number):
                raise NotDeployed(f"{self.pid_file} names process {number}, which is not the service; remove the file")
            os.kill(number, signal.SIGHUP)
        except (OSError, ValueError) as error:
            raise NotDeployed(
                f"{self.pid_file} names no process that can be told ({error}); "
                "is the service running, with OCCUPANCY_PID_FILE set to that file?"
            ) from None

    def _asked(self) -> "Answer":
        """Ask the service which model it serves; one that can't be asked is told as such."""
        if not self.url:
            return Answer()
        request = urllib.request.Request(self.url.rstrip("/") + "/readyz")  # noqa: S310 -- the user's own address
        try:
            with _DIRECT.open(request, timeout=ANSWER_SECONDS) as response:
                return Answer(version=str(json.load(response)["model_version"]))
        except urllib.error.HTTPError as error:
            with error, suppress(ValueError):
                return Answer(refused=str(json.load(error).get("detail")))
            return Answer(said=f"answers with status {error.code}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Answer(said=f"does not answer ({error})")

    def _advice(self, answer: "Answer") -> str:
        if "expected" in answer.refused:
            return f"; a service whose model a link names is to run without {DIGEST}"
        if answer.version and not self.pid_file:
            return "; it was not told to load it: name its OCCUPANCY_PID_FILE in LOOP_PID_FILE, too"
        if answer.version:
            return f"; does it run with OCCUPANCY_MODEL={self.models / LINK / 'model.ubj'}?"
        return ""


class Answer(NamedTuple):
    """What a service says: the model it serves, or why it serves none, or how it fails to answer."""

    version: str = ""
    refused: str = ""
    said: str = ""

    @property
    def ready(self) -> bool:
        """Whether it serves any model."""
        return bool(self.version)

    def __str__(self) -> str:
        if self.version:
            return f"still serves {self.version}"
        return f"serves no model: {self.refused}" if self.refused else self.said


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Cluster:
    """A Deployment in Kubernetes whose pods take their model from a shared volume, by its version.

    Reached by KUBECONFIG, or from inside by the pod's service account, which may get and patch that Deployment.
    """

    def __init__(self, namespace: str, deployment: str, seconds: float) -> None:
        """Find the cluster; raises Unreachable."""
        from kubernetes import client, config  # noqa: PLC0415 -- a laptop needs none

        try:
            config.load_incluster_config()  # type: ignore[no-untyped-call]
        except config.ConfigException:  # its load_config, which tries both, prints among our records
            try:
                config.load_kube_config()  # type: ignore[no-untyped-call]
            except config.ConfigException as error:
                raise Unreachable(f"no cluster is named: {error}; set KUBECONFIG") from None
        self._api, self._failed = client.AppsV1Api(), (client.ApiException, OSError, _http_errors())
        self.namespace, self.deployment, self.seconds = namespace, deployment, seconds

    def live(self) -> str:
        """Read which model the Deployment names; raises Unreachable."""
        return self._digest(self._read())[:12]

    def deploy(self, version: str, why: str) -> None:
        """Patch the Deployment and wait for the rollout; what fails, or has not rolled out in time, is patched back."""
        before = self._read()
        previous = self._digest(before)
        if not any(f"$({DIGEST})" in (variable.value or "") for variable in self._environment(before)):
            raise NotDeployed(
                f"the pods of {self} take their model from an image, not from a folder named by {DIGEST}; "
                "build the model's image and name it in your overlay"
            )
        try:
            self._roll_out(version, why)
        except BaseException as error:  # of no answer, or of a signal: the cluster may have taken the change before
            self._put_back(version, previous, str(error).partition(";")[0] or "ended by a signal")
            if not isinstance(error, NotDeployed):
                raise
            self._waited()
            raise NotDeployed(f"{version} was not put live, {previous[:12]} is: {error}") from None

    def _roll_out(self, version: str, why: str) -> None:
        self._patch(version, why)
        if lacks := self._waited():
            raise NotDeployed(
                f"after {self.seconds:g} s {lacks}; is the model in the pods' volume? "
                f"`kubectl -n {self.namespace} get events` tells more"
            )

    def _put_back(self, version: str, previous: str, why: str) -> None:
        """Have the Deployment name what it named before, asked again and again; raises NotDeployed where that fails, too."""
        deadline = time.monotonic() + self.seconds
        while hindered := self._hindered(previous, f"back from {version}: {why}"):
            if time.monotonic() > deadline:
                raise NotDeployed(
                    f"{why}; and {version} may be live, for {previous[:12]} can't be put back: {hindered}"
                )
            time.sleep(POLL_SECONDS)

    def _hindered(self, version: str, why: str) -> str:
        """Have the Deployment name a model if it does not; says what hinders that."""
        try:
            if self._digest(self._read()) != version:
                self._patch(version, why)
        except (Unreachable, NotDeployed) as error:
            return str(error)
        return ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.deployment}"

    def _read(self) -> Any:
        try:
            return self._api.read_namespaced_deployment(
                self.deployment, self.namespace, _request_timeout=ANSWER_SECONDS
            )
        except self._failed as error:
            raise Unreachable(f"Deployment {self} can't be read: {_reason(error)}") from None

    def _environment(self, found: Any) -> list[Any]:
        for container in found.spec.template.spec.containers:
            if container.name == CONTAINER:
                return list(container.env or [])
        raise Unreachable(f"Deployment {self} has no container named {CONTAINER}")

    def _digest(self, found: Any) -> str:
        return next((each.value or "" for each in self._environment(found) if each.name == DIGEST), "")

    def _patch(self, version: str, why: str) -> None:
        container = {"name": CONTAINER, "env": [{"name": DIGEST, "value": version}]}
        template = {"metadata": {"labels": {LABEL: version[:12]}}, "spec": {"containers": [container]}}
        body = {"metadata": {"annotations": {CAUSE: why}}, "spec": {"template": template}}
        try:
            self._api.patch_namespaced_deployment(
                self.deployment, self.namespace, body, _request_timeout=ANSWER_SECONDS
            )
        except self._failed as error:
            raise NotDeployed(f"Deployment {self} can't be changed: {_reason(error)}") from None

    def _waited(self) -> str:
        """Wait until all pods are of the newest kind and available; says what lacks where that takes too long."""
        deadline = time.monotonic() + self.seconds
        while lacks := self._lacks():
            if time.monotonic() > deadline:
                return lacks
            time.sleep(POLL_SECONDS)
        return ""

    def _lacks(self) -> str:
        try:
            found = self._read()
        except Unreachable as error:  # a moment later it may be
            return str(error)
        wanted, status = found.spec.replicas, found.status
        updated, available = status.updated_replicas or 0, status.available_replicas or 0
        if (status.observed_generation or 0) < found.metadata.generation:
            return "the cluster has not yet seen the change"
        if updated < wanted or available < wanted or (status.replicas or 0) > updated:
            return f"{status.unavailable_replicas or 'some'} of its pods are not ready"
        return ""


def _serves(number: int) -> bool:
    """Whether a process may be the service: a file left behind may name a stranger, whom SIGHUP would end."""
    if number <= 1 or not Path("/proc/self").exists():  # where no process can be looked at, the file is believed
        return number > 1
    command = Path(f"/proc/{number}/cmdline").read_bytes()
    return b"inference" in command or b"gunicorn" in command


def _http_errors() -> type[Exception]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 -- the client lets them through

    return HTTPError


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error).partition("\n")[0]
