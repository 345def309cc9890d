"""The examples in /openapi.json: what was sent and what came back. A test sends each again."""

import json
from typing import Any, NamedTuple

from inference import problems
from inference.scenes import SCENES
from occupancy.reading import NAMES

WORK = {name: value for name, value in SCENES["people at work"].items() if name in NAMES}
NIGHT = SCENES["a winter night"]
NAMED = NIGHT | {"date": "2015-02-04T02:51:00+01:00", "room": "B 12", "id": "r-2"}
SUMMER = NIGHT | {"Temperature": 29.5, "HumidityRatio": 0.004}
FAHRENHEIT = WORK | {"Temperature": 71.6}
TRUTH = {"id": "40edcbf65c63-2", "occupied": True}
_TWO = (WORK | {"id": "r-1"}, NIGHT | {"id": "r-2"})
CSV = "".join(",".join(map(str, line)) + "\n" for line in (_TWO[0], *(reading.values() for reading in _TWO)))
NDJSON = "".join(json.dumps(reading) + "\n" for reading in _TWO)

_MODEL = "f8fbf10b52fd"
_OCCUPIED = {"label": 1, "probability": 0.9902433486222884, "answer": "occupied", "model_version": _MODEL}
_EMPTY = {"label": 0, "probability": 0.0003559085598681122, "answer": "empty", "model_version": _MODEL}
_BOTH = [
    {"id": "40edcbf65c63-1"} | _OCCUPIED | {"reading_id": "r-1"},
    {"id": "40edcbf65c63-2"} | _EMPTY | {"reading_id": "r-2"},
]
_IN_FAHRENHEIT = {
    "field": "Temperature",
    "reason": "out_of_range",
    "detail": "Temperature is 71.6; Temperature is in °C, from -40 to 60; is it in °F?",
    "index": None,
}


class Example(NamedTuple):
    """One exchange. `sent` says what differs from an empty request by the operation's own method."""

    operations: tuple[str, ...]
    name: str
    sent: dict[str, Any] | None
    """None: no single request brings it about."""
    status: int
    answer: Any


def _invalid(status: int, error: dict[str, Any]) -> dict[str, Any]:
    named = {"field": error["field"], "reason": error["reason"]}
    return problems.details(status, "invalid-reading", error["detail"], **named, errors=[error])


def _body(reason: str, detail: str) -> dict[str, Any]:
    return {"field": "body", "reason": reason, "detail": detail, "index": None}


_PREDICT, _FEEDBACK, _BOTH_POSTS = ("predict",), ("feedback",), ("predict", "feedback")
_GETS = ("model", "healthz", "readyz", "metrics", "openapi", "page")
_ALL = (*_BOTH_POSTS, *_GETS)
_NO_METHOD = problems.details(405, "method-not-allowed", "The method is not allowed for the requested URL.")
EXAMPLES: tuple[Example, ...] = (
    Example(_PREDICT, "one", {"body": WORK}, 200, {"id": "40edcbf65c63-1"} | _OCCUPIED),
    Example(_PREDICT, "several", {"body": [WORK | {"id": "r-1"}, NAMED]}, 200, _BOTH),
    Example(_PREDICT, "csv", {"headers": {"Content-Type": "text/csv"}, "body": CSV}, 200, _BOTH),
    Example(_PREDICT, "ndjson", {"headers": {"Content-Type": "application/x-ndjson"}, "body": NDJSON}, 200, _BOTH),
    Example(
        _PREDICT,
        "explained",
        {"query": {"explain": "true"}, "body": WORK},
        200,
        {"id": "40edcbf65c63-1"}
        | _OCCUPIED
        | {
            "explanation": {
                "contributions": dict.fromkeys(NAMES, 0.0)
                | {
                    "Temperature": 0.49224016070365906,
                    "Humidity": 0.40310752391815186,
                    "Light": 4.038979530334473,
                    "CO2": 1.2833728790283203,
                    "HumidityRatio": -0.10768379271030426,
                },
                "bias": -1.4900144338607788,
                "margin": 4.620001867413521,
                "words": "Light of 459 lux speaks for occupied (+4.04); CO2 of 905 ppm speaks for occupied (+1.28); "
                "Temperature of 21.6 °C speaks for occupied (+0.49); Humidity of 27.4 % speaks for occupied (+0.40); "
                "HumidityRatio of 0.00437144 kg/kg speaks for empty (-0.11); without any sensor the log-odds are -1.49.",
            }
        },
    ),
    Example(
        _PREDICT,
        "doubtful",
        {"body": SUMMER},
        200,
        {
            "id": "40edcbf65c63-1",
            "label": 0,
            "probability": 0.00003928398983388315,
            "answer": "empty",
            "model_version": _MODEL,
            "flags": [
                {
                    "field": "Temperature",
                    "reason": "beyond_training",
                    "detail": "Temperature is 29.5 °C; the model was trained on 19 to 23.18",
                },
                {
                    "field": "HumidityRatio",
                    "reason": "contradiction",
                    "detail": "HumidityRatio is 0.004 kg/kg, which Temperature and Humidity contradict",
                },
            ],
        },
    ),
    Example(
        _PREDICT,
        "in part",
        {"query": {"partial": "true"}, "body": [WORK, FAHRENHEIT]},
        200,
        [
            {"id": "40edcbf65c63-2"} | _OCCUPIED,
            {"error": _IN_FAHRENHEIT | {"detail": f"reading 1: {_IN_FAHRENHEIT['detail']}", "index": 1}},
        ],
    ),
    Example(_PREDICT, "wrong unit", {"body": FAHRENHEIT}, 422, _invalid(422, _IN_FAHRENHEIT)),
    Example(
        _PREDICT,
        "not JSON",
        {"body": "Temperature=21.6"},
        400,
        _invalid(
            400,
            _body(
                "not_json",
                "the body is not JSON: Expecting value: line 1 column 1 (char 0); for CSV send Content-Type: text/csv, "
                "for one JSON object a line application/x-ndjson",
            ),
        ),
    ),
    Example(
        _PREDICT,
        "no option",
        {"query": {"explain": "why"}, "body": WORK},
        400,
        problems.details(
            400, "invalid-option", "explain is 'why': expected true or false", field="explain", reason="invalid"
        ),
    ),
    Example(
        _PREDICT,
        "too many",
        None,
        413,
        _invalid(413, _body("too_many", "the list has 1001 readings: at most 1000 in one request")),
    ),
    Example(
        _PREDICT,
        "overloaded",
        None,
        503,
        problems.details(503, "overloaded", "too many requests are waiting; try again later"),
    ),
    Example(
        _PREDICT,
        "method",
        {"method": "GET"},
        405,
        problems.details(405, "method-not-allowed", "readings go to /predict by POST"),
    ),
    Example(_FEEDBACK, "occupied", {"body": TRUTH}, 200, TRUTH | {"authenticated": False}),
    Example(
        _FEEDBACK,
        "no boolean",
        {"body": TRUTH | {"occupied": 1}},
        422,
        problems.details(
            422,
            "invalid-feedback",
            'occupied is missing, wrong or not a field: expected {"id": the id of a prediction, such as 40edcbf65c63-2, '
            '"occupied": true or false}',
            field="occupied",
        ),
    ),
    Example(
        _FEEDBACK,
        "not JSON",
        {"body": "occupied"},
        400,
        problems.details(
            400,
            "invalid-feedback",
            "the body is not JSON: JSON is malformed: invalid character (byte 0)",
            field="body",
        ),
    ),
    Example(
        _FEEDBACK,
        "no token",
        {"body": TRUTH},
        401,
        problems.details(401, "unauthorized", "feedback needs the token: send it as Authorization: Bearer TOKEN"),
    ),
    Example(_FEEDBACK, "method", {"method": "GET"}, 405, _NO_METHOD),
    Example(_GETS, "method", {"method": "POST"}, 405, _NO_METHOD),
    Example(
        _BOTH_POSTS,
        "encoded",
        {"headers": {"Content-Encoding": "gzip"}},
        415,
        problems.details(415, "unsupported-media-type", "send the body as it is, without a Content-Encoding"),
    ),
    Example(("healthz",), "alive", {}, 200, {"alive": True}),
    Example(("readyz",), "ready", {}, 200, {"ready": True, "model_version": _MODEL}),
    Example(
        ("predict", "feedback", "model", "readyz"),
        "no model",
        None,
        503,
        problems.details(
            503,
            "no-model",
            "no model is loaded: model.ubj: No such file or directory; train one with `make train`, or name one that exists",
        ),
    ),
    Example(
        _ALL,
        "too slow",
        None,
        408,
        problems.details(408, "request-timeout", "the request did not arrive in time; send it again"),
    ),
    Example(
        _ALL,
        "failed",
        None,
        500,
        problems.details(500, "internal-error", "the service failed; its log says why"),
    ),
)
