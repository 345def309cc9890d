"""POST /predict: how a request becomes an answer, top to bottom.

It is a plain WSGI callable, mounted beside the Flask app that answers everything else: Flask's own request and response
objects cost more than all that happens here.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from inference import age, body, formats, options, problems
from inference.answering import Answering, described
from inference.identity import identify
from inference.limiter import Limiter
from inference.metrics import Metrics
from inference.prediction_log import PredictionLog
from inference.problems import Problem, no_model
from inference.settings import Settings
from occupancy import record
from occupancy.model import UnusableModel
from occupancy.reading import InvalidReading
from occupancy.record import Boot, Request
from occupancy.trees import Proven

PATH = "/predict"


class Predict:
    """Answers with one model; without one it says why there is none."""

    def __init__(
        self,
        settings: Settings,
        proven: Proven | UnusableModel,
        *,
        boot: Boot,
        log: PredictionLog,
        metrics: Metrics,
        limiter: Limiter,
    ) -> None:
        """Prepare what every request needs."""
        self._settings, self._proven, self._boot, self._log, self._metrics = settings, proven, boot, log, metrics
        self._limiter = limiter
        self._max_age = timedelta(seconds=settings.max_age)
        if isinstance(proven, Proven):
            self._zone = settings.zone(proven.model.card.timezone)
            self._answering = Answering(settings, proven, boot, log, metrics)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        request = identify(environ)
        try:
            said, status, kind, headers = self.answer(environ, request), "200 OK", "application/json", []
        except Exception as error:  # noqa: BLE001 -- whatever happens, the client gets an answer
            problem = error if isinstance(error, Problem) else problems.internal_error(error)
            said, status, kind = problem.body(), problem.status_line, problems.MEDIA_TYPE
            headers = list(problem.headers.items())
            # a reading's own fault has its record already
            if problem.status >= 500 and isinstance(self._proven, Proven):
                self._log.write(record.refusal(self._boot, request, reason=problem.kind, detail=str(problem)))
            # its traceback holds this frame: as a cycle, the whole body would wait for the garbage collector
            del problem
        start_response(
            status,
            [
                ("Content-Type", kind),
                ("Content-Length", str(len(said))),
                ("X-Request-Id", request.id),
                *headers,
            ],
        )
        self._metrics.predicted(PATH, status[:3], (time.monotonic_ns() - request.started_ns) / 1e9)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [said]

    def answer(self, environ: dict[str, Any], request: Request) -> bytes:
        """Read, decode, check, score, record: gives the answer's JSON; raises Problem."""
        self._check(environ)
        asked = options.read(environ)
        with self._limiter:
            try:
                given = body.read(environ, self._settings.max_bytes)
                with self._limiter.turn:
                    if self._settings.delay:
                        time.sleep(self._settings.delay)
                    batch = formats.decode(
                        given, environ.get("CONTENT_TYPE", ""), self._settings.max_readings, self._zone
                    )
                    if self._max_age:
                        batch = age.check(batch, self._max_age, datetime.now(UTC))
                    if batch.invalid:
                        self._answering.refuse(batch.invalid, request)
                        if batch.single or not asked.partial:
                            raise _refusal(batch.invalid)
                    answers = self._answering.answer(batch, request, asked)
            except InvalidReading as error:
                self._answering.refuse([error], request)
                raise _refusal([error]) from None
        return msgspec.json.encode(answers[0] if batch.single else answers)

    def _check(self, environ: dict[str, Any]) -> None:
        if environ["PATH_INFO"]:
            raise Problem(404, "not-found", f"there is nothing here; readings go to POST {PATH}")
        if environ["REQUEST_METHOD"] != "POST":
            raise Problem(405, "method-not-allowed", f"readings go to {PATH} by POST", {"Allow": "POST"})
        if isinstance(self._proven, UnusableModel):
            raise no_model(self._proven)


UNREADABLE = frozenset({"not_utf8", "not_json", "too_deep", "empty", "incomplete", "not_csv", "no_header"})
TOO_MUCH = frozenset({"too_large", "too_many"})


def _refusal(invalid: list[InvalidReading]) -> Problem:
    """Make the problem that names the first bad reading's field, and lists all."""
    first = invalid[0]
    whole = first.index is None and (first.reason in UNREADABLE or first.reason == "not_an_object")
    status = 413 if first.reason in TOO_MUCH else 400 if whole else 422
    errors = [described(error) for error in invalid]
    return Problem(status, "invalid-reading", str(first), field=first.field, reason=first.reason, errors=errors)
