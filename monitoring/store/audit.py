"""`python -m monitoring audit [FILE...]`: proves which records are stored, and names each that is not.

The records of a boot (one start of one serving process) are numbered 1, 2, 3, ..., so a gap is a record that is missing.
What a boot wrote after its last stored record only its file can tell: of each FILE, all lines are looked for. Exit status:
0 nothing is missing, 1 something is, or is stored twice.
"""

import gzip
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Annotated

import elasticsearch
import msgspec
from elasticsearch import AuthorizationException, NotFoundError
from msgspec import Meta

from monitoring import settings
from monitoring.settings import Elasticsearch
from monitoring.store import templates
from monitoring.store.client import PAGE, check, connect, explained, hits
from monitoring.store.forget import forgotten
from monitoring.store.lines import Assembler, Line, NotARecord, document
from monitoring.store.sequences import Range, count, gaps, ranges, without
from monitoring.store.templates import FAMILIES, FORGOTTEN, Body, pattern
from occupancy.errors import InputError
from occupancy.record import FEEDBACK, INDICES, PREDICTION

NUMBERED = (INDICES[PREDICTION], INDICES[FEEDBACK])  # families whose records have a sequence number
BOOTS, SHOWN = 1000, 10


class Audit(Elasticsearch, frozen=True, kw_only=True):
    """The settings of `audit`."""

    file: Annotated[tuple[str, ...], Meta(description="files of records (.jsonl, .jsonl.gz) to look for")] = ()
    grace: Annotated[
        float, Meta(ge=0, description="seconds that a record may be on its way before it counts as missing")
    ] = 60.0
    json: Annotated[bool, Meta(description="true: as JSON")] = False


class Boot(msgspec.Struct, frozen=True, kw_only=True):
    """One boot's records; `last` = stored + missing + forgotten + expired + on_the_way.

    `last` is its highest number that is stored. `admitted` is how many it said itself that it lost; they are among the
    missing. Forgotten: deleted by `forget`. Expired: of months that retention has deleted. Doubled: stored more than once.
    """

    boot: str
    since: str
    until: str
    last: int
    stored: int
    missing: int = 0
    admitted: int = 0
    forgotten: int = 0
    expired: int = 0
    on_the_way: int = 0
    doubled: int = 0
    missing_numbers: list[str] = []
    doubled_numbers: list[str] = []


class UnreadableFile(InputError):
    """A file of records is missing, or can't be read."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """One file's lines; `lines` = stored + missing + forgotten + unreadable."""

    path: str
    lines: int
    stored: int
    missing: int
    forgotten: int
    unreadable: int
    missing_lines: list[str]


def boots(client: elasticsearch.Elasticsearch, prefix: str, now: datetime, grace: float) -> Iterator[Boot]:
    """Audit every boot that has a record stored, by its id.

    One whose numbers have the count, sum and sum of squares of 1, 2, ..., n is whole; only the others are read one by one.
    """
    index = pattern(prefix, *NUMBERED)
    with suppress(AuthorizationException):  # who may only read sees them a second later
        client.indices.refresh(index=f"{index},{prefix}{FORGOTTEN}*")
    horizon = _horizon(client, prefix, now)
    kept = [{"range": {"@timestamp": {"gte": horizon.isoformat()}}}] if horizon else []
    query = {"bool": {"filter": [{"exists": {"field": "occupancy.sequence"}}, *kept]}}
    settled = {"range": {"@timestamp": {"lt": (now - timedelta(seconds=grace)).isoformat()}}}
    for bucket in _buckets(client, index, query, settled):
        boot = _summary(bucket)
        if not _whole(bucket["numbers"]):
            its = {"bool": {"filter": [query, {"term": {"occupancy.boot": boot.boot}}]}}
            numbers = [hit["sort"][0] for hit in hits(client, index, its, sort="occupancy.sequence")]
            first = datetime.fromtimestamp(bucket["since"]["value"] / 1000, UTC)
            boot = judge(
                boot,
                numbers,
                forgotten=forgotten(client, prefix, boot.boot),
                settled=int(bucket["settled"]["last"]["value"] or 0),
                expired=horizon is not None and (first.year, first.month) == (horizon.year, horizon.month),
            )
        yield boot


def judge(boot: Boot, numbers: list[int], *, forgotten: Iterable[Range], settled: int, expired: bool) -> Boot:
    """Say what became of each number up to a boot's last; `numbers` are the stored ones, ascending, doubled ones twice.

    A gap after the number `settled` may still be on its way. With `expired`, what lacks before the first is of months
    that are no longer kept.
    """
    present, last = ranges(numbers), numbers[-1]
    lacking = gaps(present, last)
    unexplained = without(lacking, forgotten)
    old = [part for part in unexplained if expired and part.last < numbers[0]]
    coming = [part for part in unexplained if part.first > settled]
    missing = without(unexplained, [*old, *coming])
    doubled = ranges(one for one, other in pairwise(numbers) if one == other)
    return msgspec.structs.replace(
        boot,
        last=last,
        stored=count(present),
        missing=count(missing),
        forgotten=count(lacking) - count(unexplained),
        expired=count(old),
        on_the_way=count(without(coming, old)),
        doubled=count(doubled),
        missing_numbers=[str(part) for part in missing],
        doubled_numbers=[str(part) for part in doubled],
    )


def file(client: elasticsearch.Elasticsearch, prefix: str, path: str) -> File:
    """Look for each line of a file; raises UnreadableFile."""
    index = pattern(prefix, *FAMILIES)
    excused = cache(lambda boot: forgotten(client, prefix, boot))
    lines = stored = known = unreadable = 0
    missing: list[int] = []
    every = _lines(path, prefix)
    while page := list(islice(every, PAGE)):
        wanted = {"terms": {"event.id": [named for _, named in page if named]}}
        found = {hit["sort"][0] for hit in hits(client, index, wanted, sort="event.id")}
        lines += len(page)
        for number, named in page:
            boot, _, sequence = named.rpartition("-")
            if not named:
                unreadable += 1
            elif named in found:
                stored += 1
            elif sequence.isdigit() and any(first <= int(sequence) <= last for first, last in excused(boot)):
                known += 1
            else:
                missing.append(number)
    return File(
        path=path,
        lines=lines,
        stored=stored,
        missing=len(missing),
        forgotten=known,
        unreadable=unreadable,
        missing_lines=[str(part) for part in ranges(missing)],
    )


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives 1 where something is missing or doubled."""
    table = settings.read(Audit, "audit", argv, environ, __doc__)
    prefix = table.elasticsearch_prefix
    with connect(table) as client:
        check(client)
        with explained(client):
            found = list(boots(client, prefix, datetime.now(UTC), table.grace))
            files = [file(client, prefix, path) for path in table.file]
    if table.json:
        print(msgspec.json.encode({"boots": found, "files": files}).decode())
    else:
        print(describe(found, files))
    return int(any(one.missing or one.doubled for one in found) or any(one.missing for one in files))


def describe(found: list[Boot], files: list[File]) -> str:
    """Write the audit for a person: a table, what is missing where, and a sentence."""
    columns = ("stored", "last", "missing", "admitted", "forgotten", "expired", "on_the_way", "doubled")
    text = [f"{'boot':<14}{'first record':<21}{'last record':<21}" + "".join(f"{name:>11}" for name in columns)]
    for one in found:
        figures = "".join(f"{getattr(one, name):>11,}" for name in columns)
        text.append(f"{one.boot:<14}{one.since:<21}{one.until:<21}{figures}")
        text += _listed("missing numbers", one.missing_numbers) + _listed("stored more than once", one.doubled_numbers)
    for each in files:
        text.append(
            f"{each.path}: of {each.lines:,} lines {each.stored:,} are stored, {each.missing:,} missing, "
            f"{each.forgotten:,} forgotten, {each.unreadable:,} are no records"
        )
        text += _listed("missing lines", each.missing_lines)
    if not found:
        return "\n".join([*text[1:], "no record is stored: there is nothing to prove yet"])
    missing, doubled = sum(one.missing for one in found), sum(one.doubled for one in found)
    text.append(
        f"{sum(one.stored for one in found):,} records of {len(found):,} boot{'s' * (len(found) > 1)} are stored; {missing:,} are missing, "
        f"of which the service itself admits {sum(one.admitted for one in found):,}; {doubled:,} are stored more than once"
    )
    return "\n".join(text)


def _listed(what: str, parts: list[str]) -> list[str]:
    more = f" and {len(parts) - SHOWN:,} ranges more; --json lists all" if len(parts) > SHOWN else ""
    return [f"  {what}: {', '.join(parts[:SHOWN])}{more}"] if parts else []


def _buckets(client: elasticsearch.Elasticsearch, index: str, query: Body, settled: Body) -> Iterator[Body]:
    number = {"field": "occupancy.sequence"}
    figures = {
        "numbers": {"extended_stats": number},
        "lost": {"sum": {"field": "occupancy.lost"}},
        "since": {"min": {"field": "@timestamp"}},
        "until": {"max": {"field": "@timestamp"}},
        "settled": {"filter": settled, "aggs": {"last": {"max": number}}},
    }
    by_boot: Body = {"size": BOOTS, "sources": [{"boot": {"terms": {"field": "occupancy.boot"}}}]}
    while True:
        answer = client.search(
            index=index, size=0, query=query, aggregations={"boots": {"composite": by_boot, "aggregations": figures}}
        )
        found = answer["aggregations"]["boots"]["buckets"] if "aggregations" in answer else []  # no index, no answer
        yield from found
        if len(found) < BOOTS:
            return
        by_boot["after"] = found[-1]["key"]


def _summary(bucket: Body) -> Boot:
    """Describe a boot as if it were whole."""
    return Boot(
        boot=bucket["key"]["boot"],
        since=_time(bucket["since"]["value"]),
        until=_time(bucket["until"]["value"]),
        last=int(bucket["numbers"]["max"] or 0),
        stored=bucket["doc_count"],
        admitted=int(bucket["lost"]["value"]),
    )


def _time(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _whole(numbers: Body) -> bool:
    n = numbers["count"]
    squares = n * (n + 1) * (2 * n + 1) // 6
    return bool(
        (numbers["min"], numbers["max"], numbers["sum"]) == (1, n, n * (n + 1) // 2)
        and math.isclose(numbers["sum_of_squares"], squares, rel_tol=1e-12)
    )


def _horizon(client: elasticsearch.Elasticsearch, prefix: str, now: datetime) -> datetime | None:
    """Tell the beginning of the oldest month that is still kept, if months before it may have been deleted for their age.

    The index of the month before began at most a month earlier, and is deleted a month later than it has to be kept.
    """
    with suppress(AuthorizationException, NotFoundError):
        policy = templates.policy_name(prefix)
        days = templates.retention(client.ilm.get_lifecycle(name=policy)[policy]["policy"])
        names = client.indices.get(index=pattern(prefix, NUMBERED[0]), features="aliases")
        oldest = min((datetime.strptime(name[-7:], "%Y.%m").replace(tzinfo=UTC) for name in names), default=now)
        return oldest if days and now >= oldest + timedelta(days=days) else None
    return None


def _lines(path: str, prefix: str) -> Iterator[tuple[int, str]]:
    """Give the number of each line of a file and its record's id, empty where it is no record."""
    parts = Assembler()
    try:
        with gzip.open(path) if path.endswith(".gz") else Path(path).open("rb") as opened:
            for number, text in enumerate(opened, 1):
                if (line := parts.feed(Line(0, len(text), number, text.removesuffix(b"\n")))) is not None:
                    yield line.number, _id(line, prefix)
    except (OSError, EOFError) as error:
        raise UnreadableFile(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    if (line := parts.flush()) is not None:
        yield line.number, ""


def _id(line: Line, prefix: str) -> str:
    try:
        return document(line, prefix).id
    except NotARecord:
        return ""
