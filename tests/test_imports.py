"""What may import what: the tree's one direction, held by reading the source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "occupancy": set[str](),
    "data": {"occupancy"},
    "training": {"occupancy"},
    "inference": {"occupancy"},
    "monitoring": {"occupancy"},
}
PROGRAMS = {"benchmark", "docs", "tests"}  # may import anything, and nothing imports them
OURS = MAY_IMPORT.keys() | PROGRAMS

# what serving must not load: the image does without, and a worker starts in half the time
NOT_IN_SERVING = {"elasticsearch", "jinja2", "pandas", "scipy", "sklearn", "tqdm", "vl_convert", "yaml"}

ENTRY_POINTS = (
    "*/__main__.py",
    "*/wsgi.py",
    "inference/server/gunicorn.conf.py",
    "inference/demo.py",
    "benchmark/*.py",
)

# modules without a test file of their own name, and why: the file that tests them, or a reason to have none
TESTED_ELSEWHERE = {
    "inference/__main__.py": "tests/inference/server/test_server.py",  # these three make one running server
    "inference/server/gunicorn.conf.py": "tests/inference/server/test_server.py",
    "inference/server/wsgi.py": "tests/inference/server/test_server.py",
    "inference/body.py": "tests/inference/test_app.py",  # what HTTP does to a body and to an error shows in answers
    "inference/problems.py": "tests/inference/test_app.py",
    "inference/bearer.py": "tests/inference/test_feedback.py",
    "inference/exposition.py": "tests/inference/test_metrics.py",
    "inference/options.py": "tests/inference/test_app.py",
    "inference/scenes.py": "tests/inference/test_page.py",
    "inference/model_card.py": "tests/inference/test_app.py",
    "inference/answering.py": "tests/inference/test_predict.py",  # it is what the callable does with a batch
    "training/charts.py": "tests/training/test_report.py",  # they are drawn in the page
    "training/settings.py": "tests/training/test_pipeline.py",
    "monitoring/saving.py": "tests/monitoring/dashboards/test_report.py",
    "monitoring/drift/exposition.py": "tests/monitoring/drift/test_watch.py",
    "monitoring/drift/portions.py": "tests/monitoring/drift/test_watch.py",
    "monitoring/drift/health.py": "tests/monitoring/drift/test_judge.py",  # its rules show in verdicts
    "monitoring/drift/learning.py": "tests/monitoring/drift/test_judge.py",
    "monitoring/drift/verdict.py": "tests/monitoring/drift/test_command.py",
    "monitoring/settings.py": "tests/occupancy/test_settings.py",
    "training/loop/undo.py": "tests/training/loop/test_deploy.py",
    "training/loop/reset.py": "tests/training/loop/test_deploy.py",
    "training/trackers/jsonl.py": "tests/training/test_trackers.py",
}
NOT_TESTED = {"occupancy/errors.py": "a class without code", "monitoring/drift/limits.py": "a table without code"}


class Source(NamedTuple):
    path: str
    package: str
    module: str
    tree: ast.Module


def sources(*packages: str) -> list[Source]:
    found = []
    for package in packages:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found.append(Source(path, package, module, ast.parse(file.read_text("utf-8"))))
    return found


def imports(tree: ast.AST, in_functions: bool = True) -> Iterator[str]:
    """Name each module that is imported; of `from package import name`, both package and package.name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, in_functions)


def top(module: str) -> str:
    return module.partition(".")[0]


def reads_environment(tree: ast.AST) -> bool:
    """Tell whether the environment is touched outside an `if __name__ == "__main__":`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
            continue
        named = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" and "env" in node.attr
        imported = isinstance(node, ast.ImportFrom) and node.module == "os" and "env" in ast.unparse(node)
        if named or imported or reads_environment(node):
            return True
    return False


def test_imports_go_one_way() -> None:
    for source in sources(*MAY_IMPORT):
        found = {top(module) for module in imports(source.tree)}
        assert "" not in found, f"{source.path}: imports are written in full, not relative"
        assert found & OURS <= MAY_IMPORT[source.package] | {source.package}, source.path


def test_the_loop_runs_other_programs_by_their_commands_and_imports_none_of_them() -> None:
    for source in sources("training/loop"):
        found = {module for module in imports(source.tree) if top(module) in OURS - {"occupancy"}}
        assert all(module == "training" or module.startswith("training.loop") for module in found), source.path


def serving() -> list[Source]:
    """Follow what is loaded on import from the service into the hub, and on."""
    known = {source.module: source for source in sources("inference", "occupancy")}
    reached = [module for module, source in known.items() if source.package == "inference"]
    for module in reached:
        loaded = set(imports(known[module].tree, in_functions=False))
        reached.extend(sorted(loaded & known.keys() - set(reached)))
    return [known[module] for module in reached]


def test_serving_loads_nothing_that_it_does_without() -> None:
    reached = serving()
    for source in reached:
        assert not {top(name) for name in imports(source.tree, in_functions=False)} & NOT_IN_SERVING, source.path
    assert {"inference.server.wsgi", "occupancy.model", "occupancy.reading"} <= {source.module for source in reached}
    assert "occupancy.dataset" not in {source.module for source in reached}


def test_the_image_has_of_the_hub_what_serving_loads() -> None:
    dockerfile = (ROOT / "Dockerfile.inference").read_text("utf-8")
    needed = {source.path for source in serving() if source.package == "occupancy"}
    assert set(re.findall(r"occupancy/\w+\.py", dockerfile)) == needed | {"occupancy/__init__.py"}


def test_only_entry_points_touch_the_environment() -> None:
    for source in sources(*MAY_IMPORT, "benchmark", "docs"):
        if not any(Path(source.path).match(pattern) for pattern in ENTRY_POINTS):
            assert not reads_environment(source.tree), f"{source.path}: settings are read at the entry point"


def test_every_module_has_a_test_of_its_name() -> None:  # but those that hold no more than a docstring
    lacking = set()
    for source in sources(*MAY_IMPORT):
        inside = source.module.split(".")[1:]
        if (
            inside
            and source.tree.body[1:]
            and not list((ROOT / "tests" / source.package).rglob(f"test_{inside[-1].strip('_')}.py"))
        ):
            lacking.add(source.path)
    assert lacking <= TESTED_ELSEWHERE.keys() | NOT_TESTED.keys()


def test_no_exception_outlives_its_reason() -> None:
    named = {*TESTED_ELSEWHERE, *TESTED_ELSEWHERE.values(), *NOT_TESTED}
    assert {path for path in named if not (ROOT / path).is_file()} == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import os\nos.environ['A']", True),
        ("import os\ndef f():\n    return os.getenv('A')", True),
        ("from os import environ", True),
        ("import os\nif __name__ == '__main__':\n    main(os.environ)", False),
        ("def main(environ): return environ['A']\nimport os\nos.open('a', 0)", False),
    ],
)
def test_the_environment_is_found_where_it_is_touched(text: str, found: bool) -> None:
    assert reads_environment(ast.parse(text)) is found


def test_imports_are_found_wherever_they_stand() -> None:
    tree = ast.parse(
        "import a.b\nfrom c import d\ntry:\n    import e\nexcept E:\n    from . import f\ndef g(): import h"
    )
    assert {"a.b", "c", "c.d", "e", ".", "h"} <= set(imports(tree))
    assert "h" not in set(imports(tree, in_functions=False))
