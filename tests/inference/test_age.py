from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.inference.conftest import GOOD, Serve, problem


def dated(**ago: float) -> dict[str, Any]:
    return {**GOOD, "date": (datetime.now(UTC) - timedelta(**ago)).isoformat()}


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (GOOD, None),  # without a date it is of now
        (dated(minutes=30), None),
        (dated(minutes=-30), None),
        (dated(hours=2), "too_old"),
        (dated(hours=-2), "in_the_future"),
        ({**GOOD, "date": "2015-02-04T17:51:00"}, "too_old"),
    ],
)
def test_a_date_may_be_so_far_from_now(serve: Serve, reading: dict[str, Any], reason: str | None) -> None:
    served = serve(max_age=3600)
    response = served.predict(reading)
    if reason is None:
        assert response.status_code == 200
        return
    members = problem(response, 422)
    assert (members["field"], members["reason"], members["errors"][0]["index"]) == ("date", reason, None)
    assert "at most 1:00:00 is accepted" in members["detail"]
    assert served.records[0]["occupancy.refusal.reason"] == reason


def test_it_is_off_by_default(serve: Serve) -> None:
    assert serve().predict({**GOOD, "date": "1815-02-04"}).status_code == 200


def test_places_are_kept_among_other_faults(serve: Serve) -> None:
    readings = [{**GOOD, "CO2": 1}, GOOD, dated(days=9), {"x": 1}, dated(days=8), GOOD]
    members = problem(serve(max_age=60).predict(readings), 422)
    assert [(error["index"], error["field"]) for error in members["errors"]] == [
        (0, "CO2"),
        (2, "date"),
        (3, "x"),
        (4, "date"),
    ]
    answers = serve(max_age=60).client.post("/predict?partial=true", json=readings).get_json()
    assert ["error" in answer for answer in answers] == [True, False, True, True, True, False]
