"""`python -m monitoring find ID [FILE...]`: the record of that id, and what was told about it, as lines of JSON.

From files where some are named, bare or as a container runtime wraps them, else from Elasticsearch.

Exit status: 0 found; 1 there is none; 2 a setting or a file is wrong.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from monitoring import settings
from monitoring.settings import Elasticsearch
from monitoring.store.lines import Assembler, Line, NotARecord, document
from occupancy.errors import InputError
from occupancy.record import ID, INDICES, line

TOLD = "occupancy.feedback.prediction"


class Find(Elasticsearch, frozen=True, kw_only=True):
    """What `find` can be told."""

    id: Annotated[
        tuple[str, ...],
        Meta(description="the record's id, then files of records (.jsonl, .jsonl.gz); none: Elasticsearch"),
    ] = ()


class NoId(InputError):
    """No id was named."""


class UnreadableFile(InputError):
    """A file of records is missing, or can't be read."""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Print what is found; gives the exit status."""
    table = settings.read(Find, "find", argv, environ, __doc__)
    if not table.id or not ID.fullmatch(table.id[0]):
        raise NoId("name a record by its id, such as 0123456789ab-7: the `id` of an answer")
    name, *files = table.id
    found = list(in_files(name, files) if files else stored(name, table))
    sys.stdout.buffer.write(b"".join(map(line, found)))
    return 0 if any(fields["event.id"] == name for fields in found) else 1


def in_files(name: str, files: list[str]) -> Iterator[dict[str, Any]]:
    """Look through files; raises UnreadableFile."""
    for file in files:
        parts = Assembler()
        try:
            with gzip.open(file) if file.endswith(".gz") else Path(file).open("rb") as opened:
                for number, text in enumerate(opened, 1):
                    whole = parts.feed(Line(0, len(text), number, text.removesuffix(b"\n")))
                    if whole is not None and name.encode() in whole.text:
                        yield from _of(name, whole)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(f"{file} can't be read: {getattr(error, 'strerror', None) or error}") from None


def _of(name: str, whole: Line) -> Iterator[dict[str, Any]]:
    try:
        document(whole, "")
    except NotARecord:
        return
    fields: dict[str, Any] = msgspec.json.decode(whole.text)
    if name in (fields["event.id"], fields.get(TOLD)):
        yield fields


def stored(name: str, table: Elasticsearch) -> Iterator[dict[str, Any]]:
    """Ask Elasticsearch; raises what its client's explanation says."""
    from monitoring.store.client import connect, explained  # noqa: PLC0415 -- files need no client
    from monitoring.store.templates import pattern  # noqa: PLC0415

    index = pattern(table.elasticsearch_prefix, *dict.fromkeys(INDICES.values()))
    either = {"bool": {"should": [{"term": {"event.id": name}}, {"term": {TOLD: name}}], "minimum_should_match": 1}}
    with connect(table) as client, explained(client):
        answer = client.search(index=index, query=either, size=100, ignore_unavailable=True)
        yield from (hit["_source"] for hit in answer["hits"]["hits"])
