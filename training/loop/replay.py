"""`python -m training.loop replay ID [FILE...]`: computes a logged prediction again, and compares it to the last bit.

The model is LOOP_MODELS/VERSION/model.ubj, by the version in the record; the readings are the record's. A service answers a
single reading in double precision and a list in XGBoost's single precision; the record must be of one of the two. Changed
sensor values that lead to the same leaves of all trees give the same probability: those can't be told from the true ones.

Exit status: 0 the same; 1 it differs, and in what; 2 there is no such prediction, or its model is not there.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from occupancy import trees
from occupancy.model import Model, label
from occupancy.reading import NAMES
from training.loop import settings
from training.loop.trace import Logged, find, load


class Replay(Logged, frozen=True, kw_only=True):
    """The settings of `replay`."""


def differences(prediction: Mapping[str, Any], proven: trees.Proven) -> list[str]:
    """Compute a logged prediction again; says what in the record is not what the model gives."""
    row = [float(prediction[f"occupancy.reading.{name}"]) for name in NAMES]
    logged = float(prediction["occupancy.probability"])
    model = proven.model
    again = (proven.scorer.probability(row), float(model.probability(np.array([row], np.float32))[0]))
    found = []
    if logged.hex() not in [each.hex() for each in again]:
        alone, listed = again
        found.append(f"probability: logged {logged!r}, computed {alone!r} (alone) or {listed!r} (in a list)")
    for name, computed in (("label", label(logged)), ("answer", model.answer(logged))):
        if prediction[f"occupancy.{name}"] != computed:
            found.append(f"{name}: logged {prediction[f'occupancy.{name}']}, that probability is {computed}")
    return found


def proven(model: Model) -> trees.Proven:
    """Prepare a model for both ways of computing; raises Unscorable."""
    return trees.prove(model, model.version)


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run the command; gives the exit status."""
    table = settings.read(Replay, "replay", argv, environ, __doc__)
    prediction, *_ = find(table, environ)
    found = differences(prediction, proven(load(table, prediction)))
    name, version = prediction["event.id"], prediction["occupancy.model.version"]
    if found:
        print("\n".join((f"{name} by model {version} differs:", *(f"  {each}" for each in found))))
        return 1
    bits = float(prediction["occupancy.probability"]).hex()
    print(f"{name} by model {version}: the same, {prediction['occupancy.probability']!r} = {bits}")
    return 0
