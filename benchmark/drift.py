"""Drift: how often a clean room raises an alarm, and how soon a harmful change does, by monitoring's own judge and by others.

Changes of many kinds and sizes begin at random minutes in simulated rooms, each with a model and a reference of its own
first 14 days; harm is the accuracy that the change costs this model. The real days are left out one at a time. Seeds are of
two kinds: thresholds may be looked for with `--seeds tuning`; `--seeds judging` are for the figures of the documents.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from benchmark import drift_tables as tables
from benchmark.drift_cases import CASES
from benchmark.drift_rooms import real_days, simulated_room
from benchmark.drift_trials import Quiet, Trial, onsets, quiet, trials
from monitoring.drift.judge import Judge
from monitoring.drift.judge import judge as judge_records
from monitoring.drift.verdict import Verdict
from monitoring.records import Records
from occupancy import dataset, settings
from occupancy.errors import InputError
from occupancy.progress import Progress
from occupancy.reference import Reference

FIRST_SEED = {"tuning": 1000, "judging": 2000}
MONTH_DAYS = 28
T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; TRAINING_DATA and TEST_DATA name the real days, which are left out where there are none."""

    seeds: Annotated[Literal["tuning", "judging"], Meta(description="which rooms: tuning may be run often")] = "tuning"
    rooms: Annotated[int, Meta(ge=1, le=1000, description="simulated rooms, each of a clean month")] = 15
    onsets: Annotated[int, Meta(ge=0, description="minutes in each room at which every change begins")] = 4
    only: Annotated[str, Meta(description="only changes whose names contain this; empty: all")] = ""
    jobs: Annotated[int, Meta(ge=0, description="processes; 0: as many as cores")] = 0
    quick: Annotated[bool, Meta(description="6 rooms, 2 onsets, nobody beside ours: for who sets thresholds")] = False


class Judged(NamedTuple):
    """One room: what was said of its clean month, and of each change."""

    quiet: Quiet
    trials: list[Trial]


def main(argv: list[str]) -> int:
    """Judge, and print the tables."""
    try:
        chosen = settings.read(Settings, prog="benchmark drift", argv=argv, environ={}, about=__doc__ or "")
        if chosen.quick:
            chosen = msgspec.structs.replace(chosen, rooms=6, onsets=2)
        for part in run(chosen, real_files(os.environ)):
            print(part, flush=True)
    except InputError as error:
        print(f"benchmark drift: {error}", file=sys.stderr)
        return 2
    return 0


def run(chosen: Settings, files: Sequence[Path]) -> Iterator[str]:
    """Judge all that was chosen; gives the tables as they come."""
    yield f"seeds: {chosen.seeds}; {chosen.rooms} rooms of {MONTH_DAYS} days, {chosen.onsets} onsets of each change in each"
    if files:
        yield "\n## Real days, each left out once\n\n" + tables.false_alarms(judge_days(files), "day", 1)
    first = FIRST_SEED[chosen.seeds]
    work = [partial(judge_room, seed, chosen.onsets, chosen.only) for seed in range(first, first + chosen.rooms)]
    judged = list(in_processes("simulated rooms", work, chosen.jobs or os.cpu_count() or 1))
    quiets, tried = [room.quiet for room in judged], [trial for room in judged for trial in room.trials]
    yield "\n## Simulated clean months\n\n" + tables.false_alarms(quiets, "week", 7)
    if tried:
        order = {case.name: place for place, case in enumerate(CASES)}
        yield "\n## Changes\n\n" + tables.power(sorted(tried, key=lambda trial: order[trial.case]))
        yield "\n## Targets\n\n" + tables.targets(quiets, tried)


def real_files(environ: Any) -> list[Path]:
    """Name the real files that are there."""
    named = (("TRAINING_DATA", dataset.TRAINING), ("TEST_DATA", dataset.TEST))
    paths = [Path(environ.get(variable) or Path("data/original") / name) for variable, name in named]
    return [path for path in paths if path.is_file()]


def judge(told: Records, known: Reference) -> list[Verdict]:
    """Judge as `python -m monitoring drift` does, with the limits it has."""
    return judge_records(told, Judge(known))


def judge_days(files: Sequence[Path]) -> list[Quiet]:
    """Judge each of the real days with what the others teach."""
    return [quiet(room, judge) for room in real_days([dataset.read(path) for path in files])]


def judge_room(seed: int, count: int, only: str) -> Judged:
    """Judge one simulated room."""
    room = simulated_room(seed, MONTH_DAYS)
    cases = [case for case in CASES if only in case.name]
    return Judged(quiet(room, judge), list(trials(room, onsets(room, count), cases, judge)))


def in_processes(what: str, work: Sequence[Callable[[], T]], jobs: int) -> Iterator[T]:
    """Do independent work in several processes, showing how far it is; one job stays in this process.

    Gives the results as they come.
    """
    with Progress(what, len(work), "done") as progress:
        if jobs == 1:
            for piece in work:
                yield piece()
                progress.advance()
            return
        # XGBoost's threads do not survive a fork
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            for finished in as_completed([pool.submit(piece) for piece in work]):
                yield finished.result()
                progress.advance()
