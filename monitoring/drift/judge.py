"""The judge: from records, with a reference, to verdicts. The table of contents of this package.

`advance` goes from one state to the next with whatever records came meanwhile; `judge` does the same in one go. How the
records are cut into portions makes no difference to the verdicts, as long as each portion is later than the one before.
"""

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd

from monitoring import records as store
from monitoring.drift import health, level, loss, minutes
from monitoring.drift.events import Open, Signal, follow
from monitoring.drift.learning import learn
from monitoring.drift.limits import Limits
from monitoring.drift.minutes import Array, Minutes, seconds
from monitoring.drift.verdict import CLOSED, OPENED, Verdict, say
from monitoring.records import ID, TIME, Records
from occupancy.reading import NAMES
from occupancy.reference import Reference

KNOWN = 50_000  # predictions that wait for their truth
JOINED = [ID, TIME, "occupancy.room", "occupancy.model.version", "occupancy.probability", "occupancy.label"]
MODELS = 3  # of a room, whose answers are followed: in a rollout two answer at a time
EMPTY = Minutes(np.empty(0), np.empty((0, len(NAMES))), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))


class Room(msgspec.Struct):
    """What is remembered of one room. Times are in seconds since 1970.

    `reference`: one learned here, of a room that has none; until then `history` gathers its minutes. `tail`: the minutes
    of the last hour. `late` and `ahead`: readings that were not judged; `beside`: those judged that had a neighbour. `sick`: stretches with a health event.
    """

    seen: float = health.NEVER
    late: int = 0
    ahead: int = 0
    judged: int = 0
    beside: int = 0
    reference: Reference | None = None
    history: list[list[float]] = []
    tail: list[list[float]] = []
    memory: health.Memory = msgspec.field(default_factory=health.Memory)
    days: level.Days = msgspec.field(default_factory=level.Days)
    wealth: dict[str, loss.Wealth] = {}
    open: dict[str, Open] = {}
    sick: list[tuple[float, float]] = []


class State(msgspec.Struct):
    """What is remembered between portions of records: rooms by name, and the predictions whose truth may still come.

    `beyond`: readings of rooms that there was no more place for, and that were not judged.
    """

    rooms: dict[str, Room] = {}
    beyond: int = 0
    known: dict[str, list[Any]] = {}


class Judge(msgspec.Struct, frozen=True):
    """With what is judged: the reference of the rooms it is for ("*": of all), and the limits.

    A room that the reference is not for learns its own.
    """

    reference: Reference
    rooms: tuple[str, ...] = ("*",)
    limits: Limits = Limits()

    def of(self, name: str, room: Room) -> Reference | None:
        """Give the reference that a room is compared with, or None while it learns."""
        return self.reference if "*" in self.rooms or name in self.rooms else room.reference

    @property
    def zone(self) -> ZoneInfo:
        """The clock on which it is day or night."""
        return ZoneInfo(self.reference.timezone)


def judge(records: Records, by: Judge) -> list[Verdict]:
    """Judge all records at once; verdicts in order of time."""
    return advance(State(), records, by)


def advance(state: State, records: Records, by: Judge, now: float | None = None) -> list[Verdict]:
    """Judge the records that came since; changes the state. `now`: seconds since 1970, to miss readings that don't come."""
    verdicts: list[Verdict] = []
    for name, rows in records.predictions.groupby("occupancy.room", sort=True):
        if room := _room(state, str(name), by.limits):
            verdicts += _sensors(room, str(name), rows, by)
        else:
            state.beyond += len(rows)
    labels = _labels(state, records)
    for name, rows in labels.groupby("room", sort=True):
        if room := _room(state, str(name), by.limits):
            verdicts += _answers(room, str(name), rows, by)
    for name, room in state.rooms.items():
        if now is not None:
            verdicts += _silent(room, name, now, by.limits)
    return sorted(verdicts, key=lambda verdict: verdict.at)


def _room(state: State, name: str, limits: Limits) -> Room | None:
    """Give what is remembered of a room; None for a new one where there are too many: anybody can name rooms."""
    if name not in state.rooms and len(state.rooms) >= limits.rooms:
        return None
    return state.rooms.setdefault(name, Room())


def _sensors(room: Room, name: str, rows: pd.DataFrame, by: Judge) -> list[Verdict]:
    """Layers one and two, of one room."""
    limits, verdicts = by.limits, []
    time = seconds(rows[TIME])
    ahead = time > seconds(rows["@timestamp"]) + limits.ahead_seconds
    room.ahead += int(ahead.sum())
    rows, time = rows[~ahead], time[~ahead]
    arrived = rows.sort_values(["@timestamp", "occupancy.sequence"], kind="stable")
    signals = list(health.clock(arrived, room.memory, limits))
    fresh = time > room.seen
    refused = (rows["event.outcome"] == "failure").to_numpy()
    room.late += int((refused & ~fresh).sum())
    if (refused & fresh).any():
        signals += health.refused(rows[refused & fresh])
    kept = room.tail[-1][0] if room.tail else health.NEVER
    new, late = minutes.of(rows[~refused], room.seen, kept, limits.thinned, by.zone)
    room.late += late
    seen = np.sort(time[fresh])
    if not len(seen):
        return []
    verdicts += _gaps(room, name, health.stale(seen, room.seen, room.memory, limits), limits)
    verdicts += _heard(room, name, float(seen[0]))
    room.seen = float(seen[-1])
    if len(new):
        signals.append(health.ratio(new, room.memory, limits))
    verdicts += _follow(room, name, signals, seen, limits)  # a day with any of these is not learned from
    signals = []
    for part in _parts(room, name, new, by):
        reference = by.of(name, room)
        if reference is None:
            continue
        tail = unpacked(room.tail, by.zone)
        signals += health.compared(tail, part, room.memory, reference, limits)
        both = minutes.join(tail, part)
        distance = level.distances(both, reference)[len(tail) :]
        signals += level.jumps(part, distance, reference, limits)
        verdicts += level.tickets(room.days, part, distance, reference, limits, room=name)
        room.judged += len(part)
        apart = np.diff(both.time)[max(len(tail) - 1, 0) :]
        room.beside += int((apart <= health.neighbours(reference, limits)).sum())
        room.tail = _rows(both.take(both.time > both.time[-1] - level.WINDOW))
    if len(new) and by.of(name, room) is None:
        room.tail = _rows(new.take(slice(-1, None)))
    return verdicts + _follow(room, name, signals, seen, limits)


def _follow(room: Room, name: str, signals: list[Signal], seen: Array, limits: Limits) -> list[Verdict]:
    verdicts = []
    for signal in signals:
        key = f"{signal.rule}:{signal.sensor or ''}"
        after, said = follow(room.open.get(key), signal, seen, limits.quiet_seconds, name)
        if after is None:
            room.open.pop(key, None)
        else:
            room.open[key] = after
        verdicts += said
        room.sick += [
            (v.since.timestamp(), v.at.timestamp()) for v in said if v.state == CLOSED and v.layer == "health"
        ]
    room.sick = [stretch for stretch in room.sick if stretch[1] > seen[-1] - 30 * 86400]
    return verdicts


def _parts(room: Room, name: str, new: Minutes, by: Judge) -> list[Minutes]:
    """Cut a room's minutes where it has learned enough; what it learned from is not judged by it."""
    if by.of(name, room) is not None or not len(new):
        return [new] if len(new) else []
    room.history += _rows(new)
    sick = room.sick + [(event.since, event.last) for event in room.open.values()]
    learned, rest = learn(room.history, sick, by.reference, by.limits.learning_days)
    if learned is None:
        return []
    room.reference, room.history = learned, []
    return [new.take(new.time >= rest)] if (new.time >= rest).any() else []


def _gaps(room: Room, name: str, gaps: list[tuple[float, float]], limits: Limits) -> list[Verdict]:
    verdicts = []
    for since, until in gaps:
        said = {"since": since, "limit": limits.stale_seconds / 60}
        if room.open.pop("stale:", None) is None:
            at = since + limits.stale_seconds
            verdicts.append(say("stale", name, None, OPENED, at=at, value=limits.stale_seconds / 60, **said))
        verdicts.append(say("stale", name, None, CLOSED, at=until, value=(until - since) / 60, **said))
    return verdicts


def _heard(room: Room, name: str, first: float) -> list[Verdict]:
    """End a silence whose readings came late: then there is no gap between them that would."""
    silence = room.open.pop("stale:", None)
    if silence is None:
        return []
    value = (first - silence.since) / 60
    at = max(first, silence.since + 60 * silence.limit)  # not before it was noticed
    return [say("stale", name, None, CLOSED, at=at, since=silence.since, value=value, limit=silence.limit)]


def _silent(room: Room, name: str, now: float, limits: Limits) -> list[Verdict]:
    """Notice that nothing comes any more, of readings that were sent as they were taken."""
    last, lag = room.seen, room.memory.lag
    live = (
        min(room.memory.paced, room.memory.in_step) >= limits.steady
        and lag is not None
        and abs(lag) < limits.stale_seconds
    )
    if not live or now - last <= limits.stale_seconds or "stale:" in room.open:
        return []
    minutes_long = limits.stale_seconds / 60
    room.open["stale:"] = Open(last, last, minutes_long, minutes_long)
    at = last + limits.stale_seconds
    return [say("stale", name, None, OPENED, at=at, since=last, value=minutes_long, limit=minutes_long)]


def _labels(state: State, records: Records) -> pd.DataFrame:
    """Join the truth that came with the predictions, of this portion and of those before; in order of its coming.

    Only what came with the token is truth: nothing else ends a prediction's waiting, either.
    """
    feedback = records.feedback[records.feedback["occupancy.feedback.authenticated"] == np.True_]
    answered = records.predictions.loc[records.predictions["event.outcome"] == "success", JOINED]
    if state.known:
        earlier = pd.DataFrame([[key, *row] for key, row in state.known.items()], columns=JOINED)
        earlier[TIME] = pd.to_datetime(earlier[TIME], unit="us", utc=True)
        answered = pd.concat([earlier.astype(answered.dtypes), answered], ignore_index=True)
    found = store.labelled(records._replace(predictions=answered, feedback=feedback))
    waiting = answered.tail(KNOWN)
    waiting = waiting[~waiting[ID].isin(feedback["occupancy.feedback.prediction"])]
    stamps = waiting[TIME].to_numpy("datetime64[us]").astype(np.int64).tolist()
    rest = waiting[JOINED[2:]].itertuples(index=False, name=None)
    state.known = {key: [stamp, *row] for key, stamp, row in zip(waiting[ID], stamps, rest, strict=True)}
    return found


def _answers(room: Room, name: str, rows: pd.DataFrame, by: Judge) -> list[Verdict]:
    """Layer three, of one room; what was answered while a sensor was sick says nothing about the model."""
    time = seconds(rows["time"])
    healthy = np.ones(len(time), bool)
    open_now = [(e.since, np.inf) for key, e in room.open.items() if not key.startswith("jump:")]
    for begun, ended in [*room.sick, *open_now]:
        healthy &= (time < begun) | (time > ended)
    wrong = (rows["label"] != rows["truth"]).to_numpy(np.float64)
    model = rows["model"].fillna("").to_numpy()
    verdicts = []

    def tell(turn: loss.Turn) -> None:
        state = OPENED if turn.opened else CLOSED
        told = {"at": turn.at, "since": turn.since, "value": turn.error, "limit": by.limits.error}
        verdicts.append(say("loss", name, None, state, **told, rarity=by.limits.run_length))

    rows_healthy = np.flatnonzero(healthy)
    for part in np.split(rows_healthy, np.flatnonzero(model[rows_healthy][1:] != model[rows_healthy][:-1]) + 1):
        if not len(part):
            continue
        answers = str(model[part[0]])
        mine = room.wealth.pop(answers, None) or loss.Wealth()
        for other, theirs in room.wealth.items():
            if theirs.open:  # another model answers now: that is what was asked for
                tell(
                    loss.Turn(
                        opened=False, at=float(time[part[0]]), since=theirs.since, error=theirs.errors / theirs.hours
                    )
                )
                room.wealth[other] = loss.Wealth()
        room.wealth = dict([*room.wealth.items(), (answers, mine)][-MODELS:])
        for turn in loss.advance(mine, time[part], wrong[part], by.limits):
            tell(turn)
    return verdicts


def _rows(part: Minutes) -> list[list[float]]:
    return np.column_stack((part.time, part.values, part.label)).tolist()  # type: ignore[no-any-return]


def unpacked(rows: list[list[float]], zone: ZoneInfo) -> Minutes:
    """Give what a room remembers of its minutes, its tail or its history, as minutes."""
    if not rows:
        return EMPTY
    table = np.array(rows)
    return minutes.at(table[:, 0], table[:, 1:-1], table[:, -1], zone)
