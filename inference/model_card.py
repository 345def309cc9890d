"""GET /model: what is live, where it comes from, and how good it was measured to be."""

from datetime import datetime
from typing import Any

from occupancy.model import THRESHOLD, Model

LINEAGE = ("created", "revision", "data", "reference", "preprocessing", "search", "hyperparameters", "seed", "packages")


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
        "lineage": {name: getattr(card, name) for name in LINEAGE},
    }
