import json
from pathlib import Path
from typing import Any

import pytest

from monitoring.__main__ import main
from tests.monitoring.conftest import Store
from tests.monitoring.drift.test_watch import lines

HOUR, STUCK = 60, 20


class Watched:
    """Records that a service left, and what the real watch says of them, look by look."""

    def __init__(self, folder: Path, out: Any) -> None:
        self.records, self.said, self.state, self.out = folder / "log.jsonl", folder / "said.jsonl", folder / "w", out

    def look(self, more: bytes) -> list[bytes]:
        with self.records.open("ab") as file:
            file.write(more)
        environ = {"MONITORING_WATCH_STATE": str(self.state), "MONITORING_ONCE": "true"}
        assert main(["watch", str(self.records)], environ) == 0
        said: bytes = self.out.readouterr().out
        with self.said.open("ab") as file:
            file.write(said)
        return said.splitlines()

    def verdicts(self, *argv: str, environ: dict[str, str] | None = None) -> tuple[int, list[bytes]]:
        status = main(["verdicts", *argv], environ or {})
        return status, self.out.readouterr().out.splitlines()


@pytest.fixture
def watched(tmp_path: Path, capfdbinary: Any) -> Watched:
    return Watched(tmp_path, capfdbinary)


def rules(said: list[bytes]) -> list[tuple[str, str]]:
    return [(v["occupancy.verdict.rule"], v["occupancy.verdict.state"]) for v in map(json.loads, said)]


def test_what_the_watch_left_is_printed_as_it_was_written(watched: Watched) -> None:
    first = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    assert rules(first) == [("run", "opened"), ("stale", "opened")]
    assert watched.verdicts(str(watched.said)) == (1, first)
    assert watched.verdicts(str(watched.records), str(watched.said)) == (1, first)  # in whatever file they stand
    second = watched.look(lines(2 * HOUR, first=HOUR + STUCK))
    assert sorted(rules(second)) == [("run", "closed"), ("stale", "closed"), ("stale", "opened")]
    assert watched.verdicts(str(watched.said)) == (1, second[2:])
    whole = sorted(first + second, key=lambda line: (json.loads(line)["@timestamp"], b'"opened"' in line))
    assert watched.verdicts("--all", str(watched.said)) == (1, whole)
    watched.said.write_bytes(b"\n".join(second + first[::-1]))
    assert watched.verdicts("--all", str(watched.said)) == (1, whole)  # by time, however they stand


def test_where_all_is_over_nothing_is_open(watched: Watched) -> None:
    first = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0) + lines(2 * HOUR, first=HOUR + STUCK))
    over = [line for line in first if b'"stale"' not in line]
    watched.said.write_bytes(b"\n".join(over))
    assert rules(over) == [("run", "opened"), ("run", "closed")]
    assert watched.verdicts(str(watched.said)) == (0, [])
    assert watched.verdicts("--all", str(watched.said)) == (0, over)
    assert watched.verdicts(str(watched.records)) == (0, [])  # the service's own records hold no verdict


def test_time_and_room_bound_them(watched: Watched) -> None:
    first = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    at = json.loads(first[1])["@timestamp"]
    name = str(watched.said)
    assert watched.verdicts(name, f"--since={at}") == (1, first[1:])
    assert watched.verdicts(name, f"--until={at}") == (1, first[:1])
    assert watched.verdicts(name, "--room=attic") == (0, [])
    assert watched.verdicts(name, "--room=default") == (1, first)


def test_a_repeat_is_the_same_verdict_and_a_later_begin_stands_for_both(watched: Watched) -> None:
    (opened, *_) = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    again = json.loads(opened)
    again |= {
        "event.id": "0" * 12 + "-opened",
        "occupancy.verdict.event": "0" * 12,
        "@timestamp": "2026-11-17T00:00:00Z",
    }
    watched.said.write_bytes(b"\n".join([json.dumps(again).encode(), opened, opened]))
    status, lasting = watched.verdicts(str(watched.said))
    assert (status, [json.loads(line) for line in lasting]) == (1, [again])
    assert len(watched.verdicts("--all", str(watched.said))[1]) == 2


def test_what_is_cut_is_told_and_what_is_missing_refused(watched: Watched, tmp_path: Path) -> None:
    (opened, *_) = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    watched.said.write_bytes(opened + b"\n" + opened[:-20] + b'\n{"event.dataset":"occupancy.verdict","event.id":7}\n')
    assert main(["verdicts", str(watched.said)], {}) == 1
    told = watched.out.readouterr()
    assert told.out == opened + b"\n"
    assert b"monitoring verdicts: 2 lines that are cut" in told.err
    assert main(["verdicts", str(tmp_path / "none.jsonl")], {}) == 2
    assert b"none.jsonl: no such file" in watched.out.readouterr().err


WHAT = ("since", "event", "rule", "state", "consequence", "message")


@pytest.mark.parametrize("name", ["occupancy.room", *(f"occupancy.verdict.{name}" for name in WHAT)])
def test_a_record_that_does_not_say_what_was_found_is_passed_over_and_told(watched: Watched, name: str) -> None:
    (opened, *_) = watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    fields = {**json.loads(opened), "event.id": "0" * 12 + "-opened"}
    without = [{**fields, name: None}, {**fields, name: 7}, {key: fields[key] for key in fields if key != name}]
    without.append({**without[0], "event.id": json.loads(opened)["event.id"]})  # it takes no sound one's place
    if name.endswith("since"):
        without.append({**fields, name: "yesterday"})
    watched.said.write_bytes(b"\n".join([*(json.dumps(each).encode() for each in without), opened]))
    for argv in ([], ["--all"]):
        assert main(["verdicts", str(watched.said), *argv], {}) == 1
        told = watched.out.readouterr()
        assert told.out == opened + b"\n"
        assert f"monitoring verdicts: {len(without)} lines that are cut".encode() in told.err


def test_elasticsearch_gives_what_the_files_give(watched: Watched, installed: Store) -> None:
    watched.look(lines(HOUR) + lines(STUCK, first=HOUR, co2=700.0))
    watched.look(lines(2 * HOUR, first=HOUR + STUCK))
    assert watched.verdicts("--all", environ=installed.environ) == (0, [])  # before anything is stored
    assert main(["load", str(watched.records), str(watched.said)], installed.environ) == 0
    watched.out.readouterr()
    installed.client.indices.refresh(index=f"{installed.prefix}*")
    for options in ([], ["--all"], ["--all", "--room=attic"], ["--until=2026-11-16T14:00"]):
        assert watched.verdicts(*options, environ=installed.environ) == watched.verdicts(*options, str(watched.said))
