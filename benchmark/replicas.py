"""The burst: 100 readings sent nearly at once to 1, 2 and 3 replicas, beside the least time that they can take.

Each reading comes on a connection of its own, since a kept-alive one stays with one pod. With a delay D of each answer
and a replica that answers one at a time, N replicas need at least D x ceil(100 / N). Answers are counted by pod (an id
begins with the process that gave it) and held to what the model says. It fails when one pod of several took all, an
answer is wrong or missing, or the client itself is what limits.
"""

import json
import math
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import vl_convert
from msgspec import Meta
from numpy.typing import NDArray
from scipy import stats

from benchmark import traffic
from benchmark.cluster import ClusterFailed, Replicas, address_of, awaited
from benchmark.drift_tables import markdown
from benchmark.peers.server import ROOT, answers, free_ports
from occupancy import settings
from occupancy.errors import InputError
from occupancy.progress import Progress
from occupancy.reading import NAMES
from occupancy.report import Table
from occupancy.simulate import simulate

TOLERANCE = 1e-5  # between a reading alone and the same among others
CALM_SECONDS = 4.0  # a pod that has just come or gone keeps its node busy for a while
CLIENT_SHARE = 0.5  # of a burst, at most: the client's computing, and its own burst at a server that does nothing


class Settings(msgspec.Struct, frozen=True):
    """What `python -m benchmark replicas` can be told."""

    namespace: Annotated[str, Meta(min_length=1, description="where the Deployment `inference` is")] = "occupancy"
    url: Annotated[str, Meta(description="where to send; empty: the NodePort of the Service `inference`")] = ""
    name: Annotated[str, Meta(min_length=1, description="what to call this configuration")] = "plain Service"
    replicas: Annotated[str, Meta(pattern=r"^[1-9]\d*(,[1-9]\d*)*$", description="how many, one after another")] = (
        "1,2,3"
    )
    readings: Annotated[int, Meta(ge=2, le=1000, description="readings in a burst")] = 100
    rounds: Annotated[int, Meta(ge=1, description="how often, alternating")] = 5
    save_path: Annotated[
        str, Meta(min_length=1, description="folder for the picture and the bursts; those of other names stay")
    ] = "out/replicas"


class Burst(msgspec.Struct, frozen=True):
    """What became of one burst."""

    name: str
    replicas: int
    limit: float
    """seconds that it takes at least"""
    seconds: float
    shares: list[int]
    """answers of each pod, the largest first"""
    lost: int
    """requests without an answer of status 200"""
    wrong: int
    latencies: list[float]
    cpu_share: float
    """of the client: its CPU time / the duration"""

    @property
    def ratio(self) -> float:
        """1 is the limit itself."""
        return self.limit / self.seconds


def main(argv: list[str]) -> int:
    """Measure, print the tables, draw the picture; 1 when a burst shows nothing, or something wrong."""
    try:
        chosen = settings.read(Settings, prog="benchmark replicas", argv=argv, environ={}, about=__doc__ or "")
        own = own_seconds(chosen.readings)
        replicas = Replicas(chosen.namespace)
        bursts = measure(chosen, replicas)
        print(
            f"Nodes with {replicas.cores()} cores; {chosen.name}; {chosen.readings} readings; the client's own burst, "
            f"at a server that does nothing, takes {own:.3f} s.\n"
        )
        print(markdown(each_burst(bursts)), markdown(by_replicas(bursts)), sep="\n\n")
        save(Path(chosen.save_path), bursts)
    except InputError as error:
        print(f"benchmark replicas: {error}", file=sys.stderr)
        return 2
    found = [fault for burst in bursts for fault in faults(burst, own)]
    for what in found:
        print(what, file=sys.stderr)
    return 1 if found else 0


def measure(chosen: Settings, replicas: Replicas) -> list[Burst]:
    """Scale, wait until each pod answers, fire; another count each time, since a machine has its moods."""
    address = address_of(chosen.url) if chosen.url else replicas.address()
    served = replicas.settings()
    if not served.delay:
        what = f"kubectl --namespace {chosen.namespace} set env deployment/inference"
        raise ClusterFailed(
            f"nothing waits in a replica, so there is no limit to hold it to: {what} OCCUPANCY_DELAY=0.1"
        )
    readings = some_readings(chosen.readings)
    requests = [traffic.request(address, "/predict", json.dumps(reading).encode()) for reading in readings]
    counts = [int(count) for count in chosen.replicas.split(",")]
    bursts = []
    with Progress("replicas", chosen.rounds * len(counts), "bursts") as progress, replicas.restored():
        for _ in range(chosen.rounds):
            for count in counts:
                replicas.scale(count)
                everyone_answers(address, requests, count)
                time.sleep(CALM_SECONDS)
                at_a_time = served.concurrency * count or chosen.readings
                limit = served.delay * math.ceil(chosen.readings / at_a_time)
                expected = dict(zip(requests, at_once(address, readings), strict=True))
                outcome = traffic.closed(address, requests, len(requests), count=len(requests), fresh=True, keep=True)
                bursts.append(judged(chosen.name, count, limit, outcome, readings=len(requests), expected=expected))
                progress.advance()
    return bursts


def some_readings(count: int) -> list[dict[str, float]]:
    """Simulate readings."""
    rows = simulate(days=1, seed=0)[list(NAMES)][-count:].round(6).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def at_once(address: traffic.Address, readings: Sequence[dict[str, float]]) -> list[float]:
    """Ask for all in one body: one pod, and XGBoost itself instead of the service's own walk through its trees."""
    try:
        status, body = traffic.once(address, traffic.request(address, "/predict", json.dumps(readings).encode()))
    except (OSError, traffic.BadAnswer) as error:
        raise ClusterFailed(f"all readings in one body: {error!r}") from None
    if status != 200:
        raise ClusterFailed(f"all readings in one body: status {status}, {body[:200]!r}")
    return [each["probability"] for each in json.loads(body)]


def everyone_answers(address: traffic.Address, requests: Sequence[bytes], count: int) -> None:
    """Wait until answers come from so many processes and no other; raises ClusterFailed."""

    def all_do() -> bool:
        few = 8 * count  # chance leaves one of three out once in 5,000 times, then it asks again
        outcome = traffic.closed(address, requests, few, count=few, fresh=True, keep=True)
        return (
            outcome.statuses == {200: few}
            and len(processes(json.loads(body)["id"] for _, body in outcome.answers)) == count
        )

    awaited(f"answers of {count} pods at {address[0]}:{address[1]}", all_do)


def processes(ids: Iterable[str]) -> Counter[str]:
    """Count answers by the process that gave them, so by pod: an id is <boot>-<number>."""
    return Counter(each.rpartition("-")[0] for each in ids)


def judged(
    name: str, count: int, limit: float, outcome: traffic.Outcome, *, readings: int, expected: dict[bytes, float]
) -> Burst:
    """Count a burst's answers and hold them to what is expected of each."""
    given = [(sent, json.loads(body)) for sent, body in outcome.answers if b'"probability"' in body]
    return Burst(
        name,
        count,
        limit,
        outcome.seconds,
        shares=sorted(processes(answer["id"] for _, answer in given).values(), reverse=True),
        lost=readings - len(given),
        wrong=sum(abs(answer["probability"] - expected[sent]) > TOLERANCE for sent, answer in given),
        latencies=sorted(outcome.latencies),
        cpu_share=outcome.cpu_seconds / outcome.seconds,
    )


def own_seconds(count: int) -> float:
    """Time the client's own burst, at a server that does nothing: the median of five."""
    address = ("127.0.0.1", next(free_ports()))
    request = traffic.request(address, "/predict", b"{}")
    with subprocess.Popen([sys.executable, "-m", "benchmark.peers.bare_socket", str(address[1])], cwd=ROOT) as server:
        try:
            awaited("a server on this machine", lambda: answers(address, request))
            bursts = [traffic.closed(address, [request], count, count=count, fresh=True) for _ in range(5)]
        finally:
            server.terminate()
    return statistics.median(each.seconds for each in bursts)


def faults(burst: Burst, own: float) -> list[str]:
    """Say what of a burst shows nothing, or something wrong; `own`: seconds of the client's own burst."""
    said = {
        f"{burst.lost} readings had no answer": burst.lost,
        f"{burst.wrong} answers differ from the model's": burst.wrong,
        "one pod took all: the connections were not fresh, or went to a pod instead of the Service": burst.replicas > 1
        and len(burst.shares) == 1,
        f"the client computed {burst.cpu_share:.0%} of the time: it has measured itself": burst.cpu_share
        > CLIENT_SHARE,
        f"the client's own burst takes {own:.3f} s of {burst.seconds:.3f}": own > CLIENT_SHARE * burst.seconds,
    }
    return [f"{burst.name}, {burst.replicas} replicas: {what}" for what, so in said.items() if so]


def largest(readings: int, replicas: int) -> NDArray[np.float64]:
    """Give the probability that no pod gets more than 0, 1, 2, ... readings, when each reading picks one at random.

    Counts in N boxes are N independent Poisson counts, given their sum: so cut off each at the bound, add them up, and see
    how much less probable that sum has become.
    """
    one = stats.poisson(readings / replicas).pmf(np.arange(readings + 1))
    within = []
    for bound in range(readings + 1):
        total = np.ones(1)
        for _ in range(replicas):
            total = np.convolve(total, one[: bound + 1])[: readings + 1]
        within.append(total[readings] if len(total) > readings else 0.0)
    chances: NDArray[np.float64] = np.array(within) / stats.poisson(readings).pmf(readings)
    return chances


def by_chance(readings: int, replicas: int) -> tuple[float, int, int]:
    """Give the mean of the largest share, and the bounds that it keeps nine times in ten.

    >>> by_chance(100, 1)
    (100.0, 100, 100)
    """
    within = largest(readings, replicas)
    mean = float(np.sum(1 - within))  # of a count: the sum of the chances to exceed 0, 1, 2, ...
    return round(mean, 2), int(np.argmax(within >= 0.05)), int(np.argmax(within >= 0.95))


def each_burst(bursts: Sequence[Burst]) -> Table:
    """Give a row a burst."""
    rows = []
    for each in bursts:
        percentiles = (f"{np.quantile(each.latencies, share):.2f}" for share in (0.5, 0.9, 0.99, 1))
        cells = (f"{each.seconds:.3f}", f"{each.ratio:.3f}", " / ".join(map(str, each.shares)))
        rows.append((each.replicas, *cells, " / ".join(percentiles), each.lost, each.wrong, f"{each.cpu_share:.0%}"))
    columns = ["replicas", "seconds", "limit / seconds", "answers by pod", "latency p50 / p90 / p99 / max in s"]
    return Table([*columns, "no answer", "wrong", "client's CPU"], rows)


def by_replicas(bursts: Sequence[Burst]) -> Table:
    """Give a row a number of replicas."""
    rows = []
    for count in sorted({each.replicas for each in bursts}):
        of_count = [each for each in bursts if each.replicas == count]
        seconds, ratios = [each.seconds for each in of_count], [each.ratio for each in of_count]
        shares = [max(each.shares, default=0) for each in of_count]
        mean, low, high = by_chance(sum(of_count[0].shares) + of_count[0].lost, count)
        rows.append(
            (
                count,
                f"{of_count[0].limit:.1f}",
                f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
                f"{statistics.median(ratios):.3f}",
                f"{statistics.mean(shares):.1f} ({min(shares)} to {max(shares)})",
                f"{mean:.1f} ({low} to {high})",
            )
        )
    columns = ["replicas", "limit in s", "seconds, median (range)", "limit / seconds", "largest share, mean (range)"]
    return Table([*columns, "expected of chance (nine in ten)"], rows)


def save(folder: Path, bursts: Sequence[Burst]) -> None:
    """Keep the bursts, and draw them beside those of other configurations that are kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{bursts[0].name}.json").write_bytes(msgspec.json.encode(bursts))
    kept = [
        each
        for path in sorted(folder.glob("*.json"))
        for each in msgspec.json.decode(path.read_bytes(), type=list[Burst])
    ]
    (folder / "replicas.png").write_bytes(vl_convert.vegalite_to_png(picture(kept), scale=2))
    print(f"\n{folder / 'replicas.png'} shows it")


def picture(bursts: Sequence[Burst]) -> dict[str, Any]:
    """Draw each burst as a point, the limit as a line, by replicas and configuration."""
    rows = [{"name": b.name, "replicas": b.replicas, "seconds": b.seconds, "limit": b.limit} for b in bursts]
    x = {"field": "name", "type": "nominal", "title": None, "axis": {"labels": False, "ticks": False}}
    scale = {"domain": [0, max(max(b.seconds, b.limit) for b in bursts) * 1.05]}
    y = {"type": "quantitative", "scale": scale, "title": "seconds for all answers; line: the limit"}
    colour = {"field": "name", "type": "nominal", "title": None, "legend": {"orient": "top"}}
    return {
        "data": {"values": rows},
        "background": "white",
        "facet": {
            "column": {
                "field": "replicas",
                "type": "ordinal",
                "header": {"labelExpr": "'replicas: ' + datum.value", "title": None},
            }
        },
        "spec": {
            "width": 160,
            "height": 260,
            "encoding": {"x": x},
            "layer": [
                {
                    "mark": {"type": "tick", "color": "black", "thickness": 2, "width": 30},
                    "encoding": {"y": {**y, "field": "limit"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 60},
                    "encoding": {"y": {**y, "field": "seconds"}, "color": colour},
                },
            ],
        },
    }
