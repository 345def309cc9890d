"""The service as an image: how long a created container takes to its first answer, and the memory it has then."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime

from benchmark import load
from benchmark.peers.server import ASK_AGAIN_SECONDS, START_SECONDS, NeverAnswered, answers
from occupancy.errors import InputError

CONTAINER_PORT = 8080


class DockerFailed(InputError):
    """The docker command is missing, or failed."""


@dataclass(frozen=True)
class Started:
    """One start of a container."""

    from_command: float
    """seconds from `docker start` to the first answer"""
    from_process: float
    """seconds from the time that the engine gives for the start of its first process"""
    resident: float
    """MB, VmRSS of all its processes"""


def start_image(image: str, address: load.Address, first: bytes) -> Started:
    """Create a container, start it, ask it until it answers, and remove it. Raises DockerFailed or NeverAnswered."""
    host, port = address
    name = _docker("create", "--publish", f"{host}:{port}:{CONTAINER_PORT}", image)
    try:
        begun = time.time()  # of the clock that the engine's times are of
        starting = subprocess.Popen(["docker", "start", name], stdout=subprocess.DEVNULL)
        while not answers(address, first):
            if time.time() - begun > START_SECONDS:
                raise NeverAnswered(f"a container of {image} gave no answer:\n{_docker('logs', name)[-2000:]}")
            time.sleep(ASK_AGAIN_SECONDS)
        answered = time.time()
        starting.wait()
        process = datetime.fromisoformat(_docker("inspect", "--format", "{{.State.StartedAt}}", name)).timestamp()
        resident = sum(int(line.split()[1]) for line in _docker("top", name, "-eo", "pid,rss").splitlines()[1:])
        return Started(answered - begun, answered - process, resident * 1024 / 1e6)
    finally:
        _docker("rm", "--force", name)


def _docker(*args: str) -> str:
    if not shutil.which("docker"):
        raise DockerFailed("there is no docker command: leave --image out, or install it")
    done = subprocess.run(["docker", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DockerFailed(f"docker {args[0]}: {done.stderr.strip()}")
    return done.stdout.strip()
