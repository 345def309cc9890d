import gzip
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitoring import records
from monitoring.records import Range
from monitoring.settings import Source
from monitoring.store.client import Unreachable
from occupancy import record
from occupancy.record import Boot, Request

REQUEST = Request("q", "", "", time.monotonic_ns())
NOON = datetime(2015, 2, 4, 12, tzinfo=UTC)


def some(count: int = 5) -> list[dict[str, Any]]:
    """Make records of every kind: predictions a minute apart, each told the truth about, one refused, one loss."""
    boot = Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=False)
    lines = []
    for minute in range(count):
        said = record.prediction(
            boot, REQUEST, room="A" if minute % 2 else "B", reading_id=None, reading_time=NOON - timedelta(minutes=minute),
            values=(20.5, 30.0, 0.0, 500.0, 0.0045), probability=0.25, label=0, answer="empty", flags=["x:CO2"] if minute else [],
            label_wanted=minute == 1,
        )  # fmt: skip
        told = record.feedback(
            boot, REQUEST, prediction=said["event.id"], occupied=minute == 2, authenticated=minute == 3
        )
        lines += [said, told]
    lines.append(
        record.refusal(boot, REQUEST, reason="out_of_range", detail="no", field="CO2", room="A", given={"CO2": 1.0})
    )
    lines.append(record.refusal(boot, REQUEST, reason="overloaded", detail="no"))
    lines.append(record.loss(boot, 7))
    return [json.loads(record.line(fields)) for fields in lines]


def test_each_kind_is_a_frame_of_its_fields() -> None:
    found = records.frames(some())
    assert len(found.predictions) == 7
    assert found.predictions["occupancy.reading.time"].is_monotonic_increasing
    assert found.predictions["occupancy.reading.CO2"].tolist()[:5] == [500.0] * 5
    assert found.predictions["occupancy.flags"].tolist()[:1] == [["x:CO2"]]
    assert found.predictions["occupancy.refusal.reason"].tolist()[5:] == ["out_of_range", "overloaded"]
    assert found.predictions["occupancy.room"].tolist()[-1] is None
    assert found.losses["occupancy.lost"].tolist() == [7]
    assert len(found.feedback) == 5
    assert found.verdicts.empty
    assert str(found.predictions["@timestamp"].dtype) == "datetime64[us, UTC]"


def test_a_record_that_comes_twice_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = some()
    once = records.frames(lines)
    monkeypatch.setattr(records, "PART", 3)
    twice = records.frames(lines + lines[::-1])
    for one, two in zip(once[:4], twice[:4], strict=True):
        assert len(one) == len(two)
        assert one["event.id"].tolist() == two["event.id"].tolist()


def test_a_range_takes_the_feedback_with_it() -> None:
    found = records.frames(some(), Range(NOON - timedelta(minutes=3), NOON, "A"))
    assert len(found.predictions) == 2  # of the minutes 3, 2 and 1, the odd ones are room A's
    assert len(found.feedback) == 2
    assert found.verdicts.empty


def test_files_plain_and_compressed_and_what_is_no_record(tmp_path: Path) -> None:
    lines = [json.dumps(fields).encode() + b"\n" for fields in some()]
    (tmp_path / "a.jsonl").write_bytes(
        b"".join(lines[:4]) + b'{"event.dataset": "other"}\nnot JSON "event.dataset"\n7\n'
    )
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[4:]) + lines[0][:50]))
    whole, given = records.frames(some()), records.from_files([str(tmp_path / "*.jsonl*")])
    assert [len(frame) for frame in given[:4]] == [len(frame) for frame in whole[:4]]
    assert (whole.unread, given.unread) == (0, 2)
    assert len(records.read(Source(file=(str(tmp_path / "a.jsonl"),))).predictions) == 2


def test_what_can_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(records.NoRecords, match="no prediction there in the chosen time and room"):
        records.read(Source(file=(str(tmp_path / "empty.jsonl"),)))
    with pytest.raises(records.NoRecords, match="no such file"):
        records.from_files([str(tmp_path / "missing*.jsonl")])
    with pytest.raises(records.InvalidTime, match="'noon' is not a time: expected 2026-11-21"):
        records.read(Source(file=("x",), since="noon"))


def test_an_elasticsearch_that_is_away_is_told_in_words() -> None:
    with pytest.raises(Unreachable, match="no Elasticsearch answers at http://127.0.0.1:9 "):
        records.read(Source(elasticsearch_url="http://127.0.0.1:9"))


def test_bounds_of_time() -> None:
    assert records.time("", NOON) is None
    assert records.time("36h", NOON) == NOON - timedelta(hours=36)
    assert records.time("2w", NOON) == NOON - timedelta(weeks=2)
    assert records.time("2015-02-04T13:00+01:00", datetime.now(UTC)) == NOON
    assert records.time("2015-02-04", NOON) == datetime(2015, 2, 4, tzinfo=UTC)


def test_predictions_meet_their_truth() -> None:
    found = records.labelled(records.frames(some()))
    assert found["truth"].sum() == 1
    assert found["trusted"].tolist() == [False, False, False, True, False]  # with the token
    assert np.allclose(found["probability"], 0.25)


def test_of_several_truths_the_latest_counts() -> None:
    lines = some(1)
    changed = {**lines[1], "event.id": "0123456789ab-99", "occupancy.feedback.occupied": True}
    changed["@timestamp"] = "2099-01-01T00:00:00Z"
    assert records.labelled(records.frames([changed, *lines]))["truth"].tolist() == [1]


def test_who_has_no_token_takes_no_label_away() -> None:
    lines = some(1)
    proved = {**lines[1], "event.id": "0123456789ab-98", "occupancy.feedback.authenticated": True}
    lie = {**proved, "event.id": "0123456789ab-99", "occupancy.feedback.authenticated": False}
    lie |= {
        "@timestamp": "2099-01-01T00:00:00Z",
        "occupancy.feedback.occupied": not proved["occupancy.feedback.occupied"],
    }
    found = records.labelled(records.frames([lines[0], proved, lie]))
    assert (found["truth"].tolist(), found["trusted"].tolist()) == ([proved["occupancy.feedback.occupied"]], [True])


@pytest.mark.elasticsearch
def test_elasticsearch_gives_what_the_files_give(elasticsearch: Any) -> None:
    client, prefix = elasticsearch.client, elasticsearch.prefix
    lines = some()
    types = {field.name: {"type": field.type} for field in record.FIELDS}
    for index in {prefix + record.index(fields) for fields in lines}:
        client.indices.create(index=index, mappings={"dynamic": False, "properties": types})
    for fields in lines:
        client.create(index=prefix + record.index(fields), id=fields["event.id"], document=fields)
    client.indices.refresh(index=f"{prefix}*")
    for what in (records.ALL, Range(NOON - timedelta(minutes=3), NOON, "A")):
        stored, given = records.from_elasticsearch(client, prefix, what), records.frames(lines, what)
        for mine, theirs in zip(given[:4], stored[:4], strict=True):
            assert sorted(mine["event.id"]) == sorted(theirs["event.id"])


@pytest.mark.parametrize(
    "broken",
    [
        {"occupancy.reading.CO2": "many"},
        {"occupancy.reading.CO2": [1, 2]},
        {"occupancy.reading.CO2": True},
        {"event.duration": 10**400},
        {"occupancy.room": ["a"]},
        {"occupancy.room": 7},
        {"occupancy.flags": [1]},
        {"occupancy.label_wanted": 1},
        {"event.id": ["a"]},
        {"event.id": None},
        {"event.dataset": ["occupancy.prediction"]},
        {"event.dataset": "occupancy.future"},
        {"@timestamp": None},
        {"@timestamp": "9999-12-31T23:59:59Z"},
        {"@timestamp": 12345},
        {"occupancy.reading.time": "yesterday"},
        {"occupancy.reading.time": "99999-01-01T00:00:00Z"},
        {"occupancy.reading.time": "9999-12-31T23:59:59Z"},
    ],
    ids=str,
)
def test_a_record_with_a_field_of_another_type_is_passed_over_and_counted(broken: dict[str, Any]) -> None:
    lines = some()
    found = records.frames([*lines, {**lines[0], "event.id": "000000000000-1", **broken}])
    assert [len(frame) for frame in found[:4]] == [7, 5, 1, 0]
    assert found.unread == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"occupancy.feedback.occupied": "yes"},
        {"occupancy.feedback.occupied": None},
        {"occupancy.feedback.prediction": ["a"]},
        {"occupancy.feedback.prediction": None},
        {"occupancy.feedback.authenticated": [1]},
    ],
    ids=str,
)
def test_feedback_of_another_type_or_without_a_truth_says_nothing(broken: dict[str, Any]) -> None:
    lines = some()
    found = records.frames([*lines, {**lines[1], "event.id": "000000000000-1", **broken}])
    assert (len(found.feedback), found.unread) == (5, 1)
    assert len(records.labelled(found)) == 5
    kept = {name: value for name, value in lines[1].items() if name not in broken}
    assert records.frames([*lines, {**kept, "event.id": "000000000000-1"}]).unread == (
        "occupancy.feedback.authenticated" not in broken  # who does not say so had no token
    )


def test_what_can_not_be_decoded_is_counted_and_told(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        b'{"event.dataset": "\xff"}\n{"event.dataset":' + b"[" * 100_000 + b'\n\0\0\n{"event.dataset": "occ\n'
    )
    assert records.from_files([str(log)]).unread == 3
    with pytest.raises(records.NoRecords, match=r"3 lines that are cut, .* passed over"):
        records.read(Source(file=(str(log),)))


@pytest.mark.parametrize("text", ["99999999999d", "999999d", "0001-01-01T00:00+14:00", "9999-12-31T23:59-01:00"])
def test_a_bound_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(records.InvalidTime, match="is not a time"):
        records.time(text, NOON)
