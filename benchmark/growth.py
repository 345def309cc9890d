"""What a replica adds and what it costs: answers a second of 1, 2, 4 and 8 replicas, CPU and memory of each.

Replicas that wait (a delay in each answer, one at a time) can be counted on few cores; replicas that compute can't do more
than the cores do. Connections are fresh, some for each replica, and each asks again as soon as it is answered.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from benchmark import traffic
from benchmark.cluster import ClusterFailed, Replicas, Usage, address_of, awaited
from benchmark.drift_tables import markdown
from benchmark.replicas import CLIENT_SHARE, everyone_answers, some_readings
from occupancy import settings
from occupancy.errors import InputError
from occupancy.progress import Progress
from occupancy.report import Table


class Settings(msgspec.Struct, frozen=True):
    """What `python -m benchmark growth` can be told."""

    namespace: Annotated[str, Meta(min_length=1, description="where the Deployment `inference` is")] = "occupancy"
    url: Annotated[str, Meta(description="where to send; empty: the NodePort of the Service `inference`")] = ""
    replicas: Annotated[str, Meta(pattern=r"^[1-9]\d*(,[1-9]\d*)*$", description="how many, one after another")] = (
        "1,2,4,8"
    )
    seconds: Annotated[float, Meta(gt=0, description="how long each is measured")] = 20.0
    connections: Annotated[int, Meta(ge=1, description="at a time, for each replica")] = 8


class Size(NamedTuple):
    """What so many replicas did."""

    replicas: int
    rate: float
    """answers a second"""
    lost: int
    cpu_ms: float
    """for an answer, of the replica's process"""
    cores: float
    """of one replica, on average"""
    memory_mb: list[float]
    client: float
    """share of a core that the client used"""


def main(argv: list[str]) -> int:
    """Measure each size and print the table; 1 when an answer was missing, or the client was what limits."""
    try:
        chosen = settings.read(Settings, prog="benchmark growth", argv=argv, environ={}, about=__doc__ or "")
        replicas = Replicas(chosen.namespace)
        counts = [int(count) for count in chosen.replicas.split(",")]
        with Progress("growth", len(counts), "sizes") as progress, replicas.restored():
            sizes = []
            for count in counts:
                sizes.append(measure(chosen, replicas, count))
                progress.advance()
        served = replicas.settings()
        print(f"Nodes with {replicas.cores()} cores; each answer waits {served.delay:g} s, "
              f"{served.concurrency or 'any number'} at a time in a replica.\n")  # fmt: skip
        print(markdown(table(sizes)))
    except InputError as error:
        print(f"benchmark growth: {error}", file=sys.stderr)
        return 2
    return 1 if any(size.lost or size.client > CLIENT_SHARE for size in sizes) else 0


def measure(chosen: Settings, replicas: Replicas, count: int) -> Size:
    """Scale, wait until each pod answers, keep them busy; what they used is the difference of before and after."""
    address = address_of(chosen.url) if chosen.url else replicas.address()
    requests = [traffic.request(address, "/predict", json.dumps(each).encode()) for each in some_readings(100)]
    replicas.scale(count)
    everyone_answers(address, requests, count)
    before = replicas.usage()
    outcome = traffic.closed(address, requests, chosen.connections * count, seconds=chosen.seconds, fresh=True)
    after: dict[str, Usage] = {}

    def weighed() -> bool:  # a kubelet looks at a new container's memory some seconds late
        after.clear()
        after.update(replicas.usage())
        return all(each.memory_bytes for each in after.values())

    awaited("the memory of each replica in the kubelet's figures", weighed)
    if before.keys() != after.keys():
        raise ClusterFailed("a replica was replaced while it was measured: run it again")
    cpu = sum(after[pod].cpu_seconds - before[pod].cpu_seconds for pod in after)
    return Size(
        count,
        outcome.rate,
        sum(outcome.errors.values()) + len(outcome.latencies) - outcome.statuses[200],
        cpu_ms=1000 * cpu / max(1, len(outcome.latencies)),
        cores=cpu / outcome.seconds / count,
        memory_mb=sorted(each.memory_bytes / 1e6 for each in after.values()),
        client=outcome.cpu_seconds / outcome.seconds,
    )


def table(sizes: Sequence[Size]) -> Table:
    """Give a row a size; the first is what the others are multiples of."""
    rows = [
        (
            size.replicas,
            f"{size.rate:.1f}",
            f"{size.rate / sizes[0].rate * sizes[0].replicas:.2f}",
            f"{size.cpu_ms:.1f}",
            f"{1000 * size.cores:.0f}",
            f"{statistics.median(size.memory_mb):.0f} ({size.memory_mb[0]:.0f} to {size.memory_mb[-1]:.0f})",
            size.lost,
            f"{size.client:.0%}",
        )
        for size in sizes
    ]
    columns = ["replicas", "answers/s", "times one replica", "CPU ms an answer", "CPU of a replica, millicores"]
    return Table([*columns, "memory of a replica, MB: median (range)", "no answer", "client's CPU"], rows)
