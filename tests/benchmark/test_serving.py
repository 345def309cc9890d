import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark import serving, traffic
from benchmark.peers import contenders, inside
from benchmark.peers.image import DockerFailed, start_image
from benchmark.peers.server import NeverAnswered, answers, free_ports, pinned, running
from benchmark.serving import Known, WrongAnswer
from inference.settings import SHIPPED_MODEL
from occupancy.reading import FEATURES

QUICK = ["--rounds", "1", "--seconds", "0.3", "--batch", "20", "--connections", "3"]
SHARE = r"\d+(\.\d+)?(e[+-]\d+)?"
peers = pytest.mark.skipif(bool(contenders.missing()), reason="peers are missing; `make peers` installs them apart")


def cells(printed: str) -> dict[str, list[str]]:
    rows = [line[2:-2].split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    return {first: rest for first, *rest in rows}


def check_tables(printed: str, names: list[str]) -> None:
    """Check what does not depend on how fast the machine is: who took part, and that every cell holds a figure."""
    rows = cells(printed)
    assert [row for row in rows if "against" in row] == [f"against {name}" for name in names if name != contenders.OURS]
    for name in names:
        (figures,) = (rest for first, rest in rows.items() if first.startswith(name) and len(rest) == 4)
        assert all(re.fullmatch(rf"{SHARE}%?", cell) for cell in figures), figures
    assert rows["readings answered in bodies of 1 that the prediction log has"][0] == "100.00%"
    assert rows["readings answered in bodies of 20 that the prediction log has"][0] == "100.00%"
    assert re.fullmatch(SHARE, rows["99th percentile / median"][0])
    assert re.fullmatch(SHARE, rows["start to first answer, s"][0])


def test_a_run_without_peers_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contenders, "_environment", lambda name: tmp_path / name)
    before = os.sched_getaffinity(0)
    assert serving.main(QUICK) == 0
    printed, errors = capsys.readouterr()
    assert "without fastapi and mlserver: `make peers` installs" in errors
    assert "3 kept-alive connections; 1 alternating rounds of 0.3 s" in printed
    check_tables(printed, [contenders.UNIT, contenders.OURS, contenders.LIMIT])
    assert os.sched_getaffinity(0) == before


@pytest.mark.peers
@peers
def test_every_peer_answers_as_the_model_does_and_takes_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert serving.main(QUICK) == 0
    check_tables(
        capsys.readouterr().out,
        [
            *(contenders.UNIT, contenders.OURS, contenders.LIMIT, contenders.PLAIN_FASTAPI, contenders.FAST_FASTAPI),
            *(contenders.FASTAPI, contenders.MLSERVER),
        ],
    )


@pytest.mark.peers
@peers
def test_fastapi_refuses_what_the_contract_refuses(tmp_path: Path) -> None:
    found = {c.key: c for c in contenders.contenders(free_ports(), SHIPPED_MODEL, tmp_path)}
    known = serving.some_readings(1)
    with serving.serve(found[contenders.FASTAPI], known, min(os.sched_getaffinity(0)), tmp_path) as subject:
        for feature in FEATURES:
            for value, status in [
                (feature.low, 200),
                (feature.high, 200),
                (feature.low - 1, 422),
                (feature.high + 1, 422),
            ]:
                body = json.dumps({**known.readings[0], feature.name: value}).encode()
                sent = traffic.request(subject.server.address, "/predict", body)
                assert traffic.once(subject.server.address, sent)[0] == status, (feature.name, value)


def test_wrong_answers_are_not_timed(tmp_path: Path) -> None:
    known = serving.some_readings(5)
    wrong = Known(known.readings, [*known.probabilities[:-1], known.probabilities[-1] + 0.001])
    core = min(os.sched_getaffinity(0))
    with serving.serve(contenders.service(next(free_ports()), SHIPPED_MODEL), known, core, tmp_path) as subject:
        serving.check(subject, known)
        assert subject.answered == 6
        assert serving.check_batch(subject, known, 5)
        assert subject.answered == 11
        with pytest.raises(WrongAnswer, match="gives"):
            serving.check(subject, wrong)
        with pytest.raises(WrongAnswer, match="gives"):
            serving.check_batch(subject, wrong, 5)
        bad = traffic.request(subject.server.address, "/predict", b"{}")
        with pytest.raises(WrongAnswer, match="answers 4"):
            serving.ask(subject, bad)
        with pytest.raises(WrongAnswer, match=r"\{4\d\d: \d+\}"):
            serving.timed(subject, [bad], 2, 0.1)
        assert subject.server.resident_bytes() > 20e6
        assert 0 < subject.server.cpu_seconds() < 60
    assert not answers(subject.server.address, subject.requests[0])


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    address = ("127.0.0.1", next(free_ports()))
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    core = min(os.sched_getaffinity(0))
    with (
        pytest.raises(NeverAnswered, match="no such thing"),
        running(command, address, traffic.request(address, "/"), environment={}, core=core, log=tmp_path / "log"),
    ):
        pass


def test_processes_start_on_the_core_that_is_pinned() -> None:
    core = max(os.sched_getaffinity(0))
    with pinned({core}):
        told = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert told.stdout.strip() == str({core})


def test_a_bad_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert serving.main(["--rounds", "0"]) == 2
    assert capsys.readouterr().err.startswith("benchmark serving: --rounds='0'")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, 3.0, 2.0], "2 (1 to 3)"),
        ([0.12345], "0.123"),
        ([1234.5], "1234"),
        ([99.99, 1234.0, 250.0], "250 (100 to 1234)"),
    ],
)
def test_a_spread_is_the_median_and_the_range(values: list[float], text: str) -> None:
    assert serving.spread(values) == text


DOCKERFILE = """
FROM python:3.11-slim-bookworm
RUN printf 'import http.server as h\\nclass A(h.BaseHTTPRequestHandler):\\n def do_POST(self):\\n  self.protocol_version = \
"HTTP/1.1"; self.send_response(%d); self.end_headers()\\nh.HTTPServer(("", 8080), A).serve_forever()\\n' 200 > inference.py
"""


@pytest.mark.docker
def test_an_image_is_started_timed_and_weighed() -> None:
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    image = "occupancy_benchmark_test"
    subprocess.run(["docker", "build", "-t", image, "-"], input=DOCKERFILE.encode(), check=True, capture_output=True)
    try:
        found = start_image(image)
        assert len(found) == inside.STARTS
        for start in found:
            assert 0 < start.seconds < inside.GIVE_UP_SECONDS
            assert 1 < start.proportional <= start.resident < 1000
        with pytest.raises(DockerFailed, match="no_such_image"):
            start_image("no_such_image:at-all")
    finally:
        subprocess.run(["docker", "rmi", "--force", image], check=True, capture_output=True)
