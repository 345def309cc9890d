"""Continual learning: what keeps a model good when the world changes, what that costs, and what it forgets.

A champion has learnt 14 days of a simulated room. Then comes a real change, and labelled blocks of days with it. After each
block every way of learning makes its next model; it is measured on later days of the changed world (gain), and on the same
days as they would have been without the change (forgetting). All ways see the same rooms, labels and seeds.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import vl_convert
import xgboost
from msgspec import Meta
from scipy import stats

from benchmark.drift import in_processes, real_files
from benchmark.drift_cases import Case
from benchmark.drift_rooms import DAY, HYPERPARAMETERS, Array, simulated_room
from benchmark.drift_tables import markdown
from benchmark.loop_cases import HARMFUL, HARMLESS, KNOWN, changed
from occupancy import dataset, settings
from occupancy.errors import InputError
from occupancy.mapping import DATE, LABEL
from occupancy.model import THRESHOLD
from occupancy.reading import NAMES
from occupancy.report import Chart, Section, Table, render
from training.search import FIXED, log_loss

FIRST_SEED = {"tuning": 1000, "judging": 1}
FUTURE_DAYS = 7
REAL = ("2015-02-06", "2015-02-09")
"""when the real recent days begin, and when they end"""
PARAMETERS = {**FIXED, **{name: value for name, value in HYPERPARAMETERS.items() if name != "n_estimators"}}
TREES = int(HYPERPARAMETERS["n_estimators"])
CHAMPION, USUAL = "champion as it is", "old + recent, half each"


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; TRAINING_DATA and TEST_DATA name the real days, which are left out where there are none."""

    seeds: Annotated[Literal["tuning", "judging"], Meta(description="which rooms: tuning may be run often")] = "tuning"
    rooms: Annotated[int, Meta(ge=2, description="simulated rooms, each with every change")] = 20
    blocks: Annotated[int, Meta(ge=1, description="blocks of recent days, one after the other")] = 3
    block_days: Annotated[int, Meta(ge=1, description="days in a block")] = 2
    one_in: Annotated[int, Meta(ge=1, description="one recent reading in so many is labelled")] = 10
    jobs: Annotated[int, Meta(ge=0, description="processes; 0: as many as cores")] = 0
    save_path: Annotated[str, Meta(min_length=1, description="page to write")] = "out/continual.html"
    picture: Annotated[str, Meta(description="picture to write besides; empty: none")] = ""


class Rows(NamedTuple):
    """What can be learnt from: values (rows, sensors), label (rows,), and how much each row weighs."""

    values: Array
    label: Array
    weight: Array


class Moment(NamedTuple):
    """What a way of learning has when a block has come: its own last model, the old rows, all recent ones, the newest block."""

    model: xgboost.Booster
    old: Rows
    recent: Rows
    newest: Rows
    seed: int


class Outcome(NamedTuple):
    """One way after one block: log loss and accuracy in the changed world and in the old one, and what it took."""

    case: str
    seed: int
    way: str
    block: int
    loss: float
    accuracy: float
    old_loss: float
    old_accuracy: float
    seconds: float
    trees: int


def rows_of(frame: pd.DataFrame) -> Rows:
    """Take what is learnt from a frame, all rows alike."""
    return Rows(frame[list(NAMES)].to_numpy(np.float32), frame[LABEL].to_numpy(np.float32), np.ones(len(frame)))


def boosted(rows: Rows, seed: int, trees: int = TREES, start: xgboost.Booster | None = None) -> xgboost.Booster:
    """Fit so many trees, after those of `start` where it is given."""
    matrix = xgboost.QuantileDMatrix(
        rows.values,
        label=rows.label,
        weight=rows.weight,
        feature_names=list(NAMES),
        max_bin=FIXED["max_bin"],
        nthread=1,
    )
    return xgboost.train({**PARAMETERS, "seed": seed}, matrix, trees, xgb_model=start)


def refreshed(rows: Rows, start: xgboost.Booster, seed: int) -> xgboost.Booster:
    """Keep the trees of `start` and compute their leaves anew from these rows."""
    parameters = {name: value for name, value in PARAMETERS.items() if name not in ("tree_method", "max_bin")}
    parameters |= {"process_type": "update", "updater": "refresh", "refresh_leaf": True, "verbosity": 0, "seed": seed}
    matrix = xgboost.DMatrix(rows.values, label=rows.label, weight=rows.weight, feature_names=list(NAMES), nthread=1)
    return xgboost.train(parameters, matrix, start.num_boosted_rounds(), xgb_model=start)


def _both(moment: Moment, weight: float = 3) -> Rows:
    """Put the recent rows after the old ones, with another weight."""
    recent = moment.recent._replace(weight=np.full(len(moment.recent.label), weight))
    return Rows(*(np.concatenate(parts) for parts in zip(moment.old, recent, strict=True)))


WAYS: dict[str, Callable[[Moment], xgboost.Booster]] = {
    CHAMPION: lambda m: m.model,
    **{
        f"old + recent × {weight}": lambda m, weight=weight: boosted(_both(m, weight), m.seed)  # type: ignore[misc]
        for weight in (1, 3, 10)
    },
    USUAL: lambda m: boosted(_both(m, len(m.old.label) / len(m.recent.label)), m.seed),
    "recent only": lambda m: boosted(m.recent, m.seed),
    **{
        f"{trees} more trees, newest block": lambda m, trees=trees: boosted(m.newest, m.seed, trees, m.model)  # type: ignore[misc]
        for trees in (25, 100)
    },
    **{
        f"{trees} more trees, old + recent × 3": lambda m, trees=trees: boosted(_both(m), m.seed, trees, m.model)  # type: ignore[misc]
        for trees in (25, 100)
    },
    "leaves anew, newest block": lambda m: refreshed(m.newest, m.model, m.seed),
    "leaves anew, old + recent × 3": lambda m: refreshed(_both(m), m.model, m.seed),
}
"""Ways to the next model. What has no champion in it starts from nothing, each time."""
SHOWN = (CHAMPION, USUAL, "recent only", "25 more trees, newest block", "leaves anew, newest block")


def main(argv: list[str]) -> int:
    """Measure, print the tables, and write them as a page."""
    try:
        chosen = settings.read(Settings, prog="benchmark continual", argv=argv, environ={}, about=__doc__ or "")
        found = run(chosen, [])
        sections = [
            Section("Harmful changes", [curves(found), table(found, HARMFUL)]),
            Section("No change, and harmless ones", [table(found, HARMLESS)]),
            Section("Accuracy in the changed world, in points more than the champion's", [each_case(found)]),
        ]
        if files := real_files(os.environ):
            real = run(chosen, files)
            sections.append(Section("On the real days", [table(real, HARMFUL), table(real, HARMLESS)]))
    except (InputError, OSError) as error:
        print(f"benchmark continual: {error}", file=sys.stderr)
        return 2
    for section in sections:
        shown = [markdown(part) for part in section.parts if isinstance(part, Table)]
        print(f"\n## {section.title}\n", "\n\n".join(shown), sep="\n", flush=True)
    page, facts = Path(chosen.save_path), msgspec.to_builtins(chosen)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render("Continual learning", (__doc__ or "").partition("\n")[0], facts, sections), "utf-8")
    if chosen.picture:
        drawing = {**curves(found).spec, "background": "white", "config": {"view": {"discreteWidth": 560}}}
        Path(chosen.picture).write_bytes(vl_convert.vegalite_to_png(drawing, scale=2))
    print(f"\nlook at {page}", file=sys.stderr)
    return 0


def run(chosen: Settings, files: Sequence[Path]) -> list[Outcome]:
    """Let every way learn in every simulated room, after every change; or, where files are given, in the real one."""
    seeds = range(FIRST_SEED[chosen.seeds], FIRST_SEED[chosen.seeds] + chosen.rooms)
    work = [partial(in_the_real_days, chosen, files, s) if files else partial(in_a_room, chosen, s) for s in seeds]
    return [one for some in in_processes("rooms", work, chosen.jobs or os.cpu_count() or 1) for one in some]


def in_a_room(chosen: Settings, seed: int) -> list[Outcome]:
    """Simulate one room, and change it in every way."""
    recent = chosen.blocks * chosen.block_days
    room = simulated_room(seed, recent + FUTURE_DAYS)
    ends = [chosen.block_days * DAY * number for number in range(1, chosen.blocks + 1)]
    return [
        one
        for name in (*HARMFUL, *HARMLESS)
        for one in learnt(KNOWN[name], room.history, room.frame, ends, seed=seed, one_in=chosen.one_in)
    ]


def in_the_real_days(chosen: Settings, files: Sequence[Path], seed: int) -> list[Outcome]:
    """Take the real days before REAL as learnt, and change those from there on; a seed labels other minutes."""
    frame = pd.concat([dataset.read(path).frame for path in files]).sort_values(DATE, ignore_index=True)
    begin, end = frame[DATE].searchsorted([pd.Timestamp(day, tz=frame[DATE].dt.tz) for day in REAL]).tolist()
    history, later = frame[:begin], frame[begin:].reset_index(drop=True)
    return [
        one
        for name in (*HARMFUL, *HARMLESS)
        for one in learnt(KNOWN[name], history, later, [end - begin], seed=seed, one_in=chosen.one_in)
    ]


def learnt(
    case: Case, history: pd.DataFrame, frame: pd.DataFrame, ends: Sequence[int], *, seed: int, one_in: int
) -> list[Outcome]:
    """Learn block by block (`ends`: the row at which each ends); what comes after the last is what is measured on."""
    after, old = changed(case, frame, 0, seed), rows_of(history)
    future, without = rows_of(after[ends[-1] :]), rows_of(frame[ends[-1] :])
    told = np.random.default_rng((seed, 6)).random(len(frame)) < 1 / one_in
    champion = boosted(old, seed)
    models, before = dict.fromkeys(WAYS, champion), _scores(champion, future, without)
    outcomes = [Outcome(case.name, seed, way, 0, *before, 0.0, TREES) for way in WAYS]
    for block, (begin, end) in enumerate(zip([0, *ends], ends, strict=False), 1):
        recent, newest = rows_of(after[:end][told[:end]]), rows_of(after[begin:end][told[begin:end]])
        for way, learn in WAYS.items():
            begun = time.perf_counter()
            models[way] = model = learn(Moment(models[way], old, recent, newest, seed))
            seconds, trees = time.perf_counter() - begun, model.num_boosted_rounds()
            outcomes.append(Outcome(case.name, seed, way, block, *_scores(model, future, without), seconds, trees))
    return outcomes


def _scores(model: xgboost.Booster, changed_world: Rows, old_world: Rows) -> tuple[float, float, float, float]:
    """Give log loss and accuracy in one world, and in the other."""

    def score(rows: Rows) -> tuple[float, float]:
        said = model.inplace_predict(rows.values, validate_features=False)
        return float(log_loss(rows.label, said).mean()), float(((said >= THRESHOLD) == (rows.label == 1)).mean())

    return (*score(changed_world), *score(old_world))


def table(found: Sequence[Outcome], cases: Sequence[str]) -> Table:
    """Compare the ways after the last block with the champion, over some cases; intervals are over rooms, 95 %."""
    data = _last(found, cases)
    champion, cost = _of(data, CHAMPION), _of(data, USUAL)["seconds"]
    rows = []
    for way in WAYS:
        mine = _of(data, way)
        more = (mine - champion) * [1, 100, 1, 100, 1, 1]
        cells = [interval(more[name], digits) for name, digits in (("loss", 3), ("accuracy", 1))]
        cells += [interval(more[name], digits) for name, digits in (("old_loss", 3), ("old_accuracy", 1))]
        if way == CHAMPION:
            kinds = {"loss": ".3f", "accuracy": ".1%", "old_loss": ".3f", "old_accuracy": ".1%"}
            cells = [format(champion[name].mean(), kind) for name, kind in kinds.items()]
        rows.append((way, *cells, f"{(mine['seconds'] / cost).median():.2f}", f"{mine['trees'].mean():.0f}"))
    columns = [
        "",
        "log loss",
        "accuracy, points",
        "old world: log loss",
        "old world: accuracy, points",
        "time",
        "trees",
    ]
    caption = "The champion's own values, and of all others the difference to them; time is that of a fit, over that of the usual."
    return Table(columns, rows, caption)


def _last(found: Sequence[Outcome], cases: Sequence[str]) -> pd.DataFrame:
    data = pd.DataFrame(found)
    last: pd.DataFrame = data[(data["block"] == data["block"].max()) & data["case"].isin(cases)]
    return last


def _of(data: pd.DataFrame, way: str) -> pd.DataFrame:
    """Give a row a room: the mean over its changes of what one way did."""
    numbers = ["loss", "accuracy", "old_loss", "old_accuracy", "seconds", "trees"]
    mean: pd.DataFrame = data[data["way"] == way].groupby("seed")[numbers].mean()
    return mean


def interval(differences: pd.Series, digits: int) -> str:
    """Write a mean with its 95 % interval by Student's t.

    >>> interval(pd.Series([1.0, 2.0, 3.0]), 1)
    '+2.0 (-0.5 to +4.5)'
    """
    mean, wide = differences.mean(), stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return f"{mean:+.{digits}f} ({mean - wide:+.{digits}f} to {mean + wide:+.{digits}f})"


def each_case(found: Sequence[Outcome]) -> Table:
    """Give a row a change, a column a way."""
    rows = []
    for case in (*HARMFUL, *HARMLESS):
        data = _last(found, [case])
        champion = _of(data, CHAMPION)["accuracy"]
        gains = [interval(100 * (_of(data, way)["accuracy"] - champion), 1) for way in WAYS if way != CHAMPION]
        rows.append((case, f"{champion.mean():.1%}", *gains))
    return Table(["change", CHAMPION, *(way for way in WAYS if way != CHAMPION)], rows)


def curves(found: Sequence[Outcome]) -> Chart:
    """Draw the mean log loss after each block of harmful changes, in the changed world and in the old one."""
    data = pd.DataFrame(found)
    mean = data[data["case"].isin(HARMFUL)].groupby(["way", "block"])[["loss", "old_loss"]].mean().reset_index()
    values: list[dict[str, Any]] = [
        {"way": row["way"], "block": row["block"], "loss": row[column], "world": world}
        for row in mean.to_dict("records")
        if row["way"] in SHOWN
        for column, world in (("loss", "changed world"), ("old_loss", "old world"))
    ]
    spec = {
        "data": {"values": values},
        "facet": {"row": {"field": "world", "type": "nominal", "title": None}},
        "spec": {
            "height": 170,
            "mark": {"type": "line", "point": True},
            "encoding": {
                "x": {"field": "block", "type": "ordinal", "title": "blocks learnt", "axis": {"labelAngle": 0}},
                "y": {"field": "loss", "type": "quantitative", "title": "log loss"},
                "color": {"field": "way", "type": "nominal", "sort": list(SHOWN)},
            },
        },
        "resolve": {"scale": {"y": "independent"}},
    }
    return Chart(spec, "Harmful changes: mean log loss on days to come, as the blocks come; lower is better.")
