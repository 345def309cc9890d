"""Labels that `monitoring propose` names beside as many drawn at random: what a model that learns from them gets wrong later.

Simulated rooms whose lamps are dimmed to a third: labels of four days are learned from, with the weight of all the readings
before; the next three days are answered.
"""

import sys
from datetime import date
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from monitoring import records
from monitoring.drift.judge import Judge
from monitoring.propose import proposals
from monitoring.records import Records
from occupancy import record, reference, settings
from occupancy.dataset import Dataset
from occupancy.mapping import DATE, ZONE
from occupancy.progress import Progress
from occupancy.reading import NAMES
from occupancy.simulate import simulate
from training.gate import errors
from training.search import fit, fold_by_day, log_loss

DAY, BEFORE, CHANGED, DIMMED = 1440, 14, 4, 1 / 3
RECIPE: dict[str, Any] = {"max_depth": 2, "n_estimators": 150, "learning_rate": 0.1}
Array = np.ndarray[Any, Any]


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings."""

    rooms: Annotated[int, Meta(ge=1, description="how many simulated rooms, from seed 0")] = 8


class Later(NamedTuple):
    """What a model gets on the days after: its mean log loss and its share of errors."""

    log_loss: float
    errors: float


def main(argv: list[str]) -> int:
    """Try each room and number of labels, and print the table."""
    chosen, counts = settings.read(Settings, prog="benchmark proposals", argv=argv, environ={}), (20, 60)
    found: list[dict[str, Later]] = []
    with Progress("proposals", chosen.rooms, "rooms") as progress:
        for seed in range(chosen.rooms):
            found.append(room(seed, counts))
            progress.advance()
    sys.stdout.write(table(found, counts))
    return 0


def room(seed: int, counts: tuple[int, ...]) -> dict[str, Later]:
    """Try one room: what each choice of labels leads to, by its name."""
    frame = simulate(BEFORE + 7, seed, date(2026, 3, 2))
    changed = frame.index >= BEFORE * DAY
    frame.loc[changed, "Light"] *= DIMMED
    old, new, later = (_data(frame[at : at + n]) for at, n in ((0, BEFORE * DAY), (BEFORE * DAY, CHANGED * DAY), ((BEFORE + CHANGED) * DAY, 3 * DAY)))  # fmt: skip
    by, rng = Judge(reference.compute(old)), np.random.default_rng(seed)
    found = answered(new, _fitted(old, new, [])(new.values))
    ways = {"none": [], "all": list(range(len(new.label)))}
    for count in counts:
        ways[f"proposed {count}"] = [int(p.prediction.partition("-")[2]) - 1 for p in proposals(found, by, count)]
        ways[f"random {count}"] = rng.choice(len(new.label), count, replace=False).tolist()
    after = {name: _fitted(old, new, rows)(later.values) for name, rows in ways.items()}
    return {
        name: Later(float(log_loss(later.label, p).mean()), float(errors(later.label, p).mean()))
        for name, p in after.items()
    }


def answered(data: Dataset, probability: Array) -> Records:
    """Make the records that a service with these answers would leave."""
    boot, request = (
        record.Boot("occupancy-inference", "0", "0123456789ab", simulated=True),
        record.Request("", "", "", 0),
    )
    lines = []
    rows = zip(
        data.frame[DATE].dt.tz_convert("UTC"),
        data.frame[list(NAMES)].to_numpy().tolist(),
        probability.tolist(),
        strict=True,
    )
    for time, values, p in rows:
        fields = record.prediction(
            boot, request, room="default", reading_id=None, reading_time=time.to_pydatetime(), values=tuple(values),
            probability=p, label=int(p >= 0.5), answer="", flags=[], label_wanted=False,
        )  # fmt: skip
        lines.append({**fields, "@timestamp": fields["occupancy.reading.time"]})
    return records.frames(lines)


def _data(frame: pd.DataFrame) -> Dataset:
    return Dataset("", frame.reset_index(drop=True), [], "", True, ZONE)


def _fitted(old: Dataset, new: Dataset, rows: list[int]) -> Any:
    """Fit the recipe on the old readings and some of the new, which weigh as much together; gives what predicts."""
    values, label = np.concatenate((old.values, new.values[rows])), np.concatenate((old.label, new.label[rows]))
    weight = np.repeat([1.0, len(old.label) / max(len(rows), 1)], [len(old.label), len(rows)])
    booster = fit(RECIPE, fold_by_day(values, label, np.zeros(len(label)), weight).whole, 0)
    return lambda given: np.asarray(booster.inplace_predict(given, validate_features=False))


def table(found: list[dict[str, Later]], counts: tuple[int, ...]) -> str:
    """Write the table in Markdown, means over the rooms."""

    def cell(name: str) -> str:
        mean = np.mean([each[name] for each in found], axis=0)
        return f"{mean[1]:.1%}, {mean[0]:.3f}"

    lines = [
        f"errors and log loss of {len(found)} rooms: with no label {cell('none')}; with all {cell('all')}\n",
        "| labels | proposed | at random | rooms where the proposed ones led to fewer errors, to more |",
        "|---|---|---|---|",
    ]
    for count in counts:
        one, other = ([each[f"{way} {count}"].errors for each in found] for way in ("proposed", "random"))
        fewer, more = (sum(a < b for a, b in zip(x, y, strict=True)) for x, y in ((one, other), (other, one)))
        lines.append(f"| {count} | {cell(f'proposed {count}')} | {cell(f'random {count}')} | {fewer}, {more} |")
    return "\n".join(lines) + "\n"
