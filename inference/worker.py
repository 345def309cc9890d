"""gunicorn's threaded worker, made patient for a bounded time only: one connection can't hold a thread, nor the others.

It differs in five things, each tested on real sockets: no thread waits for a connection's first byte; the time to send
a request, and to take an answer, is bounded as a whole; malformed HTTP is answered with problem details; lingering at a
connection's end happens in the connection's own thread, not in the one that accepts; and a worker that is stopped takes
what has already connected, then refuses.
"""

import contextlib
import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from selectors import EVENT_READ
from typing import Any, NamedTuple

from gunicorn import util
from gunicorn.http import errors
from gunicorn.workers.gthread import TConn, ThreadWorker

from inference.body import Stalled
from inference.problems import MEDIA_TYPE, Problem, internal_error

REQUEST_SECONDS = 10.0
"""For a request to arrive as a whole, and again for its answer to be taken."""
IDLE_SECONDS = 5.0
"""For a connection's first byte."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 2**24
"""For a client to read its last answer, and what it may still send meanwhile."""
_STATUS = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    Stalled: 408,
}
log = logging.getLogger("inference")


class Client(socket.socket):
    """A client's socket; each wait on it ends at its `deadline` (of the monotonic clock) or soon after.

    The kernel ends a single wait (SO_RCVTIMEO, SO_SNDTIMEO: see gunicorn.conf.py); this ends a long series of short ones.
    """

    deadline = 0.0

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive; raises Stalled when it takes too long."""
        if time.monotonic() > self.deadline:
            raise Stalled
        try:
            return super().recv(size, flags)
        except BlockingIOError:
            raise Stalled from None

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of it; raises ConnectionAbortedError when the client takes too long to take it."""
        until, left = time.monotonic() + REQUEST_SECONDS, memoryview(data)
        while left:
            try:
                left = left[self.send(left, flags) :]
            except BlockingIOError:
                raise ConnectionAbortedError from None
            if left and time.monotonic() > until:
                raise ConnectionAbortedError


class Pool:
    """Threads for jobs that nobody asks the result of: a ThreadPoolExecutor without its futures, which cost 20 µs a job."""

    def __init__(self, limit: int) -> None:
        """Start none yet: a thread is started when a job finds none free."""
        self._limit, self._started, self._waiting = limit, 0, 0
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def submit(self, job: Callable[[], object]) -> None:
        """Have a thread do a job; called by one thread only."""
        self._waiting += 1
        if self._waiting > self._started and self._started < self._limit:
            self._started += 1
            threading.Thread(target=self._work, name=f"request-{self._started}", daemon=True).start()
        self._jobs.put(job)

    def finished(self) -> None:
        """Note that a job is done; called by the same thread as `submit`."""
        self._waiting -= 1

    def shutdown(self, wait: bool) -> None:  # noqa: ARG002 -- gunicorn says it
        """Let the threads end when they have done what is queued."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class _Done(NamedTuple):
    """What gunicorn asks of a future: whether to keep the connection."""

    keep: bool

    def result(self) -> bool:
        return self.keep

    def cancelled(self) -> bool:
        return False


class Worker(ThreadWorker):  # type: ignore[misc]
    """See the module's text."""

    def accept(self, listener: socket.socket) -> None:
        """Take a connection, and wait for its first byte with all the others."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                log.error("no file descriptors are left: connections wait")  # noqa: TRY400
                time.sleep(0.1)
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        client = Client(fileno=accepted.detach())
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + IDLE_SECONDS
        self.pending_conns.append(connection)
        self.poller.register(client, EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end, take what has already connected, then have the kernel refuse the next."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:
            waiting = None
            while waiting != self.nr_conns:
                waiting = self.nr_conns
                self.accept(listener)
            listener.close()

    def get_thread_pool(self) -> Pool:
        """Make the pool of threads that answer."""
        return Pool(self.cfg.threads)

    def enqueue_req(self, connection: TConn) -> None:
        """Have a thread answer a request; when it has, the main thread takes the connection back."""
        self.tpool.submit(partial(self._serve, connection))

    def _serve(self, connection: TConn) -> None:
        self.method_queue.defer(self._take_back, connection, self.handle(connection))

    def _take_back(self, connection: TConn, keep: bool) -> None:
        self.tpool.finished()
        self.finish_request(connection, _Done(keep))

    def handle(self, connection: TConn) -> bool:
        """Answer one request of a connection, in a thread of the pool; tells whether to keep the connection."""
        client, request, keep = connection.sock, None, False
        try:
            client.setblocking(True)
            client.deadline = time.monotonic() + REQUEST_SECONDS
            connection.init()
            request = next(connection.parser)
            answered = self.handle_request(request, connection)
            client.deadline = time.monotonic() + REQUEST_SECONDS  # for what is left of its body
            keep = self._keepalive_after(connection, answered)
        except (errors.NoMoreData, StopIteration, ConnectionError) as gone:
            self.log.debug("connection ended: %r", gone)
        except Exception as error:  # noqa: BLE001 -- whatever happens, the client gets an answer
            self.handle_error(request, client, connection.client, error)
        if not keep:
            _linger(client)
        return keep

    def handle_error(self, req: object, client: Client, addr: object, exc: Exception) -> None:  # noqa: ARG002 -- as above
        """Answer what never became a request of the application's."""
        if isinstance(exc, errors.ParseException):
            status = next((status for kind, status in _STATUS.items() if isinstance(exc, kind)), 400)
            detail = str(exc).encode("ascii", "backslashreplace").decode()[:256]
            problem = Problem(status, "request-timeout" if status == 408 else "malformed-request", detail)
        else:
            problem = internal_error(exc)
        body = problem.body()
        head = (
            f"HTTP/1.1 {problem.status_line}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            util.write_nonblock(client, head.encode() + body)


def _linger(client: Client) -> None:
    """Let the client read the answer before the connection ends: without, what it still sends would erase it."""
    until, drained = time.monotonic() + LINGER_SECONDS, 0
    with contextlib.suppress(OSError, Stalled):
        client.shutdown(socket.SHUT_WR)
        while drained < LINGER_BYTES and (left := until - time.monotonic()) > 0:
            client.settimeout(left)
            received = len(client.recv(65536))
            if not received:
                break
            drained += received
        client.shutdown(socket.SHUT_RDWR)
