import json
import re
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from monitoring.dashboards import engine, kibana
from monitoring.dashboards.engine import Stored
from monitoring.dashboards.panels import panels
from monitoring.settings import Elasticsearch
from monitoring.store.client import BadConnection, NotAllowed, Refused, Unreachable
from occupancy.record import FIELDS
from occupancy.reference import Reference
from tests.monitoring.dashboards.conftest import SINCE, UNTIL

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
NAMES = {field.name for field in FIELDS}
SIZE = {"width": 400, "height": 200}
OLDEST_VEGA_LITE = "5.8"  # of those that can be had here


@pytest.fixture(scope="module")
def objects(compared: Reference) -> list[Json]:
    return list(kibana.objects("test-", compared))


def of(objects: list[Json], kind: str) -> list[Json]:
    return [each for each in objects if each["type"] == kind]


def specs(objects: list[Json]) -> dict[str, Json]:
    """The visualizations' specifications by id."""
    return {
        each["id"]: json.loads(json.loads(each["attributes"]["visState"])["params"]["spec"])
        for each in of(objects, "visualization")
    }


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
        f"test-occupancy-{kind}-*" for kind in ("predictions", "feedback", "verdicts")
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
        flattened = len(kibana.flattening(levels, metrics))
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


# --- the import


class Kibana(BaseHTTPRequestHandler):
    """Answers as Kibana's documentation says; keeps what came."""

    came: list[tuple[str, Any, bytes]] = []  # noqa: RUF012 -- of the class, for the test to read
    answer: tuple[int, Any] = (200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append((self.path, self.headers, body))
        status, said = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def listening() -> Iterator[str]:
    Kibana.came.clear()
    with HTTPServer(("127.0.0.1", 0), Kibana) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


TABLE = Elasticsearch(elasticsearch_prefix="test-")


def test_the_import_is_the_request_that_kibana_wants(listening: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pässword\n", "utf-8")
    table = Elasticsearch(
        elasticsearch_prefix="test-",
        elasticsearch_user="elastic",
        elasticsearch_password_file=str(tmp_path / "password"),
    )
    meta = {"title": "Occupancy: Operation", "icon": "dashboardApp"}
    results = [{"type": "dashboard", "id": "x", "meta": meta, "managed": False}]
    Kibana.answer = 200, {"success": True, "successCount": 1, "successResults": results}
    assert kibana.install(f"{listening}/s/rooms/", table) == ["dashboard Occupancy: Operation"]
    ((path, headers, body),) = Kibana.came
    assert path == "/s/rooms/api/saved_objects/_import?overwrite=true"
    assert headers["kbn-xsrf"]
    assert headers["authorization"] == "Basic ZWxhc3RpYzpww6Rzc3dvcmQ="
    message = message_from_bytes(b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    _, part = message.walk()
    assert part.get_param("name", header="content-disposition") == "file"
    assert str(part.get_filename()).endswith(".ndjson")
    sent = part.get_payload(decode=True)
    assert sent == kibana.ndjson(kibana.objects("test-"))


def test_an_api_key_is_given_as_kibana_wants_it(listening: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("id:secret\n", "utf-8")
    Kibana.answer = 200, {"success": True, "successCount": 0}
    assert kibana.install(listening, Elasticsearch(elasticsearch_api_key_file=str(tmp_path / "key"))) == []
    assert Kibana.came[0][1]["authorization"] == "ApiKey aWQ6c2VjcmV0"


@pytest.mark.parametrize(
    ("status", "said", "error", "text"),
    [
        (401, {"statusCode": 401, "error": "Unauthorized"}, NotAllowed, "does not let us .401.: ELASTICSEARCH_USER or"),
        (403, {"message": "no"}, NotAllowed, "Saved Objects Management"),
        (503, b"Kibana server is not ready yet", Unreachable, "not ready yet; wait"),
        (404, b"<html>nothing here", Refused, "answers 404: <html>nothing here; is it Kibana"),
        (302, b"", Refused, "answers 302"),
        (200, b"[]", Refused, "is it Kibana"),
        (400, {"message": "File extension .x is not supported"}, Refused, "answers 400: File extension"),
        (
            200,
            {"success": False, "errors": [{"type": "dashboard", "title": "A", "error": {"type": "unsupported_type"}}]},
            Refused,
            "did not take 1 objects: dashboard A: unsupported_type",
        ),
    ],
)  # fmt: skip
def test_what_kibana_refuses_is_told(listening: str, status: int, said: Any, error: type[Exception], text: str) -> None:
    Kibana.answer = status, said
    with pytest.raises(error, match=text):
        kibana.install(listening, TABLE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nobody.invalid:5601", "http://[:5601"])
def test_no_kibana_is_told(url: str) -> None:
    with pytest.raises(Unreachable, match="no Kibana answers at"):
        kibana.install(url, TABLE)


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(BadConnection, match="expected scheme://host:port"):
        kibana.install("127.0.0.1:5601", TABLE)
