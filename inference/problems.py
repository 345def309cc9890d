"""What a client gets when something is wrong: problem details (RFC 9457), never a traceback."""

import http
import logging
from typing import Any

from msgspec import json

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger("inference")


class Problem(Exception):
    """An answer other than success: an HTTP status, what went wrong, and members that help a program to mend it."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        """Keep the parts; `kind` is the last part of the problem's type."""
        super().__init__(detail)
        self.status, self.kind, self.headers = status, kind, headers or {}
        self._members = members

    @property
    def status_line(self) -> str:
        """The status as HTTP writes it: 404 Not Found."""
        return f"{self.status} {http.HTTPStatus(self.status).phrase}"

    def body(self) -> bytes:
        """Give the problem's members as JSON."""
        return json.encode(
            {
                "type": f"urn:occupancy:problem:{self.kind}",
                "title": self.kind.replace("-", " "),
                "status": self.status,
                "detail": str(self),
                **self._members,
            }
        )


def internal_error(error: Exception) -> Problem:
    """Log what should not have happened, and give what the client may know of it."""
    log.exception("unexpected error", exc_info=error)
    return Problem(500, "internal-error", "the service failed; its log says why")


def no_model(reason: Exception) -> Problem:
    """Tell that there is no model to answer with, and why."""
    return Problem(503, "no-model", f"no model is loaded: {reason}", {"Retry-After": "10"})
