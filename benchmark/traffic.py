"""A small load generator: HTTP/1.1 over non-blocking sockets, one thread, one loop.

`closed` keeps a number of connections busy, which finds the throughput; `scheduled` sends at a fixed rate whatever the
server does and counts each latency from the time that its request was due, so a server that stalls can't hide the
requests that it kept waiting. Both connect ahead, or anew for each request where `fresh` is set.
"""

import contextlib
import errno
import itertools
import re
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

LAST_ANSWER_SECONDS = 30.0  # of silence while answers are awaited: then they count as lost
SPIN_SECONDS = 0.0001  # what is due this soon is waited for awake: from sleep one wakes up a little late
_NOW = 0.0  # a time to send that has always come already
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)

Address = tuple[str, int]


@dataclass
class Outcome:
    """What became of the requests of one run: each is a status or an error."""

    seconds: float = 0.0
    """from the first request to the last answer"""
    cpu_seconds: float = 0.0
    """what the generator itself needed of them: near `seconds`, it has measured itself"""
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """seconds of each answered request, in the order of the answers"""
    answers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """each answered request and the body of its answer, likewise; only where `keep` is set"""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class BadAnswer(Exception):
    """What came back is not an HTTP answer of a length that it names."""


def request(address: Address, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Write a request: POST of a JSON body, or GET where there is none."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {address[0]}:{address[1]}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def closed(
    address: Address,
    requests: Sequence[bytes],
    connections: int,
    *,
    seconds: float = float("inf"),
    count: int | None = None,
    fresh: bool = False,
    keep: bool = False,
) -> Outcome:
    """Send the requests in turn, on each connection the next as soon as the last is answered, until time or count is up.

    As many connections as requests, fresh, are a burst.
    """
    until = time.perf_counter() + seconds
    numbers = itertools.count() if count is None else range(count)
    now = itertools.takewhile(lambda _: time.perf_counter() < until, (_NOW for _ in numbers))
    return _run(_Loop(address, connections, selectors.DefaultSelector(), keep), requests, now, fresh)


def scheduled(
    address: Address,
    requests: Sequence[bytes],
    connections: int,
    *,
    rate: float,
    seconds: float,
    fresh: bool = False,
) -> Outcome:
    """Send so many requests a second at even distances; one that finds every connection busy waits, and its wait counts."""
    start = time.perf_counter()
    due = (start + number / rate for number in range(int(rate * seconds)))
    # select() sleeps in microseconds, where epoll has milliseconds; to stay awake instead would cost more: who never sleeps
    # is put aside, for milliseconds, whenever another program wants the core
    return _run(_Loop(address, connections, selectors.SelectSelector()), requests, due, fresh)


def once(address: Address, sent: bytes, timeout: float = LAST_ANSWER_SECONDS) -> tuple[int, bytes]:
    """Send one request on a connection of its own; gives status and body. Raises OSError or BadAnswer."""
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(sent)
        received = bytearray()
        while (end := _end(received)) is None or len(received) < end:
            if not (more := connection.recv(1 << 16)):
                raise ConnectionResetError("closed before the answer was whole")
            received += more
    if len(received) > end:
        raise BadAnswer("more came back than was asked for")
    return _status(received), bytes(received[received.index(b"\r\n\r\n") + 4 :])


class _Connection:
    """One place to send from: its socket, the request that is out, and what came back of its answer."""

    __slots__ = ("begun", "end", "received", "sent", "socket", "unsent")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.sent = b""
        self.unsent: memoryview | None = None
        self.received = bytearray()
        self.end: int | None = None
        self.begun: float | None = None


class _Loop:
    def __init__(
        self, address: Address, connections: int, selector: selectors.BaseSelector, keep: bool = False
    ) -> None:
        self.address, self.selector, self.keep = address, selector, keep
        self.free = deque(_Connection() for _ in range(connections))
        self.out = 0
        self.buffer = memoryview(bytearray(1 << 18))  # recv() would allocate as much as it might read, each time
        self.outcome = Outcome()

    def send(self, connection: _Connection, sent: bytes, begun: float) -> None:
        """Begin a request; `begun` is the time that its latency counts from."""
        self.out += 1
        connection.begun, connection.sent, connection.unsent = begun, sent, memoryview(sent)
        try:
            if connection.socket is None:
                self.connect(connection)
            else:
                self.flush(connection, registered=selectors.EVENT_READ)
        except OSError as error:
            self.fail(connection, error)

    def connect(self, connection: _Connection) -> None:
        """Begin to connect; when it is done the socket can be written to."""
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        connection.socket = made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(made, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
        with contextlib.suppress(BlockingIOError):
            made.connect(self.address)
        try:  # nearby it has connected by now: the first of a burst need not wait until the last has
            self.flush(connection, registered=selectors.EVENT_READ | selectors.EVENT_WRITE)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # what macOS says of one that connects yet
                raise

    def flush(self, connection: _Connection, registered: int) -> None:
        """Send what the socket takes; what is left goes when it can be written to again."""
        assert connection.socket is not None and connection.unsent is not None  # noqa: S101, PT018 -- for the type checker
        with contextlib.suppress(BlockingIOError):
            connection.unsent = connection.unsent[connection.socket.send(connection.unsent) :] or None
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        if wanted != registered:
            self.selector.modify(connection.socket, wanted, connection)

    def serve(self, connection: _Connection, events: int, fresh: bool) -> None:
        """Do what a socket is ready for."""
        assert connection.socket is not None  # noqa: S101 -- for the type checker
        try:
            if events & selectors.EVENT_WRITE:
                self.flush(connection, registered=selectors.EVENT_READ | selectors.EVENT_WRITE)
            if events & selectors.EVENT_READ:
                more = self.buffer[: connection.socket.recv_into(self.buffer)]
                if connection.begun is None and not more:  # closed while nothing was asked of it: nobody is harmed
                    self.disconnect(connection)
                elif not more:
                    raise ConnectionResetError("closed before the answer was whole")
                else:
                    self.receive(connection, more, fresh)
        except BlockingIOError:
            return
        except (OSError, BadAnswer) as error:
            self.fail(connection, error)

    def receive(self, connection: _Connection, more: memoryview, fresh: bool) -> None:
        """Add to an answer; count it once it is whole."""
        received = connection.received
        received += more
        if connection.end is None:
            connection.end = _end(received)
        if connection.end is None or len(received) < connection.end:
            return
        if len(received) > connection.end or connection.begun is None:
            raise BadAnswer("more came back than was asked for")
        self.outcome.latencies.append(time.perf_counter() - connection.begun)
        self.outcome.statuses[_status(received)] += 1
        if self.keep:
            self.outcome.answers.append((connection.sent, bytes(received[received.index(b"\r\n\r\n") + 4 :])))
        if fresh or connection.unsent or _CLOSE.search(received, 0, received.index(b"\r\n\r\n")):
            self.disconnect(connection)
        self.release(connection)

    def release(self, connection: _Connection) -> None:
        """Make a connection ready for its next request."""
        connection.received.clear()
        connection.end = connection.begun = connection.unsent = None
        self.out -= 1
        self.free.append(connection)

    def fail(self, connection: _Connection, error: Exception) -> None:
        """Count an error; the next request connects anew."""
        self.disconnect(connection)
        if connection.begun is not None:
            self.outcome.errors[type(error).__name__] += 1
            self.release(connection)

    def disconnect(self, connection: _Connection) -> None:
        if connection.socket is not None:
            self.selector.unregister(connection.socket)
            connection.socket.close()
            connection.socket = None

    def close(self) -> None:
        """Count what was never answered, and close everything."""
        if self.out:
            self.outcome.errors["TimeoutError"] += self.out
        for key in list(self.selector.get_map().values()):
            self.disconnect(key.data)
        self.selector.close()


def _run(loop: _Loop, requests: Sequence[bytes], times: Iterator[float], fresh: bool) -> Outcome:
    """Send a request at each of the times, or as soon as a connection is free, and collect the answers."""
    turn = itertools.cycle(requests)
    start, cpu_start = time.perf_counter(), time.process_time()
    due = next(times, None)
    while due is not None or loop.out:
        while due is not None and loop.free and due <= (now := time.perf_counter()):
            loop.send(loop.free.popleft(), next(turn), due or now)
            due = next(times, None)
        waits = due is None or not loop.free  # for an answer; else for the time of the next request
        wait = LAST_ANSWER_SECONDS if waits else max(0.0, (due or 0.0) - time.perf_counter() - SPIN_SECONDS)
        ready = loop.selector.select(wait)
        for key, events in ready:
            loop.serve(key.data, events, fresh)
        if waits and not ready:
            break
    loop.close()
    loop.outcome.seconds = time.perf_counter() - start
    loop.outcome.cpu_seconds = time.process_time() - cpu_start
    return loop.outcome


def _end(received: bytearray) -> int | None:
    """Tell how long an answer is in all, as soon as its head says so; raises BadAnswer when it never will."""
    head = received.find(b"\r\n\r\n")
    if head < 0:
        return None
    if not received.startswith(b"HTTP/1."):
        raise BadAnswer("not an HTTP/1 answer")
    length = _LENGTH.search(received, 0, head)
    if not length:
        raise BadAnswer("an answer without Content-Length")
    return head + 4 + int(length[1])


def _status(received: bytearray) -> int:
    return int(received[9:12])
