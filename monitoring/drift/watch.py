"""`python -m monitoring watch [FILE...]`: judges records as they come, from Elasticsearch or from files that grow.

Verdicts go to standard output as records, for `load` to store like all others, and to a webhook. What was judged is
remembered in a file: started again, it goes on where it stopped, and opens no second alarm for the same event.

Exit status: 0 after SIGTERM or SIGINT, or with --once; 2 a setting is wrong, or, with --once, nothing could be read.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from monitoring import settings
from monitoring.drift import portions, webhook
from monitoring.drift.command import chosen, tell
from monitoring.drift.exposition import Exposition
from monitoring.drift.judge import Judge, State, advance
from monitoring.drift.portions import Cursor
from monitoring.drift.verdict import Verdict
from monitoring.records import NoRecords, Records, back, passed_over
from monitoring.settings import Judged
from monitoring.store.client import NotAllowed, Refused, Unreachable, connect, explained
from occupancy import record
from occupancy.errors import InputError


class Watch(Judged, frozen=True, kw_only=True):
    """What `watch` can be told; `since` is how far back it looks for boots the first time."""

    since: Annotated[str, Meta(pattern="^[0-9]+[mhdw]$", description="how far back it looks, such as 36h or 14d")] = (
        "14d"
    )
    watch_state: Annotated[str, Meta(min_length=1, description="file in which it remembers what was judged")] = (
        "out/watch.json"
    )
    interval: Annotated[float, Meta(gt=0, le=3600, description="seconds between two looks")] = 30.0
    webhook: Annotated[str, Meta(description="URL to which each verdict is posted as JSON; empty: none")] = ""
    webhook_token_file: Annotated[str, Meta(description="file with a bearer token for the webhook")] = ""
    metrics_port: Annotated[int, Meta(ge=0, le=65535, description="port of GET /metrics; 0: none")] = 0
    once: Annotated[bool, Meta(description="look once, and end")] = False


class BadState(InputError):
    """The file in which the watch remembers can't be read or written."""


class BadSetting(InputError):
    """A time, a file or a port that the watch can't use."""


class Memory(msgspec.Struct):
    """All that is remembered from one look to the next, and from one start to the next."""

    cursor: Cursor = msgspec.field(default_factory=Cursor)
    state: State = msgspec.field(default_factory=State)
    open: dict[str, Verdict] = {}
    models: dict[str, str] = {}
    unsent: list[Verdict] = []


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Look until told to stop; gives the exit status."""
    table = settings.read(Watch, "watch", argv, environ, __doc__)
    check(table)
    by, memory, stop = chosen(table), load(table.watch_state), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    figures = _exposition(table.metrics_port)
    while not stop.is_set():
        try:
            found = _portion(table, memory.cursor)
            verdicts = look(memory, found, by, time.time())
            # printed before it is remembered: a repeat has the same id, a loss would have none
            tell(b"".join(record.line(v.record(memory.models.get(v.room, ""))) for v in verdicts))
            memory.unsent = _posted(table, [*memory.unsent, *verdicts]) if table.webhook else []
            save(table.watch_state, memory)
            figures.show(memory.state, memory.open, verdicts, len(found.predictions), len(memory.unsent))
        except (NoRecords, NotAllowed, Refused, Unreachable) as error:
            if table.once:
                raise
            _tell(f"{error}; trying again")
            memory = load(table.watch_state)
        if table.once:
            break
        stop.wait(table.interval)
    return 0


def check(table: Watch) -> None:
    """Raise BadSetting for what can never work, before anything is judged."""
    try:
        datetime.now(UTC) - back(table.since)
    except (OverflowError, ValueError):
        raise BadSetting(f"MONITORING_SINCE={table.since} is further back than the calendar goes") from None
    if compressed := [name for name in table.file if name.endswith(".gz")]:
        raise BadSetting(f"{compressed[0]}: a compressed file does not grow; `python -m monitoring drift` reads it")
    webhook.check(table.webhook, table.webhook_token_file)
    for name in table.file:
        if not Path(name).exists():
            _tell(f"{name} is not there yet; it is read as soon as it is")


def _exposition(port: int) -> Exposition:
    try:
        return Exposition(port)
    except OSError as error:
        raise BadSetting(
            f"MONITORING_METRICS_PORT={port} can't be served: {error.strerror}; name another, or 0 for none"
        ) from None


def look(memory: Memory, found: Records, by: Judge, now: float) -> list[Verdict]:
    """Judge one portion of records; changes the memory, gives the verdicts. `now`: seconds since 1970."""
    verdicts = advance(memory.state, found, by, now)
    for room, model in found.predictions.groupby("occupancy.room")["occupancy.model.version"].last().items():
        if room in memory.state.rooms:
            memory.models[str(room)] = str(model)
    for verdict in verdicts:
        key = "\n".join((verdict.room, verdict.rule, verdict.sensor or ""))
        if verdict.state == "opened":
            memory.open[key] = verdict
        else:
            memory.open.pop(key, None)
    return verdicts


def load(path: str) -> Memory:
    """Read what was remembered; nothing, where there is no file yet. Raises BadState."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except OSError as error:
        raise BadState(
            f"MONITORING_WATCH_STATE={path} can't be read: {error.strerror}; name a file of your own"
        ) from None
    except msgspec.DecodeError as error:
        advice = "move it away to begin anew"
        raise BadState(f"MONITORING_WATCH_STATE={path} holds no state of this program: {error}; {advice}") from None


def save(path: str, memory: Memory) -> None:
    """Write what is to be remembered, whole or not at all. Raises BadState."""
    file, new = Path(path), Path(f"{path}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as out:
            out.write(msgspec.json.encode(memory))
            out.flush()
            os.fsync(out.fileno())
        new.replace(file)
    except OSError as error:
        raise BadState(
            f"MONITORING_WATCH_STATE={path} can't be written: {error.strerror}; name a file of your own"
        ) from None


def _portion(table: Watch, cursor: Cursor) -> Records:
    found = _all_rooms(table, cursor)
    if found.unread:
        _tell(passed_over(found.unread))
    if table.room:
        of_it = (found.predictions["occupancy.room"] == table.room).to_numpy()
        return found._replace(predictions=found.predictions[of_it].reset_index(drop=True))
    return found


def _all_rooms(table: Watch, cursor: Cursor) -> Records:
    if table.file:
        return portions.from_files(table.file, cursor)
    with connect(table) as client, explained(client):
        return portions.from_elasticsearch(client, table.elasticsearch_prefix, cursor, back(table.since))


def _posted(table: Watch, verdicts: list[Verdict]) -> list[Verdict]:
    left, why = webhook.post(table.webhook, table.webhook_token_file, verdicts)
    if why:
        _tell(why)
    return left


def _tell(text: str) -> None:
    sys.stderr.write(f"monitoring watch: {text}\n")
    sys.stderr.flush()
