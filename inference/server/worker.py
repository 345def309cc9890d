"""gunicorn's worker for this service: threads that wait for connections themselves, and wait for none of them for long.

gunicorn's own threaded worker hands each request from its main thread to a pool and back, which costs as much as the
prediction. Here all threads wait on one epoll: whoever wakes answers, then waits again; a thread is started when none is
left waiting. Parsing HTTP and building the WSGI environment stay gunicorn's.

What a client can't do, each tested on real sockets: hold a thread before the head of its request has come, or for long
by sending or reading slowly; get a page of HTML for malformed HTTP; lose an answer because it was still sending. A worker that is stopped
answers what it has begun and what has already connected, then has the kernel refuse the rest.
"""

import contextlib
import errno
import logging
import math
import os
import select
import socket
import threading
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn.http import errors, wsgi
from gunicorn.workers.base import Worker as BaseWorker
from gunicorn.workers.gthread import TConn

from inference.body import Stalled
from inference.prediction_log import CLOSE_SECONDS
from inference.problems import MEDIA_TYPE, Problem, internal_error

REQUEST_SECONDS = 10.0
"""For a request to arrive as a whole, and again for its answer to be taken."""
IDLE_SECONDS = 5.0
"""For a connection's first byte."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 2**24
"""For a client to read its last answer, and what it may still send meanwhile."""
HEAD_END, HEAD_BYTES = b"\r\n\r\n", 2**16
SPARE_CONNECTIONS = 64  # beyond the limit, while those that are ended for them end
KEPT_BYTES = 2**16
"""What may be left of a request's body if its connection is to be kept."""
_ONCE = select.EPOLLIN | select.EPOLLONESHOT
_STATUS = {
    errors.LimitRequestLine: 414,
    errors.LimitRequestHeaders: 431,
    errors.ExpectationFailed: 417,
    Stalled: 408,
}
log = logging.getLogger("inference")


class Worker(BaseWorker):  # type: ignore[misc]
    """One process of threads; see the module's text."""

    def init_process(self) -> None:
        """Prepare what the threads share, then load the application and run."""
        self._epoll = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in self.sockets}
        self._connections: dict[int, Connection] = {}
        self._full = False
        self._settings = _Settings(self.cfg)
        self._lock = threading.Lock()
        self._started = self._waiting = 0
        super().init_process()

    def run(self) -> None:
        """Look after what the threads can't: idle connections, the parent, the end."""
        for listener in self.sockets:
            listener.setblocking(False)
            self._epoll.register(listener, _ONCE)
        self._start_one_if_none_waits()
        while self.alive and self.ppid == os.getppid():
            self.notify()
            if select.select([self.PIPE[0]], [], [], 1.0)[0]:  # a signal ends the wait
                os.read(self.PIPE[0], 4096)
            self._end_idle(time.monotonic())
        self._drain()

    def _drain(self) -> None:
        """Take what has connected, refuse what has not, and give all of it time to end."""
        self.alive = False  # from now on, answers close their connections
        for listener in self.sockets:
            with contextlib.suppress(OSError):
                self._epoll.unregister(listener)
            for _ in range(self.cfg.backlog):
                if not self._accept(listener):
                    break
            listener.close()
        begun = time.monotonic()
        while self._connections and time.monotonic() < begun + self.cfg.graceful_timeout - CLOSE_SECONDS - 1:
            self.notify()
            time.sleep(0.02)
            if time.monotonic() > begun + LINGER_SECONDS:
                self._end_idle(math.inf)

    def _end_idle(self, now: float) -> None:
        """End connections that wait for a request longer than they may: their threads then find them at their end."""
        for connection in list(self._connections.values()):
            if connection.timeout < now and (connection.ending or not connection.sock.has_sent()):
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RD)  # wakes a thread, which finds no more

    def _end_longest_idle(self) -> None:
        """Make room for others than those who keep a connection and use it least."""
        idle = [connection for connection in list(self._connections.values()) if connection.timeout < math.inf]
        for connection in sorted(idle, key=lambda each: each.since)[: max(1, len(idle) // 64)]:
            connection.timeout = 0.0
        self._end_idle(1.0)

    # --- threads: one waiter is always left, as long as there may be more

    def _start_one_if_none_waits(self) -> None:
        with self._lock:
            if self._waiting or self._started >= self.cfg.threads:
                return
            self._started += 1
            self._waiting += 1
        try:
            threading.Thread(target=self._serve, name=f"request-{self._started}", daemon=True).start()
        except RuntimeError:  # the machine has no more: those that there are go on
            with self._lock:
                self._started -= 1
                self._waiting -= 1
            if not self._started:
                raise

    def _serve(self) -> None:
        while True:
            ready = self._epoll.poll(maxevents=1)
            with self._lock:
                self._waiting -= 1
            if not self._waiting:
                self._start_one_if_none_waits()
            for descriptor, _ in ready:
                try:
                    if descriptor in self._listeners:
                        self._take(self._listeners[descriptor])
                    else:
                        self._attend(self._connections[descriptor])
                except Exception:  # a thread that ended would be missed by all
                    log.exception("a connection is given up")
            with self._lock:
                self._waiting += 1

    # --- connections

    def _take(self, listener: socket.socket) -> None:
        try:
            self._accept(listener)
            if len(self._connections) >= self.cfg.worker_connections:
                self._end_longest_idle()
        finally:
            self._full = len(self._connections) >= self.cfg.worker_connections + SPARE_CONNECTIONS
            if not self._full:
                self._listen(listener)

    def _listen(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):  # it was closed meanwhile: the worker ends
            self._epoll.modify(listener, _ONCE)

    def _accept(self, listener: socket.socket) -> bool:
        """Accept one connection, and wait for its first byte with all the others; tells whether there was one."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                log.error("no file descriptors are left: connections wait")  # noqa: TRY400
                time.sleep(0.1)
            return False
        client = Client(fileno=accepted.detach())
        connection = Connection(self._settings, client, address, listener.getsockname())
        connection.since = time.monotonic()
        connection.timeout = connection.since + IDLE_SECONDS
        connection.init()
        self._connections[client.fileno()] = connection
        self._epoll.register(client, _ONCE)
        return True

    def _attend(self, connection: "Connection") -> None:
        """Take what a connection has sent, answer the requests in it, then wait for more, or end it."""
        keep = False
        try:
            if connection.ending:
                self._linger(connection)
                return
            keep = self._receive(connection)
            while keep and HEAD_END in connection.head:
                connection.timeout = math.inf  # it is not idle
                keep = self._answer(connection)
                connection.since = time.monotonic()
                connection.timeout = connection.since + (REQUEST_SECONDS if connection.head else self.cfg.keepalive)
            if keep:
                self._epoll.modify(connection.sock, _ONCE)
        finally:
            if not keep and not connection.ending:
                self._end(connection)

    def _end(self, connection: "Connection") -> None:
        """Let the client read its last answer before the connection ends: without, what it still sends would erase it."""
        connection.ending, connection.timeout = True, time.monotonic() + LINGER_SECONDS
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            self._epoll.modify(connection.sock, _ONCE)
        except OSError:  # the client has gone
            self._close(connection)

    def _linger(self, connection: "Connection") -> None:
        try:
            received = len(connection.sock.take())
        except BlockingIOError:
            received = 1
        except OSError:
            received = 0
        connection.lingered += received
        if received and connection.lingered < LINGER_BYTES:
            self._epoll.modify(connection.sock, _ONCE)
        else:
            self._close(connection)

    def _close(self, connection: "Connection") -> None:
        del self._connections[connection.sock.fileno()]
        connection.sock.close()
        if self._full:
            self._full = False
            for listener in self.sockets:
                self._listen(listener)

    def _receive(self, connection: "Connection") -> bool:
        """Take what is there without waiting: a thread is for whole heads. Tells whether to keep the connection."""
        try:
            received = connection.sock.take()
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not received:  # the client has ended it, or it took too long: see _end_idle
            if connection.head.strip() and connection.timeout < time.monotonic():
                self.handle_error(connection.sock, Stalled())
            return False
        if not connection.head:
            connection.timeout = time.monotonic() + REQUEST_SECONDS
        connection.head += received
        if len(connection.head) > HEAD_BYTES and HEAD_END not in connection.head:
            self.handle_error(connection.sock, errors.LimitRequestHeaders(f"more than {HEAD_BYTES} bytes of headers"))
            return False
        return True

    def _answer(self, connection: "Connection") -> bool:
        """Answer the request whose head has come; tells whether to keep the connection."""
        client, unreader, response = connection.sock, connection.parser.unreader, None
        client.deadline = time.monotonic() + REQUEST_SECONDS
        unreader.unread(connection.head)
        try:
            request = next(connection.parser)
            response, environ = wsgi.create(
                request, client, connection.client, connection.server, self._settings, response_class=Response
            )
            environ["wsgi.multithread"] = True
            if not self.alive:
                response.force_close()
            response.send(self.wsgi(environ, response.start_response))
            if response.should_close():
                return False
        except (errors.NoMoreData, StopIteration, ConnectionError) as gone:
            self.log.debug("connection ended: %r", gone)
        except Exception as error:  # noqa: BLE001 -- whatever happens, the client gets an answer
            if response is None or not response.headers_sent:
                self.handle_error(client, error)
        else:
            connection.head = unreader.take_buffered()  # what it has sent ahead
            return True
        return False

    def handle_error(self, client: "Client", error: Exception) -> None:
        """Answer what never became a request of the application's."""
        if isinstance(error, errors.ParseException):
            status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
            detail = str(error).encode("ascii", "backslashreplace").decode()[:256]
            problem = Problem(status, "request-timeout" if status == 408 else "malformed-request", detail)
        else:
            problem = internal_error(error)
        body = problem.body()
        head = (
            f"HTTP/1.1 {problem.status_line}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            client.sendall(head.encode() + body)


class Connection(TConn):  # type: ignore[misc]
    """gunicorn's connection: what has come of its next request, or that it is ending, and how many bytes came then.

    `since`: the time of its last answer, or of its beginning.
    """

    head = b""
    since = 0.0
    ending, lingered = False, 0


class _Settings:
    """gunicorn's settings as plain attributes: it looks some up for every request, each time through three calls."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        setattr(self, name, value)
        return value


class Client(socket.socket):
    """A client's socket; each wait on it ends at its `deadline` (of the monotonic clock) or soon after.

    The kernel ends a single wait (SO_RCVTIMEO, SO_SNDTIMEO: see gunicorn.conf.py); this ends a long series of short ones.
    """

    deadline = 0.0

    def take(self) -> bytes:
        """Receive what is there; raises BlockingIOError where nothing is."""
        return super().recv(8192, socket.MSG_DONTWAIT)

    def has_sent(self) -> bool:
        """Tell whether something waits to be received: a request, for which no thread is free, or the end."""
        try:
            super().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

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


class Response(wsgi.Response):  # type: ignore[misc]
    """gunicorn's response, its head and body sent in one piece: one system call and one packet less."""

    head = b""
    headers_sent: bool

    def send(self, pieces: Any) -> None:
        """Send what the application gave."""
        try:
            for piece in pieces:
                self.write(piece)
            self.close()
            if self.head:  # there was no body
                self.sock.sendall(self.head)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    def send_headers(self) -> None:
        """Keep them for the first piece of the body."""
        if not self.headers_sent:
            if self.req.body.failed or (_unread(self.req) and not _discard(self.req, self.sock)):
                self.must_close = True  # where the next request would begin is not known
            lines = [
                f"HTTP/1.1 {self.status}",
                f"Date: {_date(int(time.time()))}",
                f"Connection: {'close' if self.should_close() else 'keep-alive'}",
                *(f"{name}: {value}" for name, value in self.headers),
                *(("Transfer-Encoding: chunked",) if self.chunked else ()),
                "\r\n",
            ]
            self.head, self.headers_sent = "\r\n".join(lines).encode("latin-1"), True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self.sock.sendall(self.head + data)
        self.head = b""


def _unread(request: Any) -> bool:
    """Tell whether something is left of a request's body, as there is only after an error."""
    reader = request.body.reader
    return bool(reader.length if hasattr(reader, "length") else getattr(reader, "parser", None))


def _discard(request: Any, client: Client) -> bool:
    """Discard the rest of a body if it has come already, and is not long; tells whether that was so."""
    client.setblocking(False)
    left = KEPT_BYTES
    try:
        while left > 0 and (piece := request.body.read(min(left, 8192))):
            left -= len(piece)
    except (errors.ParseException, OSError):
        return False
    finally:
        client.setblocking(True)
    return not _unread(request)


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
