"""`python -m training.service.job FOLDER`: does what the job.json in a folder asks; the service starts it.

What is made appears as FOLDER/out whole or not at all, and then FOLDER/result.json says how it ended. Exit status: 0 when there
is a result, whatever it says; 143 after SIGTERM, without one.
"""

import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import msgspec

from occupancy.errors import InputError
from occupancy.publish import put_beside
from training.service.jobs import LOG, OUT, RESULT, WORK, Job, Result, State, tail, write_whole
from training.service.orders import Range, fetch, flags, locate
from training.service.runners import PID
from training.service.settings import PREFIX, Settings, read

INTERRUPTED, TERMINATED = 128, 128 + signal.SIGTERM
REFUSED = 3  # what `training` ends with when its gate refuses
TOO_FEW = 1  # what `monitoring collect` ends with


class Terminated(BaseException):
    """SIGTERM came."""


class NotPublished(InputError):
    """The model can't be put where models are."""


class Ended(Exception):
    """A command ended in a way that ends the job."""

    def __init__(self, result: Result) -> None:
        """Keep how the job ends."""
        self.result = result


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do the job; gives the exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    folder = Path(argv[0])
    (folder / PID).write_text(str(os.getpid()), "ascii")
    job = msgspec.json.decode((folder / "job.json").read_bytes(), type=Job)
    shutil.rmtree(folder / WORK, ignore_errors=True)
    (folder / WORK / OUT).mkdir(parents=True)
    try:
        if job.order.kind == "training":
            result = _train(job, folder, read([], environ))
        else:
            result = _loop(job, folder, Path(environ.get("LOOP_FOLDER", "out/loop")))
        (folder / WORK / OUT).rename(folder / OUT)
    except InputError as error:
        result = Result(state="failed", why=str(error))
    except Ended as ended:
        result = ended.result
    except Terminated:
        return TERMINATED
    except Exception as error:
        logging.getLogger("training.service").exception("unexpected error")
        result = Result(state="failed", why=f"unexpected error, see the log: {type(error).__name__}")
    finally:
        shutil.rmtree(folder / WORK, ignore_errors=True)
    write_whole(folder / RESULT, msgspec.json.encode(result))
    return 0


def _train(job: Job, folder: Path, settings: Settings) -> Result:
    """Collect or fetch what is to be trained on, and train."""
    data, out = job.order.data, folder / WORK / OUT
    command = ["training", f"--save-path={out}", *flags(job.order)]
    for flag, name in (("training", data.training), ("test", data.test), ("recent", data.recent)):
        if name:
            file = _collect(name, folder) if isinstance(name, Range) else _file(name, folder / WORK / flag, settings)
            command.append(f"--{flag}-data={file}")
    status = _run(folder, command)
    if not 0 <= status < INTERRUPTED:
        raise Ended(_failed(folder, status))
    if status:  # what explains it is in `out`, too
        return (
            Result(state="refused", why=_last_line(folder), status=status)
            if status == REFUSED
            else _failed(folder, status)
        )
    sha256 = hashlib.sha256((out / "model.ubj").read_bytes()).hexdigest()
    if settings.models:
        _publish(out / sha256[:12], Path(settings.models), job.id)
    return Result(state="succeeded", status=status, version=sha256[:12], sha256=sha256)


def _publish(made: Path, models: Path, job_id: str) -> None:
    """Put a model with its companions where models are deployed from, whole or not at all."""
    try:
        put_beside(made, models, job_id)
    except OSError as error:
        raise NotPublished(f"{PREFIX}MODELS={models} can't be written: {error.strerror or error}") from None


def _file(name: str, target: Path, settings: Settings) -> Path:
    if path := locate(name, settings):
        return path
    fetch(name, target, settings)
    return target


def _collect(wanted: Range, folder: Path) -> Path:
    file = folder / WORK / "recent.csv"
    bounds = msgspec.to_builtins(wanted).items()
    chosen = [f"--{name}={value}" for name, value in bounds if value]
    status = _run(folder, ["monitoring", "collect", f"--save-path={file}", *chosen])
    if status == TOO_FEW:
        raise Ended(Result(state="refused", why=_last_line(folder), status=status))
    if status:
        raise Ended(_failed(folder, status))
    return file


def _loop(job: Job, folder: Path, home: Path) -> Result:
    """Run the loop; its record, the last line of its output, says what came of it, and where its report is."""
    out = folder / WORK / OUT
    with (out / "records.jsonl").open("wb") as file:
        status = _run(folder, ["training.loop", "run", f"--trigger={job.trigger}"], file.fileno())
    said = (out / "records.jsonl").read_text("utf-8")
    sys.stdout.write(said)  # in a cluster they are carried from here
    records = [json.loads(line) for line in said.splitlines() if line.startswith("{")]  # libraries may print, too
    runs = [each for each in records if each.get("event.dataset") == "occupancy.run"]
    if not runs:
        raise Ended(_failed(folder, status))
    run = runs[-1]
    outcome, why = run["occupancy.run.outcome"], run.get("occupancy.run.why", "")
    report = home / "runs" / run["event.id"] / "report.html"
    if report.is_file():
        shutil.copyfile(report, out / "report.html")
    version = run.get("occupancy.run.challenger", "") if outcome == "deployed" else ""
    state: State = outcome if outcome in ("refused", "failed") else "succeeded"
    return Result(state=state, why=f"{outcome}: {why}", status=status, version=version)


def _run(folder: Path, command: Sequence[str], stdout: int | None = None) -> int:
    """Run one of the project's commands, which says what it does in the job's log; gives its exit status."""
    with (folder / LOG).open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 -- ours, with arguments that were checked
            [sys.executable, "-m", *command], stdout=log if stdout is None else stdout, stderr=log
        )
    try:
        return child.wait()
    except Terminated:
        child.wait()
        raise


def _failed(folder: Path, status: int) -> Result:
    how = f"ended by {signal.Signals(-status).name}" if status < 0 else _last_line(folder) or f"ended with {status}"
    return Result(state="failed", why=how, status=status)


def _last_line(folder: Path) -> str:
    lines = tail(folder / LOG, 4096).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].replace(f"{folder / WORK}/", "") if lines else ""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: the command may be putting things in order
    os.kill(0, signal.SIGTERM)  # to its group: the command, even if it has started only just now
    raise Terminated


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
