"""`python -m monitoring verdicts [FILE...]`: the records that `watch` left, of what is wrong now or with --all ever was.

`drift` judges anew; this only reads what was found, from files or from Elasticsearch. Each record is a line of JSON on
standard output, by time, as it was written; one that does not say what it found, where and since when is passed over, and
how many is told on standard error.

Exit status: 0 nothing is open; 1 a verdict is open; 2 a setting or a file is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

from monitoring import records, settings
from monitoring.drift.command import tell
from monitoring.drift.verdict import CLOSED, OPENED
from monitoring.records import DATASET, ID, OBSERVED
from monitoring.settings import TIME, Recorded
from occupancy import record
from occupancy.record import VERDICT

EVENT, STATE, RULE, SENSOR = (f"occupancy.verdict.{name}" for name in ("event", "state", "rule", "sensor"))


class Verdicts(Recorded, frozen=True, kw_only=True):
    """What `verdicts` can be told."""

    since: Annotated[str, Meta(description=f"verdicts given from this time on: {TIME}")] = ""
    until: Annotated[str, Meta(description=f"verdicts given before this time: {TIME}")] = ""
    all: Annotated[bool, Meta(description="print verdicts that are over, too, and the records that end them")] = False


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the records; gives the exit status."""
    table = settings.read(Verdicts, "verdicts", argv, environ, __doc__)
    stored, unread = read(table)
    records.tell_passed_over(unread, "verdicts")
    lasting = still_open(stored)
    tell(b"".join(record.line(fields) for fields in (stored if table.all else lasting)))
    return 1 if lasting else 0


def read(table: Verdicts) -> tuple[list[dict[str, Any]], int]:
    """Read the stored verdicts as they were written, each once and by time, and count what was passed over.

    Raises InputError: a file that can't be read, or an Elasticsearch that can't be reached. No verdict at all is none.
    """
    what = records.chosen(table.since, table.until, table.room)
    by_id: dict[Any, dict[str, Any]] = {}

    def kept(documents: Iterator[Any]) -> Iterator[Any]:
        for fields in documents:
            verdict = isinstance(fields, dict) and fields.get(DATASET) == VERDICT
            if verdict and records.sound([fields], VERDICT):
                by_id.setdefault(fields[ID], fields)
            if verdict or not isinstance(fields, dict):
                yield fields

    if table.file:
        found = records.frames(kept(records.lines(table.file)), what)
    else:
        from monitoring.store.client import connect, explained  # noqa: PLC0415 -- files need no client

        with connect(table) as client, explained(client):
            found = records.frames(kept(records.search(client, table.elasticsearch_prefix, VERDICT)), what)
    by_time = found.verdicts.sort_values([OBSERVED, STATE, ID], kind="stable")  # what is closed before what is opened
    return [by_id[name] for name in by_time[ID]], found.unread


def still_open(stored: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave, of records by time, those that open an event that none closes.

    Where the watch had lost its memory and found an event anew, with another begin, the later one stands for both.
    """
    over = {fields.get(EVENT) for fields in stored if fields.get(STATE) == CLOSED}
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for fields in stored:
        about = tuple(fields.get(name) for name in ("occupancy.room", RULE, SENSOR))
        found.pop(about, None)
        if fields.get(STATE) == OPENED and fields.get(EVENT) not in over:
            found[about] = fields
    return list(found.values())
