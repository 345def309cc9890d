"""The schemas of /openapi.json: readings by their contract, answers, and each kind of problem.

What the service gives is described to the last member, so that an answer that changes without its schema fails a test.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from inference.feedback import Truth
from inference.flags import BEYOND, CONTRADICTION
from inference.model_card import LINEAGE
from inference.problems import KINDS, named
from inference.settings import Settings
from occupancy import record
from occupancy.model import ANSWERS, THRESHOLD, Card
from occupancy.reading import DERIVED, FEATURES, NAMES, Reading

Schema: TypeAlias = dict[str, Any]

REASONS = {
    "not_json": "the text is not JSON",
    "not_utf8": "the text is not UTF-8",
    "not_csv": "a line is not CSV",
    "too_deep": "the JSON is nested too deeply",
    "incomplete": "the body ended early",
    "empty": "there is no reading",
    "no_header": "the first line of the CSV names no sensor",
    "too_large": "the body has too many bytes",
    "too_many": "there are too many readings",
    "not_an_object": "a reading is not an object",
    "cell_count": "a line of the CSV has more or fewer values than its header",
    "missing": "a sensor is missing",
    "unknown": "there is no such field",
    "duplicate": "a field is given twice",
    "not_a_number": "a sensor's value is not a number",
    "not_finite": "a sensor's value is NaN or infinite",
    "out_of_range": "a sensor's value is physically impossible",
    "not_a_text": "a text is empty, too long, not printable, or no text",
    "not_a_date": "the date is not ISO 8601",
    "too_old": "the date is longer ago than the service accepts",
    "in_the_future": "the date is ahead of the service's clock",
}
FLAGS = {
    BEYOND: "the value is outside what the model was trained on",
    CONTRADICTION: f"{DERIVED} is not what Temperature and Humidity make it",
}
MEANING = {field.name: field.meaning for field in record.FIELDS}
TEXT = {"type": "string"}
BAND = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2, "description": "from, to"}
VERSION = {"type": "string", "pattern": "^[0-9a-f]{12}$", "description": MEANING["occupancy.model.version"]}


def schemas(settings: Settings) -> Schema:
    """Describe all that is sent and answered, by name."""
    _, ours = msgspec.json.schema_components([Reading, Truth, Card], ref_template="#/components/schemas/{name}")
    truth, card = ours["Truth"]["properties"], ours["Card"]["properties"]
    fault = {
        "field": _about(TEXT, "the field at fault, or body"),
        "reason": {"enum": [*REASONS], "description": _glossary(REASONS)},
    }
    faults = {"type": "array", "items": ref("Fault"), "minItems": 1, "description": "each bad reading"}
    members: dict[str, Schema] = {
        "invalid-reading": fault | {"errors": faults},
        "invalid-option": {"field": _about(TEXT, "the option"), "reason": {"const": "invalid"}},
    }
    optional: dict[str, Schema] = {"invalid-feedback": {"field": fault["field"]}}
    return {
        "Reading": _reading(ours["Reading"]),
        "Truth": ours["Truth"],
        "Answer": _object(
            {
                "id": _about(truth["id"], "the prediction's name; feedback refers to it"),
                "label": _about({"enum": [0, 1]}, MEANING["occupancy.label"]),
                "probability": _about(_number(minimum=0, maximum=1), MEANING["occupancy.probability"]),
                "answer": _about({"enum": [*ANSWERS]}, MEANING["occupancy.answer"]),
                "model_version": VERSION,
            },
            {
                "reading_id": _about(TEXT, MEANING["occupancy.reading.id"]),
                "flags": {"type": "array", "items": ref("Flag"), "minItems": 1, "description": "why to doubt it"},
                "label_wanted": _about({"const": True}, MEANING["occupancy.label_wanted"]),
                "simulated": _about({"const": True}, MEANING["occupancy.simulated"]),
                "explanation": _about(ref("Explanation"), "what each sensor adds to it, where explain was asked for"),
            },
        ),
        "Answers": {"type": "array", "items": ref("Answer", "Refused"), "minItems": 1},
        "Refused": _about(_object({"error": ref("Fault")}), "in a bad reading's place, where partial was asked for"),
        "Flag": _object(
            {
                "field": {"enum": [*NAMES]},
                "reason": {"enum": [*FLAGS], "description": _glossary(FLAGS)},
                "detail": TEXT,
            }
        ),
        "Explanation": _object(
            {
                "contributions": _about(_object(dict.fromkeys(NAMES, _number())), "what each sensor adds, in log-odds"),
                "bias": _about(_number(), "the log-odds without any sensor"),
                "margin": _about(_number(), "the sum; the probability is 1 / (1 + exp(-margin))"),
                "words": TEXT,
            }
        ),
        "Feedback": _object(
            truth
            | {
                "authenticated": _about(
                    {"const": bool(settings.feedback_token_file)}, MEANING["occupancy.feedback.authenticated"]
                )
            }
        ),
        "Model": _object(
            {
                "version": VERSION,
                "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "live_since": {"type": "string", "format": "date-time"},
                "decision": _object({"threshold": {"const": THRESHOLD}, "uncertain": BAND}),
                "training_range": {"type": "object", "additionalProperties": BAND},
                "lineage": _object({name: card[name] for name in LINEAGE}),
                **{name: card[name] for name in ("simulated", "contract", "timezone", "metrics", "gate")},
            }
        ),
        "Alive": _object({"alive": {"const": True}}),
        "Ready": _object({"ready": {"const": True}, "model_version": VERSION}),
        "Fault": _object(
            fault
            | {
                "detail": TEXT,
                "index": {"type": ["integer", "null"], "minimum": 0, "description": "which reading of several, from 0"},
            }
        ),
        **{
            kind: _about(_object(_problem(kind) | members.get(kind, {}), optional.get(kind, {})), meaning)
            for kind, meaning in KINDS.items()
        },
    }


def ref(*names: str) -> Schema:
    """Refer to a schema, or to several of which one fits."""
    refs = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    return refs[0] if len(refs) == 1 else {"anyOf": refs}


def _reading(schema: Schema) -> Schema:
    """Put units where msgspec leaves them out, and each description where readers look for it."""
    units = {feature.name: feature.unit for feature in FEATURES}
    properties = {}
    for name, described in schema["properties"].items():
        plain = dict(described)
        if "anyOf" in plain:  # or null
            value, null = plain["anyOf"]
            text = value["description"]
            value = {key: of for key, of in value.items() if key != "description"}
            if name == "date":
                value["format"] = "iso-8601"  # RFC 3339's date-time would ask for an offset
                del value["pattern"]
            plain |= {"anyOf": [value, null], "description": text}
        if name in units:
            plain |= {"x-unit": units[name], "description": f"{plain['description']}, in {units[name]}"}
        properties[name] = plain
    return schema | {"properties": properties}


def _problem(kind: str) -> Schema:
    return {
        **{name: {"const": value} for name, value in named(kind).items()},
        "status": {"type": "integer"},
        "detail": TEXT,
    }


def _object(properties: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": properties | (optional or {}),
        "required": [*properties],
        "additionalProperties": False,
    }


def _number(**limits: float) -> Schema:
    return {"type": "number", **limits}


def _about(schema: Schema, description: str) -> Schema:
    return schema | {"description": description}


def _glossary(meanings: Mapping[str, str]) -> str:
    return "; ".join(f"`{word}`: {meaning}" for word, meaning in meanings.items())
