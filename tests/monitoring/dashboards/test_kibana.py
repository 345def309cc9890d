import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitoring.dashboards import kibana
from monitoring.dashboards.panels import panels
from occupancy.record import FIELDS
from tests.monitoring.dashboards.conftest import of, specs

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
NAMES = {field.name for field in FIELDS}


# --- what is written


def test_the_import_file_of_the_tree_is_that_of_the_code(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert kibana.main([], {}) == 0
    written = capfdbinary.readouterr().out
    assert (ROOT / "monitoring/dashboards/occupancy.ndjson").read_bytes() == written, (
        "python -m monitoring.dashboards.kibana > monitoring/dashboards/occupancy.ndjson"
    )
    assert [json.loads(line)["type"] for line in written.splitlines()][:1] == ["index-pattern"]


def test_each_json_in_the_json_can_be_read(objects: list[Json]) -> None:
    def nested(part: Any) -> Iterator[str]:
        for key, value in part.items() if isinstance(part, dict) else ():
            if isinstance(value, str) and (key.endswith("JSON") or key in ("visState", "spec", "fields")):
                yield key
                yield from nested(json.loads(value))
            yield from nested(value)

    found = [key for each in objects for key in nested(each)]
    assert {"visState", "spec", "panelsJSON", "optionsJSON", "uiStateJSON", "searchSourceJSON", "fields"} == set(found)


def test_ids_are_unique_and_references_close(objects: list[Json]) -> None:
    there = {(each["type"], each["id"]) for each in objects}
    assert len({name for _, name in there}) == len(objects)
    for each in objects:
        assert {(r["type"], r["id"]) for r in each["references"]} <= there
        text = json.dumps(each["attributes"])
        for reference in each["references"]:
            assert reference["name"].partition(":")[2] in text or reference["name"] in text
    for each in of(objects, "dashboard"):
        shown = json.loads(each["attributes"]["panelsJSON"])
        assert [f"{panel['panelIndex']}:{panel['panelRefName']}" for panel in shown] == [
            r["name"] for r in each["references"]
        ]
        assert [panel["type"] for panel in shown] == [r["type"] for r in each["references"]]


def test_every_panel_is_on_one_dashboard_and_no_two_share_a_place(objects: list[Json]) -> None:
    shown = [json.loads(each["attributes"]["panelsJSON"]) for each in of(objects, "dashboard")]
    names = [panel["panelIndex"] for part in shown for panel in part]
    assert sorted(names) == sorted([p.name for p in panels() if not p.joined] + list(kibana.TABLES))
    for part in shown:
        cells = [
            (x, y)
            for g in (panel["gridData"] for panel in part)
            for x in range(g["x"], g["x"] + g["w"])
            for y in range(g["y"], g["y"] + g["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 48


def test_versions_are_old_ones_that_a_kibana_migrates(objects: list[Json]) -> None:
    for each in objects:
        assert each["coreMigrationVersion"] == "8.8.0"
        assert tuple(map(int, each["typeMigrationVersion"].split("."))) <= (8, 8, 0)


def test_the_prefix_keeps_two_installations_apart(objects: list[Json]) -> None:
    plain = list(kibana.objects())
    assert not {each["id"] for each in plain} & {each["id"] for each in objects}
    assert all(each["id"] == f"test-{other['id']}" for each, other in zip(objects, plain, strict=True))
    indices = [view["attributes"]["title"] for view in of(objects, "index-pattern")]
    indices += [index for spec in specs(objects).values() for index in spec["data"]["url"]["index"].split(",")]
    assert {index.split("-20")[0] for index in indices} == {
        f"test-occupancy-{kind}-*" for kind in ("predictions", "feedback", "verdicts", "decisions")
    }
    assert all(
        each["attributes"]["title"].endswith("(test)")
        for each in objects
        if each["type"] in ("dashboard", "visualization", "search")
    )


def test_every_field_is_one_of_the_record(objects: list[Json]) -> None:
    for view in of(objects, "index-pattern"):
        assert view["attributes"]["timeFieldName"] in NAMES
    for table in of(objects, "search"):
        assert {*table["attributes"]["columns"], table["attributes"]["sort"][0][0]} <= NAMES
    for spec in specs(objects).values():
        asked = json.dumps(spec["data"]["url"]["body"])
        assert set(re.findall(r'"((?:occupancy|event)\.[A-Za-z_.0-9]+|@timestamp)"', asked)) <= NAMES | {
            "occupancy.prediction", "occupancy.feedback", "occupancy.loss", "occupancy.verdict",
        }  # fmt: skip


def test_what_is_of_the_room_follows_the_dashboard_s_filters(objects: list[Json]) -> None:
    for name, spec in specs(objects).items():
        clauses = spec["data"]["url"]["body"]["query"]["bool"]
        marked = "%dashboard_context-must_clause%" in clauses["must"]
        assert marked is (name.removeprefix("test-occupancy-") not in ("feedback", "missing"))
        assert "%context%" not in spec["data"]["url"], "Kibana throws where a query is given, too"
