import json
import shutil
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from benchmark import load
from benchmark.load import NoSummary, Summary, faults, percentiles, summary, table

# as k6 1.8.1 printed it
PRINTED = """
{"url":"http://127.0.0.1:30981","rate":50,"seconds":10,"fresh":true,"dropped":0,"errors":0,"latency":{"count":500,"min":100.9,\
"med":102.6,"p(75)":104.5,"p(90)":111.5,"p(95)":121.6,"p(99)":137.9,"p(99.5)":147.3,"p(99.9)":157.1,"p(99.99)":157.9,\
"max":158},"late":{"count":500,"min":0,"med":0.5,"p(75)":1,"p(90)":2,"p(95)":4,"p(99)":10,"p(99.5)":11,"p(99.9)":12,\
"p(99.99)":12,"max":12}}
"""


def given(**changes: Any) -> Summary:
    return summary(json.dumps({**json.loads(PRINTED), **changes}))


def test_the_summary_is_found_among_what_else_is_printed() -> None:
    assert summary(f"time=... level=info\n{PRINTED}\n").latency["med"] == 102.6


@pytest.mark.parametrize("printed", ["", "level=error msg=refused", '{"url": 1}', '{"url":"x"}'])
def test_a_run_without_a_summary_is_an_error(printed: str) -> None:
    with pytest.raises(NoSummary, match="the end of what it said"):
        summary(printed)


def test_a_run_without_an_answer_is_an_error() -> None:
    with pytest.raises(NoSummary):
        given(latency={})


def test_only_percentiles_with_samples_beyond_are_shown() -> None:
    assert [share for share, _ in percentiles(given())] == [0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 1]


def test_the_table() -> None:
    rows = {str(row[0]): row[1] for row in table(given()).rows}
    assert rows["requests a second: asked, sent"] == "50, 50.0 (10 s)"
    assert rows["latency p99.5, ms"] == "147.3"
    assert rows["dropped, not answered with a label"] == "0, 0 of 500"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"dropped": 3}, "3 requests were dropped"),
        ({"errors": 1}, "1 requests were not answered with a label"),
        ({"late": {"p(99)": 250}}, "k6 was 250 ms late"),
    ],
)
def test_a_run_that_says_nothing_says_why(changes: dict[str, Any], fault: str) -> None:
    assert faults(given()) == []
    (said,) = faults(given(**changes))
    assert said.startswith(fault)


def test_a_jobs_summary_is_read_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(PRINTED))
    assert load.main(["-", "--save-path", str(tmp_path / "new" / "load.png")]) == 0
    assert (tmp_path / "new" / "load.png").read_bytes().startswith(b"\x89PNG")
    assert "| latency max, ms | 158.0 |" in capsys.readouterr().out


def test_without_k6_one_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert load.main(["http://127.0.0.1:1"]) == 2
    assert "go install go.k6.io/k6@" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["http://a", "http://b"]])
def test_one_url_is_needed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert load.main(argv) == 2
    assert "Expected one URL" in capsys.readouterr().err


@dataclass
class Service:
    url: str
    bodies: list[Any] = field(default_factory=list)
    connections: int = 0
    status: int = 200


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            found.connections += 1

        def do_POST(self) -> None:
            found.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.send_header("Content-Length", "12")
            self.end_headers()
            self.wfile.write(b'{"label": 1}')

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    found = Service(f"http://127.0.0.1:{http.server_port}")
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    http.shutdown()
    http.server_close()


if shutil.which("k6"):  # a person has it or has not; CI does without

    @pytest.mark.parametrize("fresh", [True, False])
    def test_k6_sends_readings_at_the_rate(service: Service, tmp_path: Path, fresh: bool) -> None:
        options = ["--rate", "30", "--seconds", "2", "--save-path", str(tmp_path / "a.png"), *["--fresh"] * fresh]
        load.main([service.url, *options])
        assert len(service.bodies) in (60, 61)
        assert set(service.bodies[0]) == {"Temperature", "Humidity", "Light", "CO2"}
        assert (service.connections == len(service.bodies)) is fresh

    def test_errors_of_k6s_requests_are_counted(service: Service, tmp_path: Path) -> None:
        service.status = 503
        assert load.main([service.url, "--rate", "5", "--seconds", "1", "--save-path", str(tmp_path / "a.png")]) == 1
