"""Reading the body of a request: whole, or not at all."""

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from occupancy.reading import InvalidReading


def read(request: Request, limit: int) -> bytes:
    """Read a body of at most `limit` bytes; raises InvalidReading for a larger one and for one whose end never came."""
    request.max_content_length = limit + 1  # at its limit, werkzeug cuts a chunked body off without a word
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(limit) from None
    except (ClientDisconnected, ParseException):
        raise _incomplete() from None
    if len(body) > limit:
        raise _too_large(limit)
    if len(body) < (request.content_length or 0):
        raise _incomplete()
    return body


def _too_large(limit: int) -> InvalidReading:
    return InvalidReading("body", "too_large", f"the body has more than {limit} bytes; send fewer readings at a time")


def _incomplete() -> InvalidReading:
    return InvalidReading("body", "incomplete", "the body ended early, or its chunks were malformed; send it again")
