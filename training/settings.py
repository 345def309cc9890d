"""Training's settings: one table, read from the environment and the command line."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from occupancy.errors import InputError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of training; the documents are made from this table."""

    training_data: Annotated[str, Meta(description="file to train on; empty: the one in DATA_HOME")] = ""
    test_data: Annotated[
        str, Meta(description="file for the back-test, looked at once; empty: the one in DATA_HOME")
    ] = ""
    recent_data: Annotated[
        str, Meta(description="file of recent readings to learn from, too, such as `monitoring collect` writes")
    ] = ""
    recent_share: Annotated[
        float, Meta(gt=0, lt=1, description="what the recent readings weigh together, of all that is learned from")
    ] = 0.5
    save_path: Annotated[str, Meta(min_length=1, description="folder for the model and its companions")] = (
        "out/training"
    )
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="seed of everything random")] = 0
    data_home: Annotated[str, Meta(description="folder that `make data` fills")] = "data/original"
    data_mapping: Annotated[
        str, Meta(description="YAML file that explains the files you name; empty: UCI's format")
    ] = ""
    search_space: Annotated[str, Meta(description="YAML file of the search space; empty: the package's")] = ""
    candidates: Annotated[int, Meta(ge=1, le=100_000, description="how many candidates the search draws")] = 80
    preprocessing: Annotated[str, Meta(description="step between the readings and the model")] = "identity"
    band: Annotated[str, Meta(description="probabilities that are called uncertain, low,high")] = "0.3,0.7"
    jobs: Annotated[int, Meta(ge=0, le=1024, description="fits at a time; 0: as many as cores; changes only speed")] = 0
    trackers: Annotated[str, Meta(description="who is told of the run: jsonl, mlflow, or both by a comma")] = "jsonl"
    override_gate: Annotated[bool, Meta(description="save a model that the gate refuses, and say so in it")] = False
    created: Annotated[
        str, Meta(description="creation time to write into the model, ISO 8601; an input, not a clock")
    ] = ""
    revision: Annotated[str, Meta(description="source revision to write into the model")] = ""


class InvalidCreated(InputError):
    """CREATED is not a time."""


def check_created(text: str) -> None:
    """Check a creation time, which may be empty; raises InvalidCreated."""
    try:
        datetime.fromisoformat(text or "2026-01-31")
    except ValueError:
        raise InvalidCreated(f"CREATED={text}: expected ISO 8601, such as 2026-01-31T12:00:00+00:00") from None


class InvalidBand(InputError):
    """BAND is not two rising probabilities."""


def band(text: str) -> tuple[float, float]:
    """Parse `low,high`; raises InvalidBand."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = -1.0
    if not 0 <= low < high <= 1:
        raise InvalidBand(
            f"BAND={text}: expected two probabilities, low,high with 0 <= low < high <= 1, such as 0.3,0.7"
        )
    return low, high
