import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.training.loop.conftest import Put
from training.loop.__main__ import main
from training.loop.journal import Deployment, Journal, Run
from training.loop.targets import Pointer

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def environ(tmp_path: Path, models: Path) -> dict[str, str]:
    return {"LOOP_MODELS": str(models), "LOOP_FOLDER": str(tmp_path / "loop")}


def test_it_tells_what_was_live_when_by_whom_and_why(
    models: Path, put: Put, journal: Journal, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, hour = put(1), put(2), timedelta(hours=1)
    pointer = Pointer(models, "", "", 1.0)
    pointer.deploy(first, "")
    journal.add(Deployment(at=NOON, action="found", version=first, by="others", why="at the beginning"))
    journal.add(Deployment(at=NOON + hour, action="deploy", version=second, previous=first, by="loop", why="better"))
    journal.add(
        Deployment(at=NOON + 2 * hour, action="undo", version=first, previous=second, by="ada", why="the lamp is new")
    )
    journal.add(Deployment(at=NOON + 3 * hour, action="reset", version=first, previous=first, by="ada", why="known"))
    for outcome in ("idle", "waiting", "idle"):
        journal.add(Run(at=NOON + 4 * hour, trigger="schedule", outcome=outcome, why="nothing asked"))
    assert main(["history"], environ) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"2026-11-21 12:00  to  2026-11-21 13:00  {first}  found live; changed by others: at the beginning",
        f"2026-11-21 13:00  to  2026-11-21 14:00  {second}  deployed by loop: better",
        f"2026-11-21 14:00  to  now               {first}  put back by ada: the lamp is new",
        "3 runs of the loop (2 idle, 1 waiting); the last, 2026-11-21 16:00: idle, nothing asked",
        f"live now: {first}",
    ]
    assert main(["history", "--json"], environ) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["version"], line["until"]) for line in lines] == [
        (first, "2026-11-21T13:00:00Z"), (second, "2026-11-21T14:00:00Z"), (first, None),
    ]  # fmt: skip

    pointer.deploy(second, "by hand")
    assert main(["history"], environ) == 1
    assert f"live now: {second}, though the journal says {first}" in capsys.readouterr().out


def test_before_the_first_deployment_there_is_nothing_to_tell(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history"], environ) == 0
    assert "names no deployment yet\n0 runs of the loop\nlive now: none" in capsys.readouterr().out
