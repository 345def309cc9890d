"""Runs the other programs' commands, each with its words kept in the run's folder."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from occupancy.errors import InputError

Execute: TypeAlias = Callable[[Sequence[str], Mapping[str, str], Path], int]
"""Runs `python -m ARGV`, its standard output into a file, its words into one beside it (.log); gives its exit status."""


class StepFailed(InputError):
    """A command ended in a way that it never should."""


class Step(NamedTuple):
    """A command that was run: its exit status, what it printed, and what it said last."""

    argv: tuple[str, ...]
    status: int
    out: Path

    @property
    def name(self) -> str:
        """The command without its options."""
        return " ".join(["python -m", *(a for a in self.argv[:2] if a[0] not in "-/")])

    @property
    def said(self) -> str:
        """The last line that it said, of its words or else of its output; records and tables of numbers are no words."""
        words = [
            line for path in (self.out.with_suffix(".log"), self.out) for line in _lines(path)[-1:] if line[:1] != "{"
        ]
        return words[0] if words else f"exit status {self.status}"

    @property
    def lines(self) -> list[str]:
        """What it printed."""
        return _lines(self.out)


def execute(argv: Sequence[str], environ: Mapping[str, str], out: Path) -> int:
    """Run `python -m ARGV` as a process of its own; what it says on standard error we say, too."""
    command = [sys.executable, "-m", *argv]
    with (
        out.open("wb") as printed,
        out.with_suffix(".log").open("wb") as log,
        subprocess.Popen(command, env=dict(environ), stdout=printed, stderr=subprocess.PIPE) as process,
    ):
        try:
            for line in process.stderr or ():
                log.write(line)
                sys.stderr.buffer.write(line)
                sys.stderr.flush()
        except BaseException:  # whoever ends us ends it
            process.terminate()
            raise
    return process.returncode


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
