"""What a client can ask for in the query of POST /predict."""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from inference.problems import Problem

OPTIONS = {"explain": "say why", "partial": "answer the good readings of several even if others are refused"}
_VALUES = {"true": True, "1": True, "false": False, "0": False}


class Options(NamedTuple):
    """What was asked for: see OPTIONS."""

    explain: bool = False
    partial: bool = False


NONE = Options()


def read(environ: dict[str, Any]) -> Options:
    """Read the query; raises Problem 400 that names what is wrong in it."""
    query = environ.get("QUERY_STRING")
    if not query:
        return NONE
    given = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in Options._fields:
            raise _invalid(name, f"there is no option {name[:64]!a}; there are {' and '.join(Options._fields)}")
        if name in given:
            raise _invalid(name, f"{name} is given twice")
        if value not in _VALUES:
            raise _invalid(name, f"{name} is {value[:64]!a}: expected true or false")
        given[name] = _VALUES[value]
    return Options(**given)


def _invalid(name: str, detail: str) -> Problem:
    return Problem(400, "invalid-option", detail, field=ascii(name[:64])[1:-1], reason="invalid")
