"""A program of several commands: `python -m PROGRAM COMMAND`, each command a module with a table of settings."""

import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TypeVar

import msgspec

from occupancy import settings
from occupancy.errors import InputError

BAD_INPUT, INTERRUPTED = 2, 128 + signal.SIGINT
Table = TypeVar("Table", bound=msgspec.Struct)


class Program(msgspec.Struct, frozen=True):
    """Which commands a program has; a command's module has a `main(argv, environ)` and, by its name, a table."""

    name: str
    prefix: str
    """what the program's variables begin with"""
    commands: Mapping[str, tuple[str, str]]
    """each command's module, and the name of its table there"""

    def run(self, argv: Sequence[str], environ: Mapping[str, str], about: str | None) -> int:
        """Run one command; gives the exit status. Only its own module is loaded: pandas alone takes half a second."""
        name = argv[0] if argv else "--help"
        if name in ("-h", "--help"):
            print(about)
            return 0
        if name not in self.commands:
            known = ", ".join(self.commands)
            print(f"{self.name}: {name!r} is not a command; they are {known}", file=sys.stderr)
            return BAD_INPUT
        try:
            status: int = import_module(self.commands[name][0]).main(list(argv[1:]), environ)
        except InputError as error:
            print(f"{self.name} {name}: {error}", file=sys.stderr)
            return BAD_INPUT
        except KeyboardInterrupt:
            print(f"{self.name} {name}: ended by a signal", file=sys.stderr)
            return INTERRUPTED
        return status

    def read(
        self, table: type[Table], command: str, argv: Sequence[str], environ: Mapping[str, str], about: str | None
    ) -> Table:
        """Read a command's table; a variable of another command's is no error. Raises InvalidSetting."""
        return settings.read(
            table,
            prog=f"{self.name} {command}",
            argv=argv,
            environ=environ,
            prefix=self.prefix,
            about=about or "",
            siblings=lambda: list(self.tables().values()),
        )

    def tables(self) -> dict[str, type[msgspec.Struct]]:
        """Give each command's table, by the command's name; loads all of them."""
        return {command: getattr(import_module(module), table) for command, (module, table) in self.commands.items()}
