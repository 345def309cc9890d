"""`python -m monitoring.demo`: the whole of monitoring on this machine, with no service but ours.

Starts the service with the shipped model, replays data with broken sensors, judges the records and writes the report,
by the same commands that a person would type; each is shown before it runs.
"""

import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from occupancy import settings
from occupancy.dataset import TEST, TRAINING
from occupancy.errors import InputError

FAULTS = "range:Temperature:start=6d20h:end=6d21h,stuck:Light:start=2d20h:end=3d20h"
"""In the real data: a temperature that can't be, for an hour of Monday, and light that stands still for a day of Thursday."""
LABEL_ONE_IN = 10
START_SECONDS = 30
FOUND = 1  # the exit status of `drift` where a verdict is open: here that is what is to be shown
BAR = "!" * 100


class Demo(msgspec.Struct, frozen=True):
    """What `python -m monitoring.demo` can be told."""

    data_home: Annotated[str, Meta(min_length=1, description="folder that `make data` fills")] = "data/original"
    save_path: Annotated[str, Meta(min_length=1, description="folder for records, verdicts and the report")] = (
        "out/monitoring"
    )


class Failed(InputError):
    """A program of the demonstration failed."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve, replay, judge, report; gives the exit status."""
    try:
        table = settings.read(Demo, prog="monitoring.demo", argv=argv, environ=environ, about=__doc__ or "")
        environ = {name: value for name, value in environ.items() if not name.startswith(("OCCUPANCY_", "MONITORING_"))}
        report = show(Path(table.data_home), Path(table.save_path), environ)
    except (InputError, OSError) as error:
        print(f"monitoring.demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("monitoring.demo: ended by a signal; the service is stopped", file=sys.stderr)
        return 130
    print(f"\nlook at   {report}")
    return 0


def show(home: Path, folder: Path, environ: Mapping[str, str]) -> Path:
    """Play the demonstration; gives the report's path."""
    folder.mkdir(parents=True, exist_ok=True)
    records, token, report = folder / "records.jsonl", folder / "token", folder / "report.html"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(16))
    files = data(home, folder, environ)
    with serving(records, token, environ) as url:
        print(f"\nthe service is up at {url}; its records go to {records}")
        replay = ["monitoring", "replay", *files, f"--url={url}", f"--token-file={token}", "--feedback=wanted"]
        run("a hundred random readings, nearly at once:", *replay, "--sample=100", "--room=sample", environ=environ)
        broken = [f"--fault={FAULTS}", "--feedback-delay=60", "--feedback-wrong=0.02"]
        run(
            "all of them in order; two sensors break, and feedback is late and partly wrong:",
            *replay,
            "--batch=60",
            *broken,
            environ=environ,
        )
    run(
        "what monitoring says of it:",
        "monitoring",
        "drift",
        "--all",
        str(records),
        environ=environ,
        expected=(0, FOUND),
    )
    run("and shows:", "monitoring", "report", f"--save-path={report}", str(records), environ=environ)
    return report


def data(home: Path, folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Name the real data's files, or make simulated ones where these are not there, and say so loudly."""
    real = [home / name for name in (TEST, TRAINING)]  # in the order of their dates
    if all(path.is_file() for path in real):
        return [str(path) for path in real]
    path = folder / "simulated.csv"
    print(
        f"{BAR}\n!! WARNING: the real data is not in {home}; `make data` fetches it. What follows is SIMULATED data, judged"
    )
    print(f"!! with a model of a real room: it shows that everything runs, and says NOTHING about a room.\n{BAR}")
    run("eight days of it:", "occupancy.simulate", "--days=8", f"--save-path={path}", environ=environ)
    return [str(path)]


def run(why: str, *argv: str, environ: Mapping[str, str], expected: tuple[int, ...] = (0,)) -> None:
    """Show and run one of our programs; raises Failed."""
    print(f"\n{why}\n\n  $ python -m {' '.join(argv)}\n", flush=True)
    status = subprocess.run([sys.executable, "-m", *argv], env=dict(environ), check=False).returncode
    if status not in expected:
        raise Failed(f"`python -m {argv[0]} {argv[1]}` ended with status {status}")


@contextmanager
def serving(records: Path, token: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """Run the service with the shipped model on a free port, its records going to a file; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "OCCUPANCY_HOST": "127.0.0.1",
        "OCCUPANCY_PORT": str(port),
        "OCCUPANCY_LABEL_ONE_IN": str(LABEL_ONE_IN),
        "OCCUPANCY_FEEDBACK_TOKEN_FILE": str(token),
    }
    errors = records.with_name("service.log")
    with records.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "inference"], env={**environ, **variables}, stdout=out, stderr=err
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not ready(port):
            if process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the service did not become ready:\n{errors.read_text('utf-8')}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def ready(port: int) -> bool:
    """Tell whether the service on this machine answers that it is ready."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the service ends with us, whoever ends us
    sys.exit(main(sys.argv[1:], os.environ))
