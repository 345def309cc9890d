"""`make docs`: writes docs/reference.md from the tables in the code, so that the two can't differ (a test holds them)."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec

from inference.metrics import FIGURES
from inference.openapi.document import document
from inference.openapi.schemas import REASONS
from inference.options import OPTIONS
from inference.settings import PREFIX, SHIPPED_MODEL
from inference.settings import Settings as Inference
from monitoring import settings as monitoring
from monitoring.drift.limits import Limits
from monitoring.drift.verdict import RULES
from monitoring.settings import Elasticsearch
from occupancy import record, settings
from occupancy.reading import DERIVED, FEATURES, NAMES, Reading
from training import compare
from training.loop import settings as loop
from training.service import settings as service
from training.settings import Settings as Training
from training.space import PARAMETERS

PAGE = Path(__file__).with_name("reference.md")
DESCRIBED = document(Inference())
ANSWER = DESCRIBED["components"]["schemas"]["Answer"]["properties"]


def page() -> str:
    """Write the whole page."""
    return f"""# Reference

Made from the tables in the code by `make docs`; don't edit it by hand.

## The reading

POST /predict takes one of these objects, or a list of them.

{
        _table(
            ("field", "unit", "range", "meaning"),
            [
                (
                    f.name,
                    f.unit,
                    f"{f.low:g} to {f.high:g}",
                    f.description + ("; computed where it is left out" * (f.name == DERIVED)),
                )
                for f in FEATURES
            ]
            + [(name, "", "optional", _meaning(name)) for name in Reading.__struct_fields__ if name not in NAMES],
        )
    }

## Training's settings

A variable, or a flag of `python -m training` (which wins).

{_settings(settings.rows(Training))}

## The search space

The parameters that the file named by SEARCH_SPACE may hold; `training/space.yaml` is the default and an example.

{
        _table(
            ("parameter", "type", "from", "to"),
            [(n, k.__name__, f"{a:g}", f"{b:g}") for n, (k, a, b) in PARAMETERS.items()],
        )
    }

## The service's settings

A variable, or a flag of `python -m inference` (which wins). An unknown variable that begins with `{
        PREFIX
    }` is an error.

{_settings(settings.rows(Inference, PREFIX)).replace(SHIPPED_MODEL, "the shipped model")}

## The service's endpoints

Described in full, with examples, at GET /openapi.json.

{
        _table(
            ("endpoint", "what it does"),
            [
                (f"{method.upper()} {path}", item[method]["summary"])
                for path, item in DESCRIBED["paths"].items()
                for method in ("get", "post")
                if method in item
            ],
        )
    }

POST /predict has options: {"; ".join(f"`?{name}=true`: {text}" for name, text in OPTIONS.items())}. An answer:

{_table(("field", "meaning"), [(f"`{name}`", about["description"]) for name, about in ANSWER.items()])}

Errors are problem details (RFC 9457, `application/problem+json`): 400 a body or a request that can't be understood, 401 feedback
without the token, 404, 405, 408 a request that did not arrive in time, 413 too large, 415 an encoded body, 422 a reading outside
the contract (`field`, `reason`, and each bad reading in `errors`), 503 no model or too many waiting (with Retry-After), 500.

{_table(("reason", "meaning"), [(f"`{reason}`", meaning) for reason, meaning in REASONS.items()])}

## The metrics

At GET /metrics, with Prometheus' own of the process (`process_*`). Counters end in `_total`.

{
        _table(
            ("metric", "type", "labels", "meaning"),
            [(f"`occupancy_{f.name}`", f.type, ", ".join(f.labels), f.meaning) for f in FIGURES],
        )
    }

## Monitoring's settings

Variables, or flags of `python -m monitoring COMMAND` (which win). How to reach Elasticsearch is the same for all commands:

{_settings(settings.rows(Elasticsearch))}

An unknown variable that begins with `{monitoring.PREFIX}` is an error.

{_commands("monitoring", monitoring.tables(), monitoring.PREFIX, Elasticsearch)}

## Retraining's settings

Variables, or flags of `python -m training.loop COMMAND` (which win); an unknown variable that begins with `{
        loop.PREFIX
    }` is an error.
All commands have these:

{_settings(settings.rows(loop.Common, loop.PREFIX))}

{_commands("training.loop", loop.tables(), loop.PREFIX, loop.Common)}

## The gate's settings

Variables, or flags of `python -m training.compare` (which win); an unknown variable that begins with `{
        compare.PREFIX
    }` is an error.

{_settings(row for row in settings.rows(compare.Compare, compare.PREFIX) if row.flag)}

## The training service's settings

Variables, or flags of `python -m training.service` (which win); an unknown variable that begins with `{
        service.PREFIX
    }` is an error.

{_settings(settings.rows(service.Settings, service.PREFIX))}

## Verdicts

{
        _table(
            ("rule", "layer", "asks for", "message", "how sure", "what to do"),
            [
                (
                    f"`{r.name}`",
                    r.layer,
                    r.consequence,
                    *(_plain(words) for words in (r.message, r.certainty, r.advice)),
                )
                for r in RULES.values()
            ],
        )
    }

Their limits; the rules are told in [drift.md](drift.md).

{_table(("limit", "value", "meaning"), [(f"`{r.variable.lower()}`", r.default, r.help) for r in settings.rows(Limits)])}

## The record

Each reading that is answered, each that is named as wrong, each piece of feedback, each request that the service failed (500) or
turned away (503 overloaded), and each loss of records leaves one JSON line of at most {record.MAX_BYTES} bytes on
standard output.

{_table(("field", "type", "meaning"), [(f"`{f.name}`", f.type, f.meaning) for f in record.FIELDS])}
"""


def _commands(
    program: str, tables: Mapping[str, type[msgspec.Struct]], prefix: str, common: type[msgspec.Struct]
) -> str:
    """List the settings of each of a program's commands, but for those that all have."""
    shared = set(settings.rows(common, prefix))
    parts = []
    for command, table in tables.items():
        named = zip(table.__struct_fields__, settings.rows(table, prefix), strict=True)
        rows = [
            (row.variable, f"`{row.flag}`" if row.flag else f"{name.upper()}...", row.default or "none", row.help)
            for name, row in named
            if row not in shared
        ]
        listed = _table(("variable", "flag", "default", "meaning"), rows) if rows else "The common ones alone."
        parts.append(f"`python -m {program} {command}`\n\n{listed}")
    return "\n\n".join(parts).replace(monitoring.SHIPPED_REFERENCE, "that of the shipped model")


def _plain(words: str) -> str:
    return re.sub(r"\{(\w+)[^}]*\}", r"*\1*", words)


def _meaning(field: str) -> str:
    hint = get_type_hints(Reading, include_extras=True)[field]
    found = [m.description for part in get_args(hint) for m in getattr(part, "__metadata__", ()) if m.description]
    return str(found[0])


def _settings(rows: Iterable[settings.Setting]) -> str:
    return _table(
        ("variable", "flag", "default", "meaning"),
        [(r.variable, f"`{r.flag}`", r.default or "none", r.help) for r in rows],
    )


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
