"""One stream: a room's production days, scored by whatever model is live, and the loop after each of them.

Everything is as in operation: files of record lines, the watch's verdicts among them, and `python -m training.loop run` on these
files. Only the clock is the records' own, and commands run in this process, which saves their start.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmark.drift_rooms import DAY, HIGH, LEARNING_DAYS, LOW, Array
from benchmark.loop_cases import Scenario, changed
from monitoring.drift import portions, watch
from monitoring.drift.judge import Judge
from monitoring.drift.verdict import Verdict
from occupancy import __version__, dataset, model, record, reference, report
from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.mapping import DATE, LABEL, ZONE
from occupancy.model import Model, label
from occupancy.reading import NAMES, InvalidReading, check
from occupancy.record import Boot, Request
from occupancy.simulate import simulate, spoil, write
from training.loop.journal import Deployment, Journal, Run

TEST_DAYS, FUTURE_DAYS = 4, 7  # of the first two may be a weekend, which alone would test nothing
REAL = ("2015-02-04 12:00", "2015-02-05", "2015-02-10")
"""Of the real days: until when is learnt, when production days begin, and when they end."""
THINNED = 5  # of a champion's readings one in so many is learnt from: minutes that are near are nearly the same, and a fit takes as long
SPACE = """\
max_depth: {integer: [1, 3]}
n_estimators: {integer: [60, 150]}
learning_rate: {log_uniform: [0.08, 0.25]}
min_child_weight: {log_uniform: [1, 10]}
reg_lambda: {log_uniform: [0.5, 10]}
"""
REQUEST = Request("benchmark", "", "", 0)
LIE_DELAY = pd.Timedelta(minutes=10)
MORNING = 7 * 60
"""The minute of the day at which the loop looks, every day: no day's work is cut in two."""


class NoChampion(InputError):
    """A room's first model could not be trained."""


class Room(NamedTuple):
    """A clean room: what it is tested and trained on, its production days with the row of the onset, and the days after."""

    name: str
    test: pd.DataFrame
    history: pd.DataFrame
    days: pd.DataFrame
    future: pd.DataFrame
    onset: int
    simulated: bool


class Stream(NamedTuple):
    """What a scenario makes of a room: production readings as reported, the same without faults, and the changed future."""

    room: Room
    reported: pd.DataFrame
    sound: pd.DataFrame
    future: pd.DataFrame


class Played(NamedTuple):
    """What became of a stream: probabilities of the live models (NaN: refused), labels, and what the loop did."""

    probability: Array
    wanted: Array
    wrong: Array
    verdicts: list[Verdict]
    runs: list[Run]
    deployments: list[Deployment]


def simulated_room(seed: int, days: int) -> Room:
    """Simulate test days, learning days, production days from a morning on, and the future, from some day of the year on."""
    start = date(2015, 1, 1) + timedelta(days=int(np.random.default_rng((seed, 2)).integers(365)))
    frame = simulate(TEST_DAYS + LEARNING_DAYS + 1 + days + FUTURE_DAYS, seed, start)
    learned = (TEST_DAYS + LEARNING_DAYS) * DAY
    begin = learned + MORNING
    cuts = [0, TEST_DAYS * DAY, learned, begin, begin + days * DAY, begin + (days + FUTURE_DAYS) * DAY]
    test, history, _, production, future = (frame[a:b].reset_index(drop=True) for a, b in pairwise(cuts))
    return Room(f"room-{seed}", test, history, production, future, onset=2 * DAY + DAY // 2 - MORNING, simulated=True)


def real_room(paths: Sequence[Path]) -> Room:
    """Take the real days: learnt from the first, tested on the evening after, five production days and the morning after."""
    frame = pd.concat([dataset.read(path).frame for path in paths]).sort_values(DATE, ignore_index=True)
    ends = frame[DATE].searchsorted([pd.Timestamp(day, tz=frame[DATE].dt.tz) for day in REAL]).tolist()
    history, test, days, future = (frame[a:b].reset_index(drop=True) for a, b in pairwise([0, *ends, len(frame)]))
    return Room("real", test, history, days, future, onset=DAY // 2, simulated=False)


def stream(room: Room, scenario: Scenario, seed: int) -> Stream:
    """Let the change of a scenario begin at the onset, and its faults when they do."""
    whole = changed(scenario.case, pd.concat([room.days, room.future], ignore_index=True), room.onset, seed)
    sound, future = whole[: len(room.days)], whole[len(room.days) :].reset_index(drop=True)
    faults = [replace(f, start=room.onset + f.start, end=room.onset + f.end) for f in scenario.faults]
    return Stream(room, spoil(sound, faults, seed) if faults else sound, sound, future)


def champion(room: Room, folder: Path, candidates: int, seed: int) -> dict[str, str]:
    """Train the room's first model by `python -m training`, unless it is there; gives the variables that it was trained with."""
    names = ("TRAINING_DATA", "TEST_DATA", "SEARCH_SPACE", "MONITORING_REFERENCE")
    variables = {name: str((folder / name.lower()).resolve()) for name in names}
    variables |= {
        "CANDIDATES": str(candidates),
        "JOBS": "1",
        "SEED": str(seed),
        "TRACKERS": "",
        "MONITORING_REFERENCE_ROOMS": "*",
    }
    if not (folder / "sets" / model.FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in (("TRAINING_DATA", room.history[::THINNED]), ("TEST_DATA", room.test)):
            write(path := Path(variables[name]), frame, seed)
            if not room.simulated:
                path.write_text(path.read_text("utf-8").partition("\n")[2], "utf-8")  # without the line that says so
        Path(variables["SEARCH_SPACE"]).write_text(SPACE, "utf-8")
        clean = Dataset(
            "", room.history, [], "", room.simulated, ZONE
        )  # of steps and runs only neighbouring minutes tell
        Path(variables["MONITORING_REFERENCE"]).write_bytes(reference.dump(reference.compute(clean)))
        saving = {"SAVE_PATH": str(folder / "sets"), "OVERRIDE_GATE": "true"}
        if execute(["training"], {**variables, **saving}, folder / "training.out"):
            raise NoChampion(f"{folder}: {(folder / 'training.log').read_text()}")
    return variables


def loop(folder: Path, environ: Mapping[str, str], command: str, *argv: str) -> None:
    """Run `python -m training.loop COMMAND` in this process; a run's commands, too."""
    module, more = import_module(f"training.loop.{command}"), (execute,) if command == "run" else ()
    with _into(folder / "loop.out", "a"):
        module.main(argv, environ, *more)


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Leave out the charts of all reports, which nobody reads here and take a third of the time."""
    draw = report.draw
    report.draw = lambda spec, width, prefix: {"name": width, "width": 0, "height": 0, "body": ""}  # noqa: ARG005
    try:
        yield
    finally:
        report.draw = draw


@contextlib.contextmanager
def _into(out: Path, mode: str) -> Iterator[None]:
    """Write what is printed into a file, and what is said into one beside it (.log)."""
    with (
        out.open(mode) as printed,
        out.with_suffix(".log").open(mode) as log,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(log),
    ):
        yield


def execute(argv: Sequence[str], environ: Mapping[str, str], out: Path) -> int:
    """Run `python -m ARGV` in this process, as training/loop/steps.py does in one of its own; gives the exit status."""
    program, own = argv[0], dict(os.environ)
    place = import_module(program if program == "training.compare" else f"{program}.__main__")
    with _into(out, "w"):
        try:
            if program != "training":  # whose entry point reads the environment itself
                return int(place.main(list(argv[1:]), environ))
            os.environ |= environ
            return int(place.main(list(argv[1:])))
        except InputError as error:
            print(error, file=sys.stderr)
            return 2
        finally:
            os.environ.clear()
            os.environ.update(own)


class PastBoot(Boot):
    """A serving process of a time that is over: its records have the time that they are told."""

    now: datetime

    def __init__(self, name: str, live: Model) -> None:
        """Name the boot, so that the same stream leaves the same records."""
        super().__init__("occupancy-inference", __version__, live.version, simulated=live.card.simulated)
        self.id = self._common["occupancy.boot"] = name

    def begin(self, dataset: str, request: Request | None = None) -> dict[str, Any]:
        """Begin a record at that time."""
        return {
            **super().begin(dataset, request),
            "@timestamp": self.now,
            "event.duration": 10**6,
        }


class Service(NamedTuple):
    """What is sent to the service and told it, by row: times (UTC), values, labels; and what it has said so far.

    A label is asked for where `wanted`, told at `when`, and is `truth` but where `wrong`; a lie is told where `lied`.
    """

    room: str
    time: list[datetime]
    values: Array
    truth: Array
    wanted: Array
    when: list[datetime]
    wrong: Array
    lied: Array
    probability: Array
    ids: dict[int, str]


def service(told: Stream, scenario: Scenario, one_in: int, seed: int) -> Service:
    """Draw who answers what and when; the same readings are asked for in all scenarios of a room."""
    rows, time = len(told.reported), told.sound[DATE].dt.tz_convert("UTC")
    drawn = np.random.default_rng((seed, 3)).random((4, rows))
    when = time + pd.to_timedelta(60 + drawn[1] * 60 * (60 * scenario.late - 1), unit="s")
    wrong = drawn[2] < scenario.wrong
    if scenario.flipped is not None:
        wrong |= (np.arange(rows) - told.room.onset) // DAY == scenario.flipped
    return Service(
        told.room.name,
        [each.to_pydatetime() for each in time],
        told.reported[list(NAMES)].to_numpy(np.float64),
        (told.sound[LABEL] == 1).to_numpy(),
        drawn[0] < 1 / one_in,
        [each.to_pydatetime() for each in when.dt.floor("ms")],
        wrong,
        drawn[3] < scenario.lies,
        np.full(rows, np.nan),
        {},
    )


def play(
    told: Stream,
    scenario: Scenario,
    folder: Path,
    trained: Mapping[str, str],
    *,
    one_in: int,
    seed: int,
    lived: Callable[[], object] = lambda: None,
) -> Played:
    """Live through the days, with the loop each morning; `folder` gets the records, the journal and all runs' reports.

    `lived` is called after each day.
    """
    shutil.copytree(Path(trained["TRAINING_DATA"]).parent / "sets", folder / "models", symlinks=True)
    version = str((folder / "models" / "current").readlink())
    environ = {**trained, "LOOP_FOLDER": str(folder / "loop"), "LOOP_MODELS": str(folder / "models")}
    there = service(told, scenario, one_in, seed)
    loop(
        folder,
        environ,
        "deploy",
        version,
        f"--now={there.time[0].isoformat()}",
        "--by=benchmark",
        "--why=the first one",
    )
    memory, judge, found = (
        watch.Memory(),
        Judge(reference.read(trained["MONITORING_REFERENCE"]), ("*",)),
        list[Verdict](),
    )
    files = [folder / "records.jsonl", folder / "verdicts.jsonl"]
    for day, first in enumerate(range(0, len(there.time), DAY)):
        rows = range(first, min(first + DAY, len(there.time)))
        live = model.load(folder / "models" / "live" / model.FILE)
        with files[0].open("ab") as file:
            file.writelines(map(record.line, serve(PastBoot(f"{seed:06x}{day:06x}", live), live, there, rows)))
        now = there.time[rows[-1]] + timedelta(minutes=1)
        portion = portions.from_files((str(files[0]),), memory.cursor)
        # what `watch --once` does, at the records' time: by the clock nothing has come for years
        new = watch.look(memory, portion, judge, now.timestamp())
        found += new
        with files[1].open("ab") as file:
            file.writelines(record.line(v.record(memory.models.get(v.room, ""))) for v in new)
        loop(folder, environ, "run", *map(str, files), f"--now={now.isoformat()}")
        lived()
    journal = Journal(folder / "loop")
    return Played(there.probability, there.wanted, there.wrong, found, journal.runs(), journal.deployments())


def serve(boot: PastBoot, live: Model, there: Service, rows: range) -> Iterator[dict[str, Any]]:
    """Give a day's records in the order of their time: answers, refusals, and the labels told meanwhile."""
    values = there.values[rows[0] : rows[-1] + 1]
    possible = ((values >= LOW) & (values <= HIGH)).all(axis=1)
    there.probability[rows[0] : rows[-1] + 1][possible] = live.probability(values[possible].astype(np.float32))
    begin, end = there.time[rows[0]], there.time[rows[-1]] + timedelta(minutes=1)
    events = [(there.time[row], 0, row) for row in rows]
    told = np.flatnonzero(there.wanted[: rows[-1] + 1]).tolist()
    events += [(there.when[row], 1, row) for row in told if begin <= there.when[row] < end]
    events += [(min(there.time[row] + LIE_DELAY, end), 2, row) for row in rows if there.lied[row]]
    for boot.now, kind, row in sorted(events):
        answered = not np.isnan(there.probability[row])
        if kind == 0:
            fields = _answered(boot, live, there, row) if answered else _refused(boot, there, row)
            there.ids[row] = fields["event.id"]
            yield fields
        elif answered:
            lie = not label(there.probability[row])
            occupied = bool(there.truth[row] != there.wrong[row]) if kind == 1 else lie
            yield record.feedback(boot, REQUEST, prediction=there.ids[row], occupied=occupied, authenticated=kind == 1)


def _answered(boot: PastBoot, live: Model, there: Service, row: int) -> dict[str, Any]:
    said = float(there.probability[row])
    return record.prediction(
        boot,
        REQUEST,
        room=there.room,
        reading_id=None,
        reading_time=there.time[row],
        values=tuple(there.values[row].tolist()),
        probability=said,
        label=label(said),
        answer=live.answer(said),
        flags=[],
        label_wanted=bool(there.wanted[row]),
    )


def _refused(boot: PastBoot, there: Service, row: int) -> dict[str, Any]:
    when = there.time[row]
    sent = {name: v for name, v in zip(NAMES, there.values[row].tolist(), strict=True) if not np.isnan(v)}
    try:
        check({**sent, "date": when.isoformat(), "room": there.room}, UTC)
    except InvalidReading as why:
        about = {"reason": why.reason, "detail": why.detail, "field": why.field, "given": why.given}
        return record.refusal(boot, REQUEST, room=there.room, reading_time=when, **about)  # type: ignore[arg-type]
    raise AssertionError("the contract refuses what is out of its ranges")
