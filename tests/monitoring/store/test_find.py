import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from monitoring.__main__ import main
from monitoring.store.client import Unreachable
from monitoring.store.find import Find, stored
from monitoring.store.setup import install
from tests.monitoring.conftest import Store
from tests.monitoring.store.faults import cri
from tests.monitoring.test_records import some


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return [json.loads(json.dumps(fields, default=lambda when: when.isoformat())) for fields in some()]


def written(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def test_a_record_is_found_with_what_was_told_about_it(
    records: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = list(map(written, records))
    (tmp_path / "a.jsonl").write_bytes(b"not a record\n" + b"".join(lines[:4]))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[4:6])))
    (tmp_path / "c.log").write_bytes(b"".join(map(cri, lines[6:])))
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl.gz", "c.log")]
    for place in (0, 4, 6):
        assert main(["find", records[place]["event.id"], *files], {}) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert found == records[place : place + 2]
    assert main(["find", f"{records[0]['occupancy.boot']}-99", *files], {}) == 1
    assert capsys.readouterr().out == ""


def test_elasticsearch_gives_what_the_files_give(
    records: list[dict[str, Any]], elasticsearch: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["find", records[0]["event.id"]], elasticsearch.environ) == 1  # there is not even an index
    list(install(elasticsearch.client, elasticsearch.prefix, 0, "0-1"))
    elasticsearch.create(records)
    assert main(["find", records[0]["event.id"]], elasticsearch.environ) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(found, key=lambda fields: fields["occupancy.sequence"]) == records[:2]


@pytest.mark.parametrize("argv", [["find"], ["find", "everything"], ["find", "0123456789ab-1", "/no/such/file"]])
def test_what_cannot_be_found_is_said(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv, {}) == 2
    assert capsys.readouterr().err.startswith("monitoring find: ")


def test_an_elasticsearch_that_is_not_there_is_said() -> None:
    with pytest.raises(Unreachable):
        list(stored("0123456789ab-1", Find(elasticsearch_url="http://127.0.0.1:1")))
