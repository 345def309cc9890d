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
from occupancy.model import EMPTY, OCCUPIED, Model
from training import refit
from training.blocks import blocks, paired_difference
from training.evaluate import Difference
from training.gate import errors
from training.inputs import collected, one
from training.search import log_loss

PREFIX = "COMPARE_"
BETTER, OPEN, BAD_INPUT, WORSE = 0, 1, 2, 3
NEW, OLD = "new", "old"
LOG_LOSS, ERROR_RATE = "log loss", "error rate"
MEASURES = {LOG_LOSS: log_loss, ERROR_RATE: errors}
LEAST_DAYS, LEAST_A_DAY, LUCK = 2, 10, 2
"""Dates that the new readings are of, and their readings at least; errors more in a day or a room that chance may bring."""
PLAIN = {
    "dark, fresh air: empty": ((20.0, 30.0, 0.0, 420.0, 0.0043), 0),
    "bright, stale air: occupied": ((22.0, 30.0, 520.0, 1400.0, 0.0049), 1),
}
"""Readings of which nobody doubts the answer, in the contract's order; a model may be uncertain of them, not of the contrary mind."""
Array = np.ndarray[Any, Any]


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """What `compare` can be told; which the old days are, training's own variables say."""

    file: Annotated[tuple[str, ...], Meta(description="the champion's model file, the challenger's, and new data")] = ()
    old: Annotated[bool, Meta(description="compare on the old days, too, each left out in turn")] = False
    training_data: Annotated[
        str,
        Meta(description="file of the old days; empty: the one in DATA_HOME", extra={"variable": "TRAINING_DATA"}),
    ] = ""
    data_home: Annotated[str, Meta(description="folder that `make data` fills", extra={"variable": "DATA_HOME"})] = (
        "data/original"
    )
    data_mapping: Annotated[
        str,
        Meta(
            description="YAML file that explains the old data; empty: UCI's format", extra={"variable": "DATA_MAPPING"}
        ),
    ] = ""
    level: Annotated[float, Meta(gt=0, lt=0.5, description="one-sided level of what is taken for shown")] = 0.05
    day_errors: Annotated[float, Meta(ge=0, description="share by which errors may rise in one new day or room")] = 0.03
    old_log_loss: Annotated[float, Meta(ge=0, description="nats a reading that may always be lost on old days")] = 0.05
    old_errors: Annotated[float, Meta(ge=0, description="share of errors that may always be added on old days")] = 0.02
    old_for_new: Annotated[
        float, Meta(ge=0, le=1, description="share of what is won on the new readings that may be lost on old days")
    ] = 0.5
    old_log_loss_most: Annotated[float, Meta(ge=0, description="nats that may be lost there at most")] = 0.3
    old_errors_most: Annotated[float, Meta(ge=0, description="share of errors that may be added there at most")] = 0.1
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
    level: float
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
        least, most = (table.old_log_loss, table.old_errors), (table.old_log_loss_most, table.old_errors_most)
        for each, won, low, high in zip(_differences(OLD, old, table.level), shown, least, most, strict=True):
            allowed = max(low, min(high, -table.old_for_new * won[-1].mean))
            checks.append(Check(*each, allowed=allowed, passed=each[-1].high <= allowed))
    worse = all(each[-1].low > 0 for each in shown)
    status = WORSE if worse else BETTER if all(check.passed for check in checks) else OPEN
    return Comparison(*versions, status, table.level, checks, {})


def _differences(part: str, given: Readings, level: float) -> list[tuple[str, str, str, int, float, float, Difference]]:
    """Compare by each measure, over all readings of a part."""
    block, found = blocks(given.time, given.room), []
    for name, loss in MEASURES.items():
        first, second = loss(given.label, given.champion), loss(given.label, given.challenger)
        difference = paired_difference(second, first, block, level)
        found.append((part, "", name, len(block), float(first.mean()), float(second.mean()), difference))
    return found


def _groups(new: Readings, table: Compare) -> Iterator[Check]:
    """Look at the errors of each new day and, where there are several, of each room; a few more may be chance."""
    block = blocks(new.time, new.room)
    first, second = errors(new.label, new.champion), errors(new.label, new.challenger)
    day = new.time.dt.strftime("%Y-%m-%d").to_numpy()
    rooms = sorted(set(new.room)) if len(set(new.room)) > 1 else []
    groups = [(date, day == date) for date in sorted(set(day))] + [(f"room {r}", new.room == r) for r in rooms]
    for group, rows in groups:
        count = int(rows.sum())
        difference = paired_difference(second[rows], first[rows], pd.factorize(block[rows])[0], table.level)
        allowed = table.day_errors + LUCK / count
        means = float(first[rows].mean()), float(second[rows].mean())
        yield Check(NEW, group, ERROR_RATE, count, *means, difference, allowed, difference.mean <= allowed)


def plain(challenger: Model) -> dict[str, bool]:
    """Tell of each plain reading whether the model does not answer the contrary; uncertain it may be."""
    given = challenger.probability(np.array([values for values, _ in PLAIN.values()], np.float32)).tolist()
    contrary = (EMPTY if answer else OCCUPIED for _, answer in PLAIN.values())
    return {name: challenger.answer(p) != wrong for name, p, wrong in zip(PLAIN, given, contrary, strict=True)}


def gate(paths: Sequence[str], table: Compare) -> Comparison:
    """Load both models, which checks contract and golden readings, and compare them; raises TooFewDays, OtherData, UnusableModel."""
    champion, challenger = (model.load(path) for path in paths[:2])
    mapping = load_mapping(table.data_mapping)
    data = collected(paths[2], mapping.timezone)
    if (days := int((data.day.value_counts() >= LEAST_A_DAY).sum())) < LEAST_DAYS:
        raise TooFewDays(
            f"{data.path} has {days} dates with {LEAST_A_DAY} readings or more; a comparison needs at least {LEAST_DAYS}"
        )
    new = _readings(data, *(np.asarray(each.probability(data.values)) for each in (champion, challenger)))
    old = None
    if table.old:
        before = one(table.training_data, Path(table.data_home), dataset.TRAINING, mapping)
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
    about = __doc__ or ""
    table = settings.read(Compare, prog="training.compare", argv=argv, environ=environ, prefix=PREFIX, about=about)
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
