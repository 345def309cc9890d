"""Reading the body of a request: whole, or not at all."""

from typing import Any

from gunicorn.http.errors import ParseException

from inference.problems import Problem
from occupancy.reading import InvalidReading


class Stalled(ParseException):  # type: ignore[misc]
    """A client took too long to send its request."""

    def __str__(self) -> str:
        return "the request did not arrive in time; send it again"


def read(environ: dict[str, Any], limit: int) -> bytes:
    """Read a body of at most `limit` bytes.

    Raises InvalidReading for one that is larger or whose end never came, Problem for one that is encoded.
    """
    encoding = environ.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding != "identity":
        raise Problem(415, "unsupported-media-type", "send the body as it is, without a Content-Encoding")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > limit:
        raise _too_large(limit)
    chunked = not length and "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    try:
        body: bytes = environ["wsgi.input"].read(limit + 1 if chunked else length)
    except Stalled:
        raise Problem(408, "request-timeout", str(Stalled())) from None
    except (ParseException, OSError):
        raise _incomplete() from None
    if len(body) > limit:
        raise _too_large(limit)
    if len(body) < length:
        raise _incomplete()
    return body


def _too_large(limit: int) -> InvalidReading:
    return InvalidReading("body", "too_large", f"the body has more than {limit} bytes; send less at a time")


def _incomplete() -> InvalidReading:
    return InvalidReading("body", "incomplete", "the body ended early, or its chunks were malformed; send it again")
