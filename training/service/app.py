"""The web application: jobs are asked for, looked at, cancelled; their log, report and model are fetched."""

import hmac
from typing import Literal

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import RequestRedirect

from training.service import settings as setup
from training.service.jobs import LOG, OUT, STATES, Job, Shown
from training.service.openapi import LIMIT, MAX_BYTES, MAX_KEY, MOST, document
from training.service.orders import InvalidOrder, Order, Verdict, parse
from training.service.problems import Problem, answer_errors
from training.service.queue import OtherJob, Queue, QueueFull
from training.service.settings import InvalidToken, Settings

RETRY_SECONDS = 30
OPEN = {"healthz", "readyz", "api"}
# a report needs nothing but itself, and may do nothing here
CONTENT_SECURITY_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def create_app(settings: Settings, queue: Queue) -> Flask:
    """Make the application for a queue, which somebody else keeps going."""
    app = Flask(__name__, static_folder=None)
    app.config.update(PROVIDE_AUTOMATIC_OPTIONS=False, MAX_CONTENT_LENGTH=MAX_BYTES)
    answer_errors(app)

    @app.before_request
    def check() -> None:
        if request.endpoint not in OPEN:
            _check_token(settings.token_file)
        if isinstance(request.routing_exception, RequestRedirect):  # of a path that is none
            raise NotFound

    _take_orders(app, settings, queue)
    _show_jobs(app, queue)
    _give_files(app, queue)
    _tell_of_itself(app, settings, queue)
    return app


def _take_orders(app: Flask, settings: Settings, queue: Queue) -> None:
    @app.post("/jobs")
    def create() -> Response:
        try:
            order = parse(request.get_data(cache=False), settings)
        except InvalidOrder as error:
            raise Problem(422, "invalid-job", str(error)) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Problem(400, "bad-request", f"the body is not JSON: {error}") from None
        job, new = _add(queue, order, "person")
        return _json(_shown(job, queue), 201 if new else 200, {"Location": f"/jobs/{job.id}"})

    @app.post("/verdicts")
    def verdicts() -> Response:
        """The watcher's webhook: what asks for retraining begins the loop, and the rest is no business of ours."""
        try:
            verdict = msgspec.json.decode(request.get_data(cache=False), type=Verdict)
        except msgspec.ValidationError as error:
            raise Problem(422, "invalid-job", str(error).replace("`", "")) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Problem(400, "bad-request", f"the body is not JSON: {error}") from None
        _key()
        begins = (verdict.consequence, verdict.state) == ("retrain", "opened")
        return _json({"job": _add(queue, Order(kind="loop"), "verdict")[0].id if begins else None}, 202)


def _key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY or not (key.isascii() and key.isprintable()):
        raise Problem(400, "bad-request", f"Idempotency-Key: expected at most {MAX_KEY} printable ASCII characters")
    return key


def _add(queue: Queue, order: Order, trigger: Literal["person", "verdict"]) -> tuple[Job, bool]:
    """Queue a job under the request's Idempotency-Key; gives the job and whether it is new."""
    try:
        return queue.add(order, trigger, _key())
    except OtherJob as error:
        raise Problem(422, "other-job", str(error)) from None
    except QueueFull as error:
        raise Problem(429, "queue-full", str(error), {"Retry-After": str(RETRY_SECONDS)}) from None


def _show_jobs(app: Flask, queue: Queue) -> None:
    @app.get("/jobs")
    def list_jobs() -> Response:
        limit = request.args.get("limit", str(LIMIT))
        if not (limit.isascii() and limit.isdecimal() and len(limit) <= 4 and 1 <= int(limit) <= MOST):
            raise Problem(400, "bad-request", f"limit: expected a number from 1 to {MOST}")
        return _json({"jobs": [_shown(job, queue) for job in queue.store.all()[: int(limit)]]})

    @app.get("/jobs/<job_id>")
    def show(job_id: str) -> Response:
        return _json(_shown(_found(job_id, queue), queue))

    @app.post("/jobs/<job_id>/cancel")
    def cancel(job_id: str) -> Response:
        job = queue.cancel(_found(job_id, queue).id) or _found(job_id, queue)
        return _json(_shown(job, queue), 202 if job.state == "running" else 200)


def _give_files(app: Flask, queue: Queue) -> None:
    def made(job: Job, *names: str) -> bytes:
        """Read the first of the files that the job has made."""
        for name in names if job.ended else ():
            path = queue.store.folder(job.id) / OUT / name
            if path.is_file():
                return path.read_bytes()
        raise Problem(404, "not-found", f"there is none: the job is {job.state}")

    @app.get(f"/jobs/<job_id>/{LOG}")
    def log(job_id: str) -> Response:
        return Response(queue.store.log(_found(job_id, queue)), content_type="text/plain; charset=utf-8")

    @app.get("/jobs/<job_id>/report")
    def report(job_id: str) -> Response:
        page = made(_found(job_id, queue), "report.html", "refused/report.html")
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return Response(page, headers=headers, content_type="text/html; charset=utf-8")

    @app.get("/jobs/<job_id>/model")
    def model(job_id: str) -> Response:
        job = _found(job_id, queue)
        answer = Response(made(job, "model.ubj"), content_type="application/octet-stream")
        answer.headers["Content-Disposition"] = f'attachment; filename="{job.version}.ubj"'
        answer.set_etag(job.sha256)
        answer.make_conditional(request)  # 304 for who has it
        return answer


def _tell_of_itself(app: Flask, settings: Settings, queue: Queue) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        """Alive: the process answers. It depends on nothing else."""
        return _json({"alive": True})

    @app.get("/readyz")
    def readyz() -> Response:
        """Ready: the token is there, and jobs can be started."""
        _token(settings.token_file)
        if queue.trouble:
            raise Problem(503, "not-ready", f"jobs can't be started: {queue.trouble}", {"Retry-After": "10"})
        return _json({"ready": True})

    @app.get("/metrics")
    def metrics() -> Response:
        states = [job.state for job in queue.store.all()]
        lines = ["# HELP occupancy_training_jobs Jobs that are kept, by state.", "# TYPE occupancy_training_jobs gauge"]
        lines += [f'occupancy_training_jobs{{state="{state}"}} {states.count(state)}' for state in STATES]
        return Response("\n".join([*lines, ""]), content_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json")
    def api() -> Response:
        return _json(document(settings))


def _found(job_id: str, queue: Queue) -> Job:
    if job := queue.store.get(job_id):
        return job
    raise Problem(404, "not-found", "there is no such job; GET /jobs lists them")


def _shown(job: Job, queue: Queue) -> Shown:
    return Shown.of(job, queue.store.progress(job))


def _token(path: str) -> bytes:
    try:
        return setup.token(path)
    except InvalidToken as error:  # it was there when the service began
        raise Problem(503, "not-ready", str(error), {"Retry-After": "10"}) from None


def _check_token(path: str) -> None:
    """Compare a request's token with the file's, in constant time; the file may change under a running service."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode("utf-8", "replace"), _token(path)):
        detail = "this is not the service's token" if given else "send the token as Authorization: Bearer TOKEN"
        raise Problem(401, "unauthorized", detail, {"WWW-Authenticate": "Bearer"})


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, content_type="application/json")
