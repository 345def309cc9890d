"""The search space: a YAML file names XGBoost parameters and how to draw them; scikit-learn's ParameterSampler draws."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from scipy import stats
from sklearn.model_selection import ParameterSampler

from occupancy.errors import InputError

Candidate = dict[str, float]

# What can be searched, with sane limits. `int` parameters take whole numbers only.
PARAMETERS: dict[str, tuple[type, float, float]] = {
    "max_depth": (int, 1, 16),
    "n_estimators": (int, 1, 5000),
    "learning_rate": (float, 1e-4, 1),
    "min_child_weight": (float, 0, 1e6),
    "subsample": (float, 0.05, 1),
    "colsample_bytree": (float, 0.05, 1),
    "reg_lambda": (float, 0, 1e6),
    "reg_alpha": (float, 0, 1e6),
    "gamma": (float, 0, 1e6),
    "max_delta_step": (float, 0, 1e3),
}
DISTRIBUTIONS = ("choice", "uniform", "log_uniform", "integer")


class InvalidSpace(InputError):
    """The search space file has an unknown parameter or distribution, or an ill-typed value."""


def load(path: str = "") -> dict[str, Any]:
    """Read a search space, by default the package's own, as scipy distributions and lists by parameter name.

    Raises InvalidSpace naming the key.
    """
    file = Path(path) if path else resources.files("training") / "space.yaml"
    try:
        written = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidSpace(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InvalidSpace(f"{file}: {' '.join(str(error).split())}") from None
    if not isinstance(written, dict) or not written:
        raise InvalidSpace(
            f"{file}: expected parameters, each with a distribution, such as max_depth: {{choice: [1, 2]}}"
        )
    missing = {"max_depth", "n_estimators"} - set(written)
    if missing:
        raise InvalidSpace(f"{file}: {', '.join(sorted(missing))} is missing: simplicity is judged by it")
    return {name: _distribution(f"{file}: {name}", name, value) for name, value in written.items()}


def draw(space: dict[str, Any], candidates: int, seed: int) -> list[Candidate]:
    """Draw candidates without repetition; fewer where the space holds fewer."""
    drawn = ParameterSampler(space, candidates, random_state=seed)
    unique = {tuple(sorted(c.items())): c for c in drawn}
    return [{name: PARAMETERS[name][0](value) for name, value in c.items()} for c in unique.values()]


def _distribution(where: str, name: str, value: Any) -> Any:
    if name not in PARAMETERS:
        raise InvalidSpace(f"{where} is not a parameter that can be searched; these are {', '.join(PARAMETERS)}")
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in DISTRIBUTIONS:
        raise InvalidSpace(
            f"{where}: expected one of {', '.join(DISTRIBUTIONS)}, such as {{uniform: [0.5, 1]}}, got {value!r}"
        )
    kind, numbers = next(iter(value.items()))
    wanted, low, high = PARAMETERS[name]
    whole = wanted is int
    if not isinstance(numbers, list) or not numbers or (kind != "choice" and len(numbers) != 2):
        raise InvalidSpace(
            f"{where}: {kind} needs a list of {'values' if kind == 'choice' else 'two numbers'}, got {numbers!r}"
        )
    for number in numbers:
        if (
            isinstance(number, bool)
            or not isinstance(number, int if whole else int | float)
            or not low <= number <= high
        ):
            kind_of = "a whole number" if whole else "a number"
            raise InvalidSpace(f"{where}: {number!r} is not {kind_of} from {low:g} to {high:g}")
    if kind == "choice":
        return numbers
    start, end = numbers
    if start >= end or (kind == "log_uniform" and start <= 0):
        raise InvalidSpace(
            f"{where}: {kind} needs two numbers in rising order{' above 0' if kind == 'log_uniform' else ''}"
        )
    if whole != (kind == "integer"):
        raise InvalidSpace(
            f"{where}: {kind} does not fit {'a whole' if whole else 'a real'} number; "
            f"use {'integer' if whole else 'uniform or log_uniform'}"
        )
    if kind == "integer":
        return stats.randint(start, end + 1)
    return stats.loguniform(start, end) if kind == "log_uniform" else stats.uniform(start, end - start)
