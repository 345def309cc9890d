import json
from pathlib import Path
from typing import Any

import pytest

from inference.bearer import InvalidToken, read_token
from tests.inference.conftest import GOOD, Serve, Served, problem

ID = "0123456789ab-7"
TRUTH = {"id": ID, "occupied": True}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cret é\n", "utf-8")
    return path


def tell(served: Served, body: Any, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body)
    return served.client.post("/feedback", data=data, headers=headers)


def test_the_truth_becomes_a_record(served: Served) -> None:
    id_ = served.answer(GOOD)["id"]
    response = tell(served, {"id": id_, "occupied": True})
    assert response.json == {"id": id_, "occupied": True, "authenticated": False}
    record = served.records[-1]
    assert (
        record.items()
        >= {
            "event.dataset": "occupancy.feedback",
            "http.request.id": response.headers["X-Request-Id"],
            "occupancy.sequence": 2,
            "occupancy.feedback.prediction": id_,
            "occupancy.feedback.occupied": True,
            "occupancy.feedback.authenticated": False,
        }.items()
    )
    assert 'occupancy_feedback_total{authenticated="false",occupied="true"} 1.0' in served.client.get("/metrics").text


def test_it_may_come_twice_late_and_about_another_process(served: Served) -> None:
    answers = [tell(served, TRUTH).json for _ in range(3)]
    assert answers == [{**TRUTH, "authenticated": False}] * 3
    told = [(r["occupancy.feedback.prediction"], r["occupancy.feedback.occupied"]) for r in served.records]
    assert told == [(ID, True)] * 3
    assert len({record["event.id"] for record in served.records}) == 3


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{", 400, "body"),
        (b"\xff", 400, "body"),
        (b"[" * 4000, 422, "body"),
        ([], 422, "body"),
        ({}, 422, "id"),
        ({"id": ID}, 422, "occupied"),
        ({"id": ID, "occupied": 1}, 422, "occupied"),
        ({"id": ID, "occupied": "true"}, 422, "occupied"),
        ({"id": 7, "occupied": True}, 422, "id"),
        ({"id": "", "occupied": True}, 422, "id"),
        ({"id": ID + "\n", "occupied": True}, 422, "id"),
        ({"id": "0123456789ab-0", "occupied": True}, 422, "id"),
        ({**TRUTH, "room": "B 12"}, 422, "room"),
    ],
)
def test_what_is_wrong_with_it_is_named(served: Served, body: Any, status: int, field: str) -> None:
    members = problem(tell(served, body), status)
    assert (members["title"], members["field"]) == ("invalid feedback", field)
    assert served.records == []


def test_too_much(served: Served) -> None:
    assert "4096 bytes" in problem(tell(served, b" " * 5000), 413)["detail"]


def test_with_a_token_it_is_required_and_proves_the_sender(serve: Serve, token: Path) -> None:
    served = serve(feedback_token_file=str(token))
    for header in ("", "s3cret é", "Bearer", "Bearer s3cret", "Basic s3cret é", "Bearer s3cret éé", "bearer  "):
        response = tell(served, TRUTH, Authorization=header.encode().decode("latin-1"))
        assert "Authorization: Bearer TOKEN" in problem(response, 401)["detail"]
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert served.records == []
    right = "Bearer s3cret é".encode().decode("latin-1")  # HTTP carries bytes
    assert tell(served, TRUTH, Authorization=right).json["authenticated"] is True
    assert served.records[0]["occupancy.feedback.authenticated"] is True
    assert served.answer(GOOD)["label"] == 0  # predictions need none


def test_the_token_can_be_changed_while_it_serves(serve: Serve, token: Path) -> None:
    served = serve(feedback_token_file=str(token))
    token.write_text("another", "utf-8")
    assert tell(served, TRUTH, Authorization="Bearer another").status_code == 200


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), ("", "is empty"), ("\n", "is empty")])
def test_a_file_without_a_token_is_named(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InvalidToken, match=says) as caught:
        read_token(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("one_in", "low", "high"), [(0, 0, 0), (1, 2000, 2000), (4, 350, 650)])
def test_one_prediction_in_so_many_asks_for_its_label(serve: Serve, one_in: int, low: int, high: int) -> None:
    served = serve(label_one_in=one_in, max_readings=2000)
    answers = served.answer([GOOD] * 2000)
    wanted = [answer.get("label_wanted", False) for answer in answers]
    assert low <= sum(wanted) <= high  # seven standard deviations: it is drawn at random
    assert [record.get("occupancy.label_wanted", False) for record in served.records] == wanted


def test_a_page_of_another_site_can_not_send_the_token_nor_read_an_answer(serve: Serve, token: Path) -> None:
    client = serve(feedback_token_file=str(token)).client
    site = {"Origin": "https://elsewhere.example", "Access-Control-Request-Headers": "authorization"}
    asked = client.options("/feedback", headers={**site, "Access-Control-Request-Method": "POST"})
    answered = client.get("/model", headers=site)
    assert (asked.status_code, answered.status_code) == (405, 200)
    for response in (asked, answered):
        assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]
