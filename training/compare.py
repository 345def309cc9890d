"""`python -m training.compare CHAMPION CHALLENGER FILE`: two models on labelled readings that neither has seen.

Readings of a day resemble each other, so days are what is counted: the difference of two losses has its uncertainty from day
to day. A challenger is better if its log loss is lower beyond the evidence of one-sided 95 %, and its errors are not more.

Exit status: 0 the challenger is better; 1 it is not shown to be; 2 something given is wrong; 3 it is worse.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from occupancy import dataset, model, settings
from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.mapping import load_mapping
from occupancy.model import Model
from training.evaluate import Difference, paired_difference
from training.gate import Array, errors
from training.search import log_loss

BETTER, OPEN, BAD_INPUT, WORSE = 0, 1, 2, 3
MIN_DAYS = 3


class Compare(msgspec.Struct, frozen=True, kw_only=True):
    """What `compare` can be told."""

    file: Annotated[tuple[str, ...], Meta(description="the champion's model file, the challenger's, and the data")] = ()
    data_mapping: Annotated[str, Meta(description="YAML file that explains the data; empty: UCI's format")] = ""
    json: Annotated[bool, Meta(description="print one JSON object instead of words")] = False


class ThreeFiles(InputError):
    """Not two models and a data file were named."""


class TooFewDays(InputError):
    """The data does not span the days that a comparison needs."""


class Measure(NamedTuple):
    """One measure of both models, and the challenger's less the champion's."""

    name: str
    champion: float
    challenger: float
    difference: Difference


class Comparison(NamedTuple):
    """What two models are to each other on the same readings: `days` are their log losses by date."""

    champion: str
    challenger: str
    readings: int
    measures: list[Measure]
    days: dict[str, tuple[float, ...]]

    @property
    def status(self) -> int:
        """Tell whether the challenger is BETTER, WORSE, or neither is shown (OPEN)."""
        loss, wrong = (measure.difference for measure in self.measures)
        if loss.low > 0 or wrong.low > 0:
            return WORSE
        return BETTER if loss.high < 0 and wrong.mean <= 0 else OPEN


def compare(champion: Model, challenger: Model, data: Dataset) -> Comparison:
    """Compare two models on a data set; raises TooFewDays."""
    if len(set(data.day)) < MIN_DAYS:
        raise TooFewDays(f"{data.path} has {len(set(data.day))} dates; a comparison needs at least {MIN_DAYS}")
    old, new = (np.asarray(each.probability(data.values)) for each in (champion, challenger))
    return weigh((champion.version, challenger.version), data.label, data.day.to_numpy(), old, new)


def weigh(versions: tuple[str, str], label: Array, day: Array, old: Array, new: Array) -> Comparison:
    """Compare the probabilities that two models gave, the champion first; label, day, old and new of shape (rows,)."""
    measures = []
    for name, loss in (("log loss", log_loss), ("error rate", errors)):
        first, second = loss(label, old), loss(label, new)
        measures.append(Measure(name, float(first.mean()), float(second.mean()), paired_difference(second, first, day)))
    days = {
        str(date): tuple(float(log_loss(label, given)[day == date].mean()) for given in (old, new))
        for date in sorted(set(day))
    }
    return Comparison(*versions, len(label), measures, days)


def words(found: Comparison) -> str:
    """Say a comparison as a table and a sentence."""
    lines = [
        f"champion {found.champion}, challenger {found.challenger}, on {found.readings} readings of {len(found.days)} days",
        f"{'':12}{'champion':>10}{'challenger':>12}{'difference':>12}  90 % interval",
    ]
    for name, old, new, difference in found.measures:
        interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
        lines.append(f"{name:12}{old:>10.4f}{new:>12.4f}{difference.mean:>+12.4f}  {interval}")
    lines += [f"{date:12}{old:>10.4f}{new:>12.4f}{new - old:>+12.4f}" for date, (old, new) in found.days.items()]
    said = {BETTER: "the challenger is better", WORSE: "the challenger is worse", OPEN: "neither is shown to be better"}
    return "\n".join([*lines, said[found.status]])


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Compare, and print what was found; gives the exit status."""
    table = settings.read(Compare, prog="training.compare", argv=argv, environ=environ, about=__doc__ or "")
    if len(table.file) != 3:
        raise ThreeFiles("name the champion's model file, the challenger's, and a data file")
    champion, challenger, path = table.file
    found = compare(model.load(champion), model.load(challenger), dataset.read(path, load_mapping(table.data_mapping)))
    print(msgspec.json.encode(found._asdict()).decode() if table.json else words(found))
    return found.status


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], os.environ))
    except InputError as error:
        print(f"training.compare: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
