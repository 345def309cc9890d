"""What the locks beside this file pin, and what of it an image carries."""

from pathlib import Path
from typing import NamedTuple

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parent
IMAGES = ("training", "inference", "monitoring", "retraining")
# the images' Python, whoever asks
IN_IMAGE = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
}


class Pin(NamedTuple):
    """One locked package: its version, and where it is installed (None: everywhere)."""

    name: str
    version: str
    marker: Marker | None

    @property
    def in_image(self) -> bool:
        """Tell whether an image installs it."""
        return self.marker is None or self.marker.evaluate({**IN_IMAGE})


def locks() -> list[str]:
    """Name all locks."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def pins(lock: str) -> list[Pin]:
    """Read a lock, in its order."""
    found = []
    for line in (FOLDER / f"{lock}.txt").read_text("utf-8").splitlines():
        if line and line[0] not in "# ":
            requirement = Requirement(line.removesuffix("\\"))
            (exact,) = requirement.specifier
            found.append(Pin(canonicalize_name(requirement.name), exact.version, requirement.marker))
    return found
