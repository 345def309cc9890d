import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import vl_convert

from monitoring.dashboards import engine, kibana, vega
from monitoring.dashboards.engine import Stored
from monitoring.dashboards.panels import panels
from occupancy.reference import Reference
from tests.monitoring.dashboards.conftest import SINCE, UNTIL, specs

Json = dict[str, Any]
SIZE = {"width": 400, "height": 200}
OLDEST_VEGA_LITE = "5.8"  # of those that can be had here


# --- what Kibana makes of it, by the rules of its source (vis_types/vega/public/data_model/es_query_parser.ts, 8.x)

ROUNDED = [(500, "100ms"), (5_000, "1s"), (7_500, "5s"), (15_000, "10s"), (45_000, "30s"), (180_000, "1m"), (450_000, "5m"),
           (1_200_000, "10m"), (2_700_000, "30m"), (7_200_000, "1h"), (21_600_000, "3h"), (86_400_000, "12h"),
           (604_800_000, "24h"), (1_814_400_000, "1w"), (3_628_800_000, "30d")]  # fmt: skip


def expanded(part: Any, since: datetime, until: datetime, key: str = "") -> Any:
    """Put the time range, the interval and a dashboard's filter where Kibana does."""
    if isinstance(part, list):
        filters: dict[str, list[Json]] = {"must": [], "filter": [{"term": {"occupancy.room": "A"}}], "must_not": []}
        found = []
        for each in part:
            if isinstance(each, str) and (mark := re.fullmatch(r"%dashboard_context-(\w+)_clause%", each)):
                found += filters[mark[1]]
            else:
                found.append(expanded(each, since, until))
        return found
    if not isinstance(part, dict):
        return part
    bounds = {"min": since, "max": until}
    done: Json = {}
    for name, value in part.items():
        if name == "interval" and key == "date_histogram":
            size = (until - since).total_seconds() * 1000 / value["%autointerval%"]
            interval = next(text for most, text in ROUNDED if size <= most)
            calendar = re.fullmatch(r"1[mhdwMqy]", interval)
            done["calendar_interval" if calendar else "fixed_interval"] = interval
        elif isinstance(value, dict) and value.get("%timefilter%") in bounds:
            done[name] = int(bounds[value["%timefilter%"]].timestamp() * 1000)
        elif isinstance(value, dict) and value.get("%timefilter%"):
            done[name] = {"gte": since.isoformat(), "lte": until.isoformat(), "format": "strict_date_optional_time"}
        else:
            done[name] = expanded(value, since, until, name)
    return done


def test_kibana_s_marks_are_all_in_places_where_it_looks(objects: list[Json]) -> None:
    for spec in specs(objects).values():
        assert "%" not in json.dumps(expanded(spec["data"]["url"]["body"], SINCE, UNTIL))


@pytest.mark.parametrize("days", [1 / 24, 1, 40, 365, 1500])
def test_kibana_s_interval_leaves_room_for_the_buckets_in_it(days: float, objects: list[Json]) -> None:
    body = expanded(specs(objects)["test-occupancy-health"]["data"]["url"]["body"], UNTIL - timedelta(days=days), UNTIL)
    options = body["aggs"]["time"]["date_histogram"]
    interval = options.get("fixed_interval") or options["calendar_interval"].replace("1w", "7d")
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    assert days * 86400 / (int(interval[:-1]) * units[interval[-1]]) * 6 < 10_000


def in_order(answer: Any) -> Any:
    """The answer with its buckets by key, as the engine gives them; Elasticsearch gives the largest first."""
    if isinstance(answer, list):
        return sorted(map(in_order, answer), key=lambda each: each["key"])
    return {key: in_order(each) if key == "buckets" or isinstance(each, dict) else each for key, each in answer.items()}


def test_every_panel_asks_and_draws(stored: Stored, compared: Reference, capfd: pytest.CaptureFixture[str]) -> None:
    found = specs(list(kibana.objects(stored.prefix, compared)))
    until = UNTIL + timedelta(hours=1, minutes=40)  # 200 intervals of five minutes
    for panel in panels(compared):
        if panel.joined:
            continue
        spec = found[f"{stored.prefix}occupancy-{panel.name}"]
        url, form = spec["data"]["url"], spec["data"]["format"]["property"]
        body = expanded(url["body"], SINCE, until)
        answer = dict(stored.client.search(index=url["index"], **body))
        buckets = answer
        for part in form.split("."):
            buckets = buckets[part]
        assert sum(bucket["doc_count"] for bucket in buckets) > 0, panel.name

        levels, metrics = engine.chain(body["aggs"])
        rows = engine.flat(levels, metrics, answer["aggregations"])
        own = {**spec, "data": {"values": in_order(answer), "format": spec["data"]["format"]}, **SIZE}
        flattened = len(vega.flattening(levels, metrics))
        plain = {**spec, "data": {"values": rows}, "transform": spec["transform"][flattened:], **SIZE}
        ours, theirs = (
            vl_convert.vegalite_to_svg(each, vl_version=OLDEST_VEGA_LITE, show_warnings=True) for each in (own, plain)
        )
        assert ours == theirs, f"{panel.name}: flattened by Vega, and by the engine"
        assert "var(" not in ours
    assert not any(capfd.readouterr())


def test_before_any_feedback_or_verdict_panels_are_empty_and_not_broken(
    elasticsearch: Any, compared: Reference
) -> None:
    elasticsearch.client.indices.create(
        index=f"{elasticsearch.prefix}occupancy-predictions-2026.03",
        mappings={"properties": {"@timestamp": {"type": "date"}, "occupancy.reading.time": {"type": "date"}}},
    )
    for name, spec in specs(list(kibana.objects(elasticsearch.prefix, compared))).items():
        body = expanded(spec["data"]["url"]["body"], SINCE, UNTIL)
        answer = elasticsearch.client.search(index=spec["data"]["url"]["index"], **body)
        assert "aggregations" in answer, name
