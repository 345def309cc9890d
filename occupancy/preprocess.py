"""Preprocessing: named functions from sensor values to the model's inputs; the model records which one it needs.

To add a step, add a function to STEPS and name it in training's PREPROCESSING setting; serving finds it by name.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Values = np.ndarray[Any, np.dtype[np.float32]]


def identity(values: Values) -> Values:
    """Leave the values as they are; shape (rows, sensors) in the contract's order, float32."""
    return values


STEPS: dict[str, Callable[[Values], Values]] = {"identity": identity}
