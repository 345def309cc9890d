"""The service as an image: how long it takes from exec to its first answer in a container, and the memory it has then."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec

from occupancy.errors import InputError
from occupancy.reading import typical

INSIDE = Path(__file__).with_name("inside.py")
READING = json.dumps(typical(Light=500))


class DockerFailed(InputError):
    """The docker command is missing, or failed."""


class Started(msgspec.Struct, frozen=True):
    """One start of the service in a container."""

    seconds: float
    """from exec to the first answer"""
    resident: float
    """MB, VmRSS of all its processes: what they share counts in each"""
    proportional: float
    """MB, their proportional set size: what they share counts once"""


def start_image(image: str) -> list[Started]:
    """Start the service several times in one container of an image; raises DockerFailed."""
    if not shutil.which("docker"):
        raise DockerFailed("there is no docker command: leave --image out, or install it")
    done = subprocess.run(
        ["docker", "run", "--rm", "--interactive", "--entrypoint", "python", image, "-", READING],
        input=INSIDE.read_bytes(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise DockerFailed(f"docker run {image}: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=list[Started])
