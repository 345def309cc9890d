import gzip
import itertools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from monitoring.store.lines import LONGEST, Line
from monitoring.store.offsets import Position
from monitoring.store.tail import Damaged, Tail
from tests.monitoring.store.faults import cri, lines

SERIALS = itertools.count(1)


def tail(path: Path, positions: Mapping[int, Position] | None = None) -> Tail:
    known = Tail(str(path), path.stat(), lambda: next(SERIALS))
    known.begin(positions or {})
    return known


def rest(known: Tail) -> list[Line]:
    found = []
    while known.unread:
        found += known.read()
    return found


def texts(found: list[Line]) -> list[bytes]:
    return [line.text + b"\n" for line in found]


def left(known: Tail) -> dict[int, Position]:
    return {known.serial: known.position()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def test_lines_are_read_as_they_are_written_and_a_partial_one_waits(path: Path) -> None:
    written = lines(3)
    path.write_bytes(written[0] + written[1][:10])
    known = tail(path)
    assert texts(rest(known)) == written[:1]
    assert known.position().offset == len(written[0])
    with path.open("ab") as file:
        file.write(written[1][10:] + written[2])
    found = rest(known)
    assert texts(found) == written[1:]
    assert [(line.number, line.offset, line.end) for line in found] == [
        (2, len(written[0]), len(written[0] + written[1])),
        (3, len(written[0] + written[1]), len(b"".join(written))),
    ]
    known.close()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_new_start_goes_on_where_the_last_one_ended(path: Path, pack: Callable[[bytes], bytes]) -> None:
    written = lines(2000)  # more than a block
    content = b"".join(written)
    path.write_bytes(pack(content))
    known = tail(path)
    first = known.read()
    second = tail(path, left(known))
    assert texts(first + rest(second)) == written
    assert second.serial == known.serial
    third = tail(path, left(second))
    assert rest(third) == []
    assert third.position().line == 2000
    for each in (known, second, third):
        each.close()


def test_what_was_read_is_known_again_renamed_copied_and_compressed(tmp_path: Path, path: Path) -> None:
    written = lines(300)
    path.write_bytes(b"".join(written[:200]))
    known = tail(path)
    rest(known)
    positions = left(known)
    copy, packed, moved = tmp_path / "copy", tmp_path / "packed.gz", tmp_path / "records.jsonl.1"
    copy.write_bytes(b"".join(written))
    packed.write_bytes(gzip.compress(b"".join(written)))
    path.rename(moved)
    for other in (copy, packed):
        again = tail(other, positions)
        assert texts(rest(again)) == written[200:]
        assert again.serial != known.serial
        again.close()
    again = tail(moved, positions)
    assert rest(again) == []
    assert (again.serial, again.moved) == (known.serial, True)
    again.close()
    known.close()


def test_what_only_begins_alike_is_read_from_its_start(tmp_path: Path, path: Path) -> None:
    written = lines(300)
    path.write_bytes(b"".join(written[:200]))
    known = tail(path)
    rest(known)
    other = tmp_path / "other"
    other.write_bytes(b"".join(written[:100] + written[200:]))
    again = tail(other, left(known))
    assert texts(rest(again)) == written[:100] + written[200:]
    shorter = tmp_path / "shorter"
    shorter.write_bytes(b"".join(written[:50]))
    early = tail(shorter, left(known))
    assert texts(rest(early)) == written[:50]
    for each in (known, again, early):
        each.close()


def test_another_file_of_the_same_name_and_inode_is_another_file(path: Path) -> None:
    path.write_bytes(b"".join(lines(10)))
    known = tail(path)
    rest(known)
    written = lines(10)  # of another boot, as long
    path.write_bytes(b"".join(written))
    again = tail(path, left(known))
    assert texts(rest(again)) == written
    assert again.inode == known.inode
    again.close()
    known.close()


@pytest.mark.parametrize("count", [0, 5, 10, 20])
def test_a_truncated_file_is_read_from_its_start(path: Path, count: int) -> None:
    path.write_bytes(b"".join(lines(10)))
    known = tail(path)
    rest(known)
    serial, position = known.serial, known.position()
    os.truncate(path, 0)
    if count < 10:
        rest(known)  # it is seen empty; else only after it has grown again
    written = lines(count)
    with path.open("ab") as file:
        file.write(b"".join(written))
    known.seen(str(path), path.stat())  # it may be as long as before
    assert texts(rest(known)) == written
    assert known.serial != serial
    assert position.offset > 0
    known.close()


def test_a_file_that_was_closed_goes_on_and_one_that_was_deleted_is_read_to_its_end(path: Path) -> None:
    written = lines(30)
    path.write_bytes(b"".join(written[:10]) + written[10][:5])
    known = tail(path)
    found = rest(known)
    known.close()
    assert not known.unread
    with path.open("ab") as file:
        file.write(written[10][5:] + b"".join(written[11:]))
    known.seen(str(path), path.stat())
    known.begin({})
    path.unlink()
    assert known.deleted
    assert texts(found + rest(known)) == written
    known.close()


def test_a_name_that_is_another_files_by_now_is_not_opened(path: Path) -> None:
    path.write_bytes(lines(1)[0])
    known = Tail(str(path), path.stat(), lambda: 1)
    keep = path.rename(path.with_suffix(".1"))
    path.write_bytes(lines(1)[0])
    with pytest.raises(FileNotFoundError):
        known.open()
    assert keep.exists()


def test_a_line_of_many_megabytes_is_not_held(path: Path) -> None:
    before, after = lines(2)
    path.write_bytes(before + b"x" * 10_000_000 + b"\n" + after)
    known = tail(path)
    found = []
    while known.unread:
        found += known.read()
        assert len(known._rest) <= LONGEST
        if len(found) == 1:
            assert known.position().offset == len(before)
    assert [len(line.text) for line in found] == [len(before) - 1, LONGEST, len(after) - 1]
    assert [line.end - line.offset for line in found] == [len(before), 10_000_001, len(after)]
    again = tail(path, left(known))
    assert rest(again) == []
    assert again.position().offset == path.stat().st_size
    known.close()
    again.close()


def test_a_last_line_without_its_end_is_given_once(path: Path) -> None:
    written = lines(2)
    path.write_bytes(written[0] + written[1][:20])
    known = tail(path)
    rest(known)
    (cut,) = known.finish()
    assert (cut.text, cut.whole, cut.number) == (written[1][:20], False, 2)
    assert known.finish() == []
    again = tail(path, left(known))
    assert rest(again) == []
    assert again.finish() == []
    with path.open("ab") as file:  # it was written on after all
        file.write(written[1][20:])
    assert texts(rest(again)) == written[1:]
    assert again.position().cut == 0
    known.close()
    again.close()


def test_the_offset_stays_before_a_line_whose_parts_are_not_all_there(path: Path) -> None:
    whole, parted = lines(2)
    path.write_bytes(cri(whole) + cri(parted[:50] + b"\n", tag="P"))
    known = tail(path)
    assert texts(rest(known)) == [whole]
    assert known.position().offset == len(cri(whole))
    with path.open("ab") as file:
        file.write(cri(parted[50:]))
    again = tail(path, left(known))
    assert texts(rest(again)) == [parted] == texts(rest(known))
    known.close()
    again.close()


def test_a_compressed_file_that_is_still_written_is_damaged_until_it_is_whole(path: Path) -> None:
    written = lines(3000)
    packed = gzip.compress(b"".join(written))
    path.write_bytes(packed[: len(packed) // 2])
    known = tail(path)
    found: list[Line] = []
    with pytest.raises(Damaged):
        found.extend(line for _ in range(1000) for line in known.read())
    known.spoil()
    assert known.unread == 0
    path.write_bytes(packed)
    known.seen(str(path), path.stat())
    assert known.unread
    known.begin({})
    assert texts(found + rest(known)) == written
    assert known.ended
    known.close()
