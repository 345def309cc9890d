import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitoring.service import Interrupted, NoToken, NotTheService, Result, Service, ServiceAway, token
from tests.inference.conftest import GOOD, Process, running

HOT = {**GOOD, "Temperature": 85.0}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("service")) as process:
        yield process


@pytest.fixture
def service(process: Process) -> Iterator[Service]:
    service = Service(f"http://127.0.0.1:{process.port}/", patience=30)
    yield service
    service.close()


@pytest.mark.parametrize("readings", [[GOOD], [HOT], [GOOD, HOT, GOOD], [HOT, HOT]])
def test_each_reading_gets_its_answer_or_its_fault(service: Service, readings: list[dict[str, Any]]) -> None:
    results = service.predict(readings)
    assert [result.answer is not None for result in results] == [reading is GOOD for reading in readings]
    for result in results:
        if result.answer:
            assert result.answer["answer"] == "empty"
        else:
            assert result.fault
            assert (result.fault["field"], result.fault["reason"]) == ("Temperature", "out_of_range")


def test_feedback_is_taken(service: Service, process: Process) -> None:
    (result,) = service.predict([GOOD])
    assert result.answer
    service.feedback(result.answer["id"], occupied=False)
    with pytest.raises(NotTheService, match="it answers 422, id is missing, wrong or not a field"):
        service.feedback("another", occupied=True)


# --- what stands before a service, or in its place


@contextmanager
def answering(*answers: bytes) -> Iterator[str]:
    """Answer each request on a connection of its own with bytes of ours, the last again and again."""
    left = list(answers)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(left.pop(0) if len(left) > 1 else left[0])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)


def http(status: str, body: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    ).encode()


GATEWAY = http("502 Bad Gateway", "<html>nobody there</html>")
BUSY = http("503 Service Unavailable", '{"detail": "too many requests are waiting"}', "Retry-After: 0")
ANSWER = http("200 OK", '{"answer": "empty"}')


def test_who_asks_to_come_later_is_asked_again() -> None:
    with answering(GATEWAY, BUSY, ANSWER) as url:
        service = Service(url, patience=30)
        assert service.predict([GOOD]) == [Result({"answer": "empty"}, None)]
        assert service.again == 0  # each was turned away: none can have been answered twice


def test_what_was_sent_again_over_a_broken_connection_is_counted() -> None:
    with answering(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", ANSWER) as url:
        service = Service(url, patience=30)
        assert service.predict([GOOD]) == [Result({"answer": "empty"}, None)]
        assert service.again == 2


def test_a_connection_that_ended_while_idle_costs_nothing() -> None:
    with answering(ANSWER.replace(b"Connection: close\r\n", b"")) as url:  # it ends without having said so
        service = Service(url, patience=30)
        for _ in range(3):
            service.predict([GOOD])
            time.sleep(0.2)
        service.close()
        assert service.again == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (GATEWAY, "it answers 502, not as the service does; after "),
        (BUSY, "it answers 503, too many requests are waiting; after "),
        (b"", "RemoteDisconnected"),
    ],
)
def test_patience_ends(answer: bytes, why: str) -> None:
    with answering(answer) as url, pytest.raises(ServiceAway, match=why):
        Service(url, patience=0.3).predict([GOOD])


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", "<html>"),
        http("200 OK", "[]"),
        http("200 OK", "1"),
        http("404 Not Found", '{"detail": "no"}'),
        http("501 Unsupported method", "no"),
    ],
)
@pytest.mark.parametrize("readings", [[GOOD], [GOOD, GOOD]])
def test_what_is_not_the_service_is_named(answer: bytes, readings: list[dict[str, Any]]) -> None:
    with answering(answer) as url, pytest.raises(NotTheService, match=f"{url}: it answers "):
        Service(url, patience=5).predict(readings)


def test_a_failure_of_the_service_is_no_error_of_ours() -> None:
    with answering(http("500 Internal Server Error", "{}")) as url:
        assert Service(url, patience=5).predict([GOOD, GOOD]) == [Result(None, None)] * 2


def test_who_waits_long_says_so_and_can_be_stopped() -> None:
    stop, told = threading.Event(), list[str]()

    def tell(text: str) -> None:
        told.append(text)
        stop.set()

    with pytest.raises(Interrupted):
        Service("http://127.0.0.1:9", patience=60, stop=stop, tell=tell).predict([GOOD])
    assert re.fullmatch(r"http://127.0.0.1:9: ConnectionRefusedError: .*; waiting for it", told[0])
    assert len(told) == 1


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://localhost", "http://localhost:port", "http://[::1"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(NotTheService, match="expected the service as http://host:port"):
        Service(url, patience=1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_text(""), "expected one line of ASCII"),
        (lambda path: path.write_text("two\nlines"), "expected one line"),
        (lambda path: path.write_text("Schlüssel", "utf-8"), "can't be read"),
    ],
)
def test_a_token_that_cannot_be_sent_is_refused(make: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    make(tmp_path / "token")
    with pytest.raises(NoToken, match=why):
        token(str(tmp_path / "token"))


def test_without_a_file_there_is_no_token() -> None:
    assert token("") == ""
