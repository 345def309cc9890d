from datetime import UTC, datetime
from typing import Any

from monitoring.dashboards.findings import ROOMS, findings, words
from monitoring.drift.verdict import CLOSED, OPENED, Verdict, say

START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


def verdict(
    rule: str, state: str = OPENED, *, hour: int = 0, since: int = 0, room: str = "101", **more: Any
) -> Verdict:
    return say(
        rule, room, "CO2" if rule != "loss" else None, state,
        at=START + 3600 * hour, since=START + 3600 * since, value=40.0, limit=9.0, **more,
    )  # fmt: skip


def test_an_event_has_its_begin_and_its_end() -> None:
    opened, closed = verdict("run", hour=1), verdict("run", CLOSED, hour=5)
    again, other = verdict("run", hour=7, since=6), verdict("run", hour=2, room="102")

    found = findings([opened, other, closed, again])

    assert [(each.opened, each.closed) for each in found] == [(again, None), (other, None), (opened, closed)]
    assert [each.is_open for each in found] == [True, True, False]


def test_the_end_of_what_began_before_is_none() -> None:
    assert findings([verdict("run", CLOSED)]) == []


def test_what_lasts_is_first_and_the_gravest_of_it() -> None:
    ticket = verdict("jump", hour=9, since=9)
    person = verdict("run", hour=1)
    retrain = verdict("loss", hour=8, since=8, rarity=1000)
    over = [verdict("ratio", hour=9, since=9), verdict("ratio", CLOSED, hour=10, since=9)]

    found = findings([person, retrain, ticket, *over])

    assert [each.opened for each in found] == [person, retrain, ticket, over[0]]


def test_the_words_begin_with_the_gravest_and_what_to_do() -> None:
    said = words(findings([verdict("jump"), verdict("run", hour=1)]), ["room 101: 1 for a person to look at, 1 ticket"])

    assert said.startswith("In room 101, since 2026-03-01 00:00 UTC: CO2 has stood still for 40 minutes")
    assert "What to do: the sensor is probably stuck" in said
    assert said.endswith("\nroom 101: 1 for a person to look at, 1 ticket")


def test_when_all_is_well_or_nothing_there_the_words_say_so() -> None:
    assert words([], ["room 101: nothing is wrong"]) == "Nothing needs anybody now.\nroom 101: nothing is wrong"
    assert "nothing to judge" in words([], [])


def test_a_house_of_many_rooms_is_cut_short() -> None:
    said = words([], [f"room {number}: nothing is wrong" for number in range(ROOMS + 3)])
    assert said.endswith("\nand 3 rooms more")
    assert said.count("\n") == ROOMS + 1
