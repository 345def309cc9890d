"""`python -m training.compare CHAMPION CHALLENGER FILE`: the gate between two models, on labelled readings that neither has seen.

The challenger is better if, on the new readings, its log loss and its errors are both shown lower (one-sided 95 % by a block
bootstrap), no single day and no room has clearly more errors, and plain readings are answered plainly. With --old the old days are
looked at, too: each is predicted by either model's recipe without that day, and the challenger may lose there half of what it
wins on the new readings, or a small margin: a world that has changed is not served by the old answers, one that has not is.

Exit status: 0 the challenger is better; 1 it is not shown to be; 2 something given is wrong; 3 it is shown worse, by both.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from occupancy import dataset, model, settings
from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.mapping import DATE, load_mapping
from occupancy.model import Model
from training import refit
from training.blocks import blocks, paired_difference
from training.evaluate import Difference
from training.gate import errors
from training.inputs import collected, default_file
from training.search import log_loss

BETTER, OPEN, BAD_INPUT, WORSE = 0, 1, 2, 3
NEW, OLD = "new", "old"
LOG_LOSS, ERROR_RATE = "log loss", "error rate"
MEASURES = {LOG_LOSS: log_loss, ERROR_RATE: errors}
LEAST_DAYS, LEAST_IN_GROUP = 2, 30
"""Dates that the new readings are of; labels of a day or a room that say something of it."""
PLAIN = {
    "dark, fresh air: empty": ((20.0, 30.0, 0.0, 420.0, 0.0043), 0),
    "bright, stale air: occupied": ((22.0, 30.0, 520.0, 1400.0, 0.0049), 1),
}
"""Readings of which nobody doubts the answer, in the contract's order; a model may be unsure of them, not sure of the contrary."""
SURE = 0.9
Array = np.ndarray[Any, Any]


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """What `compare` can be told."""

    file: Annotated[tuple[str, ...], Meta(description="the champion's model file, the challenger's, and new data")] = ()
    data_mapping: Annotated[str, Meta(description="YAML file that explains the old data; empty: UCI's format")] = ""
    old: Annotated[bool, Meta(description="compare on the old days, too, each left out in turn")] = False
    training_data: Annotated[str, Meta(description="file of the old days; empty: the one in DATA_HOME")] = ""
    data_home: Annotated[str, Meta(description="folder that `make data` fills")] = "data/original"
    level: Annotated[float, Meta(gt=0, lt=0.5, description="one-sided level of what is taken for shown")] = 0.05
    old_log_loss: Annotated[float, Meta(ge=0, description="nats a reading that may always be lost on old days")] = 0.05
    old_errors: Annotated[float, Meta(ge=0, description="share of errors that may always be added on old days")] = 0.02
    old_for_new: Annotated[
        float, Meta(ge=0, le=1, description="share of what is won on the new readings that may be lost on old days")
    ] = 0.5
    day_errors: Annotated[float, Meta(ge=0, description="share by which errors may rise in one new day or room")] = 0.03
    json: Annotated[bool, Meta(description="print one JSON object instead of words")] = False


class ThreeFiles(InputError):
    """Not two models and a data file were named."""


class TooFewDays(InputError):
    """The data does not span the days that a comparison needs."""


class Check(NamedTuple):
    """One thing that is looked at: both models' mean loss, the difference (challenger less champion), and what is allowed."""

    part: str
    group: str
    measure: str
    readings: int
    champion: float
    challenger: float
    difference: Difference
    allowed: float
    passed: bool

    @property
    def against(self) -> str:
        """Say in a clause what speaks against the challenger where it has not passed."""
        became = f"{self.measure} {self.champion:.3f} becomes {self.challenger:.3f}"
        interval = f"{self.difference.low:+.3f} to {self.difference.high:+.3f}"
        if self.group:
            return f"{became} on {self.group} (allowed: {self.allowed:+.2f})"
        if self.part == NEW:
            return f"{became} on new labels, which is not shown to be lower ({interval})"
        return f"{became} on the old days, and may rise by more than {self.allowed:.3f} ({interval})"


class Comparison(NamedTuple):
    """What two models are to each other on the same readings."""

    champion: str
    challenger: str
    status: int
    checks: list[Check]
    plain: dict[str, bool]

    @property
    def against(self) -> list[str]:
        """What speaks against the challenger, a sentence each."""
        said = [check.against for check in self.checks if not check.passed]
        return said + [f"answers wrongly, and is sure of it: {name}" for name, right in self.plain.items() if not right]


class Readings(NamedTuple):
    """Readings with both models' probabilities: time, room, label, champion and challenger, each of shape (rows,)."""

    time: pd.Series
    room: Array
    label: Array
    champion: Array
    challenger: Array


def compare(versions: tuple[str, str], new: Readings, old: Readings | None, table: Compare) -> Comparison:
    """Hold the challenger's probabilities against the champion's; the plain readings are `plain`'s."""
    shown = _differences(NEW, new, table.level)
    checks = [Check(*each, allowed=0.0, passed=each[-1].high < 0) for each in shown]
    checks += _groups(new, table)
    if old is not None:
        for each, won, least in zip(
            _differences(OLD, old, table.level), shown, (table.old_log_loss, table.old_errors), strict=True
        ):
            allowed = max(least, -table.old_for_new * won[-1].mean)
            checks.append(Check(*each, allowed=allowed, passed=each[-1].high <= allowed))
    worse = all(each[-1].low > 0 for each in shown)
    status = WORSE if worse else BETTER if all(check.passed for check in checks) else OPEN
    return Comparison(*versions, status, checks, {})


def _differences(part: str, given: Readings, level: float) -> list[tuple[str, str, str, int, float, float, Difference]]:
    """Compare by each measure, over all readings of a part."""
    block, found = blocks(given.time, given.room), []
    for name, loss in MEASURES.items():
        first, second = loss(given.label, given.champion), loss(given.label, given.challenger)
        difference = paired_difference(second, first, block, level)
        found.append((part, "", name, len(block), float(first.mean()), float(second.mean()), difference))
    return found


def _groups(new: Readings, table: Compare) -> Iterator[Check]:
    """Look at the errors of each new day and, where there are several, of each room; too small ones are left out."""
    block = blocks(new.time, new.room)
    first, second = errors(new.label, new.champion), errors(new.label, new.challenger)
    day = new.time.dt.strftime("%Y-%m-%d").to_numpy()
    rooms = sorted(set(new.room)) if len(set(new.room)) > 1 else []
    for group, rows in [(date, day == date) for date in sorted(set(day))] + [
        (f"room {r}", new.room == r) for r in rooms
    ]:
        if rows.sum() >= LEAST_IN_GROUP:
            difference = paired_difference(second[rows], first[rows], pd.factorize(block[rows])[0], table.level)
            numbers = int(rows.sum()), float(first[rows].mean()), float(second[rows].mean())
            passed = difference.mean <= table.day_errors
            yield Check(NEW, group, ERROR_RATE, *numbers, difference, table.day_errors, passed)


def plain(challenger: Model) -> dict[str, bool]:
    """Tell of each plain reading whether the model does not claim the contrary."""
    given = challenger.probability(np.array([values for values, _ in PLAIN.values()], np.float32)).tolist()
    return {
        name: (p < SURE if answer == 0 else p > 1 - SURE)
        for (name, (_, answer)), p in zip(PLAIN.items(), given, strict=True)
    }


def gate(paths: Sequence[str], table: Compare) -> Comparison:
    """Load both models, which checks contract and golden readings, and compare them; raises TooFewDays, OtherData, UnusableModel."""
    champion, challenger = (model.load(path) for path in paths[:2])
    mapping = load_mapping(table.data_mapping)
    data = collected(paths[2], mapping.timezone)
    if (days := len(set(data.day))) < LEAST_DAYS:
        raise TooFewDays(f"{data.path} has {days} dates; a comparison needs at least {LEAST_DAYS}")
    new = _readings(data, *(np.asarray(each.probability(data.values)) for each in (champion, challenger)))
    old = None
    if table.old:
        before = dataset.read(table.training_data or default_file(Path(table.data_home), dataset.TRAINING), mapping)
        old = _readings(
            before, *(refit.out_of_fold(m, p, before) for m, p in ((champion, paths[0]), (challenger, paths[1])))
        )
    found = compare((champion.version, challenger.version), new, old, table)
    said = plain(challenger)
    return found._replace(plain=said, status=found.status if all(said.values()) else max(found.status, OPEN))


def _readings(data: Dataset, champion: Array, challenger: Array) -> Readings:
    return Readings(data.frame[DATE], data.room, data.label, champion, challenger)


def words(found: Comparison) -> str:
    """Say a comparison as a table and a sentence."""
    lines = [
        f"champion {found.champion}, challenger {found.challenger}",
        f"{'':30}{'readings':>9}{'champion':>10}{'challenger':>12}{'difference':>12}  interval, what is allowed",
    ]
    for c in found.checks:
        name = f"{c.part}, {c.group + ', ' if c.group else ''}{c.measure}"
        interval = (
            f"{c.difference.low:+.4f} to {c.difference.high:+.4f}, {c.allowed:+.3f}{'' if c.passed else '  AGAINST'}"
        )
        lines.append(
            f"{name:30}{c.readings:>9}{c.champion:>10.4f}{c.challenger:>12.4f}{c.difference.mean:>+12.4f}  {interval}"
        )
    lines += [f"{name}: {'right' if right else 'WRONG'}" for name, right in found.plain.items()]
    said = {
        BETTER: "the challenger is better",
        WORSE: "the challenger is worse",
        OPEN: "the challenger is not shown to be better",
    }
    return "\n".join([*lines, said[found.status]])


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Compare, and print what was found; gives the exit status."""
    table = settings.read(Compare, prog="training.compare", argv=argv, environ=environ, about=__doc__ or "")
    if len(table.file) != 3:
        raise ThreeFiles("name the champion's model file, the challenger's, and a data file")
    found = gate(table.file, table)
    print(as_json(found) if table.json else words(found))
    return found.status


def as_json(found: Comparison) -> str:
    """Write a comparison as one JSON object: its fields by name, and `against`."""
    checks = [{**check._asdict(), "difference": check.difference._asdict()} for check in found.checks]
    return msgspec.json.encode({**found._asdict(), "checks": checks, "against": found.against}).decode()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], os.environ))
    except InputError as error:
        print(f"training.compare: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
