"""The entry point that gunicorn loads in its worker: settings, model, log, application."""

import atexit
import logging
import os
import sys

from flask import Flask

from inference.app import create_app
from inference.prediction_log import PredictionLog
from inference.settings import PREFIX, Settings, from_environment
from occupancy import __version__, record
from occupancy.model import UnusableModel, load
from occupancy.record import Boot
from occupancy.trees import Proven, prove

log = logging.getLogger("inference")


def create() -> Flask:
    """Load the model that the environment names and make the application for it."""
    settings = from_environment(os.environ)
    proven = _proven(settings)
    boot = boot_of(proven)
    prediction_log = PredictionLog(sys.stdout.fileno(), settings.log_queue, lambda lost: record.loss(boot, lost))
    atexit.register(prediction_log.close)
    return create_app(settings, proven, boot, prediction_log)


def boot_of(proven: Proven | UnusableModel) -> Boot:
    """Begin the records of this process."""
    if isinstance(proven, Proven):
        model = proven.model
        return Boot("occupancy-inference", __version__, model.version, simulated=model.card.simulated)
    return Boot("occupancy-inference", __version__, "none", simulated=False)


def _proven(settings: Settings) -> Proven | UnusableModel:
    """Load the model; an error is kept, for readiness to say, since a restart would not mend it."""
    try:
        proven = prove(load(settings.model, settings.model_digest), settings.model)
    except UnusableModel as error:
        log.error("not ready: %s", error)  # noqa: TRY400 -- a person's mistake needs no traceback
        return error
    model = proven.model
    log.info("serving model %s (%s)", model.version, settings.model)
    if model.card.simulated:
        log.warning(
            "SIMULATED: model %s was trained on simulated data; its answers mean nothing in a real room", model.version
        )
    if settings.delay:
        log.warning("artificial delay of %g s is ON (%sDELAY)", settings.delay, PREFIX)
    return proven
