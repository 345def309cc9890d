"""What a client gets when something is wrong: problem details (RFC 9457), never a traceback."""

import logging

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
KINDS = {
    "bad-request": "the request can't be understood",
    "unauthorized": "the token is missing, or another",
    "not-found": "there is nothing at this path, or not yet",
    "method-not-allowed": "the path has other methods",
    "request-entity-too-large": "the body has too many bytes",
    "invalid-job": "no job can be made of the body",
    "other-job": "the Idempotency-Key was used with another body",
    "queue-full": "too many jobs wait",
    "internal-error": "the service failed",
    "not-ready": "jobs can't be started at present, or the token can't be read",
}
log = logging.getLogger("training.service")


class Problem(Exception):
    """An answer other than success: an HTTP status, what went wrong, and headers that help a program to mend it."""

    def __init__(self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> None:
        """Keep the parts; `kind` is one of KINDS."""
        super().__init__(detail)
        self.status, self.kind, self.headers = status, kind, headers or {}

    def response(self) -> Response:
        """Give the answer."""
        type_, title = f"urn:occupancy:problem:{self.kind}", self.kind.replace("-", " ")
        body = {"type": type_, "title": title, "status": self.status, "detail": str(self)}
        return Response(msgspec.json.encode(body), self.status, self.headers, content_type=MEDIA_TYPE)


def answer_errors(app: Flask) -> None:
    """Make an app answer every error with problem details."""

    @app.errorhandler(Problem)
    def problem(error: Problem) -> Response:
        return error.response()

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        kind = error.name.lower().replace(" ", "-")
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return Problem(error.code or 500, kind, error.description or kind, headers).response()

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        log.exception("unexpected error", exc_info=error)
        return Problem(500, "internal-error", "the service failed; its log says why").response()
