"""GET /openapi.json: what the service takes and gives, as OpenAPI 3.1, made from the tables that it works with."""

from typing import Any, TypeAlias

from inference import feedback, predict, problems
from inference.openapi.examples import EXAMPLES
from inference.openapi.schemas import TEXT, ref, schemas
from inference.options import OPTIONS
from inference.problems import KINDS
from inference.settings import Settings
from occupancy import __version__

Object: TypeAlias = dict[str, Any]
Kinds: TypeAlias = dict[int, tuple[str, ...]]

# the kinds of problem that an operation gives, by status
ANYWHERE: Kinds = {
    400: ("malformed-request",),
    405: ("method-not-allowed",),
    408: ("request-timeout",),
    414: ("malformed-request",),
    417: ("malformed-request",),
    431: ("malformed-request",),
    500: ("internal-error",),
}
BY_MODEL = ANYWHERE | {503: ("no-model",)}
PREDICT = BY_MODEL | {
    400: ("invalid-reading", "invalid-option", "malformed-request"),
    413: ("invalid-reading",),
    415: ("unsupported-media-type",),
    422: ("invalid-reading",),
    503: ("no-model", "overloaded"),
}
FEEDBACK = BY_MODEL | {
    400: ("invalid-feedback", "malformed-request"),
    413: ("invalid-feedback",),
    415: ("unsupported-media-type",),
    422: ("invalid-feedback",),
    503: ("no-model", "overloaded", "no-token"),
}
UNAUTHORIZED: Kinds = {401: ("unauthorized",)}
OF_THE_SERVER = {"malformed-request", "request-timeout", "internal-error"}  # may come before the request has an id

HEADERS: dict[str, Object] = {
    "X-Request-Id": {"schema": TEXT, "description": "the request's name, the client's or ours"},
    "Allow": {"schema": TEXT, "description": "the path's methods"},
    "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "seconds"},
    "WWW-Authenticate": {"schema": {"const": "Bearer"}, "description": "how to send the token"},
}
HEADER_OF = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}
PARAMETERS = {
    "X-Request-Id": "a name for the request, of 1 to 64 printable ASCII characters; any other gets one of ours",
    "traceparent": "W3C trace context, for the records; one that breaks the standard is ignored",
}
_JSON = "application/json"


def document(settings: Settings) -> Object:
    """Describe the service as it is set up."""
    guarded = bool(settings.feedback_token_file)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Occupancy",
            "version": __version__,
            "description": "Tells from the readings of a room's sensors whether it is occupied. "
            "Errors are problem details (RFC 9457); a path that is not listed gives 404 `not-found`.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            predict.PATH: _post(_predict(settings)),
            "/feedback": _post(_feedback(guarded=guarded)),
            "/model": _get("model", "What answers, where it comes from, how good it is.", _answer("Model"), BY_MODEL),
            "/healthz": _get("healthz", "Alive: the process answers.", _answer("Alive")),
            "/readyz": _get("readyz", "Ready: a model is loaded and proved itself.", _answer("Ready"), BY_MODEL),
            "/metrics": _get("metrics", "What Prometheus reads.", {"text/plain": {"schema": TEXT}}),
            "/openapi.json": _get("openapi", "All of this as OpenAPI 3.1.", {_JSON: {"schema": {"type": "object"}}}),
            "/": _get("page", "A page to try it with.", {"text/html": {"schema": TEXT}}),
        },
        "components": {
            "schemas": schemas(settings),
            "parameters": {
                name: {"name": name, "in": "header", "description": text, "schema": TEXT}
                for name, text in PARAMETERS.items()
            },
            "headers": HEADERS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}} if guarded else {},
        },
    }


def _predict(settings: Settings) -> Object:
    operation = _operation(
        "predict",
        "Tell whether the room is occupied: one reading gets one answer, several get a list in their order.",
        _answer("Answer", "Answers"),
        PREDICT,
    )
    operation["parameters"] = [
        {"name": name, "in": "query", "description": text, "schema": {"type": "boolean", "default": False}}
        for name, text in OPTIONS.items()
    ]
    several = {"type": "array", "items": ref("Reading"), "minItems": 1, "maxItems": settings.max_readings}
    bodies: dict[str, Object] = {
        _JSON: {"anyOf": [ref("Reading"), several]},
        "text/csv": TEXT
        | {"format": "csv", "description": "fields' names between commas, then a reading a line; always several"},
        "application/x-ndjson": TEXT | {"format": "ndjson", "description": "a JSON object a line; always several"},
    }
    operation["requestBody"] = _body("predict", settings.max_bytes, bodies)
    operation["requestBody"]["description"] += f", {settings.max_readings} readings"
    operation["responses"]["200"]["links"] = {
        "feedback": {
            "operationId": "feedback",
            "requestBody": {"id": "$response.body#/id", "occupied": True},
            "description": "what was true of this answer, once it is known",
        }
    }
    return operation


def _feedback(*, guarded: bool) -> Object:
    operation = _operation(
        "feedback",
        "Tell what was true of a prediction, whenever it turns out; the latest of several counts.",
        _answer("Feedback"),
        FEEDBACK | (UNAUTHORIZED if guarded else {}),
    )
    operation["requestBody"] = _body("feedback", feedback.MAX_BYTES, {_JSON: ref("Truth")})
    (example,) = operation["responses"]["200"]["content"][_JSON]["examples"].values()
    example["value"] = example["value"] | {"authenticated": guarded}
    operation["security"] = [{"token": []}] if guarded else []
    return operation


def _post(operation: Object) -> Object:
    return {"parameters": [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS], "post": operation}


def _get(name: str, summary: str, content: Object, kinds: Kinds = ANYWHERE) -> Object:
    own_name = {"$ref": "#/components/parameters/X-Request-Id"}  # no record is left, so no trace either
    return {"parameters": [own_name], "get": _operation(name, summary, content, kinds)}


def _operation(name: str, summary: str, content: Object, kinds: Kinds) -> Object:
    responses: Object = {"200": {"description": "the answer", "headers": _headers(200), "content": content}}
    for status, given in sorted(kinds.items()):
        responses[str(status)] = {
            "description": "; ".join(KINDS[kind] for kind in given),
            "headers": _headers(status, named=not OF_THE_SERVER.intersection(given)),
            "content": {problems.MEDIA_TYPE: {"schema": ref(*given)}},
        }
    for example in EXAMPLES:
        if name in example.operations and str(example.status) in responses:
            (answer,) = responses[str(example.status)]["content"].values()
            shown = {"value": example.answer} | ({} if example.sent is None else {"x-request": example.sent})
            answer.setdefault("examples", {})[example.name] = shown
    return {"operationId": name, "summary": summary, "responses": responses}


def _headers(status: int, *, named: bool = True) -> Object:
    """List an answer's headers; `named`: it is certain to bear the request's name."""
    request_id = {"$ref": "#/components/headers/X-Request-Id"}
    headers: Object = {"X-Request-Id": HEADERS["X-Request-Id"] | {"required": True} if named else request_id}
    if status in HEADER_OF:
        headers[HEADER_OF[status]] = HEADERS[HEADER_OF[status]] | {"required": True}
    return headers


def _answer(*names: str) -> Object:
    return {_JSON: {"schema": ref(*names)}}


def _body(operation: str, limit: int, schemas: dict[str, Object]) -> Object:
    content: dict[str, Object] = {kind: {"schema": schema, "examples": {}} for kind, schema in schemas.items()}
    for example in EXAMPLES:
        if operation in example.operations and example.sent and example.status == 200:
            kind = example.sent.get("headers", {}).get("Content-Type", _JSON)
            content[kind]["examples"][example.name] = {"value": example.sent["body"]}
    return {"required": True, "description": f"at most {limit} bytes", "x-max-bytes": limit, "content": content}
