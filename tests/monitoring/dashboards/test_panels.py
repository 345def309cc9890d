import json
import re
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from msgspec.json import encode

from monitoring import records
from monitoring.dashboards import counting, engine
from monitoring.dashboards.panels import ANSWERED, DATED, GROUPS, POTENTIAL_ANOMALIES, Panel, panels
from occupancy.reading import NAMES
from occupancy.record import FIELDS, INDICES
from occupancy.reference import Reference
from occupancy.report import THEME
from tests.monitoring.dashboards.conftest import SINCE, UNTIL

Json = dict[str, Any]
SIZE = {"width": 400, "height": 200}
KINDS = {"date_histogram", "histogram", "terms", "filters", "avg", "min", "max", "value_count", "percentiles"}


def named(name: str, compared: Reference | None = None) -> Panel:
    return next(panel for panel in panels(compared) if panel.name == name)


def kinds(aggregations: Json) -> set[str]:
    found = set[str]()
    for aggregation in aggregations.values():
        found |= (aggregation.keys() - {"aggs"}) | kinds(aggregation.get("aggs", {}))
    return found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel.name)
def test_a_panel_says_what_it_is_about(panel: Panel) -> None:
    assert re.fullmatch("[a-z]+(_[A-Za-z0-9]+)?", panel.name)
    assert panel.title
    assert panel.meaning.endswith(".")
    assert panel.group in GROUPS
    assert panel.time in (DATED, ANSWERED)
    assert set(panel.datasets) <= INDICES.keys()
    assert engine.fields(panel) <= {field.name for field in FIELDS}
    assert kinds(panel.query["aggs"]) <= KINDS
    (level, *_), _ = engine.chain(panel.query["aggs"])
    if level.kind == "date_histogram":
        assert level.options["field"] == panel.time
    assert "#" not in json.dumps(panel.spec), "colours are those of the page's light and dark mode"


def test_no_two_panels_have_one_name() -> None:
    names = [panel.name for panel in panels()]
    assert len(set(names)) == len(names)
    assert {panel.group for panel in panels()} == set(GROUPS)


@pytest.mark.parametrize("filled", [True, False], ids=["records", "no records"])
def test_each_panel_can_be_drawn(
    everything: list[Json], filled: bool, compared: Reference, capfd: pytest.CaptureFixture[str]
) -> None:
    found = records.frames(everything if filled else [])
    for panel in panels(compared):
        rows = engine.rows(panel, engine.frame(panel, found), SINCE, UNTIL, "30m")
        drawn = vl_convert.vegalite_to_svg(
            {**panel.spec, "data": {"values": rows}} | SIZE, config=THEME, show_warnings=filled
        )
        assert drawn.count("<path") > 3
    assert not any(capfd.readouterr())


def test_a_panel_s_rows_are_json(everything: list[Json], compared: Reference) -> None:
    found = records.frames(everything)
    for panel in panels(compared):
        assert encode(engine.rows(panel, engine.frame(panel, found), SINCE, UNTIL, "30m")).startswith(b'[{"')


def test_no_reading_is_a_potential_anomaly_twice(everything: list[Json]) -> None:
    frame = records.frames(everything).predictions
    held = [set(counting.holds(frame, clause).nonzero()[0]) for clause in POTENTIAL_ANOMALIES.values()]
    assert all(held)
    assert len(set.union(*held)) == sum(len(each) for each in held)


def test_refused_temperatures_are_in_their_chart(everything: list[Json]) -> None:
    panel = named("temperature")
    rows = engine.rows(panel, engine.frame(panel, records.frames(everything)), SINCE, UNTIL, "1h")
    assert {row["high"] for row in rows if row["outcome"] == "refused"} == {71.6, None}
    assert '"datum": 20.0' in json.dumps(panel.spec)


def test_the_band_is_marked_where_the_model_has_it() -> None:
    probability = panels(band=(0.25, 0.8))[0]
    assert probability.spec["layer"][0]["encoding"] == {"y": {"datum": 0.25}, "y2": {"datum": 0.8}}
    assert "from 0.25 to 0.8" in probability.meaning


def test_a_sensor_s_season_is_that_of_the_room_s_clock(everything: list[Json], compared: Reference) -> None:
    panel = named("level_CO2", compared)
    season = panel.spec["layer"][0]["transform"][0]["from"]["data"]["values"]
    assert season[19] == {"clock": "09:30", "season": compared.sensors["CO2"].level[19]}
    rows = engine.rows(panel, engine.frame(panel, records.frames(everything)), SINCE, UNTIL, "1h")
    clocks = [row["time_as_string"] for row in rows]
    assert clocks[:2] == ["19:00", "19:30"]  # 18:00 UTC
    assert clocks[clocks.index("01:30") + 1] == "03:00"  # the clocks go forward
    assert {row["clock"] for row in season} >= set(clocks)


def test_without_a_reference_there_is_no_season() -> None:
    for name in NAMES:
        assert "lookup" not in json.dumps(named(f"level_{name}").spec)


def test_the_documents_list_each_panel(compared: Reference) -> None:
    page = Path("docs/dashboards.md").read_text("utf-8")
    for panel in panels(compared):
        assert f"| {panel.title} | {panel.meaning} |\n" in page
