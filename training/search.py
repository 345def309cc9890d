"""The search: candidates are scored on whole days left out, and the simplest that is good enough is chosen.

Rule: each candidate's log loss is pooled over all out-of-fold rows. Those within one standard error (across days) of
the lowest are good enough (Breiman et al., 1984, the one-standard-error rule); of these the shallowest trees win, and
among equally deep ones the lowest loss. Candidates that can't change the winner any more are stopped early; the winner
is the one that scoring all of them on all days would give.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xgboost

from occupancy.reading import NAMES
from training.space import Candidate

FIXED: dict[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_bin": 256,
    "nthread": 1,
    "monotone_constraints": {"Light": 1, "CO2": 1},  # more light or more CO2 never speaks against a person
}
CLIP = 1e-7
TELLING_SHARE = 0.9  # of a candidate's loss: before that many days, two of them can hardly be told apart
AT_A_TIME = 4
Array = np.ndarray[Any, Any]


def log_loss(label: Array, probability: Array) -> Array:
    """Compute each row's log loss in nats, the probability clipped to [1e-7, 1 - 1e-7]."""
    p = np.clip(probability.astype(float), CLIP, 1 - CLIP)
    loss: Array = np.where(label == 1, -np.log(p), -np.log1p(-p))
    return loss


def standard_error(sums: Array, rows: Array) -> float:
    """Compute the standard error of a mean pooled over days, from each day's sum and number of rows (ratio estimator)."""
    days = len(rows)
    return float(np.sqrt(days / (days - 1) * np.sum((sums - sums.sum() / rows.sum() * rows) ** 2)) / rows.sum())


@dataclass(frozen=True)
class Folds:
    """The training data with each day left out once; the quantised matrices are made once and shared by all fits.

    `rows` adds up the weights of each day's rows.
    """

    days: list[str]
    rows: Array
    train: list[xgboost.QuantileDMatrix]
    held_out: list[Array]
    held_out_label: list[Array]
    held_out_weight: list[Array]
    whole: xgboost.QuantileDMatrix


def fold_by_day(values: Array, label: Array, day: Array, weight: Array | None = None) -> Folds:
    """Split by date: values (rows, features) float32, label (rows,), day (rows,) texts, weight (rows,) or None: all 1."""
    weight = np.ones(len(day)) if weight is None else weight
    days = sorted(set(day))

    def matrix(kept: Array) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(
            values[kept],
            label=label[kept],
            weight=weight[kept],
            feature_names=list(NAMES),
            max_bin=FIXED["max_bin"],
            nthread=1,
        )

    return Folds(
        days=days,
        rows=np.array([weight[day == d].sum() for d in days]),
        train=[matrix(day != d) for d in days],
        held_out=[values[day == d] for d in days],
        held_out_label=[label[day == d] for d in days],
        held_out_weight=[weight[day == d] for d in days],
        whole=matrix(np.ones(len(day), bool)),
    )


def fit(candidate: Candidate, matrix: xgboost.QuantileDMatrix, seed: int) -> xgboost.Booster:
    """Train one booster with one thread; the same inputs give the same trees."""
    parameters = {**FIXED, **candidate, "seed": seed}
    trees = int(parameters.pop("n_estimators"))
    booster = xgboost.Booster(parameters, [matrix])
    for tree in range(trees):
        booster.update(matrix, tree)
    return booster


def out_of_fold(candidate: Candidate, folds: Folds, seed: int, fold: int) -> Array:
    """Predict one held-out day by a booster trained on the others, shape (rows of that day,)."""
    booster = fit(candidate, folds.train[fold], seed)
    return np.asarray(booster.inplace_predict(folds.held_out[fold], validate_features=False))


@dataclass(eq=False)
class Scored:
    """A candidate and its summed log loss on the days it was scored on, in the race's order of days."""

    candidate: Candidate
    losses: list[float] = field(default_factory=list)

    @property
    def depth(self) -> float:
        """How deep its trees are: the first measure of simplicity."""
        return self.candidate["max_depth"]


class Race:
    """Scores candidates day by day, and only as far as the winner needs it.

    `run` gives, for each candidate and n of its list, the candidate's summed log loss on the n-th day of the race.
    """

    def __init__(
        self,
        scored: Sequence[Scored],
        rows: Array,
        run: Callable[[list[tuple[Scored, int]]], list[float]],
        telling: int = 1,
    ) -> None:
        """Take the candidates, the rows of each day in the race's order, what scores them, and how many days tell most."""
        self.scored, self.rows, self.run, self.total = list(scored), rows, run, float(rows.sum())
        self.telling = telling

    def winner(self) -> Scored:
        """Find the winner: try the shallowest candidates first, and go deeper only if they are not good enough."""
        for depth in sorted({s.depth for s in self.scored}):
            leader = self._lowest([s for s in self.scored if s.depth == depth])
            self._advance(partial(self._could_exclude, leader))
            if all(self.threshold(s) >= self.loss(leader) for s in self.scored if self._complete(s)):
                return leader
            best = self._lowest(self.scored)
            if self.loss(leader) <= self.threshold(best):
                return leader
        raise AssertionError("the best candidate is within one standard error of itself")

    def _could_exclude(self, leader: Scored, scored: Scored) -> bool:
        return self.at_least(scored)[1] < self.loss(leader)

    def loss(self, scored: Scored) -> float:
        """Pool a completely scored candidate's log loss over all rows."""
        return sum(scored.losses) / self.total

    def threshold(self, scored: Scored) -> float:
        """Give the largest loss that is within one standard error of this candidate's."""
        return self.loss(scored) + standard_error(np.array(scored.losses), self.rows)

    def at_least(self, scored: Scored) -> tuple[float, float]:
        """Bound a candidate's loss and threshold from below, whatever its remaining days bring.

        No day's loss is negative, so the loss is at least what is known of it, s. The threshold is loss L + standard
        error, and by Cauchy-Schwarz over the k known and the other days the standard error is at least c |s - q L|, q
        being the known days' share of the rows; L + c |s - q L| is smallest at L = s or at L = s / q.
        """
        known, days = len(scored.losses), len(self.rows)
        s = sum(scored.losses) / self.total
        if known == days:
            return self.loss(scored), self.threshold(scored)
        if known == 0:
            return 0.0, 0.0
        q = float(self.rows[:known].sum()) / self.total
        c = np.sqrt(days / (days - 1) * (1 / known + 1 / (days - known)))
        return s, (1 - 1e-9) * float(min(s + c * s * (1 - q), s / q))  # the 1e-9 outweighs rounding

    def _complete(self, scored: Scored) -> bool:
        return len(scored.losses) == len(self.rows)

    def _lowest(self, group: list[Scored]) -> Scored:
        """Find the lowest loss of a group.

        All take the telling days; then they are finished a few at a time, the most promising first, so that those stop
        the others. "A few" is a constant: the race takes the same course on any number of cores.
        """

        def promising(s: Scored) -> bool:
            return self.at_least(s)[0] <= min((self.loss(s) for s in group if self._complete(s)), default=np.inf)

        self._advance(lambda s: s in group and len(s.losses) < self.telling and promising(s))
        by_promise = sorted(group, key=lambda s: self.at_least(s)[0])
        for start in range(0, len(by_promise), AT_A_TIME):
            few = by_promise[start : start + AT_A_TIME]
            self._advance(lambda s, few=few: s in few and promising(s))  # type: ignore[misc]
        return min((s for s in group if self._complete(s)), key=self.loss)

    def _advance(self, wanted: Callable[[Scored], bool]) -> None:
        """Score the next day of every incomplete candidate that is wanted, until none is."""
        while open_ones := [s for s in self.scored if not self._complete(s) and wanted(s)]:
            self._score(open_ones)

    def _score(self, scored: list[Scored]) -> None:
        losses = self.run([(s, len(s.losses)) for s in scored])
        for s, loss in zip(scored, losses, strict=True):
            s.losses.append(loss)


@dataclass(frozen=True)
class Found:
    """What the search found: the winner, all candidates as far as they were scored, and the days in the race's order."""

    winner: Scored
    scored: list[Scored]
    days: list[str]
    loss: float
    fits: int


def search(candidates: Sequence[Candidate], folds: Folds, seed: int, jobs: int, advance: Callable[[], None]) -> Found:
    """Choose among candidates by the module's rule, with `jobs` fits at a time; `advance` is called after each.

    The number of jobs changes nothing but speed.
    """

    def day_loss(candidate: Candidate, fold: int) -> float:
        probability = out_of_fold(candidate, folds, seed, fold)
        advance()
        return float((log_loss(folds.held_out_label[fold], probability) * folds.held_out_weight[fold]).sum())

    with _pool(jobs) as pool:
        # The race begins with the day that costs most: it tells candidates apart soonest.
        simplest = min(candidates, key=lambda c: (c["max_depth"], c["n_estimators"]))
        probe = list(pool.map(lambda fold: day_loss(simplest, fold), range(len(folds.days))))
        order = sorted(range(len(folds.days)), key=lambda fold: -probe[fold])

        def run(work: list[tuple[Scored, int]]) -> list[float]:
            return list(pool.map(lambda item: day_loss(item[0].candidate, order[item[1]]), work))

        known = [probe[fold] for fold in order]
        scored = [Scored(c, list(known) if c is simplest else []) for c in candidates]
        carried = np.cumsum(known) / max(sum(known), CLIP)
        race = Race(scored, folds.rows[order], run, telling=int(np.searchsorted(carried, TELLING_SHARE)) + 1)
        winner = race.winner()
    fits = sum(len(s.losses) for s in race.scored)
    return Found(winner, race.scored, [folds.days[fold] for fold in order], race.loss(winner), fits)


@contextmanager
def _pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Run threads (XGBoost releases the interpreter's lock); an interruption does not wait for what is queued."""
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="fit")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
