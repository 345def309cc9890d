"""Kibana's dashboards as code: data views, one Vega visualization a panel, tables, and the dashboards that show them.

`python -m monitoring setup` imports them where MONITORING_KIBANA_URL says where Kibana is. By hand: Stack Management, Saved
Objects, Import, of occupancy.ndjson, which `python -m monitoring.dashboards.kibana > occupancy.ndjson` writes. What is
written has the form of Kibana 8.8, which later ones migrate by themselves. Importing again replaces; nothing comes twice.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from monitoring.dashboards import vega
from monitoring.dashboards.panels import ANSWERED, DATED, GROUPS, Json, Panel, panels
from monitoring.settings import PREFIX, SHIPPED_REFERENCE
from occupancy import reference, settings
from occupancy.errors import InputError
from occupancy.reading import NAMES
from occupancy.record import FEEDBACK, INDICES, PREDICTION, RUN, VERDICT

CORE = "8.8.0"
VERSIONS = {"index-pattern": "7.11.0", "search": "7.9.3", "visualization": "8.0.0", "dashboard": "8.7.0"}
"""Versions of the saved objects' form; a Kibana migrates old ones and refuses those newer than itself."""

VIEWS = {
    "data_readings": (PREDICTION, DATED, "Occupancy: readings, by their own time"),
    "data_answers": (PREDICTION, ANSWERED, "Occupancy: readings, by the time of the answer"),
    "data_feedback": (FEEDBACK, ANSWERED, "Occupancy: feedback"),
    "data_verdicts": (VERDICT, ANSWERED, "Occupancy: verdicts"),
    "data_decisions": (RUN, ANSWERED, "Occupancy: decisions of the retraining loop"),
}
"""Data views: what records, by which time, and the title."""
TABLES = {
    "single_readings": (
        "data_readings",
        "model",
        "Single readings",
        [
            "occupancy.room",
            *(f"occupancy.reading.{name}" for name in NAMES),
            *(f"occupancy.{name}" for name in ("probability", "answer", "flags", "refusal.detail")),
        ],
    ),
    "single_verdicts": (
        "data_verdicts",
        "sensors",
        "Single verdicts",
        [
            "occupancy.room",
            *(
                f"occupancy.verdict.{n}"
                for n in ("state", "layer", "sensor", "rule", "value", "limit", "message", "advice")
            ),
        ],
    ),
    "decisions": (
        "data_decisions",
        "operation",
        "What the retraining loop decided, and what was deployed",
        [
            *(f"occupancy.run.{n}" for n in ("outcome", "why", "champion", "challenger")),
            *(f"occupancy.deployment.{n}" for n in ("action", "version", "by", "why")),
        ],
    ),
}
"""Tables of single records: their data view, group, title and columns."""


def ndjson(found: Iterable[Json]) -> bytes:
    """Write saved objects as the lines of an import file."""
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in found)


def objects(prefix: str = "", compared: reference.Reference | None = None) -> Iterator[Json]:
    """Make all saved objects, for the indices of that prefix; their ids follow from it and their names."""
    mark = f" ({prefix.rstrip('-')})" if prefix else ""
    shown = [panel for panel in panels(compared) if not panel.joined]

    def saved(kind: str, name: str, attributes: Json, references: Sequence[Json] = ()) -> Json:
        return {
            "id": _id(prefix, name),
            "type": kind,
            "attributes": attributes,
            "references": list(references),
            "coreMigrationVersion": CORE,
            "typeMigrationVersion": VERSIONS[kind],
        }

    for name, (dataset, time, title) in VIEWS.items():
        yield saved("index-pattern", name, _view(f"{prefix}{INDICES[dataset]}-*", time, title + mark))
    for name, (view, _, title, columns) in TABLES.items():
        source = {
            "type": "index-pattern",
            "id": _id(prefix, view),
            "name": "kibanaSavedObjectMeta.searchSourceJSON.index",
        }
        yield saved("search", name, _table(f"Occupancy: {title}{mark}", VIEWS[view][1], columns), [source])
    for panel in shown:
        yield saved("visualization", panel.name, _visualization(panel, prefix, mark))
    for group, title in GROUPS.items():
        parts = [("visualization", panel.name) for panel in shown if panel.group == group]
        parts += [("search", name) for name, (_, of, _, _) in TABLES.items() if of == group]
        references = [{"type": kind, "id": _id(prefix, name), "name": f"{name}:panel_{name}"} for kind, name in parts]
        yield saved("dashboard", f"dashboard-{group}", _dashboard(f"Occupancy: {title}{mark}", parts), references)


def _id(prefix: str, name: str) -> str:
    return f"{prefix}occupancy-{name}"


def _view(pattern: str, time: str, title: str) -> Json:
    return {"title": pattern, "name": title, "timeFieldName": time, "fields": "[]", "allowNoIndex": True}


def _searched(**more: Any) -> Json:
    return {"searchSourceJSON": json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []} | more)}


def _table(title: str, time: str, columns: list[str]) -> Json:
    source = _searched(indexRefName="kibanaSavedObjectMeta.searchSourceJSON.index")
    return {
        "title": title,
        "description": "",
        "columns": columns,
        "sort": [[time, "desc"]],
        "hits": 0,
        "version": 1,
        "kibanaSavedObjectMeta": source,
    }


def _dashboard(title: str, parts: Sequence[tuple[str, str]]) -> Json:
    placed = []
    for at, (kind, name) in enumerate(parts):  # two charts beside each other, a table over the whole width, of 48
        wide = kind == "search"
        x, width, height = (0, 48, 16) if wide else (24 * (at % 2), 24, 12)
        y = 12 * (at // 2 if not wide else (at + 1) // 2)
        place = {"x": x, "y": y, "w": width, "h": height, "i": name}
        placed.append(
            {
                "version": VERSIONS["dashboard"],
                "type": kind,
                "gridData": place,
                "panelIndex": name,
                "embeddableConfig": {"enhancements": {}},
                "panelRefName": f"panel_{name}",
            }
        )
    return {
        "title": title,
        "description": "",
        "panelsJSON": json.dumps(placed),
        "optionsJSON": json.dumps({"useMargins": True, "hidePanelTitles": False}),
        "timeRestore": True,
        "timeFrom": "now-7d",
        "timeTo": "now",
        "refreshInterval": {"pause": True, "value": 60000},
        "version": 1,
        "kibanaSavedObjectMeta": _searched(),
    }


def _visualization(panel: Panel, prefix: str, mark: str) -> Json:
    title = f"Occupancy: {panel.title}{mark}"
    state = {
        "title": title,
        "type": "vega",
        "aggs": [],
        "params": {"spec": json.dumps(vega.spec(panel, prefix), indent=1)},
    }
    return {
        "title": title,
        "description": panel.meaning,
        "visState": json.dumps(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": _searched(),
    }


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the import file."""

    reference: Annotated[
        str, Meta(description="reference.json of the model, for the sensors' season; empty: charts without it")
    ] = SHIPPED_REFERENCE
    elasticsearch_prefix: Annotated[
        str, Meta(description="of the indices", extra={"variable": "ELASTICSEARCH_PREFIX"})
    ] = ""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Write the import file to standard output; gives 0."""
    table = settings.read(
        Export, prog="monitoring.dashboards.kibana", argv=argv, environ=environ, prefix=PREFIX, about=__doc__ or ""
    )
    compared = reference.read(table.reference) if table.reference else None
    sys.stdout.buffer.write(ndjson(objects(table.elasticsearch_prefix, compared)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:], dict(os.environ)))
    except InputError as error:
        sys.exit(f"monitoring.dashboards.kibana: {error}")
