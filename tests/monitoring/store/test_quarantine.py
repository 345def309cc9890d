from pathlib import Path

import pytest

from monitoring.store.offsets import BadState
from monitoring.store.quarantine import Quarantine, Rejected
from tests.monitoring.store.faults import quarantined


def line(offset: int, raw: str = "hello", inode: int = 2) -> Rejected:
    return Rejected(file="a", device=1, inode=inode, line=1, offset=offset, bytes=6, reason="not JSON", raw=raw)


def test_a_line_is_kept_with_where_it_stood_and_why(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0)
    assert quarantine.add([line(0), line(6)]) == 2
    assert quarantine.add([]) == 0
    assert quarantine.size == (tmp_path / "quarantine.jsonl").stat().st_size
    quarantine.close()
    assert quarantined(tmp_path)[1] == {
        "file": "a", "device": 1, "inode": 2, "line": 1, "offset": 6, "bytes": 6, "reason": "not JSON", "raw": "hello",
    }  # fmt: skip


def test_lines_that_are_read_again_after_a_crash_are_kept_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0)
    quarantine.add([line(0)])
    known = quarantine.size
    quarantine.add([line(6), line(12)])
    quarantine.close()  # and the offsets were not saved
    again = Quarantine(tmp_path, known)
    assert again.add([line(6), line(12), line(18)]) == 1
    assert again.add([line(6)]) == 1  # another file may have the inode now
    again.close()
    assert [entry["offset"] for entry in quarantined(tmp_path)] == [0, 6, 12, 18, 6]


def test_a_last_line_that_was_cut_is_taken_away(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0)
    quarantine.add([line(0)])
    quarantine.close()
    with (tmp_path / "quarantine.jsonl").open("ab") as file:
        file.write(b'{"file": "a", "dev')
    again = Quarantine(tmp_path, 0)
    assert again.add([line(0), line(6)]) == 1
    again.close()
    assert [entry["offset"] for entry in quarantined(tmp_path)] == [0, 6]


def test_a_chatty_program_does_not_fill_the_disk(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0, most_bytes=1000)
    for n in range(100):
        quarantine.add([line(n, "x" * 300)])
    quarantine.close()
    assert quarantined(tmp_path)[-1]["offset"] == 99
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4000
    assert {path.name for path in tmp_path.iterdir()} == {"quarantine.jsonl", "quarantine.old.jsonl"}


def test_a_quarantine_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadState, match="can't be used"):
        Quarantine(tmp_path / "missing", 0)
