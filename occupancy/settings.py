"""Settings: each program has ONE table, a msgspec Struct whose fields carry type, default and help.

The table is read at the entry point, from the environment and the command line, and nowhere else:

    class Settings(msgspec.Struct, frozen=True):
        seed: Annotated[int, Meta(ge=0, description="seed of everything random")] = 0

    settings = read(Settings, prog="training", argv=sys.argv[1:], environ=os.environ)   # SEED=7 or --seed 7

The flag of a bool needs no value. A field of type tuple takes what stands on the command line without a flag, and no
variable; beside one, the flag of a bool takes no value.
"""

import argparse
import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from occupancy import __version__
from occupancy.errors import InputError

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_HOST = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$")
_SERVICE_PORT = re.compile(r"_PORT$")

Table = TypeVar("Table", bound=msgspec.Struct)


class InvalidSetting(InputError):
    """A setting has a value of the wrong type or out of range, or a name that does not exist."""


class Setting(NamedTuple):
    """One row of a settings table, as the documents print it; what stands without a flag has neither variable nor flag."""

    variable: str
    flag: str
    default: str
    help: str


def rows(table: type[msgspec.Struct], prefix: str = "") -> list[Setting]:
    """List the settings of a table in its order; each field must have a default and a description.

    A field whose Meta has extra={"variable": NAME} is read from that variable, without the prefix.
    """
    hints = get_type_hints(table, include_extras=True)
    found = []
    for field in msgspec.structs.fields(table):
        meta = next(m for m in hints[field.name].__metadata__ if isinstance(m, msgspec.Meta))
        variable = (meta.extra or {}).get("variable", (prefix + field.name).upper())
        flag, named = "--" + field.name.replace("_", "-"), not isinstance(field.default, tuple)
        default = str(field.default) if named else ""
        found.append(Setting(variable if named else "", flag if named else "", default, meta.description or ""))
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report a bad command line like every other bad setting."""
        raise InvalidSetting(f"{message}; --help lists the settings")


def read(
    table: type[Table],
    *,
    prog: str,
    argv: Sequence[str],
    environ: Mapping[str, str],
    prefix: str = "",
    about: str = "",
    siblings: Callable[[], Sequence[type[msgspec.Struct]]] = tuple,
) -> Table:
    """Read a settings table from the environment, then the command line, which wins.

    With a prefix, a variable that starts with it and names no setting, of this table or of its siblings (a program's other
    commands), is an error; so is an unknown flag. What Kubernetes itself sets for a Service whose name happens to start so
    (docker links' form) is neither a setting nor an error.
    An empty variable is an empty text, not an absent one. Raises InvalidSetting, naming the variable or flag, its value
    and what was expected; --help and --version print and exit.
    """
    settings = rows(table, prefix)
    environ = {name: value for name, value in environ.items() if not _is_service_link(name, value)}
    parser = _parser(table, settings, prog, about)
    known, unknown = parser.parse_known_intermixed_args(argv)  # FILE --flag FILE
    _refuse(unknown, [s.flag for s in settings if s.flag])
    if prefix:
        names = [setting.variable for setting in settings]
        strange = [name for name in environ if name.startswith(prefix.upper()) and name not in names]
        if strange:  # to know the siblings' may take loading them
            names += [setting.variable for each in siblings() for setting in rows(each, prefix)]
        _refuse(strange, names)
    given = vars(known)
    values: dict[str, Any] = {}
    for name, setting in zip(table.__struct_fields__, settings, strict=True):
        if not setting.flag:
            values[name] = tuple(given[name])
        elif given[name] is not None:
            values[name] = _convert(table, name, given[name], setting.flag)
        elif setting.variable in environ:
            values[name] = _convert(table, name, environ[setting.variable], setting.variable)
    return table(**values)


def _parser(table: type[msgspec.Struct], settings: Sequence[Setting], prog: str, about: str) -> _Parser:
    parser = _Parser(
        prog=prog, description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    positional = any(not setting.flag for setting in settings)
    for field, setting in zip(msgspec.structs.fields(table), settings, strict=True):
        named = f" (or {setting.variable}; default: {setting.default or 'none'})" if setting.flag else ""
        what = (setting.help + named).replace("%", "%%")
        if not setting.flag:
            parser.add_argument(field.name, metavar=field.name.upper().rstrip("S"), nargs="*", help=what)
        elif positional and isinstance(field.default, bool):
            parser.add_argument(setting.flag, action="store_const", const="true", help=what)
        elif isinstance(field.default, bool):
            parser.add_argument(setting.flag, metavar="VALUE", nargs="?", const="true", help=what)
        else:
            parser.add_argument(setting.flag, metavar="VALUE", help=what)
    return parser


def _convert(table: type[msgspec.Struct], field: str, text: str, name: str) -> Any:
    hint = get_type_hints(table, include_extras=True)[field]
    try:
        value = msgspec.convert(text, hint, strict=False)
    except msgspec.ValidationError as error:
        kind = get_args(hint)[0]
        choices = ", ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else ""
        expected = f"Expected one of {choices}" if choices else str(error)
        expected = expected.removesuffix(", got `str`").replace("`", "")  # of course it was a text: all settings are
        raise InvalidSetting(f"{name}={text!r}: {expected}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidSetting(f"{name}={text!r}: Expected a finite number")
    return value


def _is_service_link(name: str, value: str) -> bool:
    return bool(_SERVICE_HOST.search(name)) or (bool(_SERVICE_PORT.search(name)) and "://" in value)


def _refuse(names: Sequence[str], known: list[str]) -> None:
    """Refuse the first name that is not known, guessing what was meant."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.partition("=")[0], known, n=1)
            raise InvalidSetting(f"{name!r} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
