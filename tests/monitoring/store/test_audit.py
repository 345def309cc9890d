import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.__main__ import main
from monitoring.store import audit, client, setup
from monitoring.store.audit import Boot, UnreadableFile, boots, judge
from monitoring.store.sequences import parse, ranges
from occupancy.record import FEEDBACK, LOSS, PREDICTION
from tests.monitoring.conftest import Store

ONE, OTHER = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
START = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


def lines(boot: str, numbers: Iterable[int], start: datetime = START) -> list[dict[str, Any]]:
    """One a minute; every tenth is feedback, so that a boot's numbers spread over two families, and months."""
    return [
        {
            "@timestamp": (start + timedelta(minutes=number)).isoformat(),
            "event.id": f"{boot}-{number}",
            "event.dataset": PREDICTION if number % 10 else FEEDBACK,
            "occupancy.boot": boot,
            "occupancy.sequence": number,
        }
        for number in numbers
    ]


def lost(line: dict[str, Any], count: int) -> dict[str, Any]:
    return {**line, "event.dataset": LOSS, "occupancy.lost": count}


def audited(store: Store, now: datetime = START + timedelta(days=9), grace: float = 60) -> dict[str, Boot]:
    return {found.boot: found for found in boots(store.client, store.prefix, now, grace)}


def test_a_boot_without_a_gap_is_whole(installed: Store, capsys: pytest.CaptureFixture[str]) -> None:
    installed.create(lines(ONE, range(1, 41)))
    assert main(["audit"], installed.environ) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1].split() == [ONE, "2026-01-31T23:31:00Z", "2026-02-01T00:10:00Z", "40", "40", *"000000"]
    assert told[2].startswith("40 records of 1 boot are stored; 0 are missing")


def test_each_missing_number_is_named_and_what_the_service_admits_is_counted(
    installed: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = lines(ONE, range(1, 41))
    stored = [line for line in whole if line["occupancy.sequence"] not in (1, 10, 11, 30)]
    installed.create([*stored[:-1], lost(stored[-1], 3), *lines(OTHER, range(1, 6))])
    assert main(["audit", "--json"], installed.environ) == 1
    one, other = json.loads(capsys.readouterr().out)["boots"]
    assert (one["boot"], one["stored"], one["last"], one["missing"], one["admitted"]) == (ONE, 36, 40, 4, 3)
    assert one["missing_numbers"] == ["1", "10-11", "30"]
    assert (other["boot"], other["stored"], other["missing"]) == (OTHER, 5, 0)
    assert main(["audit"], installed.environ) == 1
    told = capsys.readouterr().out
    assert "\n  missing numbers: 1, 10-11, 30\n" in told
    assert "4 are missing, of which the service itself admits 3; 0 are stored more than once" in told


def test_what_is_stored_twice_does_not_hide_what_is_missing(installed: Store) -> None:
    twice = lines(ONE, [4, 5], START + timedelta(days=40))  # in the index of another month
    installed.create([*lines(ONE, [1, 2, 4, 5, 7, 8]), *twice])
    found = audited(installed, START + timedelta(days=99))[ONE]
    assert (found.stored, found.last, found.missing_numbers, found.doubled_numbers) == (6, 8, ["3", "6"], ["4-5"])


def test_count_and_sum_alone_would_not_show_it(installed: Store) -> None:
    # 2 and 3 in place of 1 and 4: five numbers up to 5, and their sum is 15
    installed.create([*lines(ONE, [1, 2, 3, 5]), *lines(ONE, [4], START + timedelta(days=40))])
    assert audited(installed, START + timedelta(days=99))[ONE].missing == 0
    installed.create(lines(OTHER, [2, 3, 5]) + lines(OTHER, [2, 3], START + timedelta(days=40)))
    assert audited(installed, START + timedelta(days=99))[OTHER].missing_numbers == ["1", "4"]


def test_boots_and_numbers_are_read_page_by_page(installed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BOOTS", 2)
    monkeypatch.setattr(client, "PAGE", 3)
    names = [f"{number:012x}" for number in range(5)]
    installed.create([line for boot in names for line in lines(boot, [1, 2, 3, 4, 6, 7, 9])])
    found = audited(installed)
    assert [(boot, found[boot].missing_numbers) for boot in sorted(found)] == [(boot, ["5", "8"]) for boot in names]


def test_a_gap_before_the_newest_records_may_still_be_on_its_way(installed: Store) -> None:
    installed.create(lines(ONE, [1, 3, 5]))
    found = audited(installed, START + timedelta(minutes=5), grace=90)[ONE]
    assert (found.missing_numbers, found.on_the_way, found.last) == (["2"], 1, 5)
    assert audited(installed, START + timedelta(minutes=7), grace=90)[ONE].missing_numbers == ["2", "4"]


def test_months_that_retention_deleted_are_not_missing(elasticsearch: Store) -> None:
    list(setup.install(elasticsearch.client, elasticsearch.prefix, 30, "0-1"))
    elasticsearch.create(lines(ONE, range(1, 41)))
    index = f"{elasticsearch.prefix}occupancy-predictions-2026.01"  # feedback of that month is there still
    elasticsearch.client.indices.delete(index=index)
    elasticsearch.create(lines(OTHER, [33, 35]))
    later = datetime(2026, 3, 4, tzinfo=UTC)
    found = audited(elasticsearch, later)
    assert (found[ONE].missing, found[ONE].expired, found[ONE].stored, found[ONE].last) == (0, 29, 11, 40)
    assert (found[OTHER].missing_numbers, found[OTHER].expired) == (["34"], 32)
    too_early = audited(elasticsearch, datetime(2026, 3, 2, tzinfo=UTC))
    assert too_early[ONE].missing == 27
    assert too_early[OTHER].missing == 33


def test_what_has_no_number_is_not_counted(installed: Store) -> None:
    (line,) = lines(ONE, [1])
    installed.create([{name: value for name, value in line.items() if name != "occupancy.sequence"}])
    assert audited(installed) == {}


def test_nothing_stored_is_no_error(installed: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"], installed.environ) == 0
    assert "no record is stored" in capsys.readouterr().out


def test_each_line_of_a_file_is_looked_for(
    installed: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE", 4)
    written = lines(ONE, range(1, 13))
    installed.create([line for line in written if line["occupancy.sequence"] not in (3, 11, 12)])
    texts = [json.dumps(line) for line in written]
    (tmp_path / "bare.jsonl").write_text("\n".join([*texts, "Listening", "", texts[0][:40]]))
    in_pod = [f"2026-02-01T00:00:00.1Z stdout F {text}" for text in texts]
    with gzip.open(tmp_path / "pod.log.gz", "wt") as file:
        file.write("\n".join([*in_pod, "2026-02-01T00:00:00.1Z stderr F Listening", ""]))
    paths = [str(tmp_path / "bare.jsonl"), str(tmp_path / "pod.log.gz")]
    assert main(["audit", "--json", *paths], installed.environ) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["boots"][0]["missing_numbers"] == ["3"]  # that there were two more only the file knows
    bare, pod = answer["files"]
    assert (bare["lines"], bare["stored"], bare["missing"], bare["unreadable"]) == (14, 9, 3, 2)
    assert bare["missing_lines"] == pod["missing_lines"] == ["3", "11-12"]
    assert (pod["lines"], pod["stored"], pod["missing"], pod["unreadable"]) == (12, 9, 3, 0)
    assert main(["audit", *paths], installed.environ) == 1
    assert f"{paths[0]}: of 14 lines 9 are stored, 3 missing, 0 forgotten, 2 are no" in capsys.readouterr().out


def test_a_long_list_is_cut_in_the_text() -> None:
    boot = Boot(boot=ONE, since="", until="", last=99, stored=1, missing_numbers=[str(n) for n in range(2, 30, 2)])
    told = audit.describe([boot], [])
    assert "18, 20 and 4 ranges more; --json lists all" in told


def test_a_file_that_cannot_be_read_is_named(installed: Store, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}\n" * 99)[:-9])
    for path, told in ((tmp_path / "none.jsonl", "No such file"), (tmp_path / "cut.gz", "end-of-stream")):
        with pytest.raises(UnreadableFile, match=f"{path} can't be read: .*{told}"):
            audit.file(installed.client, installed.prefix, str(path))


some = st.sets(st.integers(1, 40))


@given(
    st.lists(st.integers(1, 40), min_size=1), some, st.integers(0, 41), st.booleans()
)  # numbers, those forgotten, the last that is settled, whether old months are gone
def test_every_number_is_accounted_for_once(numbers: list[int], gone: set[int], settled: int, expired: bool) -> None:
    blank = Boot(boot=ONE, since="", until="", last=0, stored=0)
    found = judge(blank, sorted(numbers), forgotten=ranges(gone), settled=settled, expired=expired)
    assert found.last == max(numbers)
    accounted = found.stored + found.missing + found.forgotten + found.expired + found.on_the_way
    assert accounted == found.last
    assert found.stored == len(set(numbers))
    missing = {n for text in found.missing_numbers for n in range(parse(text).first, parse(text).last + 1)}
    assert len(missing) == found.missing
    assert not missing & (set(numbers) | gone)
    assert found.doubled == len({n for n in numbers if numbers.count(n) > 1})
    if not expired and settled > max(numbers):
        assert missing == set(range(1, max(numbers))) - set(numbers) - gone
