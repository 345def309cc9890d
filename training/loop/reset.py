"""`python -m training.loop reset --why=...`: lets the loop deploy again after an undo.

An undo says that the loop was wrong once; it deploys nothing by itself until a person says here what was found. What is live
does not change.

Exit status: 0 done; 2 no reason was given.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from occupancy.errors import InputError
from training.loop import settings
from training.loop.deploy import Decided, last, say
from training.loop.journal import Deployment, Journal


class Reset(Decided, frozen=True, kw_only=True):
    """The settings of `reset`."""


class NoReason(InputError):
    """No reason was given."""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command."""
    table = settings.read(Reset, "reset", argv, environ, __doc__)
    if not table.why.strip():
        raise NoReason("say with --why what had gone wrong, and why it will not again")
    journal, at = Journal(Path(table.folder)), settings.moment(table.now)
    with journal.locked():
        live = last(journal.deployments())
        entry = journal.add(
            Deployment(at=at, action="reset", version=live, previous=live, by=table.person(environ), why=table.why)
        )
    print("reset: the loop may deploy again", file=sys.stderr)
    say(entry)
    return 0
