"""Psychrometrics: ASHRAE Handbook of Fundamentals (2005), chapter 6, equations 5, 6, 22 and 24, at sea level."""

import math
from typing import Any

MOLAR = 0.62198
"""Of water to dry air. Later editions have 0.621945; the data set agrees with this to 0.002 %, with that to 0.004 %."""
PRESSURE_PA = 101_325.0
ROUNDING, TOLERANCE = 0.00005, 0.05
_ICE = (-5.6745359e3, 6.3925247, -9.677843e-3, 6.2215701e-7, 2.0747825e-9, -9.484024e-13, 4.1635019)
_WATER = (-5.8002206e3, 1.3914993, -4.8640239e-2, 4.1764768e-5, -1.4452093e-8, 0.0, 6.5459673)


def humidity_ratio(temperature: float, humidity: float) -> float:
    """Compute kg of water vapour per kg of dry air from °C and % relative humidity."""
    ratio: float = _ratio(temperature, humidity, _ICE if temperature < 0 else _WATER, math)
    return ratio


def humidity_ratios(temperature: Any, humidity: Any, numpy: Any) -> Any:
    """Do the same for arrays; takes numpy from who has it, since single readings do without."""
    water = _ratio(temperature, humidity, _WATER, numpy)
    return numpy.where(temperature < 0, _ratio(temperature, humidity, _ICE, numpy), water)


def _ratio(temperature: Any, humidity: Any, c: tuple[float, ...], of: Any) -> Any:
    kelvin = temperature + 273.15
    saturation = of.exp(
        c[0] / kelvin
        + c[1]
        + kelvin * (c[2] + kelvin * (c[3] + kelvin * (c[4] + kelvin * c[5])))
        + c[6] * of.log(kelvin)
    )
    vapour = humidity / 100 * saturation
    return MOLAR * vapour / (PRESSURE_PA - vapour)


def contradicts(temperature: float, humidity: float, ratio: float) -> bool:
    """Tell whether a given ratio differs from the computed one by more than rounding to four digits and 5 % explain."""
    computed = humidity_ratio(temperature, humidity)
    return abs(ratio - computed) > ROUNDING + TOLERANCE * computed
