"""GET /openapi.json: what the service takes and gives, as OpenAPI 3.1, made from the structs that it works with."""

from typing import Any, TypeAlias

import msgspec

from occupancy import __version__
from training.service.jobs import ID, Shown
from training.service.orders import Chosen, Order, Verdict
from training.service.problems import KINDS, MEDIA_TYPE
from training.service.settings import Settings

Object: TypeAlias = dict[Any, Any]
MAX_BYTES, MAX_KEY = 65_536, 255
LIMIT, MOST = 20, 1000

ANYWHERE = {400: "bad-request", 405: "method-not-allowed", 500: "internal-error"}
GUARDED = ANYWHERE | {401: "unauthorized", 503: "not-ready"}
OF_A_JOB = GUARDED | {404: "not-found"}
TAKES_A_BODY = GUARDED | {413: "request-entity-too-large", 422: "invalid-job", 429: "queue-full"}
HEADERS = {401: "WWW-Authenticate", 405: "Allow", 429: "Retry-After", 503: "Retry-After"}
_TEXT: Object = {"type": "string"}
_JSON = "application/json"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "a request that is sent again with the same key and body makes no second job",
    "schema": {**_TEXT, "maxLength": MAX_KEY, "pattern": "^[ -~]*$"},
}
_JOB_ID = {"name": "job_id", "in": "path", "required": True, "schema": {**_TEXT, "pattern": ID}}
_LIMIT = {
    "name": "limit",
    "in": "query",
    "description": "how many, the newest first",
    "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT},
}


def document(settings: Settings) -> Object:
    """Describe the service as it is set up."""
    job = {_JSON: {"schema": _ref("Shown")}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Occupancy: training",
            "version": __version__,
            "description": "Trains models. Errors are problem details (RFC 9457); a path that is not listed gives 404.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            "/jobs": {
                "get": _operation("list_jobs", "The jobs.", {200: {_JSON: {"schema": _ref("Jobs")}}}, [_LIMIT]),
                "post": {
                    **_operation(
                        "create",
                        f"Ask for a job; {settings.queue} may wait.",
                        {201: job, 200: job},
                        [_KEY],
                        TAKES_A_BODY | {422: "invalid-job, other-job"},
                    ),
                    "requestBody": _body("Order"),
                },
            },
            "/jobs/{job_id}": {"get": _of_a_job("show", "One job.", job)},
            "/jobs/{job_id}/cancel": {
                "post": _operation("cancel", "End a job.", {200: job, 202: job}, [_JOB_ID], OF_A_JOB)
            },
            "/jobs/{job_id}/log": {"get": _of_a_job("log", "The end of what it says.", _file("text/plain"))},
            "/jobs/{job_id}/report": {"get": _of_a_job("report", "Its report.", _file("text/html"))},
            "/jobs/{job_id}/model": {
                "get": _of_a_job("model", "Its model; the ETag is its sha256.", _file("application/octet-stream"))
            },
            "/verdicts": {
                "post": {
                    **_operation(
                        "verdicts",
                        "The watcher's webhook: an opened verdict whose consequence is `retrain` begins the loop.",
                        {202: {_JSON: {"schema": _ref("Begun")}}},
                        [_KEY],
                        TAKES_A_BODY,
                    ),
                    "requestBody": _body("Verdict"),
                }
            },
            "/metrics": {"get": _operation("metrics", "What Prometheus reads.", {200: _file("text/plain")})},
            "/healthz": {"get": _open("healthz", "Alive: the process answers.", "alive")},
            "/readyz": {"get": _open("readyz", "Ready: jobs can be started.", "ready")},
            "/openapi.json": {"get": _open("api", "All of this as OpenAPI 3.1.")},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas() -> Object:
    structs = [Shown, Order, Verdict, Chosen]
    _, ours = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    ours["Order"]["properties"]["settings"] = _ref("Chosen")
    ours["Jobs"] = _object({"jobs": {"type": "array", "items": _ref("Shown")}})
    ours["Begun"] = _object({"job": {"type": ["string", "null"], "description": "the job's id, if one begins"}})
    ours["Problem"] = _object(
        {
            "type": {"enum": [f"urn:occupancy:problem:{kind}" for kind in KINDS]},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
        }
    )
    return ours


def _operation(
    name: str, summary: str, answers: Object, parameters: list[Object] | None = None, kinds: Object | None = None
) -> Object:
    responses: Object = {
        str(status): {"description": "the answer", "content": content} for status, content in answers.items()
    }
    for status, kind in sorted((GUARDED if kinds is None else kinds).items()):
        described = "; ".join(KINDS[each] for each in kind.split(", "))
        responses[str(status)] = {"description": described, "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
        if status in HEADERS:
            responses[str(status)]["headers"] = {HEADERS[status]: {"required": True, "schema": _TEXT}}
    return {"operationId": name, "summary": summary, "parameters": parameters or [], "responses": responses}


def _of_a_job(name: str, summary: str, content: Object) -> Object:
    return _operation(name, summary, {200: content}, [_JOB_ID], OF_A_JOB)


def _open(name: str, summary: str, member: str = "") -> Object:
    """Describe what needs no token."""
    schema = _object({member: {"const": True}}) if member else {"type": "object"}
    kinds = ANYWHERE | ({503: "not-ready"} if member == "ready" else {})
    return {**_operation(name, summary, {200: {_JSON: {"schema": schema}}}, [], kinds), "security": []}


def _body(schema: str) -> Object:
    return {
        "required": True,
        "description": f"at most {MAX_BYTES} bytes",
        "content": {_JSON: {"schema": _ref(schema)}},
    }


def _file(kind: str) -> Object:
    return {kind: {"schema": _TEXT}}


def _object(properties: Object) -> Object:
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _ref(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}
