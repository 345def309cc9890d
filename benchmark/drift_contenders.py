"""Beside ours, on the same stretches of the same rooms: always, never, naive KS, and three libraries as they come.

The libraries have environments of their own (`make drift-peers`): each is a program that reads arrays from one file and
writes a line of JSON for each stretch, with the rows at which its detectors raised an alarm.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmark.drift_cases import CASES, CLEAN
from benchmark.drift_rooms import DAY, Room, Stream, records
from benchmark.drift_trials import HARMFUL, LEAD_DAYS, Judge, changed, opened, stretch
from occupancy.mapping import LABEL
from occupancy.reading import NAMES

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).parents[1]
PEERS = {"evidently": "evidently_windows", "nannyml": "nannyml_chunks", "river": "river_streams"}
SIDE_BY_SIDE = (
    CLEAN.name,
    "Light stuck at 0",
    "Light stuck at 450",
    "Light × 0.3",
    "CO2 × 1.5",
    "people sit in the dark",
    "damp weather: Humidity +8",
)
DAYS = 2  # after the onset
WINDOW = 360  # minutes: a window of Evidently's and NannyML's costs half a second, however short
ALPHA = 0.05
SILENT = {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}  # a benchmark tells nobody that it was run


class Stretch(NamedTuple):
    """What all contenders see: the sensors and the probability, and, where a label was asked for, whether it was wrong.

    `seen`: shape (rows, 6), refused readings left out; `error`: shape (rows,), NaN without a label; `minute`: of each row.
    """

    case: str
    room: int
    harm: float
    seen: Array
    error: Array
    minute: Array

    @property
    def begin(self) -> int:
        """Give the row from which on windows are cut: the first of a clean stretch, else the onset's."""
        return 0 if self.case == CLEAN.name else int(np.searchsorted(self.minute, LEAD_DAYS * DAY))


class Outcome(NamedTuple):
    """The alarms of one detector, in minutes from the beginning, for each stretch."""

    detector: str
    alarms: list[list[float]]


def stretches_of(room: Room, number: int, onset: int, judge: Judge) -> tuple[list[Stretch], list[list[float]]]:
    """Make the stretches of one onset of one room, and list the minutes of our own alarms in each."""
    clean = stretch(room, onset, DAYS)
    known = {case.name: case for case in (CLEAN, *CASES)}
    stretches, ours = [], []
    for name in SIDE_BY_SIDE:
        stream = changed(room, clean, known[name])
        told = records(stream, room.name, room.seed)
        after = LEAD_DAYS * DAY
        harm = 100 * float(clean.right[after:].mean() - stream.right[after:].mean())
        asked = told.predictions["event.id"].isin(told.feedback["occupancy.feedback.prediction"]).to_numpy()
        stretches.append(_stretch(name, number, harm, stream, asked))
        ours.append([alarm.minutes for alarm in opened(judge(told, room.reference), stream, 0)])
    return stretches, ours


def _stretch(name: str, room: int, harm: float, stream: Stream, asked: Array) -> Stretch:
    error = np.where(asked, ~stream.right, np.nan)
    kept = ~np.isnan(stream.probability)
    seen = np.column_stack((stream.frame[list(NAMES)].to_numpy(np.float64), stream.probability))
    return Stretch(name, room, harm, seen[kept], error[kept], np.flatnonzero(kept).astype(np.float64))


def past(room: Room) -> Array:
    """Give what a contender may learn from: sensors, probability and truth of the clean days, shape (rows, sensors + 2)."""
    values = room.history[list(NAMES)].to_numpy(np.float64)
    probability = room.booster.inplace_predict(values.astype(np.float32), validate_features=False)
    return np.column_stack((values, probability, room.history[LABEL].to_numpy(np.float64)))


def plain(stretches: Sequence[Stretch], pasts: Sequence[Array]) -> list[Outcome]:
    """Run the contenders that need no library of their own."""
    return [
        Outcome("always", [s.minute[s.begin + WINDOW - 1 :: WINDOW].tolist() for s in stretches]),
        Outcome("never", [[] for _ in stretches]),
        *(
            Outcome(f"KS, windows of {window} min, Bonferroni", [_ks(s, pasts[s.room], window) for s in stretches])
            for window in (60, WINDOW)
        ),
    ]


def _ks(s: Stretch, known: Array, window: int) -> list[float]:
    """Alarm at the end of each window in which some sensor's values are not from the past's distribution."""
    ends = range(s.begin + window, len(s.seen) + 1, window)
    limit = ALPHA / len(NAMES)
    return [
        float(s.minute[end - 1])
        for end in ends
        if any(
            stats.ks_2samp(s.seen[end - window : end, sensor], known[:, sensor], method="asymp").pvalue < limit
            for sensor in range(len(NAMES))
        )
    ]


def missing() -> list[str]:
    """Name the environments that `make drift-peers` has not made here."""
    return [name for name in PEERS if not (_environment(name) / "ready").exists()]


def write(path: Path, stretches: Sequence[Stretch], pasts: Sequence[Array]) -> None:
    """Write what a peer reads: the sensors' names, and of each row their values, the probability and maybe the truth."""
    arrays: dict[str, Any] = {f"past_{number}": known for number, known in enumerate(pasts)}
    for number, s in enumerate(stretches):
        arrays |= {f"seen_{number}": s.seen, f"error_{number}": s.error}
    arrays |= {"room": np.array([s.room for s in stretches]), "begin": np.array([s.begin for s in stretches])}
    np.savez(path, window=np.array(WINDOW), sensors=np.array(NAMES), **arrays)


def peer(name: str, path: Path, stretches: Sequence[Stretch]) -> list[Outcome]:
    """Run one peer on a file of stretches."""
    found: dict[str, list[list[float]]] = {}
    for line, s in zip(_lines(name, str(path)), stretches, strict=True):
        for detector, rows in line["alarms"].items():
            found.setdefault(detector, []).append([float(s.minute[row]) for row in rows])
    return [Outcome(detector, alarms) for detector, alarms in found.items()]


def evidently_seconds(path: Path) -> dict[str, float]:
    """Let Evidently time itself on a file's first stretch: `whole`, and one `window`."""
    return dict(next(_lines("evidently", str(path), "speed")))


def _lines(name: str, *arguments: str) -> Iterator[Any]:
    script = ROOT / "benchmark" / "drift_peers" / f"{PEERS[name]}.py"
    command = [str(_environment(name) / "bin" / "python"), "-W", "ignore", str(script), *arguments]
    done = subprocess.run(command, env=SILENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    yield from (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))


def _environment(name: str) -> Path:
    return ROOT / f".venv-{name}"


class Standing(NamedTuple):
    """How one detector did."""

    detector: str
    clean_days_with_alarm: float
    alarms_a_clean_day: float
    harmful_found: float
    delay: float
    harmless_alarmed: float


def standing(outcome: Outcome, stretches: Sequence[Stretch]) -> Standing:
    """Sum up one detector: false alarms on clean stretches and before onsets; the rest after them."""
    onset, quiet_days, alarms, delays, harmless = LEAD_DAYS * DAY, [], 0, [], []
    for s, raised in zip(stretches, outcome.alarms, strict=True):
        days = range(LEAD_DAYS + DAYS if s.case == CLEAN.name else 0)
        quiet_days += [any(day * DAY <= minute < (day + 1) * DAY for minute in raised) for day in days]
        alarms += len(raised) if s.case == CLEAN.name else 0
        after = [minute - onset for minute in raised if minute >= onset]
        if s.harm >= HARMFUL:
            delays.append(min(after, default=np.inf))
        elif s.case != CLEAN.name:
            harmless.append(bool(after))
    return Standing(
        outcome.detector,
        float(np.mean(quiet_days)),
        alarms / max(len(quiet_days), 1),
        float(np.mean(np.isfinite(delays))) if delays else np.nan,
        float(sorted(delays)[len(delays) // 2]) if delays else np.nan,
        float(np.mean(harmless)) if harmless else np.nan,
    )
