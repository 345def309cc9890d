"""What reaches an image: the files that its Dockerfile copies, and the modules that its programs import."""

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("occupancy", "training", "inference", "monitoring")
# What each image runs: modules that its entry point names, or that are named to it, and what these start by name.
PROGRAMS = {
    "inference": ("inference.__main__", "inference.server.wsgi", "inference/server/gunicorn.conf.py"),
    "training": ("training.__main__",),
    "monitoring": ("monitoring.__main__",),
    "retraining": ("training.service.__main__", "training.loop.__main__", "training.__main__", "monitoring.__main__"),
}
IMAGES = tuple(PROGRAMS)


def dockerfile(image: str) -> Path:
    """Find it where `make images` does."""
    beside = ROOT / f"Dockerfile.{image}"
    return beside if beside.exists() else ROOT / image / "Dockerfile"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Give the instructions of a Dockerfile with their arguments, continued lines as one."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            name, _, arguments = line.strip().partition(" ")
            yield name.upper(), arguments.strip()


def sources(text: str) -> list[str]:
    """List what a Dockerfile takes from its context."""
    found: list[str] = []
    for name, arguments in instructions(text):
        if name in ("COPY", "ADD") and "--from=" not in arguments:
            assert not arguments.startswith("["), arguments
            found += [word for word in arguments.split() if not word.startswith("--")][:-1]
    return found


def is_sent(path: str, rules: list[str]) -> bool:
    """Tell whether a file goes to the builder: of the lines of .dockerignore that match it, the last one decides."""
    sent = True
    for rule in rules:
        if re.fullmatch(as_regex(rule.lstrip("!")) + "(/.*)?", path):
            sent = rule.startswith("!")
    return sent


def as_regex(pattern: str) -> str:
    """Turn a pattern, of a path filter or of .dockerignore, into a regular expression: * within a folder, ** through all."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "".join(
        {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part) for part in parts
    )


def copied(image: str) -> set[str]:
    """Name the files that reach an image by its Dockerfile."""
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line.strip().rstrip("/") for line in ignored if line.strip() and not line.startswith("#")]
    found = set()
    for source in sources(dockerfile(image).read_text("utf-8")):
        for start in ROOT.glob(source.rstrip("/")):
            files = start.rglob("*") if start.is_dir() else [start]
            found |= {each.relative_to(ROOT).as_posix() for each in files if each.is_file()}
    return {path for path in found if is_sent(path, rules)}


def modules() -> dict[str, str]:
    """Give each module of ours, a package by its own name, and its file."""
    files = [file.relative_to(ROOT).as_posix() for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in files}


def named(tree: ast.AST) -> Iterator[str]:
    """Name what a module imports, in functions too, and what it has imported or run by a name in a string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.List | ast.Tuple):
            texts = [each.value if isinstance(each, ast.Constant) else None for each in node.elts]
            follow = [text for before, text in itertools.pairwise(texts) if before == "-m"]
            yield from (f"{text}{end}" for text in follow if isinstance(text, str) for end in ("", ".__main__"))
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            if re.fullmatch(r"(\w+\.)+", start := str(node.values[0].value)):  # f"training.trackers.{name}"
                yield start + "*"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            yield node.value


def imported(image: str) -> set[str]:
    """Follow the imports from the programs of an image; gives files."""
    known = modules()
    reached = [file if file.endswith(".py") else known[file] for file in PROGRAMS[image]]
    for file in reached:
        for name in named(ast.parse((ROOT / file).read_text("utf-8"))):
            several = [module for module in known if name.endswith(".*") and module.startswith(name[:-1])]
            for module in several or [name]:
                parents = [module.rsplit(".", n)[0] for n in range(module.count(".") + 1)]
                reached += [known[each] for each in parents if each in known and known[each] not in reached]
    return set(reached)


def matches(path: str, patterns: list[str]) -> bool:
    """Tell whether a path filter lets a changed file through: the last pattern that matches decides."""
    through = False
    for pattern in patterns:
        if re.fullmatch(as_regex(pattern.lstrip("!")), path):
            through = not pattern.startswith("!")
    return through


def entry_point(image: str) -> list[str]:
    """Give the last ENTRYPOINT with the last CMD."""
    found = {
        name: json.loads(arguments)
        for name, arguments in instructions(dockerfile(image).read_text("utf-8"))
        if name in ("ENTRYPOINT", "CMD")
    }
    return [*found["ENTRYPOINT"], *found.get("CMD", [])]
