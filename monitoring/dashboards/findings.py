"""Findings: verdicts as a reader wants them, each event once with its begin and end, and the whole in plain words."""

from collections.abc import Sequence
from typing import NamedTuple

from monitoring.drift.verdict import OPENED, PERSON, RETRAIN, TICKET, Verdict

CLOCK = "%Y-%m-%d %H:%M"
ORDER = (PERSON, RETRAIN, TICKET)
ROOMS = 8


class Finding(NamedTuple):
    """One event: the verdict that opened it, and the one that closed it if it is over."""

    opened: Verdict
    closed: Verdict | None

    @property
    def is_open(self) -> bool:
        """Tell whether it lasts."""
        return self.closed is None


def findings(verdicts: Sequence[Verdict]) -> list[Finding]:
    """Pair verdicts, which are in their order: what is open first, the gravest, then what began last."""
    events: list[Finding] = []
    lasting: dict[tuple[str, str, str | None], int] = {}
    for verdict in verdicts:
        event = (verdict.room, verdict.rule, verdict.sensor)
        if verdict.state == OPENED:
            lasting[event] = len(events)
            events.append(Finding(verdict, None))
        elif event in lasting:
            at = lasting.pop(event)
            events[at] = Finding(events[at].opened, verdict)
    latest = sorted(events, key=lambda finding: finding.opened.since, reverse=True)
    return sorted(latest, key=lambda finding: (not finding.is_open, ORDER.index(finding.opened.consequence)))


def words(found: Sequence[Finding], rooms: Sequence[str]) -> str:
    """Say what is the matter: the gravest finding that lasts, what to do, and then a sentence a room."""
    lasting = [finding.opened for finding in found if finding.is_open]
    said = "Nothing needs anybody now."
    if not rooms:
        said = "There is nothing to judge: no reading lies in this time."
    elif lasting:
        first = lasting[0]
        said = f"In room {first.room}, since {first.since:{CLOCK}} UTC: {first.message}. What to do: {first.advice}."
    more = [f"and {len(rooms) - ROOMS} rooms more"] if len(rooms) > ROOMS else []
    return "\n".join([said, *rooms[:ROOMS], *more])
