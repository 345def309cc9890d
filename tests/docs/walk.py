"""Walks through a page: its commands run one after the other, as they stand, in a copy of the tree.

Only the addresses of the service and of Elasticsearch are others: 8080 may be taken here.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.inference.conftest import environment, until
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(
    r"\(?(\.|\.venv\S*/bin/\S+|actionlint|act|ask|awk|cat|chmod|cp|curl|docker|echo|export|for|git|go|grep|gzip|head|install|kubectl"
    r"|kustomize|ls|lsof|make|minikube|mkdir|mv|openssl|pip|printf|promtool|pytest|python|python3|rm|sed|ss|tail|tar|uv|zizmor)$"
)
ASSIGNMENT = re.compile(r"[A-Za-z_]+=")
REMEMBERED = re.compile(r"(export )?([A-Za-z_]+=(\$\([^)]*\)|'[^']*'|\"[^\"]*\"|[^\s'\"]*)(\s+|$))+$|ask\(\) ")
GOES_ON = re.compile(
    r"make serve$|-m inference( --\S+)*( >>? \S+)?$|load --follow|monitoring watch$|training\.service$"
)


def commands(page: Path) -> list[str]:
    """Take the commands out of a page's fenced blocks: each as the text that a person would paste, without its comment."""
    return [command for language, block in FENCED.findall(page.read_text("utf-8")) for command in _of(language, block)]


def pictures(page: Path) -> list[str]:
    """Name the blocks of a page that have no language and are no commands, by their first lines."""
    firsts = [block.splitlines()[0] for language, block in FENCED.findall(page.read_text("utf-8")) if not language]
    return [line.strip() for line in firsts if not line.strip().startswith("$ ") and not _is_shell(line)]


def _of(language: str, block: str) -> Iterator[str]:
    lines = [line.strip() for line in block.splitlines()]
    prompted = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    if language not in ("", "sh", "bash", "console") or not (language or prompted or _is_shell(lines[0])):
        return
    command = ""
    for line in prompted or lines:
        command = f"{command}\n{line}" if command else line
        if not _goes_on_in_the_next_line(command):
            if command and command[0] not in "#-+":  # a comment; what `kubectl diff` prints
                yield re.sub(r"\s+# .*$", "", command) if "\n" not in command else command
            command = ""
    assert not command, f"this has no end: {command}"


def _is_shell(line: str) -> bool:
    """Tell a command from a picture or an output in a block whose language nobody has named."""
    words = [word for word in line.split() if not ASSIGNMENT.match(word)]
    return bool(ASSIGNMENT.match(line)) or PROGRAM.match(words[0]) is not None


def _goes_on_in_the_next_line(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return command.endswith("\\")


@dataclass
class Walk:
    """A walk through pages: where, with which environment, and what each command has said."""

    folder: Path
    environ: dict[str, str]
    port: int = field(default_factory=free_port)
    assigned: list[str] = field(default_factory=list)
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    said: dict[str, "subprocess.CompletedProcess[str]"] = field(default_factory=dict)

    def run(self, command: str) -> None:
        """Run a command to its end; one that goes on is left running once the service answers."""
        here = command.replace("localhost:8080", f"localhost:{self.port}")
        here = here.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        if url := self.environ.get("ELASTICSEARCH_URL"):
            here = here.replace("http://127.0.0.1:9200", url)
        if "monitoring replay" in here and "--url" not in here:
            here = f"export MONITORING_URL=http://127.0.0.1:{self.port}\n{here}"
        script = "\n".join(["set -o pipefail", *self.assigned, here])
        if REMEMBERED.match(command):
            self.assigned.append(here)
        if GOES_ON.search(command):
            self._start(script, waits="load" not in command and "watch" not in command)
            return
        self.said[command] = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def _start(self, script: str, *, waits: bool) -> None:
        if waits:
            self.stop()  # of two services on one port the page ends the first
        with (self.folder / "messages").open("ab") as messages:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.environ,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )
        self.running.append(process)
        if waits:
            until(lambda: self._ready(process), 120)

    def _ready(self, process: "subprocess.Popen[bytes]") -> bool:
        assert process.poll() is None, (self.folder / "messages").read_text()
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10).ok
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End what goes on, as Ctrl-C does."""
        while self.running:
            process = self.running.pop()
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


@contextmanager
def walking(folder: Path, **variables: str) -> Iterator[Walk]:
    """Copy the tree into a folder, with the environment that is there; end whatever a walk has left running."""
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in tracked:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    venv = folder / ".venv"
    venv.mkdir()
    for part in (ROOT / ".venv").iterdir():
        if part.name not in ("runtime", "dev"):
            (venv / part.name).symlink_to(part)
    for stamp in ("runtime", "dev"):  # make has nothing to install: the environment is shared
        (venv / stamp).touch()
    path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
    given = {name: value for name, value in environment().items() if name not in ("TRAINING_DATA", "TEST_DATA")}
    walk = Walk(folder, {**given, "PATH": path, **variables})
    walk.environ["OCCUPANCY_PORT"] = str(walk.port)
    try:
        yield walk
    finally:
        walk.stop()
