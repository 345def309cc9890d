"""The limits of all rules, in one table; `python -m benchmark drift` judges them."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What each rule compares with; factors are of the reference's own largest values on clean days."""

    thinned: Annotated[
        float, Meta(description="seconds after a reading in which another is left out, as too dense to compare")
    ] = 30.0
    neighbours: Annotated[float, Meta(description="seconds between readings that are compared, of one a minute")] = 90.0
    step_factor: Annotated[float, Meta(description="of the largest clean step within a minute")] = 2.0
    run_factor: Annotated[float, Meta(description="of the longest clean run of equal values")] = 1.5
    run_floor: Annotated[float, Meta(description="minutes of equal values that are never too many")] = 5.0
    restless_factor: Annotated[float, Meta(description="of the largest clean median of 30 minutes' steps")] = 2.0
    night_minutes: Annotated[float, Meta(description="minutes of light in a night that should be dark")] = 60.0
    ratio: Annotated[float, Meta(description="share by which HumidityRatio may be off, beside its rounding")] = 0.01
    ratio_readings: Annotated[int, Meta(description="readings in a row that it must be off")] = 5
    clock_seconds: Annotated[float, Meta(description="by which the readings' clock may jump")] = 300.0
    steady: Annotated[
        int, Meta(description="readings in a row at an even pace before a gap or a jump means anything")
    ] = 30
    stale_seconds: Annotated[float, Meta(description="without a reading, after an even pace")] = 600.0
    ahead_seconds: Annotated[
        float, Meta(description="by which a reading's time may be ahead of us; beyond: not judged")
    ] = 86_400.0
    jump_factor: Annotated[float, Meta(description="of the largest clean distance from the season, for one hour")] = 2.0
    level_rarity: Annotated[int, Meta(description="once in so many times may chance make a level ticket, at most")] = (
        500
    )
    error: Annotated[float, Meta(description="share of wrong answers that is accepted", gt=0, lt=1)] = 0.05
    run_length: Annotated[
        int, Meta(description="labelled hours between two false requests to retrain, on average, at least")
    ] = 50_000
    learning_days: Annotated[int, Meta(description="clean days from which a new room's reference is learned")] = 14
    rooms: Annotated[int, Meta(description="rooms that are followed; readings of further ones are not judged")] = 20_000
    quiet_seconds: Annotated[float, Meta(description="after which a health event without news is over")] = 3600.0
