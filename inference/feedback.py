"""POST /feedback: the truth about an earlier prediction, whenever it comes, as a record that monitoring joins.

Nothing is kept here: a prediction may be another process's, and feedback that comes twice leaves two records that say
the same, of which the join takes the latest. So feedback may be late, repeated, out of order, or corrected.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from inference import bearer, body
from inference.limiter import Limiter
from inference.metrics import Metrics
from inference.prediction_log import PredictionLog
from inference.problems import Problem
from occupancy import record
from occupancy.reading import InvalidReading
from occupancy.record import Boot, Request

PATH, MAX_BYTES = "/feedback", 4096


class Truth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client tells: the `id` of a prediction's answer, and whether the room was in fact occupied."""

    id: Annotated[str, Meta(pattern=rf"^{record.ID.pattern}$(?!\n)", description="the `id` of the prediction's answer")]
    occupied: Annotated[bool, Meta(description="whether the room was in fact occupied at the reading's time")]


EXPECTED = 'expected {"id": the id of a prediction, such as 40edcbf65c63-2, "occupied": true or false}'
_decode = msgspec.json.Decoder(Truth).decode
_FIELD = re.compile(r"`\$\.(\w+)`|field `(\w+)`")


class Feedback:
    """Takes feedback; with a token file, from those alone who send its token."""

    def __init__(self, token_file: str, boot: Boot, log: PredictionLog, metrics: Metrics, limiter: Limiter) -> None:
        """Take what it needs."""
        self._token_file, self._boot, self._log, self._metrics = token_file, boot, log, metrics
        self._limiter = limiter

    def take(self, environ: dict[str, Any], request: Request) -> dict[str, Any]:
        """Record what a request tells and give the answer; raises Problem."""
        authenticated = self._token_file != "" and bearer.check(environ, self._token_file)
        try:
            with self._limiter:
                given = body.read(environ, MAX_BYTES)
            truth = _decode(given)
        except InvalidReading as error:
            raise Problem(413 if error.reason == "too_large" else 400, "invalid-feedback", str(error)) from None
        except msgspec.ValidationError as error:
            field = _FIELD.search(str(error))
            name = (field[1] or field[2]) if field else "body"
            detail = f"{name} is missing, wrong or not a field: {EXPECTED}"
            raise Problem(422, "invalid-feedback", detail, field=name) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Problem(400, "invalid-feedback", f"the body is not JSON: {error}", field="body") from None
        self._log.write(
            record.feedback(
                self._boot, request, prediction=truth.id, occupied=truth.occupied, authenticated=authenticated
            )
        )
        self._metrics.count("feedback", str(truth.occupied).lower(), str(authenticated).lower())
        return {"id": truth.id, "occupied": truth.occupied, "authenticated": authenticated}
