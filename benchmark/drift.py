"""Drift: how often a clean room raises an alarm, and how soon a harmful change does, by monitoring's own judge and by others.

Changes of many kinds and sizes begin at random minutes in simulated rooms, each with a model and a reference of its own
first 14 days; harm is the accuracy that the change costs this model. The real days are left out one at a time. Seeds are of
two kinds: thresholds may be looked for with `--seeds tuning`; `--seeds judging` are for the figures of the documents.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Meta

from benchmark import drift_contenders as contenders
from benchmark import drift_tables as tables
from benchmark.drift_cases import CASES, CLEAN, LONGEST
from benchmark.drift_rooms import Room, real_days, records, scored, simulated_room
from benchmark.drift_trials import Quiet, Trial, onsets, quiet, trials
from monitoring.drift.judge import Judge
from monitoring.drift.judge import judge as judge_records
from monitoring.drift.verdict import Verdict
from monitoring.records import Records
from occupancy import dataset, settings
from occupancy.errors import InputError
from occupancy.mapping import DATE
from occupancy.progress import Progress
from occupancy.reading import NAMES
from occupancy.reference import Reference
from occupancy.report import Section, Table, render

FIRST_SEED = {"tuning": 1000, "judging": 2000}
MONTH_DAYS = 28
REAL_DAYS = 3
T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; TRAINING_DATA and TEST_DATA name the real days, which are left out where there are none."""

    seeds: Annotated[Literal["tuning", "judging"], Meta(description="which rooms: tuning may be run often")] = "tuning"
    rooms: Annotated[int, Meta(ge=1, le=1000, description="simulated rooms, each of a clean month")] = 15
    onsets: Annotated[int, Meta(ge=0, description="minutes in each room at which every change begins")] = 4
    only: Annotated[str, Meta(description="only changes whose names contain this; empty: all")] = ""
    jobs: Annotated[int, Meta(ge=0, description="processes; 0: as many as cores")] = 0
    real_onsets: Annotated[int, Meta(ge=0, description="minutes in each run of three real days")] = 20
    beside: Annotated[int, Meta(ge=0, description="rooms in which others are judged beside ours; 0: none")] = 4
    speed: Annotated[int, Meta(ge=0, description="days of readings a minute that are judged for speed; 0: none")] = 695
    save_path: Annotated[str, Meta(min_length=1, description="page to write")] = "out/drift.html"
    quick: Annotated[bool, Meta(description="6 rooms, 2 onsets, nobody beside ours: for who sets thresholds")] = False


class Judged(NamedTuple):
    """One room: what was said of its clean month, and of each change."""

    quiet: Quiet
    trials: list[Trial]


def main(argv: list[str]) -> int:
    """Judge, print the tables, and write them as a page."""
    try:
        chosen = settings.read(Settings, prog="benchmark drift", argv=argv, environ={}, about=__doc__ or "")
        if chosen.quick:
            chosen = msgspec.structs.replace(chosen, rooms=6, onsets=2, real_onsets=0, beside=0, speed=0)
        if absent := contenders.missing() * bool(chosen.beside or chosen.speed):
            print(f"without {' and '.join(absent)}: `make drift-peers` installs what is missing", file=sys.stderr)
        print(scale(chosen), flush=True)
        sections = []
        for section in run(chosen, real_files(os.environ)):
            sections.append(section)
            shown = [tables.markdown(part) for part in section.parts if isinstance(part, Table)]
            print(f"\n## {section.title}\n", *shown, sep="\n", flush=True)
        page = Path(chosen.save_path)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render("Drift", scale(chosen), msgspec.to_builtins(chosen), sections), "utf-8")
    except (InputError, OSError) as error:
        print(f"benchmark drift: {error}", file=sys.stderr)
        return 2
    print(f"\nlook at {page}", file=sys.stderr)
    return 0


def scale(chosen: Settings) -> str:
    """Say how much was judged."""
    return (
        f"Seeds for {chosen.seeds}: {chosen.rooms} simulated rooms of {MONTH_DAYS} days, "
        f"{chosen.rooms * chosen.onsets} onsets of each change."
    )


def run(chosen: Settings, files: Sequence[Path]) -> Iterator[Section]:
    """Judge all that was chosen; gives the tables as they come."""
    first, jobs = FIRST_SEED[chosen.seeds], chosen.jobs or os.cpu_count() or 1
    names = [case.name for case in CASES if chosen.only in case.name]
    data = [dataset.read(path) for path in files]
    if data:
        days = [quiet(room, judge) for room in real_days(data)]
        yield Section("Real days, each left out once", [tables.false_alarms(days, "day", 1)])
    work = [partial(judge_room, seed, chosen.onsets, names) for seed in range(first, first + chosen.rooms)]
    judged = list(in_processes("simulated rooms", work, jobs))
    quiets, tried = [room.quiet for room in judged], [trial for room in judged for trial in room.trials]
    yield Section("Simulated clean months", [tables.false_alarms(quiets, "week", 7)])
    if tried:
        yield Section("Changes", [tables.soon(tried), tables.power(tried)])
        yield Section("Targets", [tables.targets(quiets, tried)])
    if data and chosen.real_onsets:
        runs = [partial(judge_real, room, chosen.real_onsets, names) for room in real_days(data, together=REAL_DAYS)]
        real = [trial for some in in_processes("runs of real days", runs, jobs) for trial in some]
        yield Section("Changes on the real days", [tables.power(real)])
    if chosen.beside:
        yield Section("Beside others", [beside(range(first, first + chosen.beside), jobs)])
    if chosen.speed:
        yield Section("Speed", [speed(first, chosen.speed)])


def real_files(environ: Any) -> list[Path]:
    """Name the real files that are there."""
    named = (("TRAINING_DATA", dataset.TRAINING), ("TEST_DATA", dataset.TEST))
    paths = [Path(environ.get(variable) or Path("data/original") / name) for variable, name in named]
    return [path for path in paths if path.is_file()]


def judge(told: Records, known: Reference) -> list[Verdict]:
    """Judge as `python -m monitoring drift` does, with the limits it has."""
    return judge_records(told, Judge(known))


def judge_room(seed: int, count: int, names: Sequence[str]) -> Judged:
    """Judge one simulated room, with changes by their names: what makes them can't go to another process."""
    cases = [case for case in CASES if case.name in names]
    room = simulated_room(seed, MONTH_DAYS)
    return Judged(quiet(room, judge), list(trials(room, onsets(room, count, LONGEST), cases, judge)))


def judge_real(room: Room, count: int, names: Sequence[str]) -> list[Trial]:
    """Try those changes that take a day on a run of real days: a day before the onset, a day after it."""
    cases = [case for case in CASES if case.name in names and case.days == 1]
    return list(trials(room, onsets(room, count, 1), cases, judge))


def beside(seeds: Sequence[int], jobs: int) -> Table:
    """Show the same stretches to ours and to all others that can run here."""
    rooms = [simulated_room(seed, MONTH_DAYS) for seed in seeds]
    pasts = [contenders.past(room) for room in rooms]
    seen = [contenders.stretches_of(room, n, onsets(room, 1, LONGEST)[0], judge) for n, room in enumerate(rooms)]
    stretches = [stretch for some, _ in seen for stretch in some]
    ours = [alarms for _, some in seen for alarms in some]
    outcomes = [contenders.Outcome("ours", ours), *contenders.plain(stretches, pasts)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stretches.npz"
        contenders.write(path, stretches, pasts)
        there = [name for name in contenders.PEERS if name not in contenders.missing()]
        work = [partial(contenders.peer, name, path, stretches) for name in there]
        found = sorted(in_processes("libraries", work, jobs), key=lambda some: some[0].detector)
    outcomes += [outcome for some in found for outcome in some]
    return tables.standings([contenders.standing(outcome, stretches) for outcome in outcomes], stretches)


def speed(seed: int, days: int) -> Table:
    """Judge so many days of one room, and let Evidently do what it does with them; gives the table."""
    room = simulated_room(seed, days)
    stream = scored(room.booster, room.frame, room.frame[DATE])
    told = records(stream, room.name, room.seed)
    begun = time.perf_counter()
    judge(told, room.reference)
    ours, rows = time.perf_counter() - begun, len(room.frame)
    table = [(f"ours, {rows:,} predictions", f"{ours:.2f}", "1")]
    if "evidently" not in contenders.missing():
        seen = np.column_stack((room.frame[list(NAMES)].to_numpy(np.float64), stream.probability))
        nothing = np.full(rows, np.nan)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "speed.npz"
            whole = contenders.Stretch(CLEAN.name, 0, 0.0, seen, nothing, np.arange(float(rows)))
            contenders.write(path, [whole], [contenders.past(room)])
            theirs = contenders.evidently_seconds(path)
        windows = theirs["window"] * rows / contenders.WINDOW
        table += [
            ("Evidently, all of them as one window", f"{theirs['whole']:.1f}", f"{theirs['whole'] / ours:.0f}"),
            (f"Evidently, windows of {contenders.WINDOW} (five timed)", f"{windows:.0f}", f"{windows / ours:.0f}"),
        ]
    return Table(["", "s, this machine", f"times ours (target: {tables.TIMES_FASTER:g})"], table)


def in_processes(what: str, work: Sequence[Callable[[], T]], jobs: int) -> Iterator[T]:
    """Do independent work in several processes, showing how far it is; one job stays in this process.

    Gives the results as they come.
    """
    with Progress(what, len(work), "of them") as progress:
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
