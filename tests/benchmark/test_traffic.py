import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmark import traffic
from benchmark.peers.server import free_ports

Respond = Callable[[bytes], bytes | None]


@dataclass
class Server:
    """A real server that answers a body with the bytes that `respond` gives, or hangs up where it gives none."""

    address: traffic.Address
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0

    def post(self, body: bytes = b"{}") -> bytes:
        return traffic.request(self.address, "/predict", body)


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nX-Other: 1\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error here."""


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], Server]]:
    started = []

    def start(respond: Respond) -> Server:
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                with lock:
                    server.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    server.bodies.append(body)
                given = respond(body)
                self.wfile.write(given or b"")
                self.close_connection = given is None or b"Connection: close" in given

        http = Quiet(("127.0.0.1", 0), Handler)
        server = Server(("127.0.0.1", http.server_port))
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        started.append(http)
        return server

    yield start
    for http in started:
        http.shutdown()
        http.server_close()


Serve = Callable[[Respond], Server]


def test_kept_alive_connections_take_the_requests_in_turn(serve: Serve) -> None:
    server = serve(answer)
    outcome = traffic.closed(server.address, [server.post(b"1"), server.post(b"2")], 4, count=100)
    assert (outcome.statuses, outcome.errors, len(outcome.latencies)) == ({200: 100}, {}, 100)
    assert sorted(server.bodies) == [b"1"] * 50 + [b"2"] * 50
    assert server.connections == 4
    assert 0 < min(outcome.latencies) <= max(outcome.latencies) <= outcome.seconds
    assert outcome.rate == 100 / outcome.seconds
    assert outcome.cpu_seconds > 0


def test_a_burst_of_fresh_connections(serve: Serve) -> None:
    together = threading.Barrier(30, timeout=60)  # nobody is answered before all have asked

    def respond(body: bytes) -> bytes:
        together.wait()
        return answer(body)

    server = serve(respond)
    outcome = traffic.closed(server.address, [server.post()], 30, count=30, fresh=True)
    assert (outcome.statuses, outcome.errors, server.connections) == ({200: 30}, {}, 30)


def test_answers_are_kept_with_the_requests_that_they_answer(serve: Serve) -> None:
    server = serve(lambda body: answer(body * 2))
    requests = [server.post(b"%d" % number) for number in range(20)]
    outcome = traffic.closed(server.address, requests, 5, count=20, fresh=True, keep=True)
    assert sorted(outcome.answers) == sorted((sent, b"%d" % number * 2) for number, sent in enumerate(requests))


def test_fresh_connections_are_one_a_request(serve: Serve) -> None:
    server = serve(answer)
    assert traffic.closed(server.address, [server.post()], 2, count=10, fresh=True).statuses == {200: 10}
    assert server.connections == 10


def test_time_ends_a_run(serve: Serve) -> None:
    server = serve(answer)
    outcome = traffic.closed(server.address, [server.post()], 2, seconds=0.2)
    assert outcome.statuses[200] == len(server.bodies) > 0


def test_waiting_for_a_busy_connection_counts_in_the_latency(serve: Serve) -> None:
    def respond(body: bytes) -> bytes:
        time.sleep(0.1)
        return answer(body)

    server = serve(respond)
    outcome = traffic.scheduled(server.address, [server.post()], 1, rate=50, seconds=0.2)
    assert outcome.statuses == {200: 10}
    for number, latency in enumerate(outcome.latencies):  # the server alone explains this much
        assert latency >= (number + 1) * 0.1 - number / 50 - 0.001


def test_a_schedule_is_kept_where_connections_are_free(serve: Serve) -> None:
    server = serve(answer)
    outcome = traffic.scheduled(server.address, [server.post()], 8, rate=100, seconds=0.3)
    assert outcome.statuses == {200: 30}
    assert outcome.seconds >= 0.29


def test_every_status_is_counted(serve: Serve) -> None:
    server = serve(lambda body: answer(body, "503 Service Unavailable" if body == b"no" else "200 OK"))
    outcome = traffic.closed(server.address, [server.post(b"no"), server.post(b"yes"), server.post(b"yes")], 1, count=9)
    assert outcome.statuses == {503: 3, 200: 6}
    assert len(outcome.latencies) == 9


def test_bodies_larger_than_any_buffer(serve: Serve) -> None:
    server, large = serve(answer), b"x" * 8_000_000
    outcome = traffic.closed(server.address, [server.post(large)], 2, count=4)
    assert (outcome.statuses, outcome.errors) == ({200: 4}, {})
    assert server.bodies == [large] * 4
    assert traffic.once(server.address, server.post(large)) == (200, large)


def test_a_connection_that_the_server_wants_closed_is_made_anew(serve: Serve) -> None:
    server = serve(lambda body: answer(body, headers="Connection: close\r\n"))
    outcome = traffic.closed(server.address, [server.post()], 2, count=10)
    assert (outcome.statuses, outcome.errors, server.connections) == ({200: 10}, {}, 10)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (None, "ConnectionResetError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n1", "ConnectionResetError"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "BadAnswer"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "BadAnswer"),
        (answer(b"1") + b"and more", "BadAnswer"),
    ],
)
def test_what_is_no_answer_is_an_error(serve: Serve, given: bytes | None, error: str) -> None:
    server = serve(lambda body: given if body == b"bad" else answer(body))
    outcome = traffic.closed(server.address, [server.post(b"bad"), server.post(b"good")], 1, count=4)
    assert (outcome.errors, outcome.statuses, len(outcome.latencies)) == ({error: 2}, {200: 2}, 2)
    with pytest.raises((OSError, traffic.BadAnswer)):
        traffic.once(server.address, server.post(b"bad"))


def test_nobody_listens() -> None:
    address = ("127.0.0.1", next(free_ports()))
    outcome = traffic.closed(address, [traffic.request(address, "/")], 2, count=3)
    assert (outcome.errors, outcome.statuses, outcome.rate) == ({"ConnectionRefusedError": 3}, {}, 0)


@pytest.mark.parametrize("count", [2, 5])
def test_silence_ends_a_run(serve: Serve, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(traffic, "LAST_ANSWER_SECONDS", 0.2)
    over = threading.Event()

    def respond(body: bytes) -> None:
        over.wait(60)

    server = serve(respond)
    try:
        outcome = traffic.closed(server.address, [server.post()], 2, count=count)
    finally:
        over.set()
    assert (outcome.errors, outcome.statuses) == ({"TimeoutError": 2}, {})


def test_a_request_is_a_get_without_a_body_and_json_with_one() -> None:
    assert traffic.request(("127.0.0.1", 80), "/healthz", headers=[("X-Request-Id", "1")]) == (
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-Request-Id: 1\r\n\r\n"
    )
    assert traffic.request(("127.0.0.1", 80), "/", b"{}") == (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
