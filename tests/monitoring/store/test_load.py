import gzip
import json
import re
import signal
from pathlib import Path

import pytest

from monitoring.__main__ import main
from monitoring.store.setup import install
from tests.monitoring.conftest import Store
from tests.monitoring.store.faults import Carrier, count, cri, ids, lines, offsets, quarantined, stored, until
from tests.ports import free_port


@pytest.fixture
def store(elasticsearch: Store) -> Store:
    list(install(elasticsearch.client, elasticsearch.prefix, 0, "0-1"))
    return elasticsearch


def load(store: Store, folder: Path, *argv: str | Path) -> int:
    return main(["load", *map(str, argv)], {**store.environ, "MONITORING_STATE": str(folder / "state")})


def counted(store: Store) -> dict[str, int]:
    return dict(stored(store.client, store.prefix))


def test_files_globs_and_folders_plain_and_compressed_are_stored_once(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, packed, wrapped = lines(700), lines(600), lines(50)
    (tmp_path / "pods" / "a").mkdir(parents=True)
    (tmp_path / "a.jsonl").write_bytes(b"".join(plain).rstrip(b"\n"))  # its last line has no end, and is whole
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(packed)))
    (tmp_path / "pods" / "a" / "0.log").write_bytes(
        b"".join(cri(line) + cri(b"a message\n", "stderr") for line in wrapped)
    )
    assert load(store, tmp_path, tmp_path / "a.jsonl", tmp_path / "*.gz", tmp_path / "pods") == 0
    told = capsys.readouterr()
    assert told.out == "load: 1350 lines read, 1350 stored, 0 stored before, 0 in quarantine, 0 retries\n"
    assert re.search(r"^load: \d+ bytes done$", told.err, re.MULTILINE)
    assert counted(store) == dict.fromkeys(ids(plain + packed + wrapped), 1)
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b"\n" + (more := lines(1)[0]))
    (tmp_path / "again.jsonl").write_bytes(b"".join(plain))
    assert load(store, tmp_path, tmp_path / "a.jsonl", tmp_path / "again.jsonl", tmp_path / "*.gz") == 0
    assert "stored before, 0 in quarantine" in capsys.readouterr().out
    assert counted(store) == dict.fromkeys(ids([*plain, *packed, *wrapped, more]), 1)


def test_what_can_not_be_stored_is_in_quarantine_with_file_line_offset_and_reason(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = lines(4)
    conflict = json.dumps({**json.loads(good[1]), "occupancy.reading.CO2": "much"}).encode() + b"\n"
    path = tmp_path / "a.jsonl"
    content = [
        good[0],
        b"[INFO] ready\n",
        conflict,
        b'{"event.dataset": "nginx"}\n',
        b"\xff\xfe\n",
        good[2],
        good[3][:99],
    ]
    path.write_bytes(b"".join(content))
    assert load(store, tmp_path, path) == 1
    assert "2 stored, 0 stored before, 5 in quarantine" in capsys.readouterr().out
    entries = sorted(quarantined(tmp_path / "state"), key=lambda entry: int(entry["line"]))
    assert [entry["line"] for entry in entries] == [2, 3, 4, 5, 7]
    for entry in entries:
        part = path.read_bytes()[entry["offset"] : entry["offset"] + entry["bytes"]]
        assert part == content[entry["line"] - 1]
        assert entry["file"] == str(path)
    assert entries[1]["raw"].encode() == conflict.rstrip(b"\n")
    assert [entry["reason"].partition(":")[0] for entry in entries] == [
        "no JSON object", "document_parsing_exception", "no record of ours", "no JSON object",
        "the file ends in the middle of this line",
    ]  # fmt: skip
    assert load(store, tmp_path, path) == 0  # nothing new
    assert len(quarantined(tmp_path / "state")) == 5
    with path.open("ab") as file:  # it had not ended there
        file.write(good[3][99:])
    assert load(store, tmp_path, path) == 0
    assert counted(store) == dict.fromkeys(ids([good[0], good[2], good[3]]), 1)


def test_a_huge_line_and_a_damaged_file_do_not_stop_the_others(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = lines(500)
    (tmp_path / "a.jsonl").write_bytes(good[0] + b"x" * 30_000_000 + b"\n" + good[1])
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(good[2:]))[:-50])
    assert load(store, tmp_path, tmp_path / "*.jsonl*") == 1
    assert f"{tmp_path / 'b.jsonl.gz'} is damaged" in capsys.readouterr().out
    (entry,) = quarantined(tmp_path / "state")
    assert (entry["bytes"], len(entry["raw"])) == (30_000_001, 65536)
    assert entry["reason"].startswith("a line of 30000001 bytes")
    assert counted(store).keys() >= set(ids(good[:2]))


def test_an_emptied_elasticsearch_gets_everything_again(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(written := lines(3)))
    assert load(store, tmp_path, tmp_path / "a.jsonl") == 0
    path = tmp_path / "state" / "offsets.json"
    path.write_text(path.read_text().replace('"destination":"', '"destination":"another'))
    assert load(store, tmp_path, tmp_path / "a.jsonl") == 0
    assert "everything is read from its start" in capsys.readouterr().err
    assert counted(store) == dict.fromkeys(ids(written), 1)


def test_what_is_wrong_is_told_before_anything_is_sent(
    elasticsearch: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1)[0])

    def told(*argv: str | Path, **environ: str) -> str:
        assert (
            main(["load", "--state", str(tmp_path / "state"), *map(str, argv)], {**elasticsearch.environ, **environ})
            == 2
        )
        return capsys.readouterr().err

    assert "no FILE: name files" in told()
    assert "there is no such file" in told(tmp_path / "b.jsonl")
    assert "run `python -m monitoring setup`" in told(tmp_path / "a.jsonl")
    assert "no Elasticsearch answers" in told(tmp_path / "a.jsonl", ELASTICSEARCH_URL="http://127.0.0.1:9")


def test_it_follows_shows_its_counts_and_ends_in_order(store: Store, tmp_path: Path) -> None:
    path, port = tmp_path / "a.jsonl", free_port()
    carrier = Carrier(tmp_path, store.environ, "--follow", str(path), "--metrics-port", str(port))
    try:
        written = lines(20)
        for n in range(2):
            with path.open("ab") as file:
                file.write(b"".join(written[10 * n : 10 * n + 10]))
            until(lambda n=n: count(store.client, store.prefix) == 10 * n + 10)  # type: ignore[misc]
        second = Carrier(tmp_path, store.environ, "--follow", str(path))
        assert second.ended() == 2
        assert "uses" in carrier.log.read_text()
        assert carrier.stop() == 0
    finally:
        carrier.kill()
    assert offsets(tmp_path / "state") == {"a.jsonl": path.stat().st_size}
    assert "load: 20 lines read, 20 stored, 0 stored before, 0 in quarantine" in carrier.log.read_text()
    assert counted(store) == dict.fromkeys(ids(written), 1)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_backfill_that_is_stopped_says_so_and_goes_on_next_time(
    store: Store, tmp_path: Path, number: int, status: int
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"".join(written := lines(6000)))
    carrier = Carrier(tmp_path, store.environ, str(tmp_path / "a.jsonl"))
    until((tmp_path / "state" / "offsets.json").exists)
    assert carrier.stop(number) == status
    assert 0 < offsets(tmp_path / "state")["a.jsonl"] < sum(map(len, written))
    carrier.start()
    assert carrier.ended() == 0
    assert counted(store) == dict.fromkeys(ids(written), 1)
    assert len(stored(store.client, store.prefix)) == 6000
