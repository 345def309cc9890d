"""The entry point that gunicorn loads in its worker: settings, model, application."""

import io
import logging
import os
import sys

from flask import Flask

from inference.app import create_app
from inference.prediction_log import PredictionLog
from inference.settings import Settings, from_environment
from occupancy.model import Model, UnusableModel, load

log = logging.getLogger("inference")


def create() -> Flask:
    """Load the model that the environment names and make the application for it."""
    settings = from_environment(os.environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # whatever the locale is: rooms have names in all scripts
    return create_app(settings, _model(settings), PredictionLog())


def _model(settings: Settings) -> Model | UnusableModel:
    """Load the model; an error is kept, for readiness to say, since a restart would not mend it."""
    try:
        model = load(settings.model, settings.model_digest)
    except UnusableModel as error:
        log.error("not ready: %s", error)  # noqa: TRY400 -- a person's mistake needs no traceback
        return error
    log.warning("serving model %s (%s)", model.version, settings.model)
    if model.card.simulated:
        log.warning(
            "SIMULATED: model %s was trained on simulated data; its answers mean nothing in a real room", model.version
        )
    if settings.delay:
        log.warning("artificial delay of %g s is ON (OCCUPANCY_DELAY)", settings.delay)
    return model
