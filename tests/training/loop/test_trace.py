import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from occupancy import record
from occupancy.model import FILE, Model, load
from tests.inference.conftest import GOOD, serve_model
from tests.training.loop.conftest import Put
from training.loop.__main__ import main
from training.loop.journal import Deployment, Journal, Run
from training.loop.trace import put_live

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def live(models: Path, put: Put) -> Model:
    return load(models / put(1) / FILE)


@pytest.fixture
def environ(models: Path, journal: Journal) -> dict[str, str]:
    return {"LOOP_MODELS": str(models), "LOOP_FOLDER": str(journal.folder)}


@pytest.fixture
def report(journal: Journal, live: Model) -> Path:
    """The report of a run that put the model live."""
    run_id = journal.next_id()
    journal.add(Deployment(at=NOON, action="deploy", version=live.version, by="loop", why="better", run=run_id))
    journal.add(
        Run(
            id=run_id, at=NOON, trigger="verdict", outcome="deployed", why="shown better on three days", labels=240,
            challenger=live.version, event="ab" * 6,
        )
    )  # fmt: skip
    report = journal.folder / "runs" / run_id / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("the story")
    return report


@pytest.fixture
def prediction(tmp_path: Path, live: Model) -> dict[str, Any]:
    """An answered prediction, with the truth told, a refused one, all in records.jsonl."""
    served = serve_model(live)
    answer = served.answer({**GOOD, "room": "attic"})
    served.client.post("/feedback", json={"id": answer["id"], "occupied": True})
    served.predict({**GOOD, "CO2": -1})
    (tmp_path / "records.jsonl").write_text("\n".join(served.lines), "utf-8")
    return served.records[0]


def test_a_prediction_leads_back_to_all_that_made_it(
    live: Model, report: Path, environ: dict[str, str], prediction: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = report.parent.name
    argv = ["trace", prediction["event.id"], str(report.parents[3] / "records.jsonl")]
    assert main(argv, environ) == 0
    told = capsys.readouterr().out
    for part in (
        prediction["event.id"], "room attic", "CO2 500 ppm", repr(prediction["occupancy.probability"]), "occupied, told",
        live.sha256, *live.card.data.values(), f"seed {live.card.seed}", "xgboost 3", "gate          passed; compared: log loss with Light > ", "shown better on three days",
        "verdict abababababab", "labels        240", f"deployment {run_id.removesuffix('1')}2", str(report),
    ):  # fmt: skip
        assert part in told
    assert main([*argv, "--json"], environ) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prediction"] == prediction
    assert found["card"] == json.loads(msgspec.json.encode(live.card))
    assert (found["run"]["id"], found["deployment"]["run"], found["report"]) == (run_id, run_id, str(report))


def test_a_model_that_the_journal_does_not_know_is_told_as_such(
    tmp_path: Path, environ: dict[str, str], prediction: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", prediction["event.id"], str(tmp_path / "records.jsonl")], environ) == 0
    assert "the journal knows nothing of it at that time" in capsys.readouterr().out


def test_it_was_put_live_by_the_last_deployment_before_the_answer() -> None:
    early, late = NOON, NOON + timedelta(hours=2)
    deployments = [
        Deployment(id="j-1", at=early, action="deploy", version="a"),
        Deployment(id="j-2", at=early + timedelta(hours=1), action="deploy", version="b"),
        Deployment(id="j-3", at=late, action="undo", version="a"),
        Deployment(id="j-4", at=late, action="reset", version="a"),
    ]
    for at, by in ((early, "j-1"), (early + timedelta(minutes=30), "j-1"), (late, "j-3")):
        found = put_live(deployments, "a", at)
        assert found
        assert found.id == by
    assert put_live(deployments, "b", early) is None


def test_what_is_no_answered_prediction_is_said(
    tmp_path: Path, environ: dict[str, str], prediction: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    boot, file = prediction["occupancy.boot"], str(tmp_path / "records.jsonl")
    for name, says in (
        (f"{boot}-2", "there is no prediction"),  # it is feedback
        (f"{boot}-3", "is a refused reading: CO2"),
        (f"{boot}-9", "there is no prediction"),
        ("none", "name a record by its id"),
    ):
        assert main(["trace", name, file], environ) == 2
        assert says in capsys.readouterr().err
    assert record.ID.fullmatch(prediction["event.id"])
