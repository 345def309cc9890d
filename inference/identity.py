"""Who a request is: X-Request-Id and the W3C trace context (https://www.w3.org/TR/trace-context/)."""

import random
import re
import time
from typing import Any

from occupancy.record import Request

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


def identify(environ: dict[str, Any]) -> Request:
    """Name a request as it arrives: by its client's id where that is printable and at most 64 long, else by one of ours.

    A traceparent that breaks the standard is ignored, as the standard asks.
    """
    given = environ.get("HTTP_X_REQUEST_ID")
    name = given if given and REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
    parent = environ.get("HTTP_TRACEPARENT")
    trace = _TRACEPARENT.fullmatch(parent) if parent else None
    return Request(name, trace[1] if trace else "", trace[2] if trace else "", time.monotonic_ns())
