import ast

from flask import Flask
from werkzeug.exceptions import Forbidden

from training.service import problems
from training.service.problems import KINDS, answer_errors


def test_what_was_not_foreseen_is_told_without_a_traceback() -> None:
    app = Flask(__name__)
    answer_errors(app)

    @app.get("/")
    def broken() -> str:
        raise ValueError("secret")

    response = app.test_client().get("/")
    assert (response.status_code, response.content_type) == (500, "application/problem+json")
    assert response.get_json()["type"] == "urn:occupancy:problem:internal-error"
    assert b"secret" not in response.data


def test_what_flask_refuses_is_told_the_same_way() -> None:
    app = Flask(__name__)
    answer_errors(app)

    @app.get("/")
    def forbidden() -> str:
        raise Forbidden

    assert app.test_client().get("/").get_json()["title"] == "forbidden"


def test_every_kind_of_problem_is_explained() -> None:
    folder = problems.__file__.rpartition("/")[0]
    used = set()
    for name in ("app", "problems"):
        with open(f"{folder}/{name}.py") as file:  # noqa: PTH123
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                kind = node.args[1]
                used |= {kind.value} if isinstance(kind, ast.Constant) else set()
    assert used | {"method-not-allowed", "request-entity-too-large"} == KINDS.keys()
