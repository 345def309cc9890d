import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import helpers

from monitoring.dashboards import kibana
from monitoring.dashboards.engine import Stored
from occupancy import record, reference
from occupancy.record import Boot, Request
from occupancy.reference import Reference
from tests.monitoring.conftest import Store

SINCE, UNTIL = datetime(2026, 3, 28, 18, tzinfo=UTC), datetime(2026, 3, 29, 9, tzinfo=UTC)  # the clocks go forward
"""The time that `everything` is of."""


def verdicts() -> list[dict[str, Any]]:
    lines = []
    for hour, (layer, rule, sensor) in enumerate(
        [("health", "stuck", "Temperature"), ("level", "residual", "CO2"), ("loss", "brier", None)]
    ):
        for state in ("opened", "closed")[: 1 + hour % 2]:
            since = SINCE + timedelta(hours=2 * hour + 1)
            at = since + timedelta(hours=1 if state == "opened" else 5)
            found = record.verdict(
                "occupancy-monitoring", "0.1.0", at=at, room="A", model_version="0123456789ab", state=state, layer=layer,
                rule=rule, sensor=sensor, value=2.0, limit=1.0, since=since, consequence="person", message="it stands still",
                advice="look at it", certainty="sure",
            )  # fmt: skip
            lines.append(found)
    return lines


@pytest.fixture(scope="session")
def everything() -> list[dict[str, Any]]:
    """Decoded records of all kinds, with all that can happen: seeded."""
    draw = random.Random(5)
    boots = [
        Boot("occupancy-inference", "0.1.0", version, simulated=False) for version in ("0123456789ab", "ba9876543210")
    ]
    lines: list[dict[str, Any]] = []

    def request() -> Request:
        return Request("q", "", "", time.monotonic_ns() - draw.randrange(10**5, 10**9))

    def write(fields: dict[str, Any], at: datetime) -> None:
        lines.append(fields | {"@timestamp": at})

    for minute in range(15 * 60):
        if 300 <= minute < 390:  # nothing comes for a while
            continue
        when = SINCE + timedelta(minutes=minute, seconds=draw.random() * 60)
        boot, answered = boots[minute // 500], when + timedelta(seconds=draw.random() * 9, milliseconds=0.7)
        value = (20 + draw.random(), 30 + draw.random(), draw.choice([0.0, 400.0]), 500.0 + minute, 0.0045)
        room = draw.choice(["A", "B"])
        if minute % 11 == 0:
            given = {"Temperature": 71.6} if minute % 2 else {"Humidity": 101.0, "CO2": 400.0}
            field, reason = (
                ("Temperature", "out_of_range") if minute % 2 else ("Humidity", draw.choice(["null", "out_of_range"]))
            )
            write(
                record.refusal(
                    boot, request(), reason=reason, detail="no", field=field, room=room, reading_time=when, given=given
                ),
                answered,
            )
            continue
        probability = draw.betavariate(0.3, 0.3)
        said = record.prediction(
            boot, request(), room=room, reading_id=None, reading_time=when, values=value, probability=probability,
            label=int(probability >= 0.5), answer="uncertain" if 0.3 <= probability <= 0.7 else "occupied" if probability > 0.5 else "empty",
            flags=draw.choice([[], [], ["beyond_training:CO2"], ["beyond_training:CO2", "contradiction:HumidityRatio"]]), label_wanted=minute % 50 == 0,
        )  # fmt: skip
        write(said, answered)
        if minute % 5 == 0:
            for _ in range(1 + minute % 2):
                truth = draw.random() < probability
                told = record.feedback(
                    boot, request(), prediction=said["event.id"], occupied=truth, authenticated=minute % 3 == 0
                )
                write(told, answered + timedelta(minutes=draw.random() * 30))
        if minute % 200 == 0:
            write(record.refusal(boot, request(), reason="overloaded", detail="no"), answered)
            write(record.loss(boot, 2), answered)
            for _ in range(2 + minute // 500):
                boot.begin(record.PREDICTION)  # lost
    lines += verdicts()
    return [json.loads(record.line(fields)) for fields in lines]


@pytest.fixture
def stored(installed: Store, everything: list[dict[str, Any]]) -> Stored:
    """The records of `everything` in a real Elasticsearch, in indices as `setup` makes them."""
    found = (
        {"_index": installed.prefix + record.index(fields), "_id": fields["event.id"], "_source": fields}
        for fields in everything
    )
    helpers.bulk(installed.client, found, refresh=True)
    return Stored(installed.client, installed.prefix)


@pytest.fixture(scope="session")
def compared() -> Reference:
    """What the shipped model learned from, in Brussels' time."""
    return reference.read("inference/model/reference.json")


@pytest.fixture(scope="session")
def objects(compared: Reference) -> list[dict[str, Any]]:
    return list(kibana.objects("test-", compared))


def of(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["type"] == kind]


def specs(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The visualizations' specifications by id."""
    return {
        each["id"]: json.loads(json.loads(each["attributes"]["visState"])["params"]["spec"])
        for each in of(objects, "visualization")
    }
