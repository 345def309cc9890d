"""The web application: POST /predict, GET /healthz, GET /readyz."""

import re
import secrets
import time

import msgspec
from flask import Flask, Response, g, request

from inference import body, problems
from inference.prediction_log import PredictionLog
from inference.problems import Problem
from inference.service import Service
from inference.settings import Settings
from occupancy.model import Model, UnusableModel
from occupancy.reading import InvalidReading

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")


def create_app(settings: Settings, model: Model | UnusableModel, log: PredictionLog) -> Flask:
    """Make the application for one model; one that could not be loaded leaves it alive, not ready, and saying why."""
    app = Flask(__name__, static_folder=None)
    problems.install(app)
    service = Service(settings, model, log) if isinstance(model, Model) else None

    def ready() -> Service:
        if service is None:
            raise Problem(503, "no-model", f"no model is loaded: {model}", {"Retry-After": "10"})
        return service

    @app.before_request
    def identify() -> None:
        g.started_ns = time.monotonic_ns()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

    @app.after_request
    def name_the_request(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        return response

    @app.post("/predict")
    def predict() -> Response:
        service = ready()
        try:
            given = body.read(request, settings.max_bytes)
        except InvalidReading as error:
            service.refuse([error], g.request_id, g.started_ns)
        return _json(service.predict(given, g.request_id, g.started_ns))

    @app.get("/healthz")
    def healthz() -> Response:
        """Alive: the process answers. It depends on nothing else."""
        return _json({"alive": True})

    @app.get("/readyz")
    def readyz() -> Response:
        """Ready: a model is loaded and gives the probabilities it was saved with."""
        return _json({"ready": True, "model_version": ready().model.version})

    return app


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
