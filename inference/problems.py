"""What a client gets when something is wrong: problem details (RFC 9457), never a traceback."""

import http
import logging
from typing import Any

from msgspec import json

MEDIA_TYPE = "application/problem+json"
KINDS = {
    "invalid-reading": "the readings break the contract",
    "invalid-option": "the query asks for what there is not",
    "invalid-feedback": "the body is not feedback",
    "unauthorized": "the token is missing, or another",
    "not-found": "there is nothing at this path",
    "method-not-allowed": "the path has other methods",
    "request-timeout": "the request did not arrive in time",
    "unsupported-media-type": "the body has a Content-Encoding",
    "malformed-request": "the server can't take it for HTTP",
    "internal-error": "the service failed",
    "overloaded": "too many requests are waiting",
    "no-model": "no model is loaded",
    "no-token": "feedback's token can't be read",
}
log = logging.getLogger("inference")


def details(status: int, kind: str, detail: str, **members: Any) -> dict[str, Any]:
    """Give a problem's members; `kind`, one of KINDS, is the last part of its type."""
    return {**named(kind), "status": status, "detail": detail, **members}


def named(kind: str) -> dict[str, str]:
    """Give the members that are the same for all problems of a kind."""
    return {"type": f"urn:occupancy:problem:{kind}", "title": kind.replace("-", " ")}


class Problem(Exception):
    """An answer other than success: an HTTP status, what went wrong, and members that help a program to mend it."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        """Keep the parts; `kind` is one of KINDS."""
        super().__init__(detail)
        self.status, self.kind, self.headers = status, kind, headers or {}
        self._members = members

    @property
    def status_line(self) -> str:
        """The status as HTTP writes it: 404 Not Found."""
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"

    def body(self) -> bytes:
        """Give the problem's members as JSON."""
        return json.encode(details(self.status, self.kind, str(self), **self._members))


def internal_error(error: Exception) -> Problem:
    """Log what should not have happened, and give what the client may know of it."""
    log.exception("unexpected error", exc_info=error)
    return Problem(500, "internal-error", "the service failed; its log says why")


def no_model(reason: Exception) -> Problem:
    """Tell that there is no model to answer with, and why."""
    return Problem(503, "no-model", f"no model is loaded: {reason}", {"Retry-After": "10"})
