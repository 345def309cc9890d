"""Send the rows of data files to a running service: at once a sample of them, or all of them in order.

  python -m monitoring replay --sample 100 data/original/datatraining.txt
  python -m monitoring replay --fault range:Temperature:start=1d:end=1d30m --feedback wanted FILE FILE

Dates are moved by whole weeks, so that the last reading is the latest before now. The same seed chooses the same rows,
faults and wrong labels.
"""

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from monitoring import faults, settings
from monitoring.service import Result, Service, token
from occupancy import dataset
from occupancy.errors import InputError
from occupancy.mapping import DATE, LABEL, load_mapping
from occupancy.progress import Progress
from occupancy.reading import NAMES
from occupancy.simulate import spoil

WEEK = pd.Timedelta(days=7)
MINUTE = pd.Timedelta(minutes=1)
NAME_LENGTH = 48  # of a file's in a reading's id, which has at most 64


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What `python -m monitoring replay` can be told."""

    file: Annotated[tuple[str, ...], Meta(description="data files, of one room")] = ()
    url: Annotated[str, Meta(description="the service, as http://host:port")] = "http://127.0.0.1:8080"
    data_mapping: Annotated[
        str,
        Meta(
            description="YAML file that explains the data files; empty: UCI's format",
            extra={"variable": "DATA_MAPPING"},
        ),
    ] = ""
    sample: Annotated[
        int, Meta(ge=0, le=1_000_000, description="send so many random rows, nearly at once; 0: all, in order")
    ] = 0
    connections: Annotated[int, Meta(ge=1, le=256, description="requests at a time of a sample")] = 32
    rate: Annotated[float, Meta(ge=0, le=1e6, description="readings a second, in order; 0: as fast as it goes")] = 0.0
    batch: Annotated[int, Meta(ge=1, le=100_000, description="readings in one request, in order")] = 1
    seed: Annotated[int, Meta(ge=0, description="seed of the sample, the faults' noise and the wrong labels")] = 0
    keep_time: Annotated[bool, Meta(description="leave the dates as they are")] = False
    room: Annotated[str, Meta(max_length=64, description="the room to call it; empty: the service's own")] = ""
    fault: Annotated[
        str,
        Meta(
            description="broken sensors, by commas, such as stuck:Light:start=6h:end=1d, range:Temperature or "
            "offset:CO2:size=200; also gain, noise, missing, fahrenheit, clock, ramp"
        ),
    ] = ""
    feedback: Annotated[
        Literal["none", "wanted", "all"],
        Meta(description="tell the file's labels: none, where the service asks for them (wanted), or all"),
    ] = "none"
    feedback_delay: Annotated[
        float, Meta(ge=0, le=1e6, description="minutes between a reading and its feedback, by the readings' dates")
    ] = 0.0
    feedback_wrong: Annotated[float, Meta(ge=0, le=1, description="share of the labels to tell wrongly")] = 0.0
    token_file: Annotated[str, Meta(description="file with the service's token for feedback")] = ""
    patience: Annotated[
        float, Meta(ge=0, le=86400, description="seconds to wait for a service that is away or overloaded")
    ] = 60.0


class NothingToSend(InputError):
    """No data file was named, or no row is left."""


class Row(NamedTuple):
    """One row to send: the reading as the service takes it, when it was taken (s since 1970), and what to tell of it.

    `taken` is the true time, whatever a broken clock says; `occupied` is what feedback tells, `wrong` if on purpose.
    """

    reading: dict[str, Any]
    taken: float
    occupied: bool
    wrong: bool


class Truth(NamedTuple):
    """What feedback tells of a prediction."""

    prediction: str
    occupied: bool
    wrong: bool


class Prepared(NamedTuple):
    """The rows to send, in their order, and what a person should know of how they came to be."""

    rows: list[Row]
    notes: list[str]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Replay, and print what became of it in one line, however it ends; gives the exit status."""
    table = settings.read(Replay, "replay", argv, environ, __doc__)
    secret = token(table.token_file)
    rows, notes = prepare(table, pd.Timestamp.now("UTC"))
    for note in notes:
        _tell(note)
    with Progress("replay", len(rows), "readings") as progress, Sender(table, secret, progress) as sender:
        (sender.at_once if table.sample else sender.in_order)(rows)
    return 0


def _tell(text: str) -> None:
    print(f"monitoring replay: {text}", file=sys.stderr)


# --- what is sent


def prepare(table: Replay, now: pd.Timestamp) -> Prepared:
    """Read the files and make of their rows what the settings ask for; `now` with a time zone."""
    if not table.file:
        raise NothingToSend("name a data file, such as data/original/datatraining.txt; `make data` fetches it")
    mapping = load_mapping(table.data_mapping)
    read = [dataset.read(path, mapping) for path in table.file]
    notes = [f"{d.path}: {len(d.quarantine)} rows can't be believed and are not sent" for d in read if d.quarantine]
    notes += [f"{d.path}: SIMULATED data, a computed room" for d in read if d.simulated]
    names = [f"{Path(d.path).name[:NAME_LENGTH]}-{number}" for d in read for number in range(1, len(d.frame) + 1)]
    frame = pd.concat([d.frame for d in read]).assign(id=names).sort_values(DATE, kind="stable", ignore_index=True)
    taken = frame[DATE]
    wanted = faults.parse(table.fault, (taken.iloc[-1] - taken.iloc[0]) / MINUTE + 1)
    broken = spoil(frame, wanted, table.seed) if wanted else frame
    moved = taken if table.keep_time else move(taken, now)
    rng = np.random.default_rng(table.seed)
    wrong = rng.random(len(frame)) < table.feedback_wrong
    order = rng.permutation(len(frame))[: table.sample] if table.sample else np.arange(len(frame))
    if lost := int(moved.isna().sum()):
        notes.append(f"{lost} rows stand at a time that comes never or twice when clocks change; they are not sent")
    sent = pd.DataFrame({name: broken[name] for name in NAMES})
    sent["date"] = (moved + (broken[DATE] - taken)).map(pd.Timestamp.isoformat, na_action="ignore")
    sent["id"] = frame["id"]
    readings = sent.to_dict("records")
    room = {"room": table.room} if table.room else {}
    seconds = (moved - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)
    told = (frame[LABEL].to_numpy() == 1) != wrong
    rows = [
        Row({**readings[i], **room}, seconds[i], bool(told[i]), bool(wrong[i]))
        for i in order
        if not np.isnan(seconds[i])
    ]
    return Prepared(rows, notes)


def move(dates: "pd.Series[pd.Timestamp]", now: pd.Timestamp) -> "pd.Series[pd.Timestamp]":
    """Move dates by whole weeks of their zone's calendar, so that the last is the latest before `now`.

    Weekday and time of day stay, also where clocks change in between. What can't be told there is NaT: a time that the
    night of the change leaves out, and of an hour that came twice the second.
    """
    zone, local = dates.dt.tz, dates.dt.tz_localize(None)
    weeks = (now.tz_convert(zone).tz_localize(None) - local.max()) // WEEK
    first = np.ones(len(dates), bool)  # of two times that a clock shows alike

    def told(times: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
        return times.dt.tz_localize(zone, ambiguous=first, nonexistent="NaT")

    return told(local + weeks * WEEK).where(told(local) == dates) if weeks else dates


# --- how it is sent


class Sender:
    """Sends rows to a service and counts what becomes of them; as a context manager it says so in the end."""

    def __init__(self, table: Replay, token: str, progress: Progress) -> None:
        """Take what it needs."""
        self._table, self._token, self._progress = table, token, progress
        self._stop, self._began = threading.Event(), time.monotonic()
        self._services: list[Service] = []
        self._answers, self._refused = Counter[str](), Counter[str]()
        self._failed = self._told = self._told_wrongly = 0

    def __enter__(self) -> Self:
        """Start the clock."""
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Print the summary and end the connections."""
        print(self.summary(time.monotonic() - self._began), flush=True)
        for service in self._services:
            service.close()

    def at_once(self, rows: list[Row]) -> None:
        """Send each row as a request of its own, over several connections; then the feedback on all."""
        own = threading.local()

        def send(row: Row) -> Result:
            if not hasattr(own, "service"):
                own.service = self._connect()
            (result,) = own.service.predict([row.reading])
            self._progress.advance()
            return cast("Result", result)

        with ThreadPoolExecutor(self._table.connections) as pool:
            try:
                results = list(pool.map(send, rows))
            except BaseException:
                self._stop.set()  # or the others would wait for the service as long as they may
                raise
        service = self._connect()
        for row, result in zip(rows, results, strict=True):
            self._count(result)
            if told := self._to_tell(row, result):
                self._feed_back(service, told)

    def in_order(self, rows: list[Row]) -> None:
        """Send the rows over one connection, in their order and at their rate, and feedback as it becomes due."""
        service, due = self._connect(), deque[tuple[float, Truth]]()
        delay, size, rate = 60 * self._table.feedback_delay, self._table.batch, self._table.rate
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            if rate:
                self._stop.wait(self._began + start / rate - time.monotonic())
            for row, result in zip(batch, service.predict([row.reading for row in batch]), strict=True):
                self._count(result)
                if told := self._to_tell(row, result):
                    due.append((row.taken + delay, told))
            self._progress.advance(len(batch))
            while due and due[0][0] <= batch[-1].taken:
                self._feed_back(service, due.popleft()[1])
        for _, told in due:
            self._feed_back(service, told)

    def summary(self, seconds: float) -> str:
        """Say in one line what became of the readings."""
        answered, refused = self._answers.total(), self._refused.total()
        sent, again = answered + refused + self._failed, sum(service.again for service in self._services)
        wrong = f", {self._told_wrongly} of it wrong on purpose" if self._told_wrongly else ""
        parts = [
            f"{sent} readings sent in {seconds:.1f} s ({sent / max(seconds, 1e-9):.0f}/s)",
            f"{answered} answered{_listed(self._answers)}",
            f"{refused} refused{_listed(self._refused)}",
            *([f"{self._failed} failed in the service"] if self._failed else []),
            f"feedback on {self._told}{wrong}",
            *([f"{again} requests sent again, perhaps answered twice"] if again else []),
        ]
        return "; ".join(parts)

    def _connect(self) -> Service:
        table = self._table
        service = Service(table.url, table.patience, token=self._token, stop=self._stop, tell=_tell)
        self._services.append(service)
        return service

    def _count(self, result: Result) -> None:
        if result.answer is not None:
            self._answers[result.answer["answer"]] += 1
        elif result.fault is not None:
            self._refused[f"{result.fault['field']} {result.fault['reason']}"] += 1
        else:
            self._failed += 1

    def _to_tell(self, row: Row, result: Result) -> Truth | None:
        told = self._table.feedback
        if result.answer is None or told == "none" or (told == "wanted" and "label_wanted" not in result.answer):
            return None
        return Truth(result.answer["id"], row.occupied, row.wrong)

    def _feed_back(self, service: Service, truth: Truth) -> None:
        service.feedback(truth.prediction, truth.occupied)
        self._told += 1
        self._told_wrongly += truth.wrong


def _listed(counts: Counter[str]) -> str:
    return f" ({', '.join(f'{number} {what}' for what, number in counts.most_common())})" if counts else ""
