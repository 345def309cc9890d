import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from monitoring.__main__ import main
from monitoring.store import forget
from monitoring.store.forget import forgotten
from monitoring.store.sequences import Range
from occupancy.record import FEEDBACK, PREDICTION, VERDICT
from tests.monitoring.conftest import Store

BOOT, LATER = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def line(boot: str, number: int, **fields: Any) -> dict[str, Any]:
    return {
        "@timestamp": f"2026-0{1 + number % 2}-03T00:00:00Z",
        "event.id": f"{boot}-{number}",
        "event.dataset": PREDICTION,
        "occupancy.boot": boot,
        "occupancy.sequence": number,
    } | {name.replace("__", "."): value for name, value in fields.items()}


def records() -> list[dict[str, Any]]:
    """Two rooms in turn, what another boot was told about the third and the fourth prediction, and verdicts."""
    predictions = [line(BOOT, n, occupancy__room="lab" if n % 2 else "hall") for n in range(1, 21)]
    told = [
        line(LATER, n, event__dataset=FEEDBACK, occupancy__feedback__prediction=f"{BOOT}-{about}")
        for n, about in ((1, 3), (2, 4), (3, 3))
    ]
    verdicts = [
        {"@timestamp": "2026-01-03T00:00:00Z", "event.id": f"{n:012x}-opened", "event.dataset": VERDICT, "occupancy.room": room}
        for n, room in enumerate(("lab", "hall"))
    ]  # fmt: skip
    return [*predictions, *told, *verdicts]


@pytest.fixture
def store(installed: Store) -> Store:
    installed.create(records())
    return installed


def stored(store: Store) -> set[str]:
    found = store.client.search(index=f"{store.prefix}occupancy-*-2026.*", size=100)["hits"]["hits"]
    return {hit["_id"] for hit in found}


def table(text: str, prefix: str) -> dict[str, int]:
    rows = [row.split(None, 1) for row in text.splitlines()]
    return {what.removeprefix(prefix): int(number) for number, what in rows}


EXPECTED = {
    "occupancy-predictions-2026.02": 10,
    "occupancy-feedback-2026.02": 2,
    "occupancy-verdicts-2026.01": 1,
}


def test_without_yes_it_only_counts(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "--room", "lab"], store.environ) == 0
    told = table(capsys.readouterr().out, store.prefix)
    assert told == {**EXPECTED, "records would be deleted; nothing is, without --yes": 13}
    assert len(stored(store)) == 25


def test_a_rooms_records_go_with_their_feedback_and_no_others(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "BATCH", 4)
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 0
    assert table(capsys.readouterr().out, store.prefix) == {**EXPECTED, "records deleted": 13}
    even = {f"{BOOT}-{n}" for n in range(2, 21, 2)}
    assert stored(store) == even | {f"{LATER}-2", "000000000001-opened"}
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 0
    assert table(capsys.readouterr().out, store.prefix) == {"records deleted": 0}


def test_the_audit_tells_forgotten_from_missing(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store.client.delete(index=f"{store.prefix}occupancy-predictions-2026.01", id=f"{BOOT}-8", refresh=True)
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 0
    capsys.readouterr()
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records()))
    assert main(["audit", "--json", str(path)], store.environ) == 1
    answer = json.loads(capsys.readouterr().out)
    one, other = answer["boots"]
    assert (one["stored"], one["forgotten"], one["missing_numbers"]) == (9, 10, ["8"])
    assert (other["stored"], other["forgotten"], other["missing"], other["last"]) == (1, 1, 0, 2)
    (of_file,) = answer["files"]  # a verdict has no number; that it was forgotten is not known
    assert (of_file["stored"], of_file["forgotten"], of_file["missing_lines"]) == (11, 12, ["8", "24"])


def test_a_tombstone_names_no_room(store: Store) -> None:
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 0
    found = store.client.search(index=f"{store.prefix}occupancy-forgotten")["hits"]["hits"]
    assert {"occupancy.boot", "occupancy.forgotten", "@timestamp"} == {name for hit in found for name in hit["_source"]}
    assert forgotten(store.client, store.prefix, LATER) == [Range(1, 1), Range(3, 3)]
    assert forgotten(store.client, store.prefix, "cccccccccccc") == []


def test_an_interrupted_run_is_ended_by_the_next(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "BATCH", 4)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    next(forget.forget(store.client, store.prefix, "lab", now))
    store.client.indices.refresh(index=f"{store.prefix}*")
    assert sum(forget.counts(store.client, store.prefix, "lab").values()) == 7
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 0
    assert len(forgotten(store.client, store.prefix, BOOT)) == 10


def test_records_that_come_in_meanwhile_are_told(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(*given: Any) -> Any:
        yield from deleting(*given)
        store.create([line(BOOT, 21, occupancy__room="lab")])

    deleting = forget.forget
    monkeypatch.setattr(forget, "forget", slowly)
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 1
    assert "1  records came in meanwhile; end what writes them, and run it again" in capsys.readouterr().out


def test_a_room_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forget", "--yes"], {}) == 2
    assert "--room is missing" in capsys.readouterr().err


def test_an_index_that_does_not_let_delete_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    index = f"{store.prefix}occupancy-predictions-2026.02"
    store.client.indices.put_settings(index=index, settings={"index.blocks.read_only_allow_delete": True})
    store.client.indices.put_settings(index=index, settings={"index.blocks.write": True})
    assert main(["forget", "--room", "lab", "--yes"], store.environ) == 2
    assert f"{index} did not delete {BOOT}-" in capsys.readouterr().err
