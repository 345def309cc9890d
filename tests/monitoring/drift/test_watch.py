import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitoring.__main__ import main
from monitoring.drift import watch
from monitoring.drift.command import chosen
from monitoring.drift.exposition import Exposition
from monitoring.drift.watch import Memory
from occupancy import record
from occupancy.record import Boot, Request

REQUEST = Request("q", "", "", 0)
BOOT = Boot("occupancy-inference", "0.1.0", "0123456789ab", simulated=False)
START = datetime(2026, 11, 16, 12, tzinfo=UTC)  # a Monday


def lines(count: int, *, first: int = 0, co2: float | None = None) -> bytes:
    """Write predictions a minute apart, the CO2 sensor stuck where a value is given."""
    written = b""
    for minute in range(first, first + count):
        values = (
            20.5 + minute % 2 * 0.01,
            30.0 + minute % 3 * 0.01,
            450.0 + minute % 2,
            co2 or 600.0 + minute % 2,
            0.0045,
        )
        fields = record.prediction(
            BOOT, REQUEST, room="default", reading_id=None, reading_time=START + timedelta(minutes=minute), values=values,
            probability=0.9, label=1, answer="occupied", flags=[], label_wanted=False,
        )  # fmt: skip
        fields["@timestamp"] = START + timedelta(minutes=minute)
        written += record.line(fields)
    return written


class Place:
    def __init__(self, folder: Path) -> None:
        self.log, self.state = folder / "log.jsonl", folder / "watch.json"

    def once(self, capfdbinary: Any, **settings: str) -> list[dict[str, Any]]:
        environ = {"MONITORING_WATCH_STATE": str(self.state), "MONITORING_ONCE": "true"}
        environ |= {f"MONITORING_{name.upper()}": value for name, value in settings.items()}
        assert main(["watch", str(self.log)], environ) == 0
        said = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
        return [fields for fields in said if fields["occupancy.verdict.rule"] != "stale"]  # that was days ago


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_it_finds_is_a_record_and_is_told_once(place: Place, capfdbinary: Any) -> None:
    place.log.write_bytes(lines(60) + lines(20, first=60, co2=700.0)[:-10])
    (opened,) = place.once(capfdbinary)
    assert opened["event.dataset"] == "occupancy.verdict"
    assert (opened["occupancy.verdict.rule"], opened["occupancy.verdict.sensor"]) == ("run", "CO2")
    assert opened["occupancy.model.version"] == "0123456789ab"
    assert record.index(opened) == "occupancy-verdicts-2026.11"
    assert set(opened) <= {field.name for field in record.FIELDS}
    assert place.once(capfdbinary) == []
    with place.log.open("ab") as log:
        log.write(b'cut off\n"event.dataset" {\n' + lines(30, first=80, co2=700.0))
    assert place.once(capfdbinary) == []
    with place.log.open("ab") as log:
        log.write(lines(90, first=110))
    (closed,) = place.once(capfdbinary)
    assert (closed["occupancy.verdict.event"], closed["occupancy.verdict.state"]) == (
        opened["occupancy.verdict.event"],
        "closed",
    )


def test_a_file_in_the_place_of_another_is_read_and_nothing_twice(place: Place, capfdbinary: Any) -> None:
    early, late = lines(60), lines(20, first=60, co2=700.0)
    place.log.write_bytes(early)
    assert place.once(capfdbinary) == []
    place.log.write_bytes(late)  # shorter: it was rotated
    assert len(place.once(capfdbinary)) == 1
    place.log.write_bytes(b"")
    place.once(capfdbinary)
    place.log.write_bytes(early + late)
    assert place.once(capfdbinary) == []
    assert watch.load(str(place.state)).state.rooms["default"].late == 0


def test_one_room_alone(place: Place, capfdbinary: Any) -> None:
    place.log.write_bytes(lines(60) + lines(20, first=60, co2=700.0))
    assert place.once(capfdbinary, room="attic") == []
    assert watch.load(str(place.state)).state.rooms == {}


def test_a_missing_file_is_waited_for(place: Place, capfdbinary: Any) -> None:
    assert place.once(capfdbinary) == []


def test_a_state_that_is_none_is_refused(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.state.write_text("{")
    assert main(["watch", "x"], {"MONITORING_WATCH_STATE": str(place.state), "MONITORING_ONCE": "true"}) == 2
    assert "holds no state of this program" in capsys.readouterr().err


@pytest.fixture
def hook() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((self.headers, json.loads(body)))  # type: ignore[attr-defined]
            self.send_response(self.server.status)  # type: ignore[attr-defined]
            self.send_header("Location", "/login")
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.status = [], 204
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_webhook_gets_each_verdict_in_the_end(place: Place, hook: Any, capfdbinary: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    told = {"webhook": f"http://127.0.0.1:{hook.server_port}/", "webhook_token_file": str(token)}
    place.log.write_bytes(lines(60) + lines(20, first=60, co2=700.0))
    hook.status = 503
    assert len(place.once(capfdbinary, **told)) == 1
    hook.status = 204
    assert place.once(capfdbinary, **told) == []
    assert place.once(capfdbinary, **told) == []
    (first, said), *_, (again, same) = [post for post in hook.got if post[1]["rule"] == "run"]
    assert said == same
    assert (said["rule"], said["consequence"]) == ("run", "person")
    assert first["Idempotency-Key"] == again["Idempotency-Key"]
    assert first["Authorization"] == "Bearer s3cret"


def test_a_redirect_took_no_verdict(place: Place, hook: Any, capfdbinary: Any) -> None:
    place.log.write_bytes(lines(60) + lines(20, first=60, co2=700.0))
    hook.status = 302
    place.once(capfdbinary, webhook=f"http://127.0.0.1:{hook.server_port}/")
    assert [verdict.rule for verdict in watch.load(str(place.state)).unsent][:1] == ["run"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook": "nonsense"}, "expected http(s)://host/path"),
        ({"webhook": "http://x:port/"}, "expected http(s)://host/path"),
        ({"webhook_token_file": "/nowhere"}, "MONITORING_WEBHOOK_TOKEN_FILE=/nowhere can't be read: No such file"),
        ({"since": "99999999999d"}, "further back than the calendar goes"),
        ({"since": "9999999d"}, "further back than the calendar goes"),
    ],
)
def test_a_setting_that_can_never_work_is_refused(
    settings: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {f"MONITORING_{name.upper()}": value for name, value in settings.items()}
    assert main(["watch", "x"], {**environ, "MONITORING_WATCH_STATE": str(tmp_path / "state")}) == 2
    assert said in capsys.readouterr().err


def test_a_compressed_file_does_not_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "x.jsonl.gz"], {"MONITORING_WATCH_STATE": str(tmp_path / "state")}) == 2
    assert "a compressed file does not grow" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(tmp_path: Path, hook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"MONITORING_WATCH_STATE": str(tmp_path / "state"), "MONITORING_METRICS_PORT": str(hook.server_port)}
    assert main(["watch", "x"], environ) == 2
    assert "can't be served: Address already in use" in capsys.readouterr().err


def test_one_look_that_fails_has_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"MONITORING_WATCH_STATE": str(tmp_path / "state"), "MONITORING_ONCE": "true"}
    assert main(["watch"], {**environ, "ELASTICSEARCH_URL": "http://127.0.0.1:9"}) == 2
    assert "no Elasticsearch answers at http://127.0.0.1:9 " in capsys.readouterr().err
    assert main(["watch", str(tmp_path)], environ) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_a_record_without_a_boot_or_number_of_its_kind_does_not_end_it(place: Place, capfdbinary: Any) -> None:
    (first,) = [json.loads(line) for line in lines(1).splitlines()]
    broken: list[dict[str, Any]] = [
        {"occupancy.boot": None},
        {"occupancy.boot": ["a"]},
        {"occupancy.sequence": 10**30},
        {"event.id": None},
    ]
    odd = b"".join(json.dumps({**first, **part}).encode() + b"\n" for part in broken)
    place.log.write_bytes(odd + lines(60) + lines(20, first=60, co2=700.0))
    assert len(place.once(capfdbinary)) == 1
    assert watch.load(str(place.state)).state.rooms["default"].judged == 80


def test_its_figures(place: Place) -> None:
    place.log.write_bytes(lines(60) + lines(20, first=60, co2=700.0))
    table = watch.Watch(file=(str(place.log),))
    memory, figures = Memory(), Exposition(0)
    found = watch._portion(table, memory.cursor)
    figures.show(memory.state, memory.open, watch.look(memory, found, chosen(table), 0), len(found.predictions), 0)
    sample = figures.registry.get_sample_value
    assert sample("occupancy_watch_readings_total") == 80
    run = {"layer": "health", "rule": "run"}
    assert sample("occupancy_watch_verdicts_total", {**run, "state": "opened"}) == 1
    figures.show(memory.state, memory.open, [], 0, 0)
    assert sample("occupancy_watch_open", {**run, "consequence": "person"}) == 1
    assert sample("occupancy_watch_open", {"layer": "loss", "rule": "loss", "consequence": "retrain"}) == 0


@pytest.mark.elasticsearch
def test_elasticsearch_is_watched_from_where_it_stopped(elasticsearch: Any, tmp_path: Path, capfdbinary: Any) -> None:
    assert main(["setup"], elasticsearch.environ) == 0
    written = [json.loads(line) for line in (lines(60) + lines(20, first=60, co2=700.0)).splitlines()]
    state = {
        "MONITORING_WATCH_STATE": str(tmp_path / "watch.json"),
        "MONITORING_ONCE": "true",
        "MONITORING_SINCE": "520w",
    }
    said = []
    for part in (written[:50], written[50:], []):
        for fields in part:
            elasticsearch.client.create(
                index=elasticsearch.prefix + record.index(fields), id=fields["event.id"], document=fields
            )
        elasticsearch.client.indices.refresh(index=f"{elasticsearch.prefix}*")
        capfdbinary.readouterr()
        assert main(["watch"], {**elasticsearch.environ, **state}) == 0
        said.append(len(re.findall(rb'"run"', capfdbinary.readouterr().out)))
    assert said == [0, 1, 0]
