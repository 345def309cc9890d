import gzip
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitoring.store import follow, tail
from monitoring.store.follow import Files, NoSuchFile, paths
from monitoring.store.lines import Line
from monitoring.store.offsets import Offsets, Position
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
            found += [line.text + b"\n" * line.whole for line in item[1]]
            self.offsets.positions[item[0].serial] = item[0].position()
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
    assert sum(each.opened for each in reader.files._tails.values()) <= 4
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


class Rotator:
    """A log and its reader, to whom anything may happen in any order; what was read and not settled is lost by a crash."""

    def __init__(self, folder: Path, draw: random.Random) -> None:
        self.folder, self.draw, self.written, self.count = folder, draw, list[bytes](), 0
        self.log = folder / "logs" / "0.log"
        self.log.parent.mkdir()
        self.live = self.log.open("ab", buffering=0)
        self.last = self.log
        self.settled: set[bytes] = set()
        self.on_the_way: list[tuple[int, Position, list[Line]]] = []
        self.reader = Reader(folder, str(self.log.parent))

    def write(self) -> None:
        for _ in range(self.draw.randint(1, 8)):
            line = b"%d %s\n" % (len(self.written), b"x" * self.draw.choice([10, 300, 2000]))
            self.written.append(line)
            self.live.write(line)

    def write_in_two(self) -> None:
        line = b"%d %s\n" % (len(self.written), b"y" * 500)
        self.written.append(line)
        cut = self.draw.randrange(1, len(line))
        self.live.write(line[:cut])
        self.scan()
        self.read()
        self.live.write(line[cut:])

    def scan(self) -> None:
        self.reader.files.scan()

    def read(self, most: int = 6) -> bool:
        for _ in range(self.draw.randint(1, most)):
            if (item := self.reader.files.read()) is None:
                return False
            self.on_the_way.append((item[0].serial, item[0].position(), item[1]))
        return True

    def settle(self, most: int = 5) -> None:
        for _ in range(min(self.draw.randint(1, most), len(self.on_the_way))):
            serial, position, found = self.on_the_way.pop(0)
            self.settled |= {line.text + b"\n" for line in found}
            self.reader.offsets.positions[serial] = position

    def rename(self) -> None:
        self.count += 1
        self.last = self.log.rename(self.log.with_name(f"0.log.{self.count}"))
        if self.draw.random() < 0.5:
            self.write()
        self.live.close()
        self.live = self.log.open("ab", buffering=0)

    def truncate(self) -> None:
        self.count += 1
        self.last = self.log.with_name(f"0.log.{self.count}")
        self.last.write_bytes(self.log.read_bytes())
        os.truncate(self.log, 0)

    def compress(self) -> None:
        if self.last != self.log and self.last.suffix != ".gz" and self.last.exists():
            packed = self.last.with_name(self.last.name + ".gz.tmp")
            packed.write_bytes(gzip.compress(self.last.read_bytes()))
            self.last.unlink()
            self.last = packed.rename(packed.with_suffix(""))

    def crash(self) -> None:
        if self.draw.random() < 0.7:
            self.reader.offsets.save(0, self.reader.files.live)
        self.on_the_way.clear()
        self.close()
        self.reader = Reader(self.folder, str(self.log.parent))

    def delete(self) -> None:
        """Delete a file that is held; no crash comes before it is read."""
        self.scan()
        old = [path for path in self.log.parent.iterdir() if path != self.log]
        if old and all(each.opened for each in self.reader.files._tails.values() if each.unread):
            self.draw.choice(old).unlink()
            self.finish()
            self.reader.offsets.save(0, self.reader.files.live)

    def finish(self) -> None:
        for _ in range(3):
            self.scan()
            while self.read(1000):
                pass
        while self.on_the_way:
            self.settle(1000)

    def close(self) -> None:
        self.reader.files.close()
        self.reader.offsets.close()


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_in_whatever_order_every_line_is_read(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    for name, values in [("SETTLE_SECONDS", (-1.0, 1000.0)), ("MOST_OPEN", (2, 512)), ("TURN_BLOCKS", (1, 8))]:
        monkeypatch.setattr(follow, name, draw.choice(values))
    monkeypatch.setattr(tail, "BLOCK", draw.choice([100, 1000, tail.BLOCK]))
    it = Rotator(tmp_path, draw)
    happen: list[Callable[[], object]] = [
        it.write,
        it.scan,
        it.read,
        it.settle,
        it.rename,
        it.truncate,
        it.compress,
        it.crash,
        it.write_in_two,
        it.delete,
    ]
    for step in draw.choices(happen, [30, 10, 20, 10, 5, 5, 5, 5, 3, 2], k=120):
        step()
    it.finish()
    it.live.close()
    it.close()
    assert set(it.written) <= it.settled
    assert len(it.written) > 50
