"""A Deployment on a cluster, by kubectl: scaled, waited for, looked into. KUBECONFIG says which cluster."""

import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmark.traffic import Address
from inference import settings
from inference.settings import PREFIX
from occupancy.errors import InputError

READY_SECONDS = 180  # for an image that is there; and for a replica that leaves to end
ASK_AGAIN_SECONDS = 0.5


class ClusterFailed(InputError):
    """What the cluster was asked for did not come about; the text is kubectl's own, or says what was awaited."""


class BadUrl(InputError):
    """A URL that the load generator can't speak with."""


@dataclass(frozen=True)
class Usage:
    """What one replica has used so far."""

    cpu_seconds: float
    memory_bytes: int
    """its working set: what its memory limit is compared with"""


def kubectl(*arguments: str) -> str:
    """Run kubectl and give what it prints; raises ClusterFailed."""
    try:
        return subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise ClusterFailed("kubectl is not on the PATH: https://kubernetes.io/docs/tasks/tools") from None
    except subprocess.CalledProcessError as error:
        raise ClusterFailed(f"kubectl {' '.join(arguments)}: {error.stderr.strip()}") from None


def address_of(url: str) -> Address:
    """Give host and port of a plain http URL without a path; raises BadUrl."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise BadUrl(f"{url!r}: Expected a URL such as http://192.168.49.2:30080")
    return parts.hostname, parts.port or 80


@dataclass(frozen=True)
class Replicas:
    """The pods of one Deployment that serves the model."""

    namespace: str
    name: str = "inference"

    def get(self, *what: str) -> Any:
        """Give an object, or a list of them, as the API has it."""
        return json.loads(kubectl("--namespace", self.namespace, "get", *what, "--output=json"))

    def count(self) -> int:
        """Tell how many there are to be."""
        return int(self.get("deployment", self.name)["spec"]["replicas"])

    def pods(self) -> list[Any]:
        """List those that exist, those that end among them."""
        wanted = self.get("deployment", self.name)["spec"]["selector"]["matchLabels"]
        return list(self.get("pods", "--selector=" + ",".join(f"{k}={v}" for k, v in wanted.items()))["items"])

    def scale(self, count: int) -> None:
        """Have so many, no other one on its way out, and every Service that names one naming all; raises ClusterFailed."""
        kubectl("--namespace", self.namespace, "scale", f"--replicas={count}", f"deployment/{self.name}")
        rollout = ("rollout", "status", f"--timeout={READY_SECONDS}s", f"deployment/{self.name}")
        kubectl("--namespace", self.namespace, *rollout)
        slices = "endpointslices.discovery.k8s.io"
        awaited(
            f"{count} ready addresses in the EndpointSlices of {self.name}",
            lambda: are_named(self.pods(), self.get(slices)["items"], count),
        )

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Leave as many as there were."""
        before = self.count()
        try:
            yield
        finally:
            kubectl("--namespace", self.namespace, "scale", f"--replicas={before}", f"deployment/{self.name}")

    def settings(self) -> settings.Settings:
        """Read the service's settings where it runs, wherever its manifest took them from."""
        lines = kubectl("--namespace", self.namespace, "exec", f"deployment/{self.name}", "--", "printenv").splitlines()
        pairs = dict(line.split("=", 1) for line in lines if line.startswith(PREFIX))
        # of the table only what matters here: another version of the service may have other settings
        names = {PREFIX + name.upper() for name in ("concurrency", "delay")}
        return settings.from_environment({name: value for name, value in pairs.items() if name in names})

    def usage(self) -> dict[str, Usage]:
        """Tell by pod what was used: CPU as the service itself counts it, memory as its node's kubelet does."""
        found = {}
        for pod in filter(_is_ready, self.pods()):
            name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
            metrics = kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{name}:8080/proxy/metrics")
            seconds = re.search(r"^process_cpu_seconds_total (\S+)$", metrics, re.MULTILINE)
            summary = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
            memory = [each["memory"] for each in summary["pods"] if each["podRef"]["name"] == name]
            if seconds and memory:
                found[name] = Usage(float(seconds[1]), memory[0]["workingSetBytes"])
        return found

    def address(self) -> Address:
        """Find the NodePort of the Service of the same name on a node; raises ClusterFailed."""
        ports = [port.get("nodePort") for port in self.get("service", self.name)["spec"]["ports"]]
        if not ports[0]:
            raise ClusterFailed(f"the Service {self.name} has no NodePort: give --url")
        nodes = json.loads(kubectl("get", "nodes", "--output=json"))["items"]
        hosts = [each["address"] for each in nodes[0]["status"]["addresses"] if each["type"] == "InternalIP"]
        return hosts[0], ports[0]

    def cores(self) -> str:
        """Tell how many cores the nodes have."""
        nodes = json.loads(kubectl("get", "nodes", "--output=json"))["items"]
        return " + ".join(each["status"]["capacity"]["cpu"] for each in nodes)


def awaited(what: str, holds: Callable[[], bool]) -> None:
    """Ask again until it holds; raises ClusterFailed."""
    until = time.monotonic() + READY_SECONDS
    while not holds():
        if time.monotonic() > until:
            raise ClusterFailed(f"waited {READY_SECONDS} s in vain for {what}")
        time.sleep(ASK_AGAIN_SECONDS)


def are_named(pods: list[Any], slices: list[Any], count: int) -> bool:
    """Tell whether there are so many pods, all ready, and each Service that names one of them names them all."""
    ready = {pod["metadata"]["name"] for pod in pods if _is_ready(pod)}
    named = defaultdict(set)
    for each in slices:
        for endpoint in each.get("endpoints") or []:
            if endpoint["conditions"].get("ready"):
                service = each["metadata"]["labels"]["kubernetes.io/service-name"]
                named[service].add(endpoint.get("targetRef", {}).get("name"))
    ours = [names for names in named.values() if names & ready]
    return len(pods) == len(ready) == count and bool(ours) and all(names == ready for names in ours)


def _is_ready(pod: Any) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
