"""Readings that tell a story: the demonstration sends them, the page offers them, the API's examples are of them."""

from typing import Any

from occupancy.reading import typical

SCENES: dict[str, dict[str, Any]] = {
    "a winter night": typical(Temperature=19.9, Humidity=32.1, Light=0, CO2=452),
    "people at work": typical(Temperature=21.6, Humidity=27.4, Light=459, CO2=905, date="2015-02-05T10:31:00"),
    "sun in an empty room": typical(Temperature=20.8, Humidity=22.3, Light=280, CO2=455),
    "one person by the window": typical(Temperature=22.0, Humidity=25.8, Light=372, CO2=640, room="corner office"),
    "a sensor in °F": typical(Temperature=71.6, Humidity=27.4, Light=459, CO2=905),
}
"""A scene says what it is about; of a sensor that it does not name it takes what is usual."""
