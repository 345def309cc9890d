"""`python -m monitoring forget --room R`: deletes a room's predictions, refused readings, feedback and verdicts.

Without --yes it only counts. What is deleted leaves its boot and sequence numbers in an index of their own, without the
room, so that `audit` tells forgotten records from lost ones. Files are not touched: delete them first, or `load` brings
their lines back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple

import elasticsearch
from elasticsearch.helpers import scan, streaming_bulk
from msgspec import Meta

from monitoring import settings
from monitoring.settings import Elasticsearch
from monitoring.store.client import check, connect, explained, hits
from monitoring.store.sequences import Range, merged, parse, ranges
from monitoring.store.templates import FAMILIES, FORGOTTEN, pattern
from occupancy.errors import InputError
from occupancy.record import FEEDBACK, INDICES, PREDICTION, VERDICT

BATCH = 5000
GONE = 404


class Forget(Elasticsearch, frozen=True, kw_only=True):
    """The settings of `forget`."""

    room: Annotated[str, Meta(max_length=64, description="the room whose records are deleted")] = ""
    yes: Annotated[bool, Meta(description="true: delete; else only count")] = False


class NoRoom(InputError):
    """No room was named, and nobody means all of them."""


class NotForgotten(InputError):
    """Elasticsearch did not delete a record."""


class Stored(NamedTuple):
    """Where one record is stored; boot and number are None of a verdict."""

    place: str
    id: str
    boot: str | None
    number: int | None


def forgotten(client: elasticsearch.Elasticsearch, prefix: str, boot: str) -> list[Range]:
    """List the numbers of a boot that were deleted on purpose."""
    found = scan(
        client,
        index=prefix + FORGOTTEN,
        query={"query": {"term": {"occupancy.boot": boot}}},
        size=10,
        ignore_unavailable=True,
    )
    return merged(parse(text) for hit in found for text in hit["_source"]["occupancy.forgotten"])


def counts(client: elasticsearch.Elasticsearch, prefix: str, room: str) -> Counter[str]:
    """Count a room's records by index; its feedback is counted, too, which knows the prediction only."""
    counted: Counter[str] = Counter()
    for records in _batches(client, prefix, room):
        counted.update(record.place for record in records)
    return counted


def forget(client: elasticsearch.Elasticsearch, prefix: str, room: str, now: datetime) -> Iterator[Counter[str]]:
    """Delete a room's records, a batch at a time: gives how many by index.

    What is to be deleted is noted first, and feedback goes before its prediction: after an interruption the next run finds
    all that is left.
    """
    for records in _batches(client, prefix, room):
        _note(client, prefix, records, now)
        deletions = ({"_op_type": "delete", "_index": record.place, "_id": record.id} for record in records)
        deleted: Counter[str] = Counter()
        for ok, item in streaming_bulk(client, deletions, chunk_size=BATCH, max_retries=3, raise_on_error=False):
            answer = item["delete"]
            if ok:
                deleted[answer["_index"]] += 1
            elif answer["status"] != GONE:
                raise NotForgotten(f"{answer['_index']} did not delete {answer['_id']}: {answer['error']}")
        yield deleted


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives 1 where records of the room came in meanwhile."""
    table = settings.read(Forget, "forget", argv, environ, __doc__)
    if not table.room:
        raise NoRoom("--room is missing: name the room whose records are to be deleted")
    prefix = table.elasticsearch_prefix
    with connect(table) as client:
        check(client)
        with explained(client):
            client.indices.refresh(index=pattern(prefix, *FAMILIES))
            if not table.yes:
                _print(counts(client, prefix, table.room), "would be deleted; nothing is, without --yes")
                return 0
            deleted: Counter[str] = Counter()
            for batch in forget(client, prefix, table.room, datetime.now(UTC)):
                deleted.update(batch)
            client.indices.refresh(index=f"{pattern(prefix, *FAMILIES)},{prefix}{FORGOTTEN}*")
            left = counts(client, prefix, table.room)
    _print(deleted, "deleted")
    if left:
        _print(left, "came in meanwhile; end what writes them, and run it again")
    return int(bool(left))


def _batches(client: elasticsearch.Elasticsearch, prefix: str, room: str) -> Iterator[list[Stored]]:
    """Find what is stored of a room; feedback, which has no room, with the prediction that it is about."""
    its = {"term": {"occupancy.room": room}}
    predictions = _stored(client, pattern(prefix, INDICES[PREDICTION]), its)
    while batch := list(islice(predictions, BATCH)):
        about = {"terms": {"occupancy.feedback.prediction": [record.id for record in batch]}}
        yield [*_stored(client, pattern(prefix, INDICES[FEEDBACK]), about), *batch]
    yield list(_stored(client, pattern(prefix, INDICES[VERDICT]), its))


def _stored(client: elasticsearch.Elasticsearch, index: str, query: Mapping[str, Any]) -> Iterator[Stored]:
    for hit in hits(
        client, index, query, sort="@timestamp", fields=("event.id", "occupancy.boot", "occupancy.sequence")
    ):
        fields = hit["fields"]
        (boot,), (number,) = fields.get("occupancy.boot", [None]), fields.get("occupancy.sequence", [None])
        yield Stored(hit["_index"], fields["event.id"][0], boot, number)


def _note(client: elasticsearch.Elasticsearch, prefix: str, records: list[Stored], now: datetime) -> None:
    """Leave a tombstone for each boot."""
    numbers: dict[str, list[int]] = {}
    for record in records:
        if record.boot is not None and record.number is not None:
            numbers.setdefault(record.boot, []).append(record.number)
    for boot, its in numbers.items():
        client.index(
            index=prefix + FORGOTTEN,
            document={
                "@timestamp": now,
                "occupancy.boot": boot,
                "occupancy.forgotten": [str(part) for part in ranges(its)],
            },
        )


def _print(counted: Counter[str], what: str) -> None:
    for index in sorted(counted):
        print(f"{counted[index]:>11,}  {index}")
    print(f"{counted.total():>11,}  records {what}")
