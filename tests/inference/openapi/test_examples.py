import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import body, problems
from inference.body import Stalled
from inference.limiter import Limiter
from inference.openapi.document import document
from inference.openapi.examples import EXAMPLES, WORK, Example
from inference.problems import Problem
from inference.settings import Settings
from occupancy import model as model_file
from occupancy.model import UnusableModel
from tests.inference.conftest import Serve, Served, serve_model

SENT = [(operation, example) for example in EXAMPLES if example.sent is not None for operation in example.operations]
UNSENT = {example.name: example for example in EXAMPLES if example.sent is None}
PLACES = {
    item[method]["operationId"]: (method, path)
    for path, item in document(Settings())["paths"].items()
    for method in ("get", "post")
    if method in item
}


def send(served: Served, operation: str, sent: dict[str, Any]) -> tuple[int, Any]:
    method, path = PLACES[operation]
    content = sent.get("body")
    response = served.client.open(
        path,
        method=sent.get("method", method.upper()),
        query_string=sent.get("query"),
        headers=sent.get("headers"),
        data=content if isinstance(content, str | None) else json.dumps(content),
    )
    return response.status_code, json.loads(response.data)


def shape(value: Any) -> Any:
    """Leave the names and the kinds of values: a model that is trained again gives other numbers."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize(("operation", "example"), SENT, ids=lambda value: getattr(value, "name", value))
def test_an_example_is_what_the_service_answers(serve: Serve, tmp_path: Path, operation: str, example: Example) -> None:
    (tmp_path / "token").write_text("open sesame")
    served = serve(feedback_token_file=str(tmp_path / "token") if example.status == 401 else "")
    status, answer = send(served, operation, example.sent or {})
    assert status == example.status
    if status == 200:
        assert shape(answer) == shape(example.answer)
    else:
        assert answer == example.answer


def test_too_many_readings(served: Served) -> None:
    assert send(served, "predict", {"body": [WORK] * 1001}) == (413, UNSENT["too many"].answer)


def test_no_model() -> None:
    with pytest.raises(UnusableModel) as caught:
        model_file.load("model.ubj")
    served = serve_model(caught.value)
    for operation in UNSENT["no model"].operations:
        assert send(served, operation, {}) == (503, UNSENT["no model"].answer)


class Slow:
    def read(self, size: int) -> bytes:
        raise Stalled


def without_a_request() -> Iterator[tuple[str, Problem]]:
    with pytest.raises(Problem) as overloaded:
        Limiter(0, 0).__enter__()
    with pytest.raises(Problem) as slow:
        body.read({"wsgi.input": Slow()}, 1)
    yield "overloaded", overloaded.value
    yield "too slow", slow.value
    yield "failed", problems.internal_error(ValueError())


def test_the_other_problems() -> None:
    met = dict(without_a_request())
    assert {name: json.loads(problem.body()) for name, problem in met.items()} == {
        name: UNSENT[name].answer for name in met
    }
    assert met.keys() | {"too many", "no model"} == UNSENT.keys()


def test_every_example_is_shown() -> None:
    paths = document(Settings(feedback_token_file="token"))["paths"]
    for example in EXAMPLES:
        for operation in example.operations:
            method, path = PLACES[operation]
            (answer,) = paths[path][method]["responses"][str(example.status)]["content"].values()
            assert example.name in answer["examples"]
