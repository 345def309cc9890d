"""Finds in the code each message that can reach a person, as a template: `…` stands where something is filled in.

What is read: what an exception is given (one of ours, wherever it is made; one of Python's, where it is raised), warnings and
errors for the log, what goes to standard error, how a run or a job ended (SAYS, WORDS, GIVES), and why rows are left out (ROWS). Texts that
get there by a local name, a helper's parameter or what a helper returns are followed.

Left out: AssertionError, which says that the code itself is wrong; and a text of fewer than two words beside what is filled in,
which only says where another comes from ("…: …"). Where that other is ours, it is a message of its own.
"""

import ast
import builtins
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from tests import makefile

HOLE = "…"
PACKAGES = ("occupancy", "training", "inference", "monitoring", "data")
SHELL = (*makefile.FILES, "training/entrypoint")
SAYS = {"Stop", "Result"}  # made with how a run of the loop, or a job of the training service, ended, and why
WORDS = {"why", "notes"}  # names of what is said about how something came
GIVES = {"against"}  # functions that give what speaks against a model
ROWS = {"_rows", "_check", "_disordered", "_impossible"}  # functions of occupancy.dataset that give reasons
TELLS = re.compile(r"(\w*log)\.(warning|error|critical|exception)|sys\.exit|sys\.stderr\.write|console\.say")
Function = ast.FunctionDef | ast.Lambda
T = TypeVar("T")


class Module:
    """A file: its tree, whose nodes know their parents, and what its names stand for as far as importing it tells."""

    def __init__(self, path: Path) -> None:
        self.path, self.tree, self.names = path, ast.parse(path.read_text("utf-8")), dict(vars(builtins))
        for node in ast.walk(self.tree):
            for child in ast.iter_child_nodes(node):
                child.parent = node  # type: ignore[attr-defined]
        with suppress(
            ImportError
        ):  # MLflow is not installed; gunicorn's settings have no name that Python could import
            self.names |= vars(importlib.import_module(".".join(path.with_suffix("").parts)))

    def value(self, node: ast.AST) -> Any:
        """Give what a dotted name stands for, or None."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        base = self.value(node.value) if isinstance(node, ast.Attribute) else None
        return getattr(base, node.attr, None) if isinstance(base, ModuleType | type) else None  # type: ignore[attr-defined]


@cache
def messages() -> dict[str, str]:
    """Give each template, with the first place that it is written at."""
    files = [path for package in PACKAGES for path in sorted(Path(package).rglob("*.py"))]
    return Reader([Module(path) for path in files]).found | shell()


def shell() -> dict[str, str]:
    """Find what scripts say before they give up, and what they write to standard error."""
    found = {}
    for path in SHELL:
        for number, line in enumerate(Path(path).read_text("utf-8").splitlines(), 1):
            if said := re.search(r'echo "([^"]+)"(?: >&2|; exit)', line):
                found[tidy(re.sub(r"\$\(\w+\)|\$\{?\w+\}?", HOLE, said[1]))] = f"{path}:{number}"
    return found


def is_message(text: str) -> bool:
    """Tell whether a template says something: two words or more beside what is filled in."""
    return len(re.findall(r"(?<![\w/.-])[A-Za-z]{2,}(?![\w-]|\.\w)", text)) >= 2


def tidy(text: str) -> str:
    """Leave out the program's name, which begins what it writes, how a text is joined to another, and double gaps and spaces."""
    text = re.sub(rf"{HOLE}{{2,}}", HOLE, " ".join(text.split()))
    return re.sub(rf"^({'|'.join(PACKAGES)})\b[\w.]*( [\w{HOLE}]+)?: ", "", text).lstrip(";:, ")


class Reader:
    """Reads modules; `found` has each template with its place."""

    def __init__(self, modules: list[Module]) -> None:
        self.found: dict[str, str] = {}
        self.following: set[int] = set()
        self.functions, self.calls = defaultdict[str, list[Any]](list), defaultdict[str, list[Any]](list)
        for module in modules:
            for node in ast.walk(module.tree):
                if isinstance(node, ast.FunctionDef):
                    self.functions[node.name].append((module, node))
                elif isinstance(node, ast.Call):
                    self.calls[_last(node.func)].append((module, node))
        for module in modules:
            for node in ast.walk(module.tree):
                for said in _said(module, node):
                    self.keep(module, said)

    def keep(self, module: Module, node: ast.expr) -> None:
        """Keep what an expression may say."""
        for text in self.read(module, node):
            self.note(module, node, text)

    def note(self, module: Module, node: ast.AST, text: str) -> None:
        """Keep a template; of one with several lines, the first that says something."""
        if text := next(filter(is_message, map(tidy, text.splitlines())), ""):
            self.found.setdefault(text, f"{module.path}:{getattr(node, 'lineno', 0)}")

    def read(self, module: Module, node: ast.expr) -> list[str]:  # noqa: C901, PLR0911 -- a case for each kind of expression
        """Give the templates that an expression may come to; what can't be told is a gap."""
        match node:
            case ast.Constant(value=str(text)):
                return [text]
            case ast.JoinedStr(values=parts):
                return [self.filled(module, parts)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return [self.filled(module, [left, right])]
            case ast.IfExp(body=one, orelse=other):
                return self.read(module, one) + self.read(module, other)
            case ast.BoolOp(values=several):
                return [text for each in several for text in self.read(module, each)]
            case ast.Name():
                return self.named(module, node)
            case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="join"), args=[joined]):
                self.keep(module, joined)
            case ast.Call():
                return self.returned(module, node)
            case ast.Subscript(value=ast.Call() as call, slice=ast.Constant(value=int(at))):
                return self.returned(module, call, at)
            case ast.List(elts=several) | ast.Tuple(elts=several):
                for each in several:
                    self.keep(module, each)
            case ast.ListComp(elt=each) | ast.GeneratorExp(elt=each):
                self.keep(module, each)
        return [HOLE]

    def filled(self, module: Module, parts: list[ast.expr]) -> str:
        """Put a text together; where it says nothing by itself, keep what may fill its gaps."""
        fillings: list[tuple[ast.expr, str]] = []
        text = "".join(self.fill(module, part, fillings) for part in parts)
        if not is_message(tidy(text)):
            for part, filling in fillings:
                self.note(module, part, filling)
        return text

    def fill(self, module: Module, part: ast.expr, fillings: list[tuple[ast.expr, str]]) -> str:
        """Give what stands in a gap where that is always the same; else a gap, and what may fill it into `fillings`."""
        if isinstance(part, ast.FormattedValue):
            name, spec = part.value, part.format_spec
            constant = module.value(name) if isinstance(name, ast.Name) and not _local(name) else None
            if isinstance(constant, int | float | str):
                form = spec.values[0].value if isinstance(spec, ast.JoinedStr) else ""  # type: ignore[attr-defined]
                return format(repr(constant) if part.conversion == ord("r") else constant, form)
            part = name
        texts = self.read(module, part)
        if len(set(texts)) == 1:
            return texts[0]
        fillings += [(part, text) for text in texts]
        return HOLE

    def named(self, module: Module, name: ast.Name) -> list[str]:
        """Follow a name: to what its function puts there, to what callers give for a parameter, or to a constant."""
        function = _local(name)
        if function is None:
            value = module.value(name)
            return [value] if isinstance(value, str) else [HOLE]
        given = list(_assigned(function, name.id))
        if given:
            return [text for value in self.once(name, given) for text in self.read(module, value)] or [HOLE]
        return self.parameter(module, function, name.id)

    def parameter(self, module: Module, function: Function, name: str) -> list[str]:
        """Give what callers give for a parameter; of an exception's constructor that is read where it is called."""
        given = []
        if isinstance(function, ast.FunctionDef) and function.name != "__init__":
            names = [each.arg for each in function.args.args if each.arg not in ("self", "cls")]
            at = names.index(name) if name in names else len(names)
            for other, call in self.calls[function.name]:
                if _is_call_of(module, function, other, call):
                    given += [(other, value) for value in call.args[at : at + 1]]
                    given += [(other, keyword.value) for keyword in call.keywords if keyword.arg == name]
        return [text for other, value in self.once(function, given) for text in self.read(other, value)] or [HOLE]

    def returned(self, module: Module, call: ast.Call, at: int | None = None) -> list[str]:
        """Give what a function of ours returns, or one element of it; of a text's own methods, what they begin with."""
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("replace", "removesuffix", "removeprefix"):
            return self.read(module, call.func.value)
        found = []
        for other, function in self.functions[_last(call.func)]:
            if _is_call_of(other, function, module, call):
                returns = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
                if at is not None:
                    returns = [each.elts[at] for each in returns if isinstance(each, ast.Tuple)]
                found += [text for value in self.once(function, returns) for text in self.read(other, value) if text]
        return found or [HOLE]

    def once(self, node: ast.AST, values: list[T]) -> Iterator[T]:
        """Give the values, unless they are being followed already."""
        if id(node) not in self.following:
            self.following.add(id(node))
            yield from values
            self.following.discard(id(node))


def _said(module: Module, node: ast.AST) -> Iterator[ast.expr]:  # noqa: C901 -- a case for each kind of node
    """Give the texts of a node that a person may come to see."""
    match node:
        case ast.Call():
            yield from _called(module, node)
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            yield from (value for each, value in zip(targets, values, strict=True) if _last(each) in WORDS)
        case ast.Assign(targets=[target], value=text) | ast.AugAssign(target=target, value=text):
            if _last(target) in WORDS:
                yield text
        case ast.FunctionDef(name=name) if name in GIVES or (
            name == "__str__" and _is_error(_class_around(module, node))
        ):
            yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)
        case ast.FunctionDef(name=name) if name in ROWS and module.path.name == "dataset.py":
            for each in ast.walk(node):
                if isinstance(each, ast.Lambda):
                    yield each.body
                elif isinstance(each, ast.Return) and each.value:
                    yield each.value
                elif isinstance(each, ast.Tuple) and isinstance(each.ctx, ast.Load) and each.elts:
                    yield each.elts[-1]


def _called(module: Module, call: ast.Call) -> Iterator[ast.expr]:
    name, value = ast.unparse(call.func), module.value(call.func)
    if _is_error(value):
        ours = value.__module__.split(".")[0] in PACKAGES
        if ours or (isinstance(_parent(call), ast.Raise) and value is not AssertionError):
            yield from call.args
    elif name == "super().__init__" and _is_error(_class_around(module, call)):
        yield from call.args
    elif TELLS.fullmatch(name):
        first = call.args[0]
        if isinstance(first, ast.Constant):  # "%s can't be read: %s"
            first = ast.copy_location(ast.Constant(re.sub(r"%[-+0-9.]*[a-z]", HOLE, str(first.value))), first)
        yield first
    elif name == "print" and any(ast.unparse(each.value) == "sys.stderr" for each in call.keywords):
        yield from call.args
    elif _last(call.func) in SAYS:
        yield from [*call.args, *(each.value for each in call.keywords)]


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def _class_around(module: Module, node: ast.AST) -> object:
    about = _around(node, ast.ClassDef)
    return module.names.get(about.name) if about else None


def _last(name: ast.expr) -> str:
    return name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


def _parent(node: ast.AST) -> ast.AST | None:
    return getattr(node, "parent", None)


def _around(node: ast.AST, kind: Any) -> Any:
    above = _parent(node)
    while above is not None and not isinstance(above, kind):
        above = _parent(above)
    return above


def _local(name: ast.Name) -> Function | None:
    """Give the innermost function around a name that assigns it, catches it or has it as a parameter."""
    function: Function | None = _around(name, Function)
    while function is not None:
        inside = list(ast.walk(function))
        stored = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        caught = {each.name for each in inside if isinstance(each, ast.ExceptHandler)}
        if name.id in stored | caught | {each.arg for each in ast.walk(function.args) if isinstance(each, ast.arg)}:
            return function
        function = _around(function, Function)
    return None


def _assigned(function: Function, name: str) -> Iterator[ast.expr]:
    """Give what a function puts into a name, or appends to it."""
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                for at, target in enumerate(targets):
                    if isinstance(target, ast.Name) and target.id == name:
                        yield value.elts[at] if isinstance(value, ast.Tuple) else ast.Subscript(value, ast.Constant(at))
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                yield value
            case ast.NamedExpr(target=ast.Name(id=target), value=value) if target == name:
                yield value
            case ast.AugAssign(target=ast.Name(id=target), value=value) if target == name:
                yield value
            case ast.For(target=ast.Name(id=target), iter=ast.Tuple(elts=values)) if target == name:
                yield from values
            case ast.Call(func=ast.Attribute(value=ast.Name(id=target), attr="append"), args=[value]) if target == name:
                yield value


def _is_call_of(home: Module, function: ast.FunctionDef, module: Module, call: ast.Call) -> bool:
    """Tell whether a call, whose last name is the function's, is one of it: by what it stands for; a method by its name."""
    if isinstance(_parent(function), ast.ClassDef):
        return home is module or not (function.name.startswith("_") or TELLS.fullmatch(ast.unparse(call.func)))
    value = module.value(call.func)
    return value is not None and value is home.names.get(function.name)
