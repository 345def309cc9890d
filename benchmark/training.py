"""The search against scikit-learn's RandomizedSearchCV over XGBClassifier: same candidates, same folds, in one run.

Both winners are chosen by our rule, so a faster search that chose another model would show. scikit-learn runs at the
fastest of the measured n_jobs x nthread; repetitions alternate.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import joblib
import msgspec
import numpy as np
import xgboost
from msgspec import Meta
from sklearn.metrics import make_scorer
from sklearn.model_selection import LeaveOneGroupOut, RandomizedSearchCV

from occupancy import settings
from occupancy.progress import Progress
from occupancy.reading import NAMES
from training import search, space
from training.inputs import Inputs, prepare, read
from training.settings import Settings as TrainingSettings


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; training's own are taken from the environment."""

    repeat: Annotated[int, Meta(ge=1, description="how often each is measured, alternating")] = 3
    candidates: Annotated[int, Meta(ge=1, description="how many candidates are drawn")] = 80


def main(argv: list[str]) -> int:
    """Measure and print the table."""
    chosen = settings.read(Settings, prog="benchmark training", argv=argv, environ={})
    training = settings.read(TrainingSettings, prog="training", argv=[], environ=os.environ)
    data, test, _ = read(training)
    inputs = prepare(data, test, training.preprocessing)
    candidates = space.draw(space.load(training.search_space), chosen.candidates, training.seed)
    cores = joblib.cpu_count()

    def ours() -> space.Candidate:
        folds = search.fold_by_day(inputs.values, inputs.label, inputs.day)
        return search.search(candidates, folds, training.seed, cores, lambda: None).winner.candidate

    def theirs(jobs: int, threads: int) -> space.Candidate:
        return sklearn_winner(candidates, inputs, training.seed, jobs, threads)

    splits = sorted({(1, cores), (cores, 1)})
    print(
        f"{len(candidates)} candidates, {len(set(inputs.day))} days held out, {len(inputs.label)} rows, {cores} cores"
    )
    trial = {}
    for jobs, threads in splits:
        trial[jobs, threads] = timed(partial(theirs, jobs, threads))[0]
        print(f"scikit-learn, n_jobs={jobs} nthread={threads}: {trial[jobs, threads]:.1f} s", flush=True)
    fastest = min(trial, key=lambda split: trial[split])
    print(f"scikit-learn is fastest at n_jobs={fastest[0]} nthread={fastest[1]}", flush=True)
    rounds = []
    with Progress("rounds", chosen.repeat, "rounds") as progress:
        for _ in range(chosen.repeat):
            rounds.append((timed(ours), timed(partial(theirs, *fastest))))
            progress.advance()
    ratios = sorted(there[0] / here[0] for here, there in rounds)
    same = all(here[1] == there[1] for here, there in rounds)
    print(f"ours: {statistics.median(here[0] for here, _ in rounds):.1f} s")
    print(f"ratio scikit-learn / ours: {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"the same winner: {same}")
    return 0 if same else 1


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Give the seconds that some work took, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def sklearn_winner(
    candidates: list[space.Candidate], inputs: Inputs, seed: int, jobs: int, threads: int
) -> space.Candidate:
    """Search with RandomizedSearchCV and choose by our rule from its scores of each day."""
    fixed = {name: value for name, value in search.FIXED.items() if name != "nthread"}
    fixed["monotone_constraints"] = tuple(fixed["monotone_constraints"].get(name, 0) for name in NAMES)
    classifier = xgboost.XGBClassifier(**fixed, n_jobs=threads, random_state=seed)
    score = make_scorer(summed_log_loss, response_method="predict_proba", greater_is_better=False)
    grid = [{name: [value] for name, value in candidate.items()} for candidate in candidates]
    tuned = RandomizedSearchCV(
        classifier,
        grid,
        n_iter=len(grid),
        scoring=score,
        cv=LeaveOneGroupOut(),
        n_jobs=jobs,
        refit=False,
        random_state=seed,
    )
    tuned.fit(inputs.values, inputs.label, groups=inputs.day)
    days = sorted(set(inputs.day))
    losses = -np.array([tuned.cv_results_[f"split{fold}_test_score"] for fold in range(len(days))]).T
    rows = np.array([np.sum(inputs.day == day) for day in days])
    pooled = losses.sum(axis=1) / rows.sum()
    best = int(np.argmin(pooled))
    enough = pooled[best] + search.standard_error(losses[best], rows)
    drawn = tuned.cv_results_["params"]
    winner = min(
        (i for i in range(len(drawn)) if pooled[i] <= enough), key=lambda i: (drawn[i]["max_depth"], pooled[i])
    )
    return next(c for c in candidates if c == drawn[winner])


def summed_log_loss(label: np.ndarray[Any, Any], probability: np.ndarray[Any, Any]) -> float:
    """Sum the log loss over a day's rows, whose classes may be one only."""
    return float(search.log_loss(label, probability[:, 1] if probability.ndim == 2 else probability).sum())
