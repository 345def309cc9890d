"""A server as a process: started on one core, asked until it answers, watched through /proc, stopped."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmark import traffic
from occupancy.errors import InputError

ROOT = Path(__file__).parents[2]
START_SECONDS = 60
ASK_AGAIN_SECONDS = 0.002
_TICKS = os.sysconf("SC_CLK_TCK")


class NeverAnswered(InputError):
    """A server ended, or stayed silent, before its first answer."""


@dataclass
class Server:
    """A running server, and the seconds from its start to its first answer."""

    address: traffic.Address
    pid: int
    start_seconds: float

    def cpu_seconds(self) -> float:
        """Sum what all its processes have used, in user and system."""
        return sum(int(ticks) for _, stat in _group(self.pid) for ticks in stat[11:13]) / _TICKS

    def resident_bytes(self) -> int:
        """Sum VmRSS over all its processes; pages that they share count in each."""
        lines = [line for path, _ in _group(self.pid) for line in (path / "status").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Keep this thread, and the processes that it starts, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def running(
    command: Sequence[str | Path],
    address: traffic.Address,
    first: bytes,
    *,
    environment: Mapping[str, str],
    core: int,
    log: Path,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[Server]:
    """Run a command on a core until it has answered a first request with 200; it ends with the block.

    `log` is where its standard error goes. Raises NeverAnswered.
    """
    begun = time.perf_counter()
    with pinned({core}), log.open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=stdout, stderr=errors, start_new_session=True
        )
    try:
        while not answers(address, first):
            if process.poll() is not None or time.perf_counter() - begun > START_SECONDS:
                raise NeverAnswered(f"{' '.join(map(str, command))} gave no answer:\n{log.read_text()[-2000:]}")
            time.sleep(ASK_AGAIN_SECONDS)
        yield Server(address, process.pid, time.perf_counter() - begun)
    finally:
        process.terminate()
        try:
            process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports() -> Iterator[int]:
    """Find ports that nobody listens on, one after another, all different."""
    given: set[int] = set()
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        if port not in given:
            given.add(port)
            yield port


def answers(address: traffic.Address, request: bytes) -> bool:
    """Tell whether a request gets 200."""
    try:
        return traffic.once(address, request)[0] == 200
    except (OSError, traffic.BadAnswer):
        return False


def _group(leader: int) -> Iterator[tuple[Path, list[str]]]:
    """Give the folder in /proc, and the numbers of `stat` from the third on, of each process of a group."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(stat[2]) == leader:
            yield path, stat
