import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.inference.conftest import GOOD, Process, running, until

BODY = json.dumps(GOOD).encode()
POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
# the same service, more hurried, so that the tests need not wait
HURRIED = """
import runpy, sys
import inference.server.worker as worker
worker.REQUEST_SECONDS, worker.IDLE_SECONDS = 1.5, 1.0
sys.argv = ["inference"]
runpy.run_module("inference", run_name="__main__", alter_sys=True)
"""
# and one that waits for ever, so that whoever holds a thread holds it
PATIENT = HURRIED.replace("= 1.5, 1.0", "= 600, 600")
FEW = {"OCCUPANCY_QUEUE": "2"}  # six threads


def connect(service: Process) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=60)


def rest(connection: socket.socket) -> bytes:
    """Read to the end, however it ends."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionError:
        pass
    return received


def workers(service: Process) -> list[int]:
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


# --- clients that hold on


@pytest.mark.parametrize("sent", [b"", POST[:1], POST[:40]])
def test_connections_that_send_nothing_or_half_a_head_hold_no_thread(tmp_path: Path, sent: bytes) -> None:
    with running(tmp_path, "-c", PATIENT, **FEW) as service, ExitStack() as stack:
        half = [stack.enter_context(connect(service)) for _ in range(50)]
        for connection in half:
            connection.sendall(sent)
        for _ in range(20):
            assert service.get("/predict", GOOD)[0] == 200
        half[-1].sendall(POST[len(sent) :])  # and the rest may come at any time
        assert half[-1].recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert "Traceback" not in service.log


def test_half_bodies_hold_no_thread_that_a_health_check_needs(tmp_path: Path) -> None:
    begun = [POST[:-5], POST[:-5].replace(b"/predict", b"/feedback")]
    with running(tmp_path, "-c", PATIENT, **FEW) as service, ExitStack() as stack:
        for n in range(12):
            stack.enter_context(connect(service)).sendall(begun[n % 2])
        assert service.get("/predict", GOOD)[0] == 503  # they have all places
        for _ in range(20):
            assert service.get("/healthz")[0] == service.get("/readyz")[0] == 200


def test_when_all_connections_are_taken_the_longest_idle_makes_room(tmp_path: Path) -> None:
    few = {"GUNICORN_CMD_ARGS": "--worker-connections 5"}
    with running(tmp_path, "-c", PATIENT, **few) as service, ExitStack() as stack:
        kept = []
        for _ in range(6):
            kept.append(stack.enter_context(connect(service)))
            kept[-1].sendall(GET)
            assert kept[-1].recv(65536).startswith(b"HTTP/1.1 200 OK")
        for _ in range(20):
            assert service.get("/predict", GOOD)[0] == 200
        assert rest(kept[0]) == b""


def test_signals_of_no_meaning_leave_it_idle(hurried: Process) -> None:
    def seconds() -> float:
        return sum(map(int, Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[11:13])) / 100

    (worker,) = workers(hurried)
    os.kill(worker, signal.SIGWINCH)
    time.sleep(0.2)
    before = seconds()
    time.sleep(2)
    assert seconds() - before < 1  # of its processor's time: a loop would use all of it


def test_a_head_without_end_is_refused(hurried: Process) -> None:
    with connect(hurried) as connection:
        try:
            for _ in range(100):
                connection.sendall(b"A: " + b"x" * 1000 + b"\r\n")
        except ConnectionError:  # it was closed before all was sent
            pass
        assert rest(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("begun", [b"POST /pre", b"POST /predict HTTP/1.1\r\nContent-Length: 99\r\n\r\n{"])
@pytest.mark.parametrize("drip", [True, False])
def test_clients_that_send_slowly_or_no_more_are_ended(tmp_path: Path, begun: bytes, drip: bool) -> None:
    with running(tmp_path, "-c", HURRIED, **FEW) as service, ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(12)]
        for connection in slow:
            connection.sendall(begun)
        with ThreadPoolExecutor(1) as pool:
            healthy = pool.submit(service.get, "/healthz")
            for _ in range(30 if drip else 0):
                time.sleep(0.1)
                for connection in slow:
                    try:
                        connection.sendall(b"x")
                    except ConnectionError:  # it has been ended
                        continue
            assert healthy.result()[0] == 200  # after a while
        for connection in slow:
            received = rest(connection)
            assert received == b"" or b" 408 " in received or b" 503 " in received
        assert service.get("/predict", GOOD)[0] == 200
    assert "Traceback" not in service.log


def test_clients_that_read_nothing_are_ended(tmp_path: Path) -> None:
    many = json.dumps([GOOD] * 1000).encode()
    request = b"POST /predict?explain=true HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(many) + many
    with running(tmp_path, "-c", HURRIED, **FEW) as service, ExitStack() as stack:
        for _ in range(12):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", service.port))
            connection.settimeout(60)
            for _ in range(8):  # more than all buffers hold
                try:
                    connection.sendall(request)
                except OSError:
                    break
        assert service.get("/healthz")[0] == 200
        while (status := service.get("/predict", GOOD)[0]) == 503:  # until one who holds a place has been ended
            time.sleep(0.1)
        assert status == 200
    assert "Traceback" not in service.log


def test_beyond_the_connections_that_it_takes_others_wait(tmp_path: Path) -> None:
    few = {"GUNICORN_CMD_ARGS": "--worker-connections 5"}
    with running(tmp_path, "-c", HURRIED, **few) as service, ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(connect(service))
        assert service.get("/predict", GOOD)[0] == 200  # when those who send nothing have been ended
        assert service.get("/predict", GOOD)[0] == 200


# --- what is not HTTP


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "request line"),  # TLS
        (b"hello\r\n\r\n", 400, "Invalid HTTP request line"),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 400, "Version"),
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n", 414, "Request Line is too large"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n", 431, "header"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: x\r\n" % n for n in range(200)) + b"\r\n", 431, "header"),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400, "Invalid HTTP Header"),
        (b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n", 400, "Invalid HTTP Header"),
        (b"GET / HTTP/1.1\r\n folded\r\n\r\n", 400, "header"),
        (b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "CONTENT-LENGTH"),
        (b"POST /predict HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400, ""),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "CONTENT-LENGTH"),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ""),
        (b"POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "transfer-encoding"),
        (b"POST /predict HTTP/1.1\r\nExpect: the unexpected\r\n\r\n", 417, "expectation"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else str(value),
)
def test_malformed_http_gets_problem_details(hurried: Process, sent: bytes, status: int, says: str) -> None:
    given, answer = hurried.raw(sent)
    assert (given, answer["status"], answer["type"]) == (status, status, "urn:occupancy:problem:malformed-request")
    assert says.lower() in answer["detail"].lower()
    assert hurried.get("/healthz")[0] == 200
    assert "Traceback" not in hurried.log


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("worker"), "-c", HURRIED) as service:
        yield service


# --- one connection, several requests


def test_requests_may_follow_each_other_without_waiting(hurried: Process) -> None:
    with connect(hurried) as connection:
        connection.sendall(POST + GET + POST + b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = rest(connection).decode()
    assert re.findall(r"HTTP/1.1 (\d+)", received) == ["200", "200", "200", "404"]
    assert received.count('"answer":"empty"') == 2


def test_a_head_request_gets_a_head(hurried: Process) -> None:
    with connect(hurried) as connection:
        connection.sendall(b"HEAD /healthz HTTP/1.1\r\n\r\n" + GET.replace(b"Host: x", b"Connection: close"))
        first, _, second = rest(connection).partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert second.endswith(b'{"alive":true}')


def test_an_old_client_is_answered_once(hurried: Process) -> None:
    with connect(hurried) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b"Connection: close" in rest(connection)


@pytest.mark.parametrize(
    "head", [b"Content-Length: 104857600", b"Content-Length: 1" + b"0" * 400, b"Transfer-Encoding: chunked"]
)
def test_who_sends_far_too_much_still_reads_why(hurried: Process, head: bytes) -> None:
    chunk = b"%x\r\n%s\r\n" % (65536, b" " * 65536) if b"chunked" in head else b" " * 65536
    with connect(hurried) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
        for _ in range(200):  # some 13 MB, as long as they are taken
            try:
                connection.sendall(chunk)
            except ConnectionError:
                break
        received = rest(connection)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"reason":"too_large"' in received
    assert b"Connection: close" in received


# --- the end


def test_a_stopped_service_answers_what_came_before_and_refuses_what_comes_after(tmp_path: Path) -> None:
    with running(tmp_path, OCCUPANCY_DELAY="1") as service, ThreadPoolExecutor(8) as pool:
        kept = HTTPConnection("127.0.0.1", service.port, timeout=60)
        kept.request("GET", "/healthz")
        kept.getresponse().read()
        begun = [pool.submit(service.get, "/predict", GOOD) for _ in range(8)]
        time.sleep(0.3)
        service.process.terminate()
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            connect(service)
        kept.request("POST", "/predict", BODY)  # on a connection from before
        last = kept.getresponse()
        assert (last.status, last.headers["Connection"]) == (200, "close")
        assert json.loads(last.read())["answer"] == "empty"
        answers = [call.result() for call in begun]
        assert [status for status, _, _ in answers] == [200] * 8
        assert service.process.wait(60) == 0
    assert len(service.records) == 9  # all of them written
    assert "Traceback" not in service.log


def test_an_idle_service_ends_at_once_whoever_is_connected(tmp_path: Path) -> None:
    with running(tmp_path) as service, connect(service) as idle, connect(service) as used:
        used.sendall(GET)
        used.recv(65536)
        assert service.stop() == 0
        assert (rest(used), rest(idle)) == (b"", b"")


def whole(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def test_a_killed_process_leaves_whole_lines_and_another_takes_over(tmp_path: Path) -> None:
    with running(tmp_path) as service, ThreadPoolExecutor(8) as pool:
        (worker,) = workers(service)

        def send(_: int) -> list[str]:
            ids = []
            connection = HTTPConnection("127.0.0.1", service.port, timeout=60)
            try:
                while True:
                    connection.request("POST", "/predict", BODY)
                    ids.append(json.loads(connection.getresponse().read())["id"])
            except (OSError, ValueError, EOFError):
                return ids

        calls = [pool.submit(send, n) for n in range(8)]
        time.sleep(1.5)
        os.kill(worker, signal.SIGKILL)
        answered = {id_ for call in calls for id_ in call.result()}
        until(lambda: workers(service) not in ([], [worker]))
        assert service.get("/predict", GOOD)[0] == 200
        service.stop()
    text = (tmp_path / "stdout").read_text("utf-8")
    assert text.endswith("\n")
    records = [parsed for parsed in map(whole, text.splitlines()) if parsed]
    assert len(text.splitlines()) - len(records) <= 1  # a file may end in a cut line, which the next process ends
    assert len({record["occupancy.boot"] for record in records}) == 2
    written = {record["event.id"] for record in records}
    lost = answered - written
    assert len(answered) > 100
    assert len(lost) < len(answered) / 4  # those of the last moment: see inference/prediction_log.py
    sequences = sorted(int(id_.partition("-")[2]) for id_ in lost)
    assert not lost or sequences[0] > max(record["occupancy.sequence"] for record in records[:-1])
