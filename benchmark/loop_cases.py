"""Changes that benchmarks of learning add to those of benchmark/drift_cases.py, and the scenarios that the loop is judged in."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmark.drift_cases import BEHAVIOUR, CASES, CLEAN, Case, Spoil
from benchmark.drift_rooms import DAY
from occupancy.mapping import DATE, LABEL
from occupancy.simulate import LAMPS_LUX, PRECISION, Fault


def changed(case: Case, frame: pd.DataFrame, onset: int, seed: int) -> pd.DataFrame:
    """Give a frame whose rows from the onset on are as a case makes them; times are counted from there, over all gaps."""
    tail = case.spoil(frame[onset:].reset_index(drop=True), 0, seed)
    return pd.concat([frame[:onset], tail], ignore_index=True)


def _shift(hours: int) -> Spoil:
    """Move the people, and what they do to the air, by some hours; the sun stays, and whoever works then needs lamps."""

    def moved(frame: pd.DataFrame, onset: int, seed: int) -> pd.DataFrame:
        rows = frame.iloc[onset:]
        sun = rows["Light"] - LAMPS_LUX * ((rows[LABEL] == 1) & (rows["Light"] >= 0.95 * LAMPS_LUX))
        new = {c: np.roll(rows[c].to_numpy(), 60 * hours) for c in rows.columns if c not in (DATE, "Light")}
        lit = LAMPS_LUX + PRECISION["Light"][0] * np.random.default_rng((seed, 5)).normal(size=len(rows))
        new["Light"] = np.round(sun.clip(lower=0).to_numpy() + lit * new[LABEL], 1)
        return pd.concat([frame.iloc[:onset], rows.assign(**new)])

    return moved


LATE_SHIFT = Case("late shift", BEHAVIOUR, 7, _shift(5))
NIGHT_SHIFT = Case("night shift", BEHAVIOUR, 7, _shift(12))
KNOWN = {case.name: case for case in (CLEAN, *CASES, LATE_SHIFT, NIGHT_SHIFT)}
HARMFUL = ("Light × 0.3", "lamps of a third", "people sit in the dark", "lamps never off", "late shift", "night shift")
HARMLESS = ("nothing", "heating season: Temperature +2", "city air: CO2 +40")


class Scenario(NamedTuple):
    """Production days of a room: what changes for good (`case`), and what goes wrong with sensors, labels and their ways."""

    name: str
    case: Case = CLEAN
    faults: tuple[Fault, ...] = ()
    """in minutes after the onset; the sensor is mended after it"""
    flipped: int | None = None
    """so many days after the onset begin 24 hours all of whose labels say the contrary"""
    late: float = 24.0
    """hours within which a label is told"""
    wrong: float = 0.03
    """share of labels that are wrong"""
    lies: float = 0.0
    """share of predictions about which somebody without the token tells the contrary of the answer"""


DYING = Fault("missing", "CO2", 2 * DAY, 4 * DAY)
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("nothing"),
        Scenario("Light stuck for a day", faults=(Fault("stuck", "Light", 2 * DAY, 3 * DAY),)),
        Scenario("CO2 dead for two days", faults=(DYING,)),
        *(Scenario(name, KNOWN[name]) for name in HARMLESS[1:]),
        Scenario("a day of flipped labels", flipped=3),
        Scenario("lies without the token", lies=0.1),
        *(Scenario(name, KNOWN[name]) for name in ("Light × 0.3", "lamps of a third", "people sit in the dark")),
        Scenario("late shift", LATE_SHIFT),
        Scenario("night shift", NIGHT_SHIFT),
        Scenario("lamps of a third, CO2 dies meanwhile", KNOWN["lamps of a third"], faults=(DYING,)),
        Scenario("lamps of a third, a day of flipped labels", KNOWN["lamps of a third"], flipped=3),
        Scenario("people sit in the dark, labels two days late", KNOWN["people sit in the dark"], late=48.0),
        Scenario("people sit in the dark, one label in ten wrong", KNOWN["people sit in the dark"], wrong=0.1),
    )
}
