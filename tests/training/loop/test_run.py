import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import xgboost

from monitoring.drift.verdict import CLOSED, OPENED, say
from occupancy import dataset, model, record, reference, simulate
from occupancy.mapping import DATE, LABEL
from occupancy.reading import NAMES
from training.loop import run, steps
from training.loop.deploy import deploy
from training.loop.journal import Deployment, Journal, Run
from training.loop.targets import Pointer
from training.search import fit, fold_by_day

CANDIDATE = {"max_depth": 2, "n_estimators": 40, "learning_rate": 0.2, "min_child_weight": 5.0}
DAY = 1440


class Room:
    """A simulated room on which a model was trained as the loop trains, and its production days with labels."""

    def __init__(self, folder: Path) -> None:
        """Simulate eight days: four to learn from, four of production."""
        self.folder, self.models, self.loop = folder, folder / "models", folder / "loop"
        self.models.mkdir()
        frame = simulate.simulate(days=10, seed=11, start=date(2015, 1, 28))  # production begins on a Monday
        self.history, self.days = frame[: 5 * DAY : 5], frame[5 * DAY :].reset_index(drop=True)
        for name, rows in (("TRAINING_DATA", self.history), ("TEST_DATA", frame[3 * DAY : 5 * DAY : 10])):
            simulate.write(folder / name, rows, 11)
            (folder / name).write_text((folder / name).read_text().partition("\n")[2])
        known = dataset.read(folder / "TRAINING_DATA")
        (folder / "reference.json").write_bytes(reference.dump(reference.compute(known)))
        self.files = [folder / "records.jsonl", folder / "verdicts.jsonl"]
        for file in self.files:
            file.touch()
        self.journal = Journal(self.loop)
        self.environ = {
            **os.environ,
            "TRAINING_DATA": str(folder / "TRAINING_DATA"),
            "TEST_DATA": str(folder / "TEST_DATA"),
            "CANDIDATES": "2",
            "JOBS": "1",
            "TRACKERS": "",
            "OVERRIDE_GATE": "true",
            "LOOP_FOLDER": str(self.loop),
            "LOOP_MODELS": str(self.models),
            "MONITORING_REFERENCE": str(folder / "reference.json"),
            "MONITORING_REFERENCE_ROOMS": "*",
        }

    def at(self, day: float) -> datetime:
        begin: datetime = self.days[DATE].iloc[0].to_pydatetime()
        return begin.astimezone(UTC) + timedelta(days=day)

    def train(self, **more: str) -> str:
        """Train by the command, as whoever sets the platform up; gives the version."""
        out = self.folder / "training.out"
        assert steps.execute(["training"], {**self.environ, "SAVE_PATH": str(self.models), **more}, out) == 0
        return (self.models / "current").readlink().name

    def put_live(self, version: str, day: float = -0.5, run_id: str = "") -> None:
        target = Pointer(self.models, "", "", 1)
        deploy(target, self.journal, self.models, version, by="Ada", why="so", run=run_id, at=self.at(day))

    def serve(self, version: str, days: float, each: int = 6) -> None:
        """Write the records of the first production days, each sixth reading with its truth."""
        boot, request = (
            record.Boot("occupancy-inference", "0.1.0", version, simulated=False),
            record.Request("q", "", "", 0),
        )
        frame = self.days.head(int(days * DAY))
        given = model.load(self.models / version / model.FILE).probability(frame[list(NAMES)].to_numpy(np.float32))
        with self.files[0].open("wb") as file:
            for n, (when, *values, label) in enumerate(frame[[DATE, *NAMES, LABEL]].itertuples(index=False)):
                at, p = when.to_pydatetime().astimezone(UTC), float(given[n])
                said = record.prediction(
                    boot, request, room="default", reading_id=None, reading_time=at, values=tuple(values), probability=p,
                    label=int(p >= 0.5), answer="uncertain", flags=[], label_wanted=n % each == 0,
                )  # fmt: skip
                file.write(record.line({**said, "@timestamp": at}))
                if n % each == 0:
                    told = record.feedback(
                        boot, request, prediction=said["event.id"], occupied=bool(label), authenticated=True
                    )
                    file.write(record.line({**told, "@timestamp": at}))

    def verdict(self, rule: str, day: float = 0.0, state: str = OPENED) -> None:
        sensor, at = None if rule == "loss" else "CO2", self.at(day).timestamp()
        found = say(rule, "default", sensor, state, at=at, since=at, value=0.3, limit=0.1, days=3, rarity=5000)
        with self.files[1].open("ab") as file:
            file.write(record.line(found.record("0" * 12)))

    def look(self, day: float, *argv: str, **more: str) -> Run:
        """Run the loop at a time; gives what it left in the journal."""
        run.main([*map(str, self.files), f"--now={self.at(day).isoformat()}", *argv], {**self.environ, **more})
        return self.journal.runs()[-1]

    def page(self) -> str:
        return (self.loop / "runs" / self.journal.runs()[-1].id / "report.html").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Room:
    return Room(tmp_path)


def turned_over(place: Room) -> str:
    """Make a model that says the contrary of the truth, and passes for one of ours."""
    known = dataset.read(place.folder / "TRAINING_DATA")
    booster = fit(CANDIDATE, contrary(known), 0)
    values = known.values[:8]
    said = booster.inplace_predict(values, validate_features=False)
    golden = [model.Golden(tuple(map(float, v)), float(p)) for v, p in zip(values, said, strict=True)]
    card = model.load(place.models / "current" / model.FILE).card
    raw = model.dump(booster, msgspec.structs.replace(card, golden=golden))
    version = model.parse(raw, "it").version
    (place.models / version).mkdir()
    (place.models / version / model.FILE).write_bytes(raw)
    return version


def contrary(known: dataset.Dataset) -> xgboost.QuantileDMatrix:
    return fold_by_day(known.values, 1 - known.label, np.zeros(len(known.label))).whole


def test_without_a_model_nothing_can_be_better(place: Room, capsys: pytest.CaptureFixture[str]) -> None:
    found = place.look(1)
    assert found.outcome == "failed"
    assert "put the first one live with `python -m training.loop deploy VERSION`" in found.why
    printed = json.loads(capsys.readouterr().out)
    assert printed["event.id"] == found.id
    assert printed["occupancy.run.outcome"] == "failed"


def test_it_stops_at_each_doubt_and_says_which(place: Room, capsys: pytest.CaptureFixture[str]) -> None:
    version = place.train()
    place.put_live(version)
    place.serve(version, 1, each=60)
    assert place.look(1).outcome == "idle"
    assert "Nothing to do" in place.page()
    place.verdict("loss")
    waiting = place.look(1)
    assert waiting.outcome == "waiting"
    assert "24 labels can be used, and it takes 176 more" in waiting.why
    assert "Minutes worth labelling" in place.page()
    place.verdict("run", 0.5)
    sick = place.look(1)
    assert sick.outcome == "blocked"
    assert "CO2 has stood still" in sick.why
    assert "mend the sensor first" in sick.why
    place.verdict("run", 0.5, CLOSED)
    assert place.look(1).outcome == "waiting"
    place.put_live(turned_over(place), 1.1)  # a person did, just now
    cooling = place.look(1.5)
    assert cooling.outcome == "blocked"
    assert "is given time until" in cooling.why
    assert [entry.outcome for entry in place.journal.runs()] == ["idle", "waiting", "blocked", "waiting", "blocked"]
    printed = [json.loads(line)["event.dataset"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["occupancy.run"] * 5


def test_a_model_that_is_wrong_is_replaced_by_one_that_labels_show_better(
    place: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train()
    bad = turned_over(place)
    place.put_live(bad)
    place.serve(bad, 4)
    place.verdict("loss")
    found = place.look(4)
    assert (found.outcome, found.champion, found.attempt, found.back_test) == ("deployed", bad, 1, 1), found.why
    assert (place.models / "live").readlink().name == found.challenger
    put = place.journal.deployments()[-1]
    assert (put.version, put.previous, put.run) == (found.challenger, bad, found.id)
    assert model.load(place.models / found.challenger / model.FILE).card.data.keys() == {"training", "recent", "test"}
    assert (place.models / found.challenger / "recent.csv").is_file()
    page = place.page()
    for words in (
        "A new model is live",
        "The gate",
        "What was live when",
        "new: error rate",
        "The back-test file has been looked at 1 time",
    ):
        assert words in page
    again = place.look(4.5)
    assert (again.outcome, again.challenger) == ("blocked", "")


def test_a_model_that_later_labels_show_worse_is_taken_back_and_the_breaker_opens(place: Room) -> None:
    good = place.train()
    place.put_live(good)
    bad = turned_over(place)
    place.put_live(bad, 0.0, run_id="0123456789ab-9")
    place.serve(bad, 3)
    place.verdict("loss")
    found = place.look(3)
    assert found.outcome == "undone", found.why
    assert (place.models / "live").readlink().name == good
    assert place.journal.deployments()[-1].action == "undo"
    assert "The model deployed last, against the one before" in place.page()
    blocked = place.look(3.2)
    assert blocked.outcome == "blocked"
    assert "the circuit breaker is open" in blocked.why


def test_a_step_that_fails_is_told_and_changes_nothing(place: Room) -> None:
    version = place.train()
    place.put_live(version)
    place.serve(version, 4)
    place.verdict("loss")
    found = place.look(4, SEARCH_SPACE="nowhere.yaml")
    assert found.outcome == "failed"
    assert "`python -m training` ended with status 2: training: nowhere.yaml: No such file" in found.why
    assert place.journal.deployments()[-1].version == version
    assert isinstance(place.journal.deployments()[-1], Deployment)


def test_whatever_happens_on_the_way_a_record_is_left(place: Room) -> None:
    place.put_live(place.train())
    place.serve(place.journal.deployments()[0].version, 1)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    argv = [*map(str, place.files), f"--now={place.at(1).isoformat()}"]
    assert run.main(argv, place.environ, full) == 2
    assert place.journal.runs()[-1].outcome == "failed"
    assert "No space left on device" in place.journal.runs()[-1].why
    assert place.look(1.1).outcome == "idle"


def test_a_reset_does_not_end_the_review_of_what_is_live(place: Room) -> None:
    good = place.train()
    place.put_live(good)
    bad = turned_over(place)
    place.put_live(bad, 0.0, run_id="0123456789ab-9")
    place.journal.add(Deployment(at=place.at(1), action="reset", by="Ada", why="looked into it"))
    place.serve(bad, 3)
    assert place.look(3).outcome == "undone"
    assert (place.models / "live").readlink().name == good


def test_a_review_waits_until_two_dates_have_something_to_say(place: Room) -> None:
    place.put_live(place.train())
    bad = turned_over(place)
    place.put_live(bad, 0.0, run_id="0123456789ab-9")
    place.serve(bad, 1.2, each=30)
    found = place.look(1.2)
    assert found.outcome == "idle", found.why
    assert len((place.loop / "runs" / found.id / "review.csv").read_text().splitlines()) > 40
