"""`python -m training.loop undo`: puts the model live again that was live before this one, and says so in the journal.

Which one that is says the journal; undone again, the one before that. From then on the loop deploys nothing by itself, until
`reset` says that the reason is gone. What is live is also printed as a JSON line.

Exit status: 0 it is live; 2 it is not, and why.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from training.loop import settings
from training.loop.deploy import Decided, say, undo
from training.loop.journal import Journal
from training.loop.targets import target


class Undo(Decided, frozen=True, kw_only=True):
    """The settings of `undo`."""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command."""
    table = settings.read(Undo, "undo", argv, environ, __doc__)
    journal, at = Journal(Path(table.folder)), settings.moment(table.now)
    with journal.locked():
        entry = undo(
            target(table), journal, Path(table.models), by=table.person(environ), why=table.why or "asked for", at=at
        )
    print(f"undo: {entry.version} is live again, in the place of {entry.previous}", file=sys.stderr)
    say(entry)
    return 0
