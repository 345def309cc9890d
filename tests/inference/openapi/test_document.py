import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import predict
from inference.openapi.document import document
from inference.options import OPTIONS, Options
from inference.settings import Settings
from tests.inference.conftest import ROOT, Served, environment, running

SCHEMATHESIS = ROOT / ".venv-schemathesis"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
needs_schemathesis = pytest.mark.skipif(
    not (SCHEMATHESIS / "ready").exists(), reason="no Schemathesis here; `make schemathesis` installs it apart"
)


@pytest.fixture(params=["", "token"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """With feedback that is open, and with feedback that needs a token."""
    return Settings(max_readings=7, max_bytes=4321, feedback_token_file=request.param)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method in METHODS & item.keys():
            yield path, method, item[method]


def values(tree: Any, name: str) -> Iterator[Any]:
    """Find what stands under a name, wherever that is."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from values(value, name)


def test_it_is_served(served: Served) -> None:
    response = served.client.get("/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.json == json.loads(json.dumps(document(Settings())))


def test_it_lists_every_route_and_no_other(served: Served) -> None:
    routes = {(predict.PATH, "post")}
    for rule in served.client.application.url_map.iter_rules():
        routes |= {(rule.rule, method.lower()) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert {(path, method) for path, method, _ in operations(document(Settings()))} == routes


def test_it_lists_every_option() -> None:
    assert (*OPTIONS,) == Options._fields


def test_it_shows_the_limits_that_are_set(settings: Settings) -> None:
    body = document(settings)["paths"]["/predict"]["post"]["requestBody"]
    assert list(values(body, "maxItems")) == [7]
    assert body["x-max-bytes"] == 4321
    assert body["description"] == "at most 4321 bytes, 7 readings"


def test_only_feedback_needs_a_token_and_only_where_one_is_set(settings: Settings) -> None:
    described = document(settings)
    guarded = {"/feedback"} if settings.feedback_token_file else set()
    for path, _, operation in operations(described):
        assert ("401" in operation["responses"]) == (path in guarded)
        assert bool(operation.get("security")) == (path in guarded)
    assert bool(described["components"]["securitySchemes"]) == bool(guarded)


def test_every_reference_leads_somewhere(settings: Settings) -> None:
    described = document(settings)
    references = set(values(described, "$ref"))
    for reference in references:
        _, kind, name = reference.removeprefix("#/").split("/")
        assert name in described["components"][kind]
    used = set(re.findall(r"schemas/([\w-]+)", " ".join(references)))
    unused = {"not-found"} if settings.feedback_token_file else {"not-found", "unauthorized"}
    assert described["components"]["schemas"].keys() - used == unused


def test_patterns_mean_the_same_in_javascript(settings: Settings) -> None:
    for pattern in values(document(settings), "pattern"):
        assert not re.search(r"\\[AZz]|\(\?[<P#aiLmsux]", pattern), f"ECMA-262 has no such thing: {pattern}"


@pytest.mark.schemathesis
@needs_schemathesis
def test_it_is_valid(settings: Settings) -> None:
    check = (
        "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin), cls=v.OpenAPIV31SpecValidator)"
    )
    python = SCHEMATHESIS / "bin" / "python"
    done = subprocess.run(
        [python, "-c", check], input=json.dumps(document(settings)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.schemathesis
@needs_schemathesis
@pytest.mark.parametrize("token", ["", "open sesame"])
def test_the_service_does_what_it_says(tmp_path: Path, token: str) -> None:
    variables = {"OCCUPANCY_MAX_READINGS": "20", "OCCUPANCY_LABEL_ONE_IN": "2"}
    headers: list[str] = []
    if token:
        (tmp_path / "token").write_text(token)
        variables["OCCUPANCY_FEEDBACK_TOKEN_FILE"] = str(tmp_path / "token")
        headers = ["--header", f"Authorization: Bearer {token}"]
    st: list[str | Path] = [
        SCHEMATHESIS / "bin" / "st",
        "--config-file",
        Path(__file__).with_name("schemathesis.toml"),
        "--no-color",
    ]
    with running(tmp_path, **variables) as service:
        done = subprocess.run(
            [*st, "run", f"http://127.0.0.1:{service.port}/openapi.json", *headers],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT), NO_PROXY="127.0.0.1"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅  {phase}" in done.stdout
    assert "API Links:    1 covered" in done.stdout
