import json
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from monitoring.store.lines import Line, document
from occupancy import record
from tests.training.loop.conftest import no_file_longer_than
from training.loop.journal import Busy, DamagedJournal, Deployment, Journal, Run, UnusableFolder, UnwritableJournal

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN = Run(
    at=NOON, trigger="verdict", outcome="deployed", why="better", champion="0" * 12, challenger="1" * 12, labels=240,
    back_test=3, event="ab" * 6, attempt=1,
)  # fmt: skip
DEPLOYMENT = Deployment(
    at=NOON, action="deploy", version="1" * 12, previous="0" * 12, by="the loop", why="better", run="0123456789ab-1"
)


def numbers(journal: Journal) -> list[str]:
    return [json.loads(line)["event.id"].partition("-")[2] for line in journal.path.read_bytes().splitlines()]


def test_what_is_added_is_read_back_by_whoever_comes_later(journal: Journal) -> None:
    run, deployment = journal.add(RUN), journal.add(DEPLOYMENT)
    again = Journal(journal.folder)
    assert (again.runs(), again.deployments()) == ([run], [deployment])
    assert msgspec.structs.replace(run, id="") == RUN
    assert again.add(DEPLOYMENT).id == f"{run.id.removesuffix('-1')}-3"


def test_there_is_nothing_in_a_new_journal(journal: Journal) -> None:
    assert (journal.runs(), journal.deployments()) == ([], [])


def test_an_id_that_was_taken_is_kept_for_its_entry(journal: Journal) -> None:
    taken = journal.next_id()
    assert journal.add(DEPLOYMENT).id.endswith("-2")
    assert journal.add(msgspec.structs.replace(RUN, id=taken)).id.endswith("-1")
    assert journal.add(DEPLOYMENT).id.endswith("-3")


def test_an_entry_is_written_whole_or_not_at_all(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    first = journal.add(RUN)
    size = journal.path.stat().st_size
    with no_file_longer_than(size + 100), pytest.raises(UnwritableJournal, match="File too large; nothing was added"):
        journal.add(DEPLOYMENT)
    assert journal.path.stat().st_size == size
    assert journal.next_id().endswith("-2")
    again = Journal(journal.folder)
    assert again.runs() == [first]
    assert again.add(DEPLOYMENT).id.endswith("-2")
    assert "torn" not in capsys.readouterr().err


def test_an_entry_is_a_record_that_monitoring_stores(journal: Journal) -> None:
    for told, dataset in (
        (journal.add(RUN).record(), record.RUN),
        (journal.add(DEPLOYMENT).record(), record.DEPLOYMENT),
    ):
        names = {field.name for field in record.FIELDS if field.name.startswith(f"{dataset}.")}
        assert {name for name in told if name.startswith(f"{dataset}.")} == names
        assert told.keys() <= {field.name for field in record.FIELDS}
    for number, line in enumerate(journal.path.read_bytes().splitlines(), 1):
        stored = document(Line(0, len(line), number, line), "")
        assert stored.into == "occupancy-decisions-2026.11"
        assert record.ID.fullmatch(stored.id)


def test_a_long_reason_does_not_make_too_long_a_record(journal: Journal) -> None:
    journal.add(msgspec.structs.replace(RUN, why="é" * 100_000))
    assert len(journal.path.read_bytes()) <= record.MAX_BYTES


def test_a_torn_last_line_is_cut_off_and_kept_aside(journal: Journal, capsys: pytest.CaptureFixture[str]) -> None:
    first = journal.add(RUN)
    with journal.path.open("ab") as file:
        file.write(b'{"event.dataset":"occupancy.run","eve')
    assert journal.runs() == [first]
    assert journal.add(RUN).id.endswith("-2")
    assert "torn" in capsys.readouterr().err
    assert (journal.folder / "journal.torn").read_bytes() == b'{"event.dataset":"occupancy.run","eve\n'
    assert numbers(journal) == ["1", "2"]


@pytest.mark.parametrize("line", [b"hello", b"[]", b"{}", b'{"event.dataset":"occupancy.verdict"}', b"\xff", b""])
def test_a_damaged_line_is_named(journal: Journal, line: bytes) -> None:
    journal.add(RUN)
    with journal.path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(DamagedJournal, match="line 2"):
        journal.runs()


@pytest.mark.parametrize("name", ["", "0123456789ab", "0123456789ab-", "0123456789ab-x", "0123456789ab-0"])
def test_an_id_without_a_number_is_no_id(journal: Journal, name: str) -> None:
    journal.add(msgspec.structs.replace(RUN, id="0123456789ab-1"))
    journal.path.write_bytes(journal.path.read_bytes().replace(b"0123456789ab-1", name.encode()))
    with pytest.raises(DamagedJournal, match=r"line 1 .*`\$\.id`"):
        journal.next_id()


def test_only_one_changes_anything_at_a_time(journal: Journal) -> None:
    with journal.locked(), pytest.raises(Busy), Journal(journal.folder).locked():
        pass
    with journal.locked():
        pass


def test_a_run_that_was_killed_in_the_middle_is_written_down_as_failed(journal: Journal) -> None:
    taken = journal.next_id()
    journal.add(msgspec.structs.replace(DEPLOYMENT, run=taken))
    again = Journal(journal.folder)
    with again.locked():
        (died,) = again.runs()
    assert (died.id, died.outcome, died.at) == (taken, "failed", NOON)
    with again.locked():
        assert again.runs() == [died]
    assert again.add(RUN).id.endswith("-3")


def test_a_run_that_was_killed_leaves_its_id_and_its_folder_to_nobody_else(journal: Journal) -> None:
    journal.add(RUN)
    runs = journal.folder / "runs"
    early, late = journal.next_id(), journal.next_id().replace("-3", "-4")
    for name in (early, late, "0123456789ab-9", f"{late} (copy)"):
        (runs / name).mkdir(parents=True)
    (runs / late / "training.out").touch()
    os.utime(runs / late, (NOON.timestamp(), NOON.timestamp()))
    again = Journal(journal.folder)
    with again.locked():
        died = again.runs()[1:]
        assert again.next_id().endswith("-5")
    assert [(run.id, run.outcome, run.trigger, run.back_test) for run in died] == [
        (early, "failed", "unknown", 3),
        (late, "failed", "unknown", 4),
    ]
    assert died[1].at == NOON
    assert str(runs / late) in died[1].why


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusableFolder, match="Not a directory"):
        Journal(tmp_path / "file" / "loop").add(RUN)
