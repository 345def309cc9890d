import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring.store import follow
from monitoring.store.follow import Files, NoSuchFile, paths
from monitoring.store.offsets import Offsets
from tests.monitoring.store.faults import lines


class Reader:
    """Reads what there is, as the carrier does, and settles it at once."""

    def __init__(self, folder: Path, *patterns: str, follow: bool = True, most_held: int = 10**9) -> None:
        self.offsets = Offsets(folder / "state")
        self.files = Files(patterns, self.offsets, follow=follow, most_held=most_held)

    def read(self) -> list[bytes]:
        self.files.scan()
        found = []
        while item := self.files.read():
            tail, read = item
            found += [line.text + b"\n" * line.whole for line in read]
            self.offsets.positions[tail.serial] = tail.position()
        return found

    def close(self) -> None:
        self.offsets.save(0, self.files.live)
        self.files.close()
        self.offsets.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "a.jsonl"


@pytest.fixture
def reader(tmp_path: Path, log: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path, str(log))
    yield reader
    reader.files.close()
    reader.offsets.close()


def write(path: Path, *written: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(written))


def test_a_path_names_its_rotated_files_a_glob_what_it_matches_and_a_folder_its_logs(tmp_path: Path) -> None:
    (tmp_path / "pod[1]" / "c").mkdir(parents=True)
    names = [
        "0.log",
        "0.log.20260203-1.gz",
        "0.log-1",
        "0.log.2.gz.tmp",
        "0.logs",
        "x.jsonl",
        "x.jsonl.1",
        "config.json",
    ]
    for name in names:
        (tmp_path / "pod[1]" / "c" / name).write_text("")

    def named(pattern: Path, *, rotated: bool = True) -> set[str]:
        return {Path(path).name for path in paths([str(pattern)], rotated=rotated)}

    assert named(tmp_path) == {"0.log", "0.log.20260203-1.gz", "0.log-1", "x.jsonl", "x.jsonl.1"}
    assert named(tmp_path / "pod[1]" / "c" / "0.log") == {"0.log", "0.log.20260203-1.gz", "0.log-1"}
    assert named(tmp_path / "pod[1]" / "c" / "0.log", rotated=False) == {"0.log"}
    assert named(tmp_path / "pod*" / "**" / "*.jsonl") == {"x.jsonl"}
    assert named(tmp_path / "none*") == set()


def test_files_that_appear_are_read_and_each_line_once(reader: Reader, log: Path) -> None:
    assert reader.read() == []
    written = lines(6)
    for n in range(3):
        write(log, written[n])
        write(log.with_name("a.jsonl.1"), written[3 + n])
        assert sorted(reader.read()) == sorted([written[n], written[3 + n]])
    assert reader.read() == []


def test_one_file_under_two_names_is_read_once(tmp_path: Path, log: Path) -> None:
    write(log, *lines(3))
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "a.jsonl").symlink_to(log)
    (tmp_path / "containers" / "broken.log").symlink_to(log.with_name("none"))
    reader = Reader(tmp_path, str(tmp_path / "containers"), str(log))
    assert len(reader.read()) == 3
    assert reader.read() == []
    reader.close()


def test_a_renamed_file_is_read_to_its_end_and_its_compressed_copy_is_known(reader: Reader, log: Path) -> None:
    written = lines(9)
    write(log, *written[:2])
    assert reader.read() == written[:2]
    rotated = log.rename(log.with_name("a.jsonl.1"))
    write(log, *written[4:7])
    write(rotated, *written[2:4])  # the writer had it open still
    assert sorted(reader.read()) == sorted(written[2:7])
    packed = log.with_name("a.jsonl.1.gz")
    packed.write_bytes(gzip.compress(rotated.read_bytes()))
    rotated.unlink()
    write(log, *written[7:])
    assert reader.read() == written[7:]


def test_a_copy_before_truncation_is_known(reader: Reader, log: Path) -> None:
    written = lines(9)
    write(log, *written[:4])
    assert reader.read() == written[:4]
    write(log, written[4])
    log.with_name("a.jsonl.1").write_bytes(log.read_bytes())
    os.truncate(log, 0)
    write(log, *written[5:])
    assert sorted(reader.read()) == sorted(written[4:])


def test_a_new_start_knows_files_that_were_rotated_meanwhile(tmp_path: Path, reader: Reader, log: Path) -> None:
    written = lines(9)
    write(log, *written[:4])
    assert reader.read() == written[:4]
    reader.close()
    write(log, written[4])
    log.with_name("a.jsonl.2.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    write(log, *written[5:7])
    log.rename(log.with_name("a.jsonl.1"))
    write(log, *written[7:])
    second = Reader(tmp_path, str(log))
    assert sorted(second.read()) == sorted(written[4:])
    second.close()


def test_a_deleted_file_is_read_to_its_end(reader: Reader, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = lines(3)
    write(log, *written)
    reader.files.scan()
    log.unlink()
    reader.files.scan()
    assert reader.files.unread == sum(map(len, written))
    assert reader.read() == written
    assert len(reader.files.live) == 1  # its writer may have it open
    monkeypatch.setattr(follow, "SETTLE_SECONDS", -1.0)
    assert reader.read() == []
    assert reader.files.live == set()


def test_deleted_files_do_not_fill_the_disk(
    tmp_path: Path, log: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = lines(30)
    reader = Reader(tmp_path, str(log.parent), most_held=2 * len(b"".join(written[:10])) + 100)
    for n in range(3):
        write(log.with_name(f"{n}.jsonl"), *written[10 * n : 10 * n + 10])
        reader.files.scan()
        log.with_name(f"{n}.jsonl").unlink()
        reader.files.scan()
    assert "0.jsonl was deleted, and too much waits" in caplog.text
    assert reader.read() == written[10:]
    reader.close()


def test_a_last_line_without_its_end_is_given_when_its_file_was_rotated(
    reader: Reader, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = lines(2)
    write(log, whole, cut[:40])
    assert reader.read() == [whole]
    log.rename(log.with_name("a.jsonl.1"))
    assert reader.read() == []
    monkeypatch.setattr(follow, "SETTLE_SECONDS", -1.0)
    assert reader.read() == [cut[:40]]
    assert reader.read() == []
    reader.close()


def test_more_files_than_may_be_open_are_all_read(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "MOST_OPEN", 3)
    written = lines(20)
    reader = Reader(tmp_path, str(log.parent))
    for n in range(10):
        write(log.with_name(f"{n}.log"), written[2 * n])
    assert sorted(reader.read()) == sorted(written[::2])
    for n in range(10):
        write(log.with_name(f"{n}.log"), written[2 * n + 1])
    assert sorted(reader.read()) == sorted(written[1::2])
    assert sum(tail.opened for tail in reader.files._tails.values()) <= 4
    reader.close()


def test_what_can_not_be_read_is_said_once_and_the_rest_is_read(
    reader: Reader, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written = lines(1000)
    packed = gzip.compress(b"".join(written))
    log.with_name("a.jsonl.1.gz").write_bytes(packed[:-2000])
    write(log, written[0])
    assert reader.read()[0] == written[0]
    assert reader.read() == []
    assert caplog.text.count("can't be read") == 1
    assert reader.files.damaged == {str(log) + ".1.gz"}
    log.with_name("a.jsonl.1.gz").write_bytes(packed)
    reader.read()
    assert reader.files.unread == 0
    assert reader.files.damaged == set()


def test_our_own_folder_is_not_read(tmp_path: Path) -> None:
    reader = Reader(tmp_path, str(tmp_path))
    write(tmp_path / "state" / "quarantine.jsonl", b"x\n")
    assert reader.read() == []
    reader.close()


def test_without_following_each_name_must_be_something(tmp_path: Path, log: Path) -> None:
    write(log, *lines(1))
    reader = Reader(tmp_path, str(log), str(log.with_name("b*")), follow=False)
    with pytest.raises(NoSuchFile, match=r"b\*': there is no such file"):
        reader.files.check()
    reader.close()
