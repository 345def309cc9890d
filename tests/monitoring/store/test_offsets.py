import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitoring.store import offsets
from monitoring.store.offsets import BadState, Offsets, Position, StateTaken
from tests.monitoring.store.faults import ROOT


def position(path: str = "a.jsonl", at: float = 0.0) -> Position:
    return Position(path=path, device=1, inode=2, offset=3, line=4, head="5", tail="6", cut=7, at=at or time.time())


def test_what_is_saved_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = Offsets(tmp_path / "state")
    assert not first.belong_to("cluster/")
    first.positions[first.serial()] = position()
    first.save(quarantined=8, live=())
    first.close()
    second = Offsets(tmp_path / "state")
    assert [p.path for p in second.positions.values()] == ["a.jsonl"]
    assert (second.quarantined, second.destination) == (8, "cluster/")
    assert second.serial() not in second.positions
    second.close()


def test_offsets_of_another_elasticsearch_do_not_count(tmp_path: Path) -> None:
    state = Offsets(tmp_path)
    state.belong_to("cluster/")
    state.positions[state.serial()] = position()
    assert not state.belong_to("cluster/")
    assert state.belong_to("another/")
    assert state.positions == {}
    state.close()


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    state = Offsets(tmp_path)
    other = subprocess.run(
        [sys.executable, "-c", f"from monitoring.store.offsets import *; Offsets(Path({str(tmp_path)!r}))"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"process {os.getpid()} uses {tmp_path} already" in other.stderr
    with pytest.raises(StateTaken, match="MONITORING_STATE"):
        Offsets(tmp_path)
    state.close()
    Offsets(tmp_path).close()


def test_a_damaged_file_of_offsets_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "offsets.json").write_text('{"positions": [')
    with pytest.raises(BadState, match="delete it: everything is read again, and nothing is stored twice"):
        Offsets(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadState, match="can't be used: Not a directory"):
        Offsets(tmp_path / "file" / "state")


def test_positions_of_files_long_gone_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets, "REMEMBERED", 2)
    state = Offsets(tmp_path)
    state.positions.update({1: position("old", 1.0), 2: position("old but there", 1.0), 3: position("new")})
    state.save(0, live={2})
    assert [p.path for p in state.positions.values()] == ["old but there", "new"]
    state.close()
