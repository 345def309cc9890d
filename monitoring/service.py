"""The service as one of its clients sees it: readings and feedback over one connection, patient while it is away."""

import http.client
import select
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from occupancy.errors import InputError

TIMEOUT_SECONDS = 30.0  # for one answer
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s between two tries where the service does not say when to come back
QUIET_SECONDS = 1.0  # of waiting, before it is told
LATER = (408, 429, 502, 503, 504)  # ask for the same request again; some are those of a proxy before it
JSON = {"Content-Type": "application/json"}


class ServiceAway(InputError):
    """The service was away or overloaded for longer than we wait."""


class NotTheService(InputError):
    """What answers is not the service, or does not take what we send."""


class NoToken(InputError):
    """The file that should hold the token can't be read, or holds none."""


class Interrupted(Exception):
    """Somebody asked all clients to stop."""


class Result(NamedTuple):
    """What became of one reading: its answer, or the fault it was refused for (`field`, `reason`); if it failed, neither."""

    answer: dict[str, Any] | None
    fault: dict[str, Any] | None


class Service:
    """One kept-alive connection to a service; not to be shared between threads.

    `again` counts requests sent again because the connection broke before their answer came: what they held may have
    been answered twice.
    """

    def __init__(
        self,
        url: str,
        patience: float,
        *,
        token: str = "",
        stop: threading.Event | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare for http(s)://host:port, to wait at most `patience` s for it; `tell` is told when that takes long.

        Raises NotTheService for a URL of another kind.
        """
        kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            parts = urlsplit(url)
            self._connection = kinds[parts.scheme](parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        except (KeyError, ValueError, http.client.InvalidURL):
            raise NotTheService(f"{url}: expected the service as http://host:port") from None
        self._url, self._path, self._patience = url, parts.path.rstrip("/"), patience
        self._headers = {**JSON, **({"Authorization": f"Bearer {token}"} if token else {})}
        self._stop, self._tell = stop or threading.Event(), tell
        self.again = 0

    def predict(self, readings: Sequence[dict[str, Any]]) -> list[Result]:
        """Send readings, as one object where it is one, else as a list; gives what became of each, in their order."""
        single = len(readings) == 1
        body = msgspec.json.encode(readings[0] if single else readings)
        status, said = self._post("/predict?partial=true", body)
        if status == 500:
            return [Result(None, None)] * len(readings)
        if status == 422 and single and isinstance(said, dict):
            return [Result(None, said)]
        answers = [said] if single else said
        whole = isinstance(answers, list) and [type(answer) for answer in answers] == [dict] * len(readings)
        if status != 200 or not whole:
            raise self._unexpected(status, said)
        return [Result(None, a["error"]) if "error" in a else Result(a, None) for a in answers]

    def feedback(self, prediction: str, occupied: bool) -> None:
        """Tell the truth about a prediction."""
        status, said = self._post("/feedback", msgspec.json.encode({"id": prediction, "occupied": occupied}))
        if status == 401 and "Authorization" in self._headers:
            raise NotTheService(f"{self._url}: the token is not the service's; name its file with --token-file")
        if status == 401:
            raise NotTheService(f"{self._url}: feedback needs the service's token; name its file with --token-file")
        if status != 200:
            raise self._unexpected(status, said)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _post(self, path: str, body: bytes) -> tuple[int, Any]:
        """Send until there is an answer that does not ask to come later; raises ServiceAway when that takes too long."""
        began, pause, told = time.monotonic(), FIRST_PAUSE, False
        while True:
            if self._stop.is_set():
                raise Interrupted
            try:
                status, headers, content = self._try(path, body)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                why, wait = f"{type(error).__name__}: {error}", pause
            else:
                said = _decoded(content)
                if status not in LATER:
                    return status, said
                why, wait = f"it answers {status}, {_detail(said)}", _seconds(headers.get("Retry-After"), pause)
            waited = time.monotonic() - began
            if waited + wait > self._patience:
                raise ServiceAway(
                    f"{self._url}: {why}; after {waited:.0f} s nothing else. Is the service running there?"
                )
            if waited > QUIET_SECONDS and not told:
                told = True
                self._tell(f"{self._url}: {why}; waiting for it")
            self._stop.wait(wait)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _try(self, path: str, body: bytes) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection.sock and select.select([self._connection.sock], [], [], 0)[0]:
            self._connection.close()  # the server has ended it while it was idle: nothing was lost with it
        self._connection.request("POST", self._path + path, body, self._headers)
        try:
            response = self._connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException):
            self.again += 1
            raise

    def _unexpected(self, status: int, said: Any) -> NotTheService:
        advice = "; send fewer in one request: --batch" if status == 413 else ""
        return NotTheService(f"{self._url}: it answers {status}, {_detail(said)}{advice}")


def token(path: str) -> str:
    """Read a token from its file; an empty path gives none. Raises NoToken."""
    if not path:
        return ""
    try:
        text = Path(path).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoToken(f"{path}: the token can't be read: {error}") from None
    if not text or not text.isprintable():
        raise NoToken(f"{path}: expected one line of ASCII, the service's token for feedback")
    return text


def _decoded(content: bytes) -> Any:
    """Decode JSON; what is none, such as a proxy's page, gives None."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _detail(said: Any) -> str:
    return str(said.get("detail", "") if isinstance(said, dict) else "") or "not as the service does"


def _seconds(given: str | None, otherwise: float) -> float:
    return float(given) if given and given.isdecimal() else otherwise
