"""A limit on the age of readings, off by default: one whose `date` is too old, or ahead of the clock, is refused."""

from datetime import datetime, timedelta

from occupancy.reading import NAMES, Batch, InvalidReading


def check(batch: Batch, limit: timedelta, now: datetime) -> Batch:
    """Move the readings whose event time is more than `limit` from `now` to the batch's invalid ones."""
    refused = {error.index for error in batch.invalid}
    indices = (n for n in range(len(batch.readings) + len(batch.invalid)) if n not in refused)
    kept = Batch(batch.single, [], [], list(batch.invalid))
    for index, reading, when in zip(indices, batch.readings, batch.times, strict=False):
        if when is None or abs(now - when) <= limit:
            kept.readings.append(reading)
            kept.times.append(when)
            continue
        reason, words = ("too_old", "old") if when < now else ("in_the_future", "ahead of the service's clock")
        detail = f"date is {reading.date}: {abs(now - when)} {words}, at most {limit} is accepted"
        error = InvalidReading("date", reason, detail, None if batch.single else index)
        error.given = {name: value for name in NAMES if (value := getattr(reading, name)) is not None}
        error.room, error.time = reading.room, when
        kept.invalid.append(error)
    kept.invalid.sort(key=lambda error: error.index or 0)
    return kept
