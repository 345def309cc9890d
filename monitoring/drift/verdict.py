"""Verdicts: what was found, in which room and sensor, since when, what to do, and how sure it is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from occupancy import __version__, record

HEALTH, LEVEL, LOSS = "health", "level", "loss"
PERSON, TICKET, RETRAIN = "person", "ticket", "retrain"
OPENED, CLOSED = "opened", "closed"
SERVICE = "occupancy-monitoring"


class Rule(NamedTuple):
    """One rule: its layer, what follows from it, and its words; `message` is filled with sensor, value and limit."""

    name: str
    layer: str
    consequence: str
    message: str
    advice: str
    certainty: str


RULES = {
    rule.name: rule
    for rule in (
        Rule("range", HEALTH, PERSON, "{sensor} is {value:g}, which is not possible (limit {limit:g})",
             "look at the sensor and at the unit it reports in; its readings are refused meanwhile",
             "certain: no room can be so"),
        Rule("missing", HEALTH, PERSON, "{sensor} has no value",
             "look at the sensor, its cable and its gateway; its readings are refused meanwhile",
             "certain: the readings were refused"),
        Rule("run", HEALTH, PERSON, "{sensor} has stood still for {value:.0f} minutes (longest clean run allows {limit:.0f})",
             "the sensor is probably stuck: restart or replace it, and don't train on these readings",
             "1.5 times the longest run of the clean reference days"),
        Rule("step", HEALTH, PERSON, "{sensor} moved by {value:g} within a minute (largest clean step allows {limit:g})",
             "ask whether the sensor was moved, exchanged or recalibrated just then",
             "twice the largest step of the clean reference days"),
        Rule("noise", HEALTH, PERSON, "{sensor} moves by {value:g} a minute, half an hour long (limit {limit:g})",
             "the sensor or its cable is probably failing: exchange it, and don't train on these readings",
             "twice the largest such median of the clean reference days"),
        Rule("night", HEALTH, PERSON, "{sensor} is not 0 for {value:.0f} minutes of the night (limit {limit:.0f})",
             "look whether the light is left on; else whether the clock, or the sensor, is wrong",
             "no clean reference night had any light"),
        Rule("ratio", HEALTH, PERSON, "HumidityRatio is {value:.1%} off what Temperature and Humidity give (limit {limit:.1%})",
             "one of Temperature, Humidity and HumidityRatio is wrong: compare them with a second instrument",
             "physics: the three depend on each other; five readings in a row"),
        Rule("clock", HEALTH, PERSON, "the readings' clock moved by {value:.0f} minutes against ours (limit {limit:.0f})",
             "set the gateway's clock and its time zone; what depends on the time of day is misjudged meanwhile",
             "both clocks had kept pace for half an hour"),
        Rule("stale", HEALTH, PERSON, "no reading for {value:.0f} minutes, after one a minute (limit {limit:.0f})",
             "look at the gateway, the network and the client that sends",
             "certain"),
        Rule("level", LEVEL, TICKET, "{sensor} was {value:g} or more from its season on each of {days:.0f} days in a row (largest clean day {limit:g})",
             "ask whether season, heating or use of the room changed; if it stays so, train on newer days",
             "if days are alike, chance does this once in {rarity:,.0f} times"),
        Rule("jump", LEVEL, TICKET, "{sensor} is {value:g} from its season over an hour (twice the largest clean hour allows {limit:g})",
             "compare with a second instrument, and look what happened in the room",
             "beyond twice the largest of the clean reference days"),
        Rule("loss", LOSS, RETRAIN, "{value:.0%} of the answers whose truth is known were wrong lately (accepted {limit:.0%})",
             "retrain with the recent readings; look at the open health verdicts first",
             "an e-detector: a model within what is accepted sets it off less than once in {rarity:,.0f} labelled hours"),
    )
}  # fmt: skip


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One finding that begins (opened) or is over (closed): `at` and `since` in UTC, value and limit in the rule's unit."""

    room: str
    rule: str
    layer: str
    sensor: str | None
    state: str
    at: datetime
    since: datetime
    value: float
    limit: float
    consequence: str
    message: str
    advice: str
    certainty: str

    def record(self, model_version: str) -> dict[str, Any]:
        """Give the record that it leaves; the same verdict always leaves the same one."""
        return record.verdict(SERVICE, __version__, model_version=model_version, **msgspec.structs.asdict(self))


def say(
    rule: str,
    room: str,
    sensor: str | None,
    state: str,
    *,
    at: float,
    since: float,
    value: float,
    limit: float,
    **more: float,
) -> Verdict:
    """Put a finding in words; times in seconds since 1970, `more` what the rule's words ask for besides."""
    said = RULES[rule]
    given = {"sensor": sensor, "value": value, "limit": limit, **more}
    return Verdict(
        room=room,
        rule=rule,
        layer=said.layer,
        sensor=sensor,
        state=state,
        at=_utc(at),
        since=_utc(since),
        value=value,
        limit=limit,
        consequence=said.consequence,
        message=said.message.format(**given),
        advice=said.advice,
        certainty=said.certainty.format(**given),
    )


def still_open(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Leave, of verdicts in their order, those that were opened and not closed."""
    found: dict[tuple[str, str, str | None], Verdict] = {}
    for verdict in verdicts:
        event = (verdict.room, verdict.rule, verdict.sensor)
        if verdict.state == OPENED:
            found[event] = verdict
        else:
            found.pop(event, None)
    return list(found.values())


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
