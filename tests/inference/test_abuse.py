"""The service under thousands of bad requests, and under faults of what it depends on; `make soak` runs it at length.

No test here judges by the clock: they count.
"""

import json
import os
import re
import resource
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest

from inference.openapi.document import OF_THE_SERVER
from occupancy.model import Model
from occupancy.reading import parse, values
from tests.inference import abuse
from tests.inference.abuse import KNOWN, Abuse
from tests.inference.conftest import DIRECT, GOOD, Process, running, until
from tests.inference.server.test_worker import workers

SEED = 20150204
CLIENTS = 4
WARM_UPS = 4
WARM = (
    250 * 2**20
)  # what the largest bodies on all connections at a time may take; with garbage in cycles it was 740 MB
GROWTH = 12 * 2**20
"""What the worker may grow by once it is warm: after the largest bodies, `WARM_UPS` times on all connections at once, and a
tenth of the requests. After that a sound worker was seen to move by 6 MB; a leak of 300 bytes a request would be 13 MB
at full length. It has one heap (MALLOC_ARENA_MAX): of several, chance decides which thread fills which, some 20 MB."""


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> int:
    """How many requests to send: --soak."""
    count: int = request.config.getoption("--soak")
    return count


class Answer(NamedTuple):
    """One answer as it came over the connection."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def name(self) -> str:
        """Its status and its reason or kind, as in tests/inference/abuse.py."""
        if self.status == 200:
            return "200"
        return f"{self.status} {self.body.get('reason') or self.body['type'].rpartition(':')[2]}"

    @property
    def records(self) -> int:
        """How many records it should leave: one for each reading answered or refused."""
        if self.status == 200:
            return len(self.body) if isinstance(self.body, list) else 1
        return len(self.body.get("errors", ()))


class Line:
    """A connection to the service, made anew where the last one has ended."""

    def __init__(self, port: int) -> None:
        self._port, self._read = port, b""
        self._socket: socket.socket | None = None

    def exchange(self, sent: Abuse) -> list[Answer]:
        """Send all of it, and read the answers; where the connection should end then, see that nothing more comes."""
        if self._socket is None:
            self._socket, self._read = socket.create_connection(("127.0.0.1", self._port), timeout=60), b""
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # it has been told already, and reads no more
            for piece in sent.pieces:
                self._socket.sendall(piece)
                time.sleep(sent.pause)
            if sent.then == "end":
                self._socket.shutdown(socket.SHUT_WR)
        if sent.then == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close()
            return []
        answers = [self._answer() for _ in sent.answers]
        if sent.last:
            assert not self._read + self._more(), "more than was asked for"
        if sent.last or any(answer.headers.get("connection") == "close" for answer in answers):
            self.close()
        return answers

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _more(self) -> bytes:
        assert self._socket is not None
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def _answer(self) -> Answer:
        head = b"HTTP/1.1 100 "
        while head.startswith(b"HTTP/1.1 100 "):
            while b"\r\n\r\n" not in self._read:
                self._receive()
            head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        while len(self._read) < length:
            self._receive()
        body, self._read = self._read[:length], self._read[length:]
        return Answer(int(first.split()[1]), headers, json.loads(body))

    def _receive(self) -> None:
        more = self._more()
        assert more, f"the connection ended instead of an answer: {self._read!r}"
        self._read += more


def check(answer: Answer, probabilities: list[float]) -> None:
    """Check what every answer must be: right, or a problem that says in one line what is wrong."""
    if answer.status == 200:
        assert answer.headers["content-type"] == "application/json"
        for each in answer.body if isinstance(answer.body, list) else [answer.body]:
            known = re.fullmatch(r"good-(\d+)", each.get("reading_id", ""))
            if known:
                assert abs(each["probability"] - probabilities[int(known[1])]) < 1e-6
        return
    problem = answer.body
    kind = problem["type"].removeprefix("urn:occupancy:problem:")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 400 <= answer.status < 500
    assert (problem["status"], problem["title"]) == (answer.status, kind.replace("-", " "))
    assert "x-request-id" in answer.headers or kind in OF_THE_SERVER
    assert bool(problem.get("errors")) == (kind == "invalid-reading")
    for error in (problem, *problem.get("errors", ())):
        assert error["detail"].isprintable()
        assert "Traceback" not in error["detail"]
        if kind == "invalid-reading":
            assert error["field"] or error["reason"] == "unknown"  # a name may be empty
            assert error["reason"]


@pytest.fixture(scope="session")
def probabilities(model: Model) -> list[float]:
    """The right answers to the known readings."""
    rows = [values(parse(known)) for known in KNOWN]
    given: list[float] = model.probability(np.array(rows, np.float32)).tolist()
    return given


class Told(NamedTuple):
    """What came of some requests: answers by name, and records by the request's id."""

    names: Counter[str]
    records: Counter[str]


def send(port: int, abuses: Iterable[tuple[str, Abuse]], probabilities: list[float]) -> Told:
    """Send one after another on one connection, as long as it holds; check each answer."""
    line, told = Line(port), Told(Counter(), Counter())
    for number, (kind, sent) in enumerate(abuses):
        try:
            answers = line.exchange(sent)
            for answer, expected in zip(answers, sent.answers, strict=True):
                assert answer.name in expected
                check(answer, probabilities)
                told.names[answer.name] += 1
                if answer.records:
                    told.records[answer.headers["x-request-id"]] += answer.records
        except Exception as error:
            error.add_note(f"request {number}, {kind}: {b''.join(sent.pieces[:2])[:2000]!r}")
            line.close()
            raise
    line.close()
    return told


def resident(pid: int) -> int:
    """Give a process's memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


@contextmanager
def asking_for_health(service: Process) -> Iterator[list[int]]:
    """Ask for health and metrics all the while, and give the answers' statuses."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            statuses.append(service.get("/healthz")[0])
            with DIRECT.open(f"http://127.0.0.1:{service.port}/metrics", timeout=60) as page:
                statuses.append(page.status)
                page.read()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield statuses
        finally:
            over.set()
        asking.result()


def test_bad_requests_get_a_named_reason_and_leave_nothing_behind(
    tmp_path: Path, soak: int, probabilities: list[float], record_property: Callable[[str, object], None]
) -> None:
    with running(tmp_path, MALLOC_ARENA_MAX="1") as service:
        (worker,) = workers(service)
        said = service.log
        sequences = [abuse.abuses(Random(SEED + n)) for n in range(CLIENTS)]

        def send_all(requests: list[Iterator[tuple[str, Abuse]]]) -> list[Told]:
            with ThreadPoolExecutor(CLIENTS) as pool:
                return list(pool.map(lambda each: send(service.port, each, probabilities), requests))

        def send_some(count: int) -> list[Told]:
            return send_all([islice(sequence, count // CLIENTS) for sequence in sequences])

        def hold_on(one: tuple[str, Abuse]) -> Told:
            return send(service.port, [one], probabilities)

        assert service.get("/predict", [GOOD] * 1000, **{"X-Request-Id": "cold"})[0] == 200
        cold = resident(worker)
        with asking_for_health(service) as health, ThreadPoolExecutor(8) as pool:
            held = pool.map(hold_on, abuse.holding_on(Random(SEED), max(8, soak // 500)))
            told = [each for _ in range(WARM_UPS) for each in send_all([abuse.every_large_one() for _ in sequences])]
            told += send_some(soak // 10)
            sizes = [resident(worker)]
            while len(sizes) < 2 or (
                sizes[-1] - sizes[-2] >= GROWTH and len(sizes) < 4
            ):  # a leak goes on, chance does not
                told += send_some(soak - soak // 10)
                sizes.append(resident(worker))
            before, after = sizes[-2:]
            told += held
        assert service.get("/predict", GOOD, **{"X-Request-Id": "last"})[0] == 200
        assert service.stop() == 0
    names = sum((each.names for each in told), Counter[str]())
    record_property("names", dict(names))
    record_property("resident", (before, after))
    print(f"{names.total()} answers: {dict(names.most_common())}")  # noqa: T201
    print(f"the worker's memory: {cold / 2**20:.1f} MB, warm {before / 2**20:.1f} MB, then {after / 2**20:.1f} MB")  # noqa: T201
    assert set(health) == {200}
    assert names.keys() >= abuse.NAMES
    assert sizes[0] - cold < WARM
    assert after - before < GROWTH
    assert said in service.log
    assert "Traceback" not in service.log
    assert service.log.removeprefix(said).count("\n") < 10  # nothing but its end
    assert whole_lines(tmp_path / "stdout") == len(service.records)
    assert sorted(record["occupancy.sequence"] for record in service.records) == list(
        range(1, len(service.records) + 1)
    )
    expected = sum((each.records for each in told), Counter({"last": 1, "cold": 1000}))
    written = Counter(record["http.request.id"] for record in service.records)
    written.pop("reset", None)  # they have gone: who knows how far they came
    assert (written - expected, expected - written) == (Counter(), Counter())


def whole_lines(path: Path) -> int:
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    return text.count("\n")


# --- a prediction log that can't be written

# the service with its standard output in a file of our choice
INTO = """
import os, resource, runpy, sys
os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
sys.argv = ["inference"]
runpy.run_module("inference", run_name="__main__", alter_sys=True)
"""
UNLIMITED = str(resource.RLIM_INFINITY)
SHORT = {"OCCUPANCY_LOG_QUEUE": "100"}


def predict(service: Process, count: int) -> int:
    """Send so many readings on a few connections; gives how many were answered."""

    def some(_: int) -> int:
        line = Line(service.port)
        answers = [line.exchange(abuse.ONE) for _ in range(count // CLIENTS)]
        line.close()
        return sum(answer.status == 200 for (answer,) in answers)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(some, range(CLIENTS)))


def metric(service: Process, name: str) -> int:
    with DIRECT.open(f"http://127.0.0.1:{service.port}/metrics", timeout=60) as response:
        (value,) = re.findall(rf"^occupancy_log_records_{name} (\S+)$", response.read().decode(), re.M)
    return int(float(value))


def account(text: bytes, dropped: int) -> list[dict[str, Any]]:
    """Check that a log's lines are whole, and that what they lack is what they admit; give its records."""
    assert text.endswith(b"\n")
    records: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    numbers = {record["occupancy.sequence"] for record in records}
    assert len(numbers) == len(records)
    assert max(numbers) - len(numbers) == dropped == sum(record.get("occupancy.lost", 0) for record in records)
    return records


class Reader:
    """Reads a pipe when it is told to, and goes."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            os.mkfifo(path)
        self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.read = b""

    def take(self) -> None:
        with suppress(BlockingIOError):
            while more := os.read(self._pipe, 2**16):
                self.read += more

    def go(self) -> None:
        os.close(self._pipe)


def test_a_reader_that_stops_costs_records_that_are_counted_and_no_answer(tmp_path: Path, soak: int) -> None:
    reader = Reader(tmp_path / "pipe")
    sent = 0
    with running(tmp_path, "-c", INTO, str(tmp_path / "pipe"), UNLIMITED, **SHORT) as service:
        for _ in range(max(2, soak // 2000)):
            before = metric(service, "dropped_total")
            assert predict(service, 600) == 600  # more than queue and pipe hold, and nobody reads
            assert service.get("/healthz")[0] == 200
            assert metric(service, "dropped_total") > before
            sent += 600

            def all_read() -> bool:
                reader.take()
                return metric(service, "queued") == 0

            until(all_read)
        dropped = metric(service, "dropped_total")
        assert service.stop() == 0
        reader.take()
    records = account(reader.read, dropped)
    losses = [record for record in records if record["event.dataset"] == "occupancy.loss"]
    assert len(losses) >= max(2, soak // 2000)
    assert len(records) - len(losses) + dropped == sent
    assert "Traceback" not in service.log
    reader.go()


def test_a_full_disk_costs_no_answer_and_is_said_once(tmp_path: Path, soak: int) -> None:
    with running(tmp_path, "-c", INTO, "/dev/full", UNLIMITED, **SHORT) as service:
        assert predict(service, soak // 5) == soak // 5
        until(lambda: "No space left" in service.log)
        assert service.get("/healthz")[0] == 200
        assert metric(service, "written_total") == 0
        assert metric(service, "dropped_total") + metric(service, "queued") == soak // 5
        assert service.stop() == 0
    assert service.log.count("No space left on device") == 1
    assert "0 records written" in service.log
    assert "Traceback" not in service.log


def test_a_disk_that_is_full_for_a_while_is_written_again(tmp_path: Path, soak: int) -> None:
    """A limit on the size of a file stands for the size of the disk: a write is cut short, then refused."""
    path = tmp_path / "log"
    with running(tmp_path, "-c", INTO, str(path), "50000", **SHORT) as service:
        assert predict(service, soak // 5) == soak // 5
        until(lambda: "can't write" in service.log)
        assert path.stat().st_size == 50_000
        (worker,) = workers(service)
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(lambda: metric(service, "queued") == 0)
        assert predict(service, 400) == 400
        until(lambda: metric(service, "queued") == 0)
        dropped = metric(service, "dropped_total")
        assert service.stop() == 0
    account(path.read_bytes(), dropped)
    assert dropped > 0
    assert service.log.count("can't write: File too large") == 1
    assert "Traceback" not in service.log


def test_a_reader_that_goes_costs_no_answer_and_another_may_come(tmp_path: Path, soak: int) -> None:
    first = Reader(tmp_path / "pipe")
    with running(tmp_path, "-c", INTO, str(tmp_path / "pipe"), UNLIMITED, **SHORT) as service:
        assert predict(service, 40) == 40
        until(lambda: metric(service, "queued") == 0)
        first.take()
        first.go()
        assert predict(service, soak // 5) == soak // 5
        until(lambda: "Broken pipe" in service.log)
        assert service.get("/healthz")[0] == 200
        second = Reader(tmp_path / "pipe")

        def all_read() -> bool:
            second.take()
            return metric(service, "queued") == 0

        until(all_read)
        assert predict(service, 40) == 40
        until(all_read)
        dropped = metric(service, "dropped_total")
        assert service.stop() == 0
        second.take()
        second.go()
    records = account(first.read + second.read, dropped)
    assert (
        len([each for each in records if each["event.dataset"] == "occupancy.prediction"]) == 80 + soak // 5 - dropped
    )
    assert service.log.count("Broken pipe") == 1
    assert "Traceback" not in service.log


# --- more than it can do

CALLERS = 200
PLACES = 5
FEW = {"OCCUPANCY_CONCURRENCY": "1", "OCCUPANCY_QUEUE": str(PLACES - 1)}


def call(service: Process, _: int) -> Answer:
    line = Line(service.port)
    try:
        (answer,) = line.exchange(abuse.ONE)
    finally:
        line.close()
    return answer


def turned_away(answer: Answer) -> bool:
    if answer.status == 200:
        return False
    assert (answer.name, answer.headers["retry-after"]) == ("503 overloaded", "1")
    assert answer.headers["x-request-id"]
    return True


def test_of_many_at_once_as_many_are_answered_as_there_are_places(tmp_path: Path) -> None:
    """No turn ends before all have come: all but those in a place are turned away, and nobody waits for that."""
    with running(tmp_path, OCCUPANCY_DELAY="60", **FEW) as service, ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(call, service, n) for n in range(CALLERS)]
        for refused in islice(as_completed(calls), CALLERS - PLACES):
            assert turned_away(refused.result())
        assert service.get("/healthz")[0] == service.get("/readyz")[0] == 200
        assert metric(service, "dropped_total") == 0
        assert sum(each.done() for each in calls) == CALLERS - PLACES
        until(lambda: metric(service, "queued") == 0)
        (worker,) = workers(service)
        service.process.kill()  # nobody wants to wait for five minutes
        os.kill(worker, signal.SIGKILL)
        for each in calls:
            assert not each.exception() or "ended instead of an answer" in str(each.exception())
    numbers = sorted(record["occupancy.sequence"] for record in service.records)
    assert numbers == list(range(1, CALLERS - PLACES + 1))
    assert {record["occupancy.refusal.reason"] for record in service.records} == {"overloaded"}
    assert "Traceback" not in service.log


def test_an_overloaded_service_answers_or_turns_away_everyone(
    tmp_path: Path, soak: int, probabilities: list[float]
) -> None:
    with running(tmp_path, OCCUPANCY_DELAY="0.2", **FEW) as service, ThreadPoolExecutor(CALLERS) as pool:
        with asking_for_health(service) as health:
            begun = time.monotonic()
            answers = list(pool.map(partial(call, service), range(max(CALLERS, soak // 10))))
            took = time.monotonic() - begun
        assert service.stop() == 0
    answered = [answer for answer in answers if not turned_away(answer)]
    assert PLACES <= len(answered) <= PLACES + 1 + took / 0.2  # however slow the machine is
    for answer in answered:
        check(answer, probabilities)
    assert set(health) == {200}
    assert len(service.records) == sum(answer.records or 1 for answer in answers)
    numbers = sorted(record["occupancy.sequence"] for record in service.records)
    assert numbers == list(range(1, len(numbers) + 1))
    assert "Traceback" not in service.log
