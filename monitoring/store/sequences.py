"""Sequence numbers as ranges: a million records without a gap are one; pure functions."""

from collections.abc import Iterable
from typing import NamedTuple


class Range(NamedTuple):
    """The numbers from `first` to `last`, both in it."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def parse(text: str) -> Range:
    """Read what str(Range) wrote."""
    first, _, last = text.partition("-")
    return Range(int(first), int(last or first))


def ranges(numbers: Iterable[int]) -> list[Range]:
    """Write numbers, in any order, as the fewest ranges; one that is there twice counts once."""
    return merged(Range(number, number) for number in numbers)


def merged(parts: Iterable[Range]) -> list[Range]:
    """Unite ranges that overlap or touch."""
    united: list[Range] = []
    for part in sorted(parts):
        if united and part.first <= united[-1].last + 1:
            united[-1] = Range(united[-1].first, max(united[-1].last, part.last))
        else:
            united.append(part)
    return united


def gaps(present: Iterable[Range], last: int) -> list[Range]:
    """List what lacks from 1 to `last`."""
    found, expected = [], 1
    for part in merged(present):
        if expected < part.first and expected <= last:
            found.append(Range(expected, min(part.first - 1, last)))
        expected = max(expected, part.last + 1)
    return [*found, Range(expected, last)] if expected <= last else found


def without(parts: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """Take the numbers of `others` out."""
    kept = merged(parts)
    last = kept[-1].last if kept else 0
    return gaps([*gaps(kept, last), *others], last)


def count(parts: Iterable[Range]) -> int:
    """Count the numbers in ranges that do not overlap."""
    return sum(part.last - part.first + 1 for part in parts)
