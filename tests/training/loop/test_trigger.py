from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from monitoring.drift.verdict import CLOSED, OPENED, RULES, say
from training.loop.trigger import Asked, Stop, asked

SINCE = datetime(2015, 2, 2, 10, tzinfo=UTC)
EARLIEST = datetime(2015, 2, 1, tzinfo=UTC)


def verdict(rule: str, room: str = "a", hours: float = 0.0, state: str = OPENED) -> str:
    """Write a verdict as the watch does."""
    at = SINCE.timestamp() + 3600 * hours
    sensor = None if rule in ("loss", "stale", "clock") else "Light"
    said = say(rule, room, sensor, state, at=at + 3600, since=at, value=0.3, limit=0.1, days=3, rarity=5000)
    return msgspec.json.encode(said.record("0" * 12)).decode()


def test_only_a_verdict_on_the_answers_sets_a_run_off() -> None:
    for rule in RULES.keys() - {"loss"}:
        found = asked("verdict", [verdict(rule)], [verdict(rule)], by="", earliest=EARLIEST)
        assert found == Stop("idle", "no open verdict asks for retraining (1 open)"), rule
    found = asked(
        "verdict",
        [verdict("loss", "b", 5), verdict("loss", "a", 1)],
        [verdict("loss", "b", 5), verdict("loss", "a", 1)],
        by="",
        earliest=EARLIEST,
    )
    assert isinstance(found, Asked)
    assert found.since == datetime(2015, 2, 2, 11, tzinfo=UTC)
    assert found.why.startswith("room a: 30% of the answers whose truth is known were wrong lately")
    assert len(found.event) == 12


@pytest.mark.parametrize("rule", sorted(rule.name for rule in RULES.values() if rule.layer == "health"))
def test_a_sick_sensor_stops_it_and_one_of_another_room_does_not(rule: str) -> None:
    found = asked(
        "verdict", [verdict(rule), verdict("loss")], [verdict(rule), verdict("loss")], by="", earliest=EARLIEST
    )
    assert isinstance(found, Stop)
    assert found.outcome == "blocked"
    assert "room a: " in found.why
    assert "mend the sensor first" in found.why
    assert isinstance(
        asked(
            "verdict",
            [verdict(rule, "b"), verdict("loss")],
            [verdict(rule, "b"), verdict("loss")],
            by="",
            earliest=EARLIEST,
        ),
        Asked,
    )


def test_a_change_that_does_no_harm_sets_nothing_off() -> None:
    """Tickets (level, jump) tell a person; whatever they say, the answers are right."""
    tickets = [verdict(rule.name) for rule in RULES.values() if rule.consequence == "ticket"]
    assert tickets
    assert asked("verdict", tickets, tickets, by="", earliest=EARLIEST) == Stop(
        "idle", f"no open verdict asks for retraining ({len(tickets)} open)"
    )


def test_a_clock_and_a_person_need_no_verdict() -> None:
    assert asked("schedule", [], [], by="schedule", earliest=EARLIEST) == Asked("asked for by schedule", EARLIEST)
    assert asked("person", [], [], by="Ada", earliest=EARLIEST) == Asked("asked for by Ada", EARLIEST)


def test_a_drift_that_was_over_for_a_weekend_began_before_it() -> None:
    ever = [verdict("loss"), verdict("loss", state=CLOSED), verdict("loss", hours=60), verdict("loss", "b", -20)]
    found = asked("verdict", ever[2:3], ever, by="", earliest=EARLIEST)
    assert isinstance(found, Asked)
    assert found.since == SINCE
    later = asked("verdict", ever[2:3], ever, by="", earliest=SINCE + timedelta(hours=1))
    assert isinstance(later, Asked)
    assert later.since == SINCE + timedelta(hours=60)
    assert asked("verdict", [], ever, by="", earliest=EARLIEST) == Stop(
        "idle", "no open verdict asks for retraining (0 open)"
    )
