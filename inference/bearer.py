"""The token that proves who sends feedback (RFC 6750), kept in a file."""

import hmac
import logging
from pathlib import Path
from typing import Any

from inference.problems import Problem
from inference.settings import PREFIX
from occupancy.errors import InputError

log = logging.getLogger("inference")


class InvalidToken(InputError):
    """The file that should hold the token can't be read, or holds none."""


def read_token(path: str) -> bytes:
    """Read the token; raises InvalidToken, naming the file."""
    try:
        token = Path(path).read_bytes().strip()
    except OSError as error:
        raise InvalidToken(f"{PREFIX}FEEDBACK_TOKEN_FILE={path}: {error.strerror}; name a file with a token") from None
    if not token:
        raise InvalidToken(f"{PREFIX}FEEDBACK_TOKEN_FILE={path} is empty; put a token into it")
    return token


def check(environ: dict[str, Any], path: str) -> bool:
    """Compare a request's token with the file's, in constant time; true, or Problem 401.

    The file is read anew each time, so that the token can be changed under a running service.
    """
    scheme, _, given = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        token = read_token(path)
    except InvalidToken as error:  # it was there when the service began
        log.error("%s", error)  # noqa: TRY400
        raise Problem(
            503, "no-token", "feedback can't be taken: its token can't be read", {"Retry-After": "10"}
        ) from None
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), token):
        return True
    raise Problem(
        401,
        "unauthorized",
        "feedback needs the token: send it as Authorization: Bearer TOKEN",
        {"WWW-Authenticate": "Bearer"},
    )
