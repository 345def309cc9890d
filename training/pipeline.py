"""The way from data files to a saved model, each step a plain function that a notebook can call too."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np
import xgboost

from occupancy import dataset, model, reference
from occupancy.dataset import Dataset
from occupancy.errors import InputError
from occupancy.preprocess import STEPS
from occupancy.progress import Progress
from occupancy.reading import NAMES
from training import gate, report, save, search, space
from training.baselines import BASELINES, out_of_fold
from training.settings import Settings, band
from training.trackers import Trackers

Array = np.ndarray[Any, Any]
COMPANIONS = ["model.ubj", "reference.json", "report.json", "report.html", "quarantine.csv"]
MIN_DAYS = 3
GOLDEN = 8


class TooFewDays(InputError):
    """The training data does not span the days that honest validation needs."""


class UnknownStep(InputError):
    """PREPROCESSING names a step that does not exist."""


@dataclass(frozen=True)
class Inputs:
    """What training works on: values (rows, 5) float32, label (rows,), day (rows,), and the data sets they are from."""

    training: Dataset
    test: Dataset
    values: Array
    label: Array
    day: Array
    simulated: bool


def train(settings: Settings, trackers: Trackers) -> tuple[Path, bool]:
    """Run the whole training; give the folder of the saved set, and whether it was made from simulated data."""
    folder = Path(settings.save_path)
    save.check(folder, COMPANIONS)
    uncertain = band(settings.band)
    trackers.start(msgspec.to_builtins(settings))
    candidates = space.draw(space.load(settings.search_space), settings.candidates, settings.seed)
    inputs = prepare(*read(settings), settings.preprocessing)
    folds = search.fold_by_day(inputs.values, inputs.label, inputs.day)

    with Progress("search", len(candidates) * len(folds.days) * 2 // 5, "fits") as progress:
        found = search.search(candidates, folds, settings.seed, settings.jobs or joblib.cpu_count(), progress)
    winner = found.winner.candidate
    booster = search.fit(winner, folds.whole, settings.seed)

    held_out = predict_held_out(winner, folds, inputs, settings.seed)
    decision = gate.decide(inputs.label, inputs.day, held_out["model"], without_model(held_out), settings.override_gate)
    back_test = predict_test(booster, inputs, settings.preprocessing)
    result = report.Result(
        settings=settings,
        band=uncertain,
        training=inputs.training,
        test=inputs.test,
        simulated=inputs.simulated,
        booster=booster,
        found=found,
        held_out=held_out,
        back_test=back_test,
        decision=decision,
    )
    for name, value in report.metrics(result).items():
        trackers.metric(name, value)
    files = companions(result)
    if not decision.passed and not decision.overridden:
        kept = save.keep_refused(folder, {name: files[name] for name in ("report.json", "report.html")})
        raise gate.GateRefused(decision, f"{kept}/report.html")
    binary = model.dump(booster, describe(result, files["reference.json"]))
    version = model.parse(binary, "the new model").version
    saved = save.save(folder, version, {"model.ubj": binary, **files})
    for name in ("model.ubj", *files):
        trackers.artifact(saved / name)
    return saved, inputs.simulated


def read(settings: Settings) -> tuple[Dataset, Dataset]:
    """Read training and test data; where none is named, what DATA_HOME holds, the real files before simulated ones."""
    mapping = dataset.load_mapping(settings.data_mapping)
    home = Path(settings.data_home)
    paths = (
        settings.training_data or default_file(home, "datatraining.txt"),
        settings.test_data or default_file(home, "datatest.txt"),
    )
    try:
        training, test = (dataset.read(path, mapping) for path in paths)
    except dataset.TooManyBadRows as error:
        kept = save.keep_refused(
            Path(settings.save_path), {"quarantine.csv": dataset.quarantine_csv(error.quarantine).encode()}
        )
        raise dataset.InvalidDataset(f"{error}; all of them: {kept}/quarantine.csv") from None
    return training, test


def default_file(home: Path, name: str) -> Path:
    """Name the real file in `home`, or the simulated one where there is no real one."""
    simulated = home / f"simulated-{name}"
    return simulated if simulated.exists() and not (home / name).exists() else home / name


def prepare(training: Dataset, test: Dataset, preprocessing: str) -> Inputs:
    """Validate what only the whole shows, and apply the preprocessing step."""
    if preprocessing not in STEPS:
        raise UnknownStep(f"PREPROCESSING={preprocessing}: expected one of {', '.join(STEPS)}")
    simulated = dataset.refuse_mixture([training, test])
    label, day = training.label, training.day.to_numpy()
    days = sorted(set(day))
    if len(days) < MIN_DAYS:
        raise TooFewDays(
            f"{training.path} has {len(days)} dates: whole days are held out, so at least {MIN_DAYS} are needed"
        )
    for left_out in days:
        if len(set(label[day != left_out])) == 1:
            raise TooFewDays(
                f"{training.path}: without {left_out} only one class is left; occupied and empty readings must "
                "come from several days"
            )
    return Inputs(training, test, STEPS[preprocessing](training.values), label, day, simulated)


def predict_held_out(winner: space.Candidate, folds: search.Folds, inputs: Inputs, seed: int) -> dict[str, Array]:
    """Predict each day by what was fitted on the others, shape (rows,): the model first, then the baselines."""
    model_ = np.empty(len(inputs.label))
    for fold, day in enumerate(folds.days):
        model_[inputs.day == day] = search.out_of_fold(winner, folds, seed, fold)
    return {
        "model": model_,
        **{name: out_of_fold(method, inputs.values, inputs.label, inputs.day) for name, method in BASELINES.items()},
    }


def predict_test(booster: xgboost.Booster, inputs: Inputs, preprocessing: str) -> dict[str, Array]:
    """Predict the test file by what was fitted on all training data; only reported, never used to choose."""
    new = STEPS[preprocessing](inputs.test.values)
    return {
        "model": np.asarray(booster.inplace_predict(new, validate_features=False)),
        **{name: method(inputs.values, inputs.label, new) for name, method in BASELINES.items()},
    }


def without_model(predictions: dict[str, Array]) -> dict[str, Array]:
    """Keep the baselines only."""
    return {name: p for name, p in predictions.items() if name != "model"}


def companions(result: report.Result) -> dict[str, bytes]:
    """Make the files that travel with the model, by name."""
    rows = [*result.training.quarantine, *result.test.quarantine]
    return {
        "reference.json": reference.dump(reference.compute(result.training)),
        "report.json": report.as_json(result),
        "report.html": report.as_html(result).encode(),
        "quarantine.csv": dataset.quarantine_csv(rows).encode(),
    }


def describe(result: report.Result, reference_json: bytes) -> model.Card:
    """Fill in what the model says about itself."""
    settings, training = result.settings, result.training
    winner = result.found.winner.candidate
    return model.Card(
        preprocessing=settings.preprocessing,
        band=result.band,
        timezone=training.timezone,
        simulated=result.simulated,
        seed=settings.seed,
        hyperparameters=winner,
        search={"candidates": len(result.found.scored)},
        data={"training": training.sha256, "test": result.test.sha256},
        reference=hashlib.sha256(reference_json).hexdigest(),
        training_range={n: (float(training.frame[n].min()), float(training.frame[n].max())) for n in NAMES},
        metrics=report.metrics(result),
        gate=msgspec.to_builtins(result.decision._asdict()),
        packages={
            "xgboost": xgboost.__version__,
            **{p: metadata.version(p) for p in ("numpy", "scikit-learn", "scipy")},
        },
        golden=golden(result.booster, STEPS[settings.preprocessing], training.values),
        created=settings.created,
        revision=settings.revision,
    )


def golden(booster: xgboost.Booster, step: Any, values: Array) -> list[model.Golden]:
    """Choose readings from the least to the most probable, for the loader to score again."""
    probability = booster.inplace_predict(step(values), validate_features=False)
    rows = np.argsort(probability, kind="stable")[np.linspace(0, len(values) - 1, GOLDEN).astype(int)]
    return [model.Golden(tuple(map(float, values[row])), float(probability[row])) for row in rows]
