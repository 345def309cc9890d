"""What can go wrong in a room from some minute on, and what can change there without going wrong."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.drift_rooms import DAY
from occupancy.mapping import LABEL
from occupancy.reading import DERIVED
from occupancy.simulate import LAMPS_LUX, Fault, Kind, spoil

SENSOR, BEHAVIOUR, HARMLESS = "sensor", "behaviour", "harmless"
Spoil = Callable[[pd.DataFrame, int, int], pd.DataFrame]
"""Readings one a minute, the minute from which on they are changed, and a seed; gives the changed ones."""


class Case(NamedTuple):
    """One change, looked at for so many days; `group` says only where it stands in the table, harm is measured."""

    name: str
    group: str
    days: int
    spoil: Spoil
    clock: float = 0.0
    """minutes by which it moves the readings' own times"""
    one_in: int = 100
    """one prediction in so many asks for its label"""
    lies: float = 0.0
    """share of predictions about which somebody without the token lies"""


def _fault(kind: Kind, sensor: str, size: float = 0.0, days: float = 1e6) -> Spoil:
    """Break one sensor; a ramp is complete after so many days."""

    def broken(frame: pd.DataFrame, onset: int, seed: int) -> pd.DataFrame:
        end = onset + days * DAY
        changed = spoil(frame, [Fault(kind, sensor, onset, end, size)], seed)
        if end < len(frame):
            changed = spoil(changed, [Fault("offset", sensor, end, 1e9, size)], seed)
        return changed

    return broken


def _rewrite(change: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]) -> Spoil:
    """Change the rows from the onset on by a function of them."""

    def rewritten(frame: pd.DataFrame, onset: int, seed: int) -> pd.DataFrame:
        changed = change(frame.iloc[onset:].copy(), np.random.default_rng((seed, 4)))
        return pd.concat([frame.iloc[:onset], changed])

    return rewritten


def _light(level: Callable[[pd.DataFrame], pd.Series]) -> Spoil:
    def change(rows: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
        return rows.assign(Light=level(rows).clip(lower=0).round(1))

    return _rewrite(change)


def _noisy_light(size: float) -> Spoil:
    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:  # a light sensor reports nothing below 0
        return rows.assign(Light=(rows["Light"] + size * rng.normal(size=len(rows))).clip(lower=0).round(1))

    return _rewrite(change)


def _missing(sensor: str, share: float) -> Spoil:
    def change(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        rows.loc[rng.random(len(rows)) < share, sensor] = np.nan
        return rows

    return _rewrite(change)


def _ratio_of_its_own(frame: pd.DataFrame, onset: int, seed: int) -> pd.DataFrame:
    changed = _fault("offset", "Temperature", 0.5)(frame, onset, seed)
    return changed.assign(**{DERIVED: frame[DERIVED]})


def _fading(rows: pd.DataFrame) -> pd.Series:
    """Lose nine tenths of the light within a week, as behind dust or a rising cupboard."""
    return rows["Light"] * np.linspace(1, 0.1, 7 * DAY)[np.minimum(np.arange(len(rows)), 7 * DAY - 1)]


def _lit(rows: pd.DataFrame) -> pd.Series:
    """Tell where the lamps seem to be on."""
    return (rows[LABEL] == 1) & (rows["Light"] >= 0.95 * LAMPS_LUX)


def _flip(rows: pd.DataFrame, _: np.random.Generator) -> pd.DataFrame:
    return rows.assign(**{LABEL: 1 - rows[LABEL]})


def _nothing(frame: pd.DataFrame, _onset: int, _seed: int) -> pd.DataFrame:
    return frame


IN_THE_DARK = _light(lambda rows: rows["Light"] - LAMPS_LUX * _lit(rows))

LONGEST = 7
CLEAN = Case("nothing", HARMLESS, LONGEST, _nothing)
"""What every case is compared with: a verdict that comes without the change, too, has not found it."""

CASES: tuple[Case, ...] = (
    *(Case(f"{name} stuck", SENSOR, 1, _fault("stuck", name)) for name in ("Temperature", "Humidity", "Light", "CO2")),
    Case("Light stuck at 0", SENSOR, 1, _light(lambda rows: 0 * rows["Light"])),
    Case("Light stuck at 450", SENSOR, 1, _light(lambda rows: 0 * rows["Light"] + 450)),
    *(
        Case(f"{name} {size:+g}", SENSOR, 1, _fault("offset", name, size))
        for name, sizes in {
            "Temperature": (0.5, 2, -2),
            "Humidity": (2, 10),
            "Light": (50, 400),
            "CO2": (100, 600),
        }.items()
        for size in sizes
    ),
    *(
        Case(f"{name} × {size:g}", SENSOR, 1, _fault("gain", name, size))
        for name, sizes in {"Temperature": (0.9,), "Light": (0.3, 2), "CO2": (1.5,)}.items()
        for size in sizes
    ),
    *(
        Case(f"{name} noise {size:g}", SENSOR, 1, _fault("noise", name, size))
        for name, sizes in {
            "Temperature": (0.2, 2),
            "Humidity": (3,),
            "CO2": (20, 200),
        }.items()
        for size in sizes
    ),
    *(Case(f"Light noise {size:g}", SENSOR, 1, _noisy_light(size)) for size in (20, 200)),
    *(Case(f"Light missing {share:.0%}", SENSOR, 1, _missing("Light", share)) for share in (0.05, 0.5, 1)),
    Case("Temperature in °F", SENSOR, 1, _fault("fahrenheit", "Temperature")),
    *(Case(f"clock {h:+d} h", SENSOR, 1, _fault("clock", "", 60 * h), clock=60 * h) for h in (1, -1, 6, -6)),
    Case("Temperature +3 in a day", SENSOR, 2, _fault("ramp", "Temperature", 3, 1)),
    Case("CO2 +500 in a week", SENSOR, 7, _fault("ramp", "CO2", 500, 7)),
    Case("Light fades in a week", SENSOR, 7, _light(_fading)),
    Case("Temperature +0.5, ratio measured apart", SENSOR, 1, _ratio_of_its_own),
    Case("truth turned over", BEHAVIOUR, 7, _rewrite(_flip)),
    Case("truth turned over, labels 1 in 10", BEHAVIOUR, 7, _rewrite(_flip), one_in=10),
    Case("people sit in the dark", BEHAVIOUR, 7, IN_THE_DARK),
    Case("people sit in the dark, labels 1 in 10", BEHAVIOUR, 7, IN_THE_DARK, one_in=10),
    Case("lamps of a third", BEHAVIOUR, 7, _light(lambda rows: rows["Light"] - LAMPS_LUX * 2 / 3 * _lit(rows))),
    Case("lamps never off", BEHAVIOUR, 7, _light(lambda rows: rows["Light"] + LAMPS_LUX * ~_lit(rows))),
    Case("heating season: Temperature +2", HARMLESS, 7, _fault("ramp", "Temperature", 2, 3)),
    Case("damp weather: Humidity +8", HARMLESS, 7, _fault("ramp", "Humidity", 8, 3)),
    Case("city air: CO2 +40", HARMLESS, 7, _fault("ramp", "CO2", 40, 3)),
    Case("lies without the token", HARMLESS, 7, _nothing, lies=0.1),
)
