"""Flags: what makes an answer doubtful though its reading is possible."""

from collections.abc import Iterable, Mapping
from typing import Any

from occupancy.humidity import contradicts
from occupancy.reading import DERIVED, FEATURES, Reading

BEYOND, CONTRADICTION = "beyond_training", "contradiction"
Flag = dict[str, Any]


class Flagger:
    """Compares readings with the range that one model was trained on, and with themselves."""

    def __init__(self, training_range: Mapping[str, tuple[float, float]]) -> None:
        """Take the range of each sensor; one without a range is not compared."""
        self._ranges = [
            (at, *training_range[feature.name]) for at, feature in enumerate(FEATURES) if feature.name in training_range
        ]

    def flags(self, reading: Reading, values: tuple[float, ...]) -> list[Flag]:
        """List what is doubtful: field, reason, and both in words; `values` in the contract's order."""
        found: list[Flag] = []
        for at, low, high in self._ranges:
            if not low <= values[at] <= high:
                name, unit = FEATURES[at].name, FEATURES[at].unit
                detail = f"{name} is {values[at]:g} {unit}; the model was trained on {low:g} to {high:g}"
                found.append({"field": name, "reason": BEYOND, "detail": detail})
        if reading.HumidityRatio is not None and contradicts(
            reading.Temperature, reading.Humidity, reading.HumidityRatio
        ):
            detail = f"{DERIVED} is {reading.HumidityRatio:g} kg/kg, which Temperature and Humidity contradict"
            found.append({"field": DERIVED, "reason": CONTRADICTION, "detail": detail})
        return found


def named(flags: Iterable[Flag]) -> list[str]:
    """Name flags as records do: reason:field."""
    return [f"{flag['reason']}:{flag['field']}" for flag in flags]
