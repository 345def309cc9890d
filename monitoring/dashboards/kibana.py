"""Kibana's dashboards as code: data views, one Vega visualization a panel, tables, and the dashboards that show them.

`python -m monitoring setup` imports them where MONITORING_KIBANA_URL says where Kibana is. By hand: Stack Management, Saved
Objects, Import, of occupancy.ndjson, which `python -m monitoring.dashboards.kibana > occupancy.ndjson` writes. What is
written has the form of Kibana 8.8, which later ones migrate by themselves. Importing again replaces; nothing comes twice.
"""

import json
import os
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import urllib3
from msgspec import Meta

from monitoring.dashboards import engine
from monitoring.dashboards.counting import Level
from monitoring.dashboards.panels import ANSWERED, DATED, GROUPS, Json, Panel, panels
from monitoring.settings import PREFIX, SHIPPED_REFERENCE, Elasticsearch
from monitoring.store.client import BadConnection, NotAllowed, Refused, Unreachable, authentication, trust
from occupancy import reference, settings
from occupancy.errors import InputError
from occupancy.reading import NAMES
from occupancy.record import FEEDBACK, INDICES, PREDICTION, VERDICT
from occupancy.report import ACCENT, FOURTH, INK, MUTED, SECOND, THEME, THIRD

CORE = "8.8.0"
VERSIONS = {"index-pattern": "7.11.0", "search": "7.9.3", "visualization": "8.0.0", "dashboard": "8.7.0"}
"""Versions of the saved objects' form; a Kibana migrates old ones and refuses those newer than itself."""
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
COLOURS = {ACCENT: "#209280", SECOND: "#da8b45", THIRD: "#9170b8", FOURTH: "#d36086", MUTED: "#98a2b3", INK: "#98a2b3"}
"""Colours that show on Kibana's light and on its dark ground; those of texts and axes are Kibana's own."""
MOST_BUCKETS = 200
TIMEOUT = 60.0  # seconds

VIEWS = {
    "data_readings": (PREDICTION, DATED, "Occupancy: readings, by their own time"),
    "data_answers": (PREDICTION, ANSWERED, "Occupancy: readings, by the time of the answer"),
    "data_feedback": (FEEDBACK, ANSWERED, "Occupancy: feedback"),
    "data_verdicts": (VERDICT, ANSWERED, "Occupancy: verdicts"),
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
}
"""Tables of single records: their data view, group, title and columns."""


def install(url: str, table: Elasticsearch, compared: reference.Reference | None = None) -> list[str]:
    """Import everything into the Kibana at `url` (a space: URL/s/NAME), with Elasticsearch's user or API key and prefix.

    Gives what is there now, each as kind and title. Raises InputError: Unreachable, NotAllowed, Refused, BadConnection.
    """
    if not url.startswith(("http://", "https://")):
        raise BadConnection(f"Kibana's address is {url!r}: expected scheme://host:port, such as http://127.0.0.1:5601")
    target = f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true"
    tls = trust(table.elasticsearch_ca_file) if url.startswith("https:") else None
    body = ndjson(objects(table.elasticsearch_prefix, compared))
    with urllib3.PoolManager(ssl_context=tls) as pool:
        try:
            answer = pool.request(
                "POST",
                target,
                headers={"kbn-xsrf": "true"} | dict(_authorization(table)),
                fields={"file": ("occupancy.ndjson", body, "application/ndjson")},
                timeout=TIMEOUT,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Unreachable(
                f"no Kibana answers at {url} ({error}); is it running, and is the address right?"
            ) from None
    return list(_imported(url, answer))


def _imported(url: str, answer: urllib3.BaseHTTPResponse) -> Iterator[str]:
    try:
        said = json.loads(answer.data)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    if answer.status in (401, 403):
        raise NotAllowed(
            f"Kibana at {url} does not let us ({answer.status}): ELASTICSEARCH_USER or the API key needs the privilege "
            "Saved Objects Management: All"
        )
    if answer.status == 503:
        raise Unreachable(f"Kibana at {url} is not ready yet; wait until its page opens, then run setup again")
    if answer.status != 200 or "success" not in said:
        why = said.get("message") or answer.data[:200].decode(errors="replace")
        raise Refused(f"Kibana at {url} answers {answer.status}: {why}; is it Kibana, and of version 8.8 or later?")
    if failed := said.get("errors"):
        causes = {f"{e.get('type')} {e.get('title')}: {e.get('error', {}).get('type')}" for e in failed}
        raise Refused(f"Kibana at {url} did not take {len(failed)} objects: {'; '.join(sorted(causes)[:3])}")
    for each in said.get("successResults", ()):
        yield f"{each['type']} {each['meta']['title']}"


def _authorization(table: Elasticsearch) -> Iterator[tuple[str, str]]:
    for kind, value in authentication(table):
        text = value if isinstance(value, str) else b64encode(":".join(value).encode()).decode()
        yield "authorization", f"{'ApiKey' if kind == 'api_key' else 'Basic'} {text}"


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
    state = {"title": title, "type": "vega", "aggs": [], "params": {"spec": json.dumps(spec(panel, prefix), indent=1)}}
    return {
        "title": title,
        "description": panel.meaning,
        "visState": json.dumps(state),
        "uiStateJSON": "{}",
        "version": 1,
        "kibanaSavedObjectMeta": _searched(),
    }


# --- a panel as Kibana's Vega


def spec(panel: Panel, prefix: str = "") -> Json:
    """Write a panel as the Vega-Lite specification that asks Elasticsearch itself, through Kibana."""
    levels, metrics = engine.chain(panel.query["aggs"])
    drawn = json.dumps(panel.spec)
    for variable, colour in COLOURS.items():
        drawn = drawn.replace(variable, colour)
    picture = json.loads(drawn)
    return {
        "$schema": SCHEMA,
        "config": CONFIG,
        "data": {
            "url": {"index": engine.index(panel, prefix), "body": body(panel)},
            "format": {"property": f"aggregations.{levels[0].name}.buckets"},
        },
        **picture,
        "transform": [*flattening(levels, metrics), *picture.get("transform", [])],
    }


def body(panel: Panel) -> Json:
    """Write a panel's search with the marks that Kibana puts time range, interval, query and filters of the dashboard for.

    Feedback and losses have no room: on such a panel a filter for one would show nothing, so that none is put.
    """
    within = {"range": {panel.time: {"%timefilter%": True}}}
    asked: Json = {"must": [within], "filter": engine.conditions(panel)}
    if not set(panel.datasets) - {PREDICTION, VERDICT}:
        marks = {clause: f"%dashboard_context-{clause}_clause%" for clause in ("must", "filter", "must_not")}
        asked = {clause: [mark, *asked.get(clause, [])] for clause, mark in marks.items()}
    bounds = {"min": {"%timefilter%": "min"}, "max": {"%timefilter%": "max"}}
    # Kibana looks for its mark under this name only, and writes fixed_interval or calendar_interval instead
    interval = {"interval": {"%autointerval%": MOST_BUCKETS}}
    return {"size": 0, "query": {"bool": asked}, "aggs": engine.filled(panel.query["aggs"], interval, bounds)}


def flattening(levels: Sequence[Level], metrics: Json) -> list[Json]:
    """Write the transforms that make the answer's nested buckets the flat rows that `engine.flat` makes."""
    (first, *inner), bucket = levels, "datum"
    steps: list[Json] = [{"calculate": "datum.key", "as": first.name}]
    if first.kind == "date_histogram":
        ends = [("min", "first_key"), ("max", "last_key"), ("count", "buckets")]
        steps.append({"joinaggregate": [{"op": op, "field": "key", "as": name} for op, name in ends]})
        width = "datum.buckets > 1 ? (datum.last_key - datum.first_key) / (datum.buckets - 1) : 60000"
        steps.append({"calculate": f"datum.key + ({width})", "as": "end"})
        steps.append({"calculate": "datum.key_as_string", "as": f"{first.name}_as_string"})
    for at, level in enumerate(inner, 1):
        found, one = f"{bucket}.{level.name}.buckets", f"bucket{at}"
        if level.kind == "filters":  # an object by name, where flatten wants an array
            each = (
                f"merge({found}[{json.dumps(key)}], {{key: {json.dumps(key)}}})" for key in level.options["filters"]
            )
            steps.append({"calculate": f"[{', '.join(each)}]", "as": one})
            steps.append({"flatten": [one]})
        else:
            steps.append({"flatten": [found.removeprefix("datum.")], "as": [one]})
        bucket = f"datum.{one}"
        steps.append({"calculate": f"{bucket}.key", "as": level.name})
    steps.append({"calculate": f"{bucket}.doc_count", "as": "count"})
    for name, metric in metrics.items():
        if "percentiles" in metric:
            percents = metric["percentiles"]["percents"]
            steps += [{"calculate": f"{bucket}.{name}.values['{float(p)}']", "as": f"{name}{p:g}"} for p in percents]
        else:
            steps.append({"calculate": f"{bucket}.{name}.value", "as": name})
    return steps


def _colourless(part: Json) -> Json:
    return {name: value for name, value in part.items() if not name.endswith(("Color", "color")) and name != "aria"}


_TAKEN = ("axis", "axisX", "axisY", "axisLeft", "axisXBand", "axisTemporal", "legend", "line", "point", "text")
CONFIG: Json = {name: _colourless(THEME[name]) for name in _TAKEN} | {
    "axisY": _colourless(THEME["axisY"]) | {"labelLimit": 260},
    "kibana": {"hideWarnings": True},  # such as: nothing to show in this time
    "mark": {"color": COLOURS[ACCENT], "tooltip": True},
    "view": {"stroke": None},
}


# --- by hand


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
