"""Serving: requests a second of one process on one core, beside an empty Flask handler, FastAPI and MLServer, in one run.

The load generator has another core. Rounds alternate, so that what else the machine does hits all alike; each round gives
one ratio, and what is printed is their median and range; µs are those of the machine. Every contender's answers are
checked before it is timed. Then ours alone: latency at half of its throughput, bodies of many readings, records, start,
memory. It needs Linux.
"""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import msgspec
import numpy as np
import xgboost
from msgspec import Meta

from benchmark import traffic
from benchmark.peers.contenders import (
    FASTAPI,
    LIMIT,
    MLSERVER,
    OURS,
    UNIT,
    Contender,
    Reading,
    contenders,
    missing,
    service,
)
from benchmark.peers.image import Started, start_image
from benchmark.peers.server import Server, free_ports, pinned, running
from inference.settings import PREFIX, SHIPPED_MODEL
from occupancy import settings
from occupancy.errors import InputError
from occupancy.progress import Progress
from occupancy.reading import NAMES
from occupancy.simulate import simulate

TOLERANCE = 1e-5  # between two programs that score in float32
READINGS = 100  # different ones, sent in turn
WARM_UP_SECONDS = 0.5
FASTER = {UNIT: 1.15, FASTAPI: 1.9, MLSERVER: 4.0}  # targets: how many times their throughput ours is to have
AT_HALF_LOAD = (
    OURS,
    UNIT,
    LIMIT,
)  # the others show what of a latency is the web server's, and, at ours' rate, the machine's
QUIET = 0.9  # a server that gets less of its core shares it with something else
TAIL, START_SECONDS, MEMORY_MB = 3.0, 0.5, 90.0  # targets: at most


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings."""

    rounds: Annotated[int, Meta(ge=1, description="how often each is measured, alternating")] = 7
    seconds: Annotated[float, Meta(gt=0, description="how long one measurement takes")] = 2.0
    connections: Annotated[int, Meta(ge=1, description="kept-alive connections")] = 16
    batch: Annotated[int, Meta(ge=1, le=1000, description="readings in the body of a batch")] = 1000
    image: Annotated[str, Meta(description="an image of the service to start and weigh as well; empty: none")] = ""


class WrongAnswer(InputError):
    """A contender did not answer, or not what the model says."""


class Known(NamedTuple):
    """Readings, and the probabilities that XGBoost itself gives them."""

    readings: list[Reading]
    probabilities: list[float]


class Window(NamedTuple):
    """One measurement of one server."""

    rate: float
    """answers a second"""
    cpu_us: float
    """what the server's processes used for an answer"""
    busy: float
    """share of its core that the server used"""
    generator: float
    """share of its own core that the load generator used"""


@dataclass
class Results:
    """All that was measured, a value a round."""

    windows: dict[str, list[Window]] = field(default_factory=lambda: defaultdict(list))
    batches: list[Window] = field(default_factory=list)
    half: dict[str, list[tuple[float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    """requests a second, median and 99th percentile of the latency in seconds"""
    starts: list[tuple[float, float]] = field(default_factory=list)
    """seconds, MB"""
    images: list[Started] = field(default_factory=list)
    kept: dict[int, float] = field(default_factory=dict)
    """by readings in a body: share of the readings answered that the prediction log has"""
    loaded: float = 0.0
    """MB of ours after all the load"""

    def ratios(self, key: str, unit: str) -> list[float]:
        """Give the throughput of one as a multiple of another's, round by round."""
        return [a.rate / b.rate for a, b in zip(self.windows[key], self.windows[unit], strict=True)]

    def thrift(self, key: str, unit: str) -> list[float]:
        """Give how many times less CPU time one needs for an answer than another, round by round."""
        return [b.cpu_us / a.cpu_us for a, b in zip(self.windows[key], self.windows[unit], strict=True)]


@dataclass
class Subject:
    """A contender that runs: its server, its requests, and how many readings it has answered."""

    contender: Contender
    server: Server
    requests: list[bytes]
    answered: int = 1  # the first one told that it was up


def main(argv: list[str]) -> int:
    """Measure and print the tables."""
    try:
        chosen = settings.read(Settings, prog="benchmark serving", argv=argv, environ={}, about=__doc__ or "")
        require_linux()
        if absent := missing():
            print(f"without {' and '.join(absent)}: `make peers` installs what is missing", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            print(run(chosen, Path(folder)))
    except InputError as error:
        print(f"benchmark serving: {error}", file=sys.stderr)
        return 2
    return 0


def require_linux() -> None:
    """Raise InputError elsewhere."""
    if sys.platform != "linux":
        raise InputError("it pins processes to cores and reads /proc: it needs Linux")


def run(chosen: Settings, folder: Path) -> str:
    """Start everything, check the answers, run all rounds; gives the tables. Raises InputError."""
    core, generator = cores()
    ports = free_ports()
    taking_part = contenders(ports, SHIPPED_MODEL, folder)
    for_batches, for_starts = service(next(ports), SHIPPED_MODEL), service(next(ports), SHIPPED_MODEL)
    known, results = some_readings(max(chosen.batch, READINGS)), Results()
    with pinned({generator}), RecordCounter() as single, RecordCounter() as many:
        with ExitStack() as stack:
            subjects = {
                c.key: stack.enter_context(serve(c, known, core, folder, single if c.key == OURS else None))
                for c in taking_part
            }
            for subject in subjects.values():
                check(subject, known)
                timed(subject, subject.requests, chosen.connections, WARM_UP_SECONDS)
            batches = stack.enter_context(serve(for_batches, known, core, folder, many))
            batches.requests = check_batch(batches, known, chosen.batch)
            with Progress(
                "serving", chosen.rounds * (len(subjects) + 2 + len(AT_HALF_LOAD)), "measurements"
            ) as progress:
                for number in range(chosen.rounds):
                    one_round(number, chosen, subjects, batches, results=results, progress=progress)
                    with serve(for_starts, known, core, folder) as started:
                        results.starts.append((started.server.start_seconds, started.server.resident_bytes() / 1e6))
                    progress.advance()
            if chosen.image:
                results.images.extend(start_image(chosen.image))
            ours = subjects[OURS]
            results.loaded = ours.server.resident_bytes() / 1e6
        results.kept = {1: single.count() / ours.answered, chosen.batch: many.count() / batches.answered}
    compared = [subject.contender for subject in subjects.values()]
    return "\n\n".join((heading(chosen, core, generator), side_by_side(compared, results), ours_alone(chosen, results)))


def one_round(
    number: int,
    chosen: Settings,
    subjects: dict[str, Subject],
    batches: Subject,
    *,
    results: Results,
    progress: Progress,
) -> None:
    """Measure each contender once, another one first in each round; then ours with batches, and at half load."""
    keys = list(subjects)
    first = number % len(keys)
    for key in keys[first:] + keys[:first]:
        subject = subjects[key]
        results.windows[key].append(timed(subject, subject.requests, chosen.connections, chosen.seconds))
        progress.advance()
    results.batches.append(timed(batches, batches.requests, chosen.connections, chosen.seconds, rows=chosen.batch))
    progress.advance()
    half = {key: results.windows[key][-1].rate / 2 for key in (OURS, UNIT)}
    for key in AT_HALF_LOAD:
        results.half[key].append(at_half_load(subjects[key], chosen, rate=half.get(key, half[OURS])))
        progress.advance()


def at_half_load(subject: Subject, chosen: Settings, rate: float) -> tuple[float, float, float]:
    """Send at a fixed rate; gives it with the median and the 99th percentile of the latency."""
    outcome = traffic.scheduled(
        subject.server.address, subject.requests, chosen.connections, rate=rate, seconds=chosen.seconds
    )
    answered(subject, outcome)
    median, tail = np.quantile(outcome.latencies, (0.5, 0.99)).tolist()
    return rate, median, tail


def timed(subject: Subject, requests: Sequence[bytes], connections: int, seconds: float, rows: int = 1) -> Window:
    """Load a server as much as it bears. Raises WrongAnswer unless each request gets 200."""
    before = subject.server.cpu_seconds()
    outcome = traffic.closed(subject.server.address, requests, connections, seconds=seconds)
    used = subject.server.cpu_seconds() - before
    answered(subject, outcome, rows)
    return Window(
        outcome.rate,
        used / len(outcome.latencies) * 1e6,
        used / outcome.seconds,
        outcome.cpu_seconds / outcome.seconds,
    )


def answered(subject: Subject, outcome: traffic.Outcome, rows: int = 1) -> None:
    """Count what was answered; raises WrongAnswer unless that is all, with 200."""
    if outcome.errors or set(outcome.statuses) != {200}:
        raise WrongAnswer(f"{subject.contender.name}: {dict(outcome.statuses)} and errors {dict(outcome.errors)}")
    subject.answered += outcome.statuses[200] * rows


# --- what is sent, and what must come back


def some_readings(count: int) -> Known:
    """Simulate readings, all sensors in each, so that every contender gets the same."""
    frame = simulate(days=1, seed=0)[list(NAMES)][-count:].round(6)
    booster = xgboost.Booster(model_file=SHIPPED_MODEL)
    probabilities = booster.inplace_predict(frame.to_numpy(np.float32), validate_features=False)
    return Known([{str(k): v for k, v in row.items()} for row in frame.to_dict("records")], probabilities.tolist())


def check(subject: Subject, known: Known) -> None:
    """Ask for each reading once; raises WrongAnswer unless the answers have the model's probabilities."""
    for sent, expected in zip(subject.requests, known.probabilities, strict=False):
        answer = ask(subject, sent)
        if subject.contender.probability:
            compare(subject, [subject.contender.probability(answer)], [expected])


def check_batch(subject: Subject, known: Known, size: int) -> list[bytes]:
    """Make the request of a batch, once its answer has been checked."""
    body = json.dumps(known.readings[:size]).encode()
    sent = traffic.request(subject.server.address, subject.contender.path, body)
    given = [float(answer["probability"]) for answer in ask(subject, sent, rows=size)]
    compare(subject, given, known.probabilities[:size])
    return [sent]


def ask(subject: Subject, sent: bytes, rows: int = 1) -> Any:
    """Send one request and decode its answer; raises WrongAnswer unless it is 200."""
    status, body = traffic.once(subject.server.address, sent)
    if status != 200:
        raise WrongAnswer(f"{subject.contender.name} answers {status}: {body[:500]!r}")
    subject.answered += rows
    return json.loads(body)


def compare(subject: Subject, given: Sequence[float], expected: Sequence[float]) -> None:
    """Raise WrongAnswer unless the probabilities are those expected."""
    if len(given) != len(expected) or not np.allclose(given, expected, rtol=0, atol=TOLERANCE):
        raise WrongAnswer(f"{subject.contender.name} gives {given[:3]}..., XGBoost {expected[:3]}...")


# --- the processes


def cores() -> tuple[int, int]:
    """Choose a core for the servers and another for the load generator; where there is one alone it must do for both."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-1], allowed[0]


@contextlib.contextmanager
def serve(
    contender: Contender, known: Known, core: int, folder: Path, records: "RecordCounter | None" = None
) -> Iterator[Subject]:
    """Run a contender, its records going to a counter, on a core."""
    address = ("127.0.0.1", contender.port)
    requests = [
        traffic.request(address, contender.path, contender.encode(reading)) for reading in known.readings[:READINGS]
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment = {**inherited, "OMP_NUM_THREADS": "1", **contender.environment}
    stdout = records.pipe if records else subprocess.DEVNULL
    log = folder / f"{contender.port}.log"
    with running(
        contender.command, address, requests[0], environment=environment, core=core, log=log, stdout=stdout
    ) as server:
        yield Subject(contender, server, requests)


class RecordCounter:
    """Reads a prediction log from a pipe, as a container engine does, and counts its predictions."""

    def __enter__(self) -> Self:
        """Start reading."""
        command = ["grep", "--count", '"occupancy.probability":']
        environment = {"LC_ALL": "C", "PATH": os.defpath}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin  # noqa: S101 -- for the type checker
        self.pipe = self._process.stdin.fileno()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        if self._process.returncode is None:
            self.count()

    def count(self) -> int:
        """Give how many there were, once the service that wrote them has ended."""
        return int(self._process.communicate()[0])


# --- the tables


def heading(chosen: Settings, core: int, generator: int) -> str:
    """Say what machine this is and how it was measured."""
    return (
        f"{os.cpu_count()} cores ({processor()}), Python {platform.python_version()}; servers on core {core}, load "
        f"generator on core {generator}; {chosen.connections} kept-alive connections; {chosen.rounds} alternating rounds "
        f"of {chosen.seconds:g} s: median (smallest to largest)"
    )


def processor() -> str:
    """Give the processor's name as the kernel knows it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def side_by_side(taking_part: Sequence[Contender], results: Results) -> str:
    """Write the table of throughput, and that of ours against the targets."""
    lines = [
        f"| one process on one core | throughput, {UNIT} = 1 | µs of CPU a request | its core busy | load generator's core busy |",
        "|---|---|---|---|---|",
    ]
    for contender in taking_part:
        cpu, busy, generator = (
            statistics.median(column) for column in list(zip(*results.windows[contender.key], strict=True))[1:]
        )
        ratio = "1" if contender.key == UNIT else spread(results.ratios(contender.key, UNIT))
        lines.append(f"| {contender.name} | {ratio} | {cpu:.0f} | {busy:.0%} | {generator:.0%} |")
    lines += ["", "| ours | times its throughput | times less CPU a request | target |", "|---|---|---|---|"]
    for contender in taking_part:
        if contender.key != OURS:
            target = f"at least {FASTER[contender.key]:g}" if contender.key in FASTER else ""
            ratios = f"{spread(results.ratios(OURS, contender.key))} | {spread(results.thrift(OURS, contender.key))}"
            lines.append(f"| against {contender.key} | {ratios} | {target} |")
    if min(window.busy for windows in results.windows.values() for window in windows) < QUIET:
        lines += ["", f"**In some round a server had less than {QUIET:.0%} of its core: something else ran here.**"]
    return "\n".join(lines)


def ours_alone(chosen: Settings, results: Results) -> str:
    """Write the table of what is measured of ours alone."""
    rates, medians, tails = (list(column) for column in zip(*results.half[OURS], strict=True))
    seconds, resident = (list(column) for column in zip(*results.starts, strict=True))
    rows = [window.rate * chosen.batch for window in results.batches]
    single = [window.rate for window in results.windows[OURS]]
    table = [
        (f"latency at half load ({statistics.median(rates):.0f} requests/s), median in ms", spread(medians, 1e3), ""),
        ("latency at half load, 99th percentile in ms", spread(tails, 1e3), ""),
        (
            "99th percentile / median",
            spread([tail / median for tail, median in zip(tails, medians, strict=True)]),
            f"under {TAIL:g}",
        ),
        *(
            (
                f"the same of the {key}{' at the same rate' * (key == LIMIT)}",
                spread([tail / median for _, median, tail in results.half[key]]),
                "",
            )
            for key in AT_HALF_LOAD[1:]
        ),
        (f"readings/s in bodies of {chosen.batch}, this machine", f"{statistics.median(rows):.0f}", ""),
        (
            f"readings/s in bodies of {chosen.batch} / in bodies of one",
            spread([many / one for many, one in zip(rows, single, strict=True)]),
            "",
        ),
        *(
            (f"readings answered in bodies of {size} that the prediction log has", f"{share:.2%}", "100%")
            for size, share in results.kept.items()
        ),
        ("start to first answer, s", spread(seconds), f"{START_SECONDS:g} as an image"),
        ("VmRSS of its processes then, MB", spread(resident), f"{MEMORY_MB:g} as an image"),
        ("VmRSS of its processes after the load, MB", f"{results.loaded:.0f}", ""),
    ]
    if results.images:
        table += [
            ("image: exec to first answer, s", spread([s.seconds for s in results.images]), f"{START_SECONDS:g}"),
            ("image: VmRSS of its processes then, MB", spread([s.resident for s in results.images]), ""),
            ("image: what they share counted once (PSS), MB", spread([s.proportional for s in results.images]), f"{MEMORY_MB:g}"),
        ]  # fmt: skip
    return "\n".join(["| ours | | target |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in table)])


def spread(values: Sequence[float], scale: float = 1) -> str:
    """Write the median and, in brackets, the smallest and the largest."""
    middle, low, high = (
        f"{scale * value:.3g}" if scale * value < 100 else f"{scale * value:.0f}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return middle if len(values) == 1 else f"{middle} ({low} to {high})"
