import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.training.service.conftest import TOKEN
from tests.training.service.test_main import serving
from training.service.app import OPEN, create_app
from training.service.openapi import document
from training.service.queue import Queue
from training.service.settings import Settings

ROOT = Path(__file__).parents[3]
SCHEMATHESIS = ROOT / ".venv-schemathesis"
needs_schemathesis = pytest.mark.skipif(
    not (SCHEMATHESIS / "ready").exists(), reason="no Schemathesis here; `make schemathesis` installs it apart"
)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from references(value)


def test_it_lists_every_route_and_no_other(settings: Settings, queue: Queue) -> None:
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower(), rule.endpoint)
        for rule in create_app(settings, queue).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert {(path, method, each["operationId"]) for path, method, each in operations(document(settings))} == routes


def test_all_but_health_and_itself_need_the_token(settings: Settings) -> None:
    for _, _, operation in operations(document(settings)):
        is_open = operation["operationId"] in OPEN
        assert (operation.get("security") == []) == is_open
        assert ("401" in operation["responses"]) == (not is_open)


def test_every_reference_leads_somewhere(settings: Settings) -> None:
    described = json.loads(json.dumps(document(settings)))
    named = {reference.removeprefix("#/components/schemas/") for reference in references(described)}
    assert named == described["components"]["schemas"].keys()


@pytest.mark.schemathesis
@needs_schemathesis
def test_it_is_valid(settings: Settings) -> None:
    check = (
        "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin), cls=v.OpenAPIV31SpecValidator)"
    )
    command: list[str | Path] = [SCHEMATHESIS / "bin" / "python", "-c", check]
    done = subprocess.run(command, input=json.dumps(document(settings)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.schemathesis
@needs_schemathesis
def test_the_service_does_what_it_says(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(Path(__file__).with_name("schemathesis.toml").read_bytes())
    # nothing that is asked for can be trained on, so each job ends at once
    with serving(settings, tmp_path / "log", DATA_HOME=str(tmp_path / "none")) as url:
        st: list[str | Path] = [SCHEMATHESIS / "bin" / "st", "--config-file", tmp_path / "config.toml", "--no-color"]
        done = subprocess.run(
            [*st, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"],
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("Coverage", "Fuzzing"):
        assert f"✅  {phase}" in done.stdout
