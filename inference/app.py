"""The web application: POST /predict is a callable of its own, mounted here; everything else is Flask's."""

import http
from datetime import UTC, datetime

import msgspec
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import RequestRedirect

from inference import feedback, predict, problems
from inference.feedback import Feedback
from inference.identity import identify
from inference.limiter import Limiter
from inference.metrics import Metrics
from inference.model_card import describe
from inference.openapi.document import document
from inference.page import html
from inference.predict import Predict
from inference.prediction_log import PredictionLog
from inference.problems import Problem
from inference.settings import Settings
from occupancy.model import Model, UnusableModel
from occupancy.record import Boot
from occupancy.trees import Proven

# the page needs nothing but itself and this service
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_app(settings: Settings, proven: Proven | UnusableModel, boot: Boot, log: PredictionLog) -> Flask:
    """Make the application for one model; one that could not be loaded leaves it alive, not ready, and saying why."""
    app = Flask(__name__, static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    _answer_errors(app)
    since = datetime.now(UTC)
    metrics = Metrics(log, proven.model if isinstance(proven, Proven) else None, since.timestamp())
    limiter = Limiter(settings.concurrency, settings.queue)
    _name_and_count(app, metrics)
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, {predict.PATH: Predict(settings, proven, boot=boot, log=log, metrics=metrics, limiter=limiter)}
    )
    taking = Feedback(settings.feedback_token_file, boot, log, metrics, limiter)

    def ready() -> Model:
        if isinstance(proven, UnusableModel):
            raise problems.no_model(proven)
        return proven.model

    @app.get("/")
    def page() -> Response:
        """A page to try it with."""
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return Response(html(), headers=headers, content_type="text/html; charset=utf-8")

    @app.post(feedback.PATH)
    def tell() -> Response:
        ready()
        return _json(taking.take(request.environ, g.request))

    @app.get("/healthz")
    def healthz() -> Response:
        """Alive: the process answers. It depends on nothing else."""
        return _json({"alive": True})

    @app.get("/readyz")
    def readyz() -> Response:
        """Ready: a model is loaded and gives the probabilities it was saved with."""
        return _json({"ready": True, "model_version": ready().version})

    @app.get("/model")
    def live_model() -> Response:
        return _json(describe(ready(), since))

    @app.get("/metrics")
    def figures() -> Response:
        from inference import exposition  # noqa: PLC0415 -- what it imports would make every start slower by a tenth

        return Response(exposition.page(metrics), content_type=exposition.MEDIA_TYPE)

    @app.get("/openapi.json")
    def api() -> Response:
        return _json(document(settings))

    return app


def _answer_errors(app: Flask) -> None:
    """Make the app answer every error with problem details."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return Response(error.body(), error.status, error.headers, content_type=problems.MEDIA_TYPE)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        kind = http.HTTPStatus(status).phrase.lower().replace(" ", "-")
        headers = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
        return problem(Problem(status, kind, error.description or kind, headers))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        return problem(problems.internal_error(error))


def _name_and_count(app: Flask, metrics: Metrics) -> None:
    """Have every request identified on its way in, and counted on its way out."""

    @app.before_request
    def name_the_request() -> None:
        g.request = identify(request.environ)
        if isinstance(request.routing_exception, RequestRedirect):  # of a path that is none, such as that of OPTIONS *
            raise NotFound

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request.id
        path = request.url_rule.rule if request.url_rule else "other"
        metrics.count("http_requests", path, str(response.status_code))
        return response


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), content_type="application/json")
