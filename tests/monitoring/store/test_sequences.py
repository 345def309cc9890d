from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitoring.store.sequences import Range, count, gaps, merged, parse, ranges, without

numbers = st.lists(st.integers(1, 60))


def spread(parts: list[Range]) -> list[int]:
    return [number for part in parts for number in range(part.first, part.last + 1)]


@given(numbers)
def test_ranges_hold_the_numbers_and_could_not_be_fewer(given: list[int]) -> None:
    found = ranges(given)
    assert spread(found) == sorted(set(given))
    assert count(found) == len(set(given))
    assert all(one.last + 1 < other.first for one, other in pairwise(found))


@given(numbers, st.integers(0, 70))
def test_what_is_there_and_what_lacks_make_the_whole(given: list[int], last: int) -> None:
    assert set(spread(gaps(ranges(given), last))) == set(range(1, last + 1)) - set(given)


@given(numbers, numbers)
def test_taking_out_is_the_difference_of_sets(given: list[int], others: list[int]) -> None:
    assert set(spread(without(ranges(given), ranges(others)))) == set(given) - set(others)


@given(st.lists(st.builds(lambda a, b: Range(a, a + b), st.integers(1, 50), st.integers(0, 9))))
def test_overlapping_ranges_unite(given: list[Range]) -> None:
    assert spread(merged(given)) == sorted(set(spread(given)))


@given(st.integers(1, 99), st.integers(0, 99))
def test_a_range_is_read_as_it_was_written(first: int, length: int) -> None:
    assert parse(str(Range(first, first + length))) == Range(first, first + length)


def test_a_range_of_one_is_written_as_one_number() -> None:
    assert (str(Range(7, 7)), str(Range(7, 9))) == ("7", "7-9")
