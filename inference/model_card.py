"""GET /model: what is live, where it comes from, and how good it was measured to be."""

from datetime import datetime
from typing import Any

from occupancy.model import THRESHOLD, Model


def describe(model: Model, since: datetime) -> dict[str, Any]:
    """Describe the model that answers; `since`: when this process began to answer with it."""
    card = model.card
    return {
        "version": model.version,
        "sha256": model.sha256,
        "live_since": since,
        "simulated": card.simulated,
        "contract": card.contract,
        "decision": {"threshold": THRESHOLD, "uncertain": card.band},
        "training_range": card.training_range,
        "timezone": card.timezone,
        "metrics": card.metrics,
        "gate": card.gate,
        "lineage": {
            "created": card.created,
            "revision": card.revision,
            "data": card.data,
            "reference": card.reference,
            "preprocessing": card.preprocessing,
            "search": card.search,
            "hyperparameters": card.hyperparameters,
            "seed": card.seed,
            "packages": card.packages,
        },
    }
