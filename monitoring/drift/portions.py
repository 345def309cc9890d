"""What is new since last time, from files or from Elasticsearch: told by each boot's gapless sequence.

A record is taken once, when it can be seen, however late it was stored.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from elasticsearch import Elasticsearch
from elasticsearch.helpers import scan

from monitoring import records
from monitoring.records import NoRecords, Records
from monitoring.store.templates import pattern
from occupancy.record import FEEDBACK, INDICES, PREDICTION, VERDICT

SETTLE_SECONDS = 10  # records of one moment are stored in one order or another
BOOTS = 10_000
NUMBERED = ("occupancy.boot", "occupancy.sequence")


class Cursor(msgspec.Struct):
    """How far each boot's records, and each file, have been judged: the last sequence, and the bytes."""

    boots: dict[str, int] = {}
    files: dict[str, int] = {}


def from_files(names: tuple[str, ...], cursor: Cursor) -> Records:
    """Read what was appended to files, or put in the place of longer ones; raises NoRecords for one that can't be read."""
    return records.frames(_new(_appended(names, cursor), cursor))


def from_elasticsearch(client: Elasticsearch, prefix: str, cursor: Cursor, since: timedelta) -> Records:
    """Read what was stored of boots that wrote at most `since` ago."""
    index = pattern(prefix, INDICES[PREDICTION], INDICES[FEEDBACK])  # losses are among predictions
    now = datetime.now(UTC)
    settled = now - timedelta(seconds=SETTLE_SECONDS)
    window = {"range": {"@timestamp": {"gte": (now - since).isoformat(), "lte": settled.isoformat()}}}
    newest = {"newest": {"max": {"field": "occupancy.sequence"}}}
    boots = {"boots": {"terms": {"field": "occupancy.boot", "size": BOOTS}, "aggs": newest}}
    answer = client.search(index=index, size=0, query=window, aggs=boots, ignore_unavailable=True)
    found = answer.get("aggregations", {}).get("boots", {}).get("buckets", [])
    behind = {
        b["key"]: cursor.boots.get(b["key"], 0) for b in found if b["newest"]["value"] > cursor.boots.get(b["key"], 0)
    }
    return records.frames(_new(_stored(client, index, window, behind), cursor))


def _stored(client: Elasticsearch, index: str, window: dict[str, Any], behind: dict[str, int]) -> Iterator[Any]:
    for boot, last in behind.items():
        later = [window, {"term": {"occupancy.boot": boot}}, {"range": {"occupancy.sequence": {"gt": last}}}]
        for hit in scan(client, index=index, query={"query": {"bool": {"filter": later}}}, size=5000):
            yield hit["_source"]


def _appended(names: tuple[str, ...], cursor: Cursor) -> Iterator[Any]:
    for name in names:
        try:
            with Path(name).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(cursor.files.get(name, 0) if cursor.files.get(name, 0) <= size else 0)
                while (line := file.readline()).endswith(b"\n"):  # a last line without its end is still being written
                    cursor.files[name] = file.tell()
                    if b'"event.dataset"' in line:
                        yield records.decoded(line)
        except FileNotFoundError:  # it is not there yet
            continue
        except OSError as error:
            raise NoRecords(f"{name}: {error.strerror}") from None


def _new(lines: Iterator[Any], cursor: Cursor) -> Iterator[Any]:
    """Pass on what no earlier portion had, and move the cursor to this portion's end; what is no record is None."""
    reached: dict[str, int] = {}
    for fields in lines:
        boot, number = (fields.get(name) for name in NUMBERED) if isinstance(fields, dict) else (None, None)
        if isinstance(fields, dict) and fields.get(records.DATASET) == VERDICT:  # has no number, and is ours
            continue
        if type(boot) is not str or type(number) is not int or number >= records.LARGEST:
            yield None
        elif number > cursor.boots.get(boot, 0):
            reached[boot] = max(number, reached.get(boot, 0))
            yield fields
    cursor.boots.update(reached)
