import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from occupancy.model import FILE, UnusableModel
from tests.training.loop.conftest import Put, no_file_longer_than
from training.loop.__main__ import main
from training.loop.deploy import AlreadyLive, NothingBefore, NoVersion, deploy, last, lineage, reconcile, undo
from training.loop.journal import Busy, Deployment, Journal, UnwritableJournal
from training.loop.targets import NotDeployed, Pointer

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def pointer(models: Path) -> Pointer:
    return Pointer(models, "", "", 1.0)


def told(journal: Journal) -> list[tuple[str, str, str]]:
    return [(each.action, each.version, each.previous) for each in journal.deployments()]


def test_what_is_deployed_and_undone_is_written_down(
    models: Path, put: Put, pointer: Pointer, journal: Journal
) -> None:
    first, second, third = put(1), put(2), put(3)
    for version in (first, second, third):
        deploy(pointer, journal, models, version, by="me", why="better", run="", at=NOON)
    undone = undo(pointer, journal, models, by="me", why="worse", at=NOON)
    assert (undone.version, undone.previous, undone.by, undone.why) == (second, third, "me", "worse")
    assert undo(pointer, journal, models, by="me", why="worse, too", at=NOON).version == pointer.live() == first
    with pytest.raises(NothingBefore):
        undo(pointer, journal, models, by="me", why="again", at=NOON)
    assert told(journal) == [
        ("deploy", first, ""),
        ("deploy", second, first),
        ("deploy", third, second),
        ("undo", second, third),
        ("undo", first, second),
    ]


def test_a_model_that_cannot_be_loaded_is_not_put_live(
    models: Path, put: Put, pointer: Pointer, journal: Journal
) -> None:
    first, second = put(1), put(2)
    deploy(pointer, journal, models, first, by="me", why="the first", at=NOON)
    (models / second / FILE).write_bytes((models / first / FILE).read_bytes())
    for version in (second, "0" * 12):
        with pytest.raises(UnusableModel):
            deploy(pointer, journal, models, version, by="me", why="better", at=NOON)
    for version in ("live", "../x", ""):
        with pytest.raises(NoVersion):
            deploy(pointer, journal, models, version, by="me", why="better", at=NOON)
    with pytest.raises(AlreadyLive):
        deploy(pointer, journal, models, first, by="me", why="again", at=NOON)
    assert (pointer.live(), told(journal)) == (first, [("deploy", first, "")])


def test_what_the_service_does_not_take_is_not_written_down(models: Path, put: Put, journal: Journal) -> None:
    version = put(1)
    with pytest.raises(NotDeployed):
        deploy(Pointer(models, "", "no-pid", 1.0), journal, models, version, by="me", why="better", at=NOON)
    assert told(journal) == []


def test_what_cannot_be_written_down_does_not_stay_live(
    models: Path, put: Put, pointer: Pointer, journal: Journal
) -> None:
    first, second = put(1), put(2)
    deploy(pointer, journal, models, first, by="me", why="the first", at=NOON)
    with no_file_longer_than(journal.path.stat().st_size + 100), pytest.raises(UnwritableJournal):
        deploy(pointer, journal, models, second, by="me", why="better", at=NOON)
    assert (pointer.live(), told(journal)) == (first, [("deploy", first, "")])
    assert reconcile(pointer, journal, NOON) is None


def test_what_others_changed_is_found_once(models: Path, put: Put, pointer: Pointer, journal: Journal) -> None:
    first, second = put(1), put(2)
    assert reconcile(pointer, journal, NOON) is None
    deploy(pointer, journal, models, first, by="me", why="the first", at=NOON)
    deploy(pointer, journal, models, second, by="me", why="better", at=NOON)
    pointer.deploy(first, "by hand")
    later = NOON + timedelta(hours=1)
    found = reconcile(pointer, journal, later)
    assert found
    assert (found.action, found.version, found.previous, found.at) == ("found", first, second, later)
    assert reconcile(pointer, journal, later) is None
    with pytest.raises(NothingBefore):
        undo(pointer, journal, models, by="me", why="worse", at=later)


def test_a_journal_begins_with_what_is_live(models: Path, put: Put, pointer: Pointer, journal: Journal) -> None:
    first, second = put(1), put(2)
    pointer.deploy(first, "before there was a journal")
    deploy(pointer, journal, models, second, by="me", why="better", at=NOON)
    assert told(journal) == [("found", first, ""), ("deploy", second, first)]
    assert undo(pointer, journal, models, by="me", why="worse", at=NOON).version == first


def test_one_goes_back_from_a_model_that_was_deployed_again() -> None:
    def entries(*steps: str) -> list[Deployment]:
        actions = {"d": "deploy", "u": "undo", "f": "found", "r": "reset"}
        return [Deployment(at=NOON, action=actions[step[0]], version=step[1]) for step in steps]

    assert lineage(entries("da", "db", "da")) == ["a", "b", "a"]
    assert lineage(entries("da", "db", "ua", "ra", "dc")) == ["a", "c"]
    assert lineage(entries("da", "db", "dc", "fa")) == ["a"]
    assert lineage(entries("da", "fb")) == ["a", "b"]
    assert last(entries("da", "db", "rb")) == "b"
    assert (last([]), lineage([])) == ("", [])


def test_the_commands_say_what_they_did(
    tmp_path: Path, models: Path, put: Put, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = put(1), put(2)
    environ = {"LOOP_MODELS": str(models), "LOOP_FOLDER": str(tmp_path / "loop"), "USER": "ada"}
    now = "--now=2026-11-21T12:00:00Z"
    assert main(["deploy", first, now], environ) == 0
    assert main(["deploy", second, "--by=eve", "--why=better in the attic"], environ) == 0
    assert main(["deploy", second], environ) == 0  # it is live: nothing was done
    away = {**environ, "LOOP_URL": "http://127.0.0.1:9", "LOOP_DEPLOY_SECONDS": "0.1"}
    assert main(["deploy", second], away) == 2  # the link says so, and no service
    assert main(["undo", "--why=worse"], environ) == 0
    assert main(["reset", "--why=labels were wrong"], environ) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["occupancy.deployment.action"], line["occupancy.deployment.version"]) for line in lines] == [
        ("deploy", first), ("deploy", second), ("undo", first), ("reset", first),
    ]  # fmt: skip
    assert [line["occupancy.deployment.by"] for line in lines] == ["ada", "eve", "ada", "ada"]
    assert lines[0]["@timestamp"] == "2026-11-21T12:00:00Z"
    assert lines[1]["occupancy.deployment.why"] == "better in the attic"
    written = Journal(tmp_path / "loop").path.read_text("utf-8").splitlines()
    assert [json.loads(line) for line in written] == lines


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["deploy"], "name one model by its version"),
        (["deploy", "0" * 12], "No such file"),
        (["undo"], "no model before"),
        (["reset"], "say with --why"),
        (["deploy", "--target=moon", "0" * 12], "--target"),
        (["undeploy"], "not a command"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], says: str
) -> None:
    assert main(argv, {"LOOP_MODELS": str(tmp_path), "LOOP_FOLDER": str(tmp_path / "loop")}) == 2
    assert says in capsys.readouterr().err


def test_nobody_else_deploys_meanwhile(tmp_path: Path, journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    with journal.locked():
        assert main(["undo"], {"LOOP_FOLDER": str(journal.folder)}) == 2
        with pytest.raises(Busy), Journal(journal.folder).locked():
            pass
    assert "another command works with" in capsys.readouterr().err
