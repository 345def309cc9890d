"""The way from data files to a saved model, each step a plain function that a notebook can call too."""

from pathlib import Path

import joblib
import msgspec

from occupancy import dataset, model, reference
from occupancy.progress import Progress
from training import evaluate, gate, report, save, search, space
from training.baselines import BASELINES
from training.card import describe
from training.inputs import prepare, read, recent_file
from training.settings import Settings, band, check_created
from training.trackers import Trackers

SET = [model.FILE, reference.FILE, "report.json", "report.html", "quarantine.csv"]
EXPECTED_SHARE = 0.4  # of all fits: most candidates stop early


def train(settings: Settings, trackers: Trackers) -> tuple[Path, bool]:
    """Run the whole training; give the folder of the saved set, and whether it was made from simulated data."""
    folder = Path(settings.save_path)
    save.check(folder, SET)
    uncertain = band(settings.band)
    check_created(settings.created)
    trackers.start(msgspec.to_builtins(settings))
    candidates = space.draw(space.load(settings.search_space), settings.candidates, settings.seed)
    training, test, recent = read(settings)
    inputs = prepare(training, test, settings.preprocessing, recent, settings.recent_share)
    folds = search.fold_by_day(inputs.values, inputs.label, inputs.day, inputs.weight)

    with Progress("search", int(EXPECTED_SHARE * len(candidates) * len(folds.days)), "fits") as progress:
        jobs = settings.jobs or joblib.cpu_count()
        found = search.search(candidates, folds, settings.seed, jobs, progress.advance)
    winner = found.winner.candidate
    booster = search.fit(winner, folds.whole, settings.seed)

    held_out = evaluate.predict_held_out(winner, folds, inputs, settings.seed)
    back_test = evaluate.predict_test(booster, inputs, settings.preprocessing)
    baselines = {name: held_out[name] for name in BASELINES}
    decision = gate.decide(
        inputs.label, inputs.day, held_out["model"], baselines, override=settings.override_gate, weight=inputs.weight
    )
    result = report.Result(settings, uncertain, inputs, booster, found, held_out, back_test, decision)
    for name, value in report.metrics(result).items():
        trackers.metric(name, value)

    files = companions(result)
    if not decision.passed and not decision.overridden:
        kept = save.keep_refused(folder, {name: files[name] for name in ("report.json", "report.html")})
        raise gate.GateRefused(decision, f"{kept}/report.html")
    binary = model.dump(booster, describe(result, files[reference.FILE]))
    version = model.parse(binary, "the new model").version
    learned = recent_file(recent)
    saved = save.save(folder, version, {model.FILE: binary, **files, **learned}, inside=learned)
    for name in [*SET, *learned]:
        trackers.artifact(saved / name)
    return saved, inputs.simulated


def companions(result: report.Result) -> dict[str, bytes]:
    """Make the files that travel with the model, by name."""
    return {
        reference.FILE: reference.dump(reference.compute(result.inputs.training)),
        "report.json": report.as_json(result),
        "report.html": report.as_html(result).encode(),
        "quarantine.csv": dataset.quarantine_csv(result.inputs.quarantine).encode(),
    }
