"""What the tests of the carrier share: records as lines, a writer, the carrier as a process, and an Elasticsearch to kill."""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from elasticsearch import ApiError, Elasticsearch
from elasticsearch.helpers import scan

from monitoring.settings import PREFIX
from occupancy import record
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
START = datetime(2026, 2, 3, tzinfo=UTC)


def lines(count: int, first: int = 0) -> list[bytes]:
    """Write records as a service of its own boot does."""
    boot = record.Boot("occupancy", "1.0.0", "cc825e5410e0", simulated=True)
    request = record.Request("r", "", "", 0)
    return [
        record.line(
            record.prediction(
                boot, request, room="lab", reading_id=None, reading_time=START + timedelta(minutes=first + n),
                values=(21.0, 30.0, 0.0, 500.0, 0.004), probability=0.25, label=0, answer="empty", flags=[], label_wanted=False,
            )
        )
        for n in range(count)
    ]  # fmt: skip


def ids(of: list[bytes]) -> list[str]:
    return [json.loads(line)["event.id"] for line in of]


def cri(line: bytes, stream: str = "stdout", tag: str = "F") -> bytes:
    return b"2026-02-03T04:05:06.123456789Z %s %s %s" % (stream.encode(), tag.encode(), line)


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something has happened."""
    for _ in range(int(seconds * 20)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(condition)


def stored(client: Elasticsearch, prefix: str) -> Counter[str]:
    """Count the documents by their record's id."""
    client.indices.refresh(index=f"{prefix}occupancy-*")
    found = scan(client, index=f"{prefix}occupancy-*", query={"_source": ["event.id"]}, size=2000)
    return Counter(hit["_source"]["event.id"] for hit in found)


def count(client: Elasticsearch, prefix: str) -> int:
    """Count the documents; none where the shards of a new index are not there yet."""
    try:
        client.indices.refresh(index=f"{prefix}occupancy-*")
        return int(client.count(index=f"{prefix}occupancy-*")["count"])
    except ApiError as error:
        if error.status_code != 503:
            raise
        return 0


def quarantined(state: Path) -> list[dict[str, Any]]:
    path = state / "quarantine.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def offsets(state: Path) -> dict[str, int]:
    """Give how far the saved positions say that each file was read."""
    path = state / "offsets.json"
    saved = json.loads(path.read_bytes())["positions"] if path.exists() else []
    return {Path(position["path"]).name: position["offset"] for position in saved}


class Writer:
    """Writes records to a file at a steady rate, as a service does, in a thread; it waits for nobody."""

    def __init__(self, path: Path, rate: float = 200.0, wrap: Callable[[bytes], bytes] = bytes) -> None:
        self.path, self.written = path, list[bytes]()
        self._rate, self._wrap = rate, wrap
        self._file: IO[bytes] = path.open("ab", buffering=0)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._boot = record.Boot("occupancy", "1.0.0", "cc825e5410e0", simulated=True)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        request = record.Request("r", "", "", 0)
        line = record.line(record.refusal(self._boot, request, reason="invalid_json", detail="no JSON"))
        self._file.write(self._wrap(line))
        self.written.append(line)

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            with self._lock:
                for _ in range(max(1, round(self._rate * 0.02))):
                    self._write()

    def say(self, text: bytes) -> None:
        """Write what is no record."""
        with self._lock:
            self._file.write(self._wrap(text + b"\n"))

    def rename(self, target: Path) -> Path:
        """Rotate as kubelet and logrotate do: the file is renamed, then the writer opens a new one."""
        with self._lock:
            self.path.rename(target)
            time.sleep(0.01)
            self._write()  # it is still open
            self._file.close()
            self._file = self.path.open("ab", buffering=0)
        return target

    def truncate(self, target: Path) -> Path:
        """Rotate as logrotate's copytruncate does, with nothing written in between."""
        with self._lock:
            target.write_bytes(self.path.read_bytes())
            os.truncate(self.path, 0)
        return target

    def remove(self) -> None:
        """Delete the file and stop: its pod is deleted."""
        self.stop()
        self.path.unlink()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._file.close()


class Carrier:
    """`python -m monitoring load` as a process, which can be killed and started again."""

    def __init__(self, folder: Path, environ: dict[str, str], *argv: str) -> None:
        self.state, self._argv = folder / "state", argv
        self.log = folder / "carrier.log"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "ELASTICSEARCH"))
        }
        self._environ = {**inherited, **environ, "MONITORING_STATE": str(self.state)}
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitoring", "load", *self._argv],
                env=self._environ, cwd=ROOT, stdout=out, stderr=out,
            )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def ended(self) -> int:
        return self.process.wait(120)


class Proxy:
    """Stands between the carrier and a real Elasticsearch; `mode` says how bad the way is.

    pass: it is good; cut: nobody answers; busy: 429; lost: the request is executed, and its answer does not arrive;

    """

    def __init__(self, url: str) -> None:
        self.mode = "pass"
        self.requests = 0
        target = urlsplit(url)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None: ...

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.requests += 1
                if proxy.mode == "cut":
                    self.close_connection = True
                    return
                if proxy.mode == "busy":
                    self._answer(
                        429, b'{"error":{"type":"es_rejected_execution_exception","reason":"full"},"status":429}'
                    )
                    return
                connection = http.client.HTTPConnection(str(target.hostname), target.port, timeout=30)
                try:
                    connection.request(self.command, self.path, body, dict(self.headers.items()))
                    response = connection.getresponse()
                    status, data = response.status, response.read()
                except OSError:
                    self.close_connection = True
                    return
                finally:
                    connection.close()
                if proxy.mode == "lost" and self.path.endswith("_bulk"):
                    self.close_connection = True
                    return
                self._answer(status, data)

            do_POST = do_PUT = do_HEAD = do_DELETE = do_GET

            def _answer(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: object) -> None: ...  # the carrier may be killed while it is answered

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


IMAGE = "docker.elastic.co/elasticsearch/elasticsearch:8.19.0"


def unavailable() -> str:
    """Say why there can be no Elasticsearch in Docker; empty where there can."""
    if not shutil.which("docker"):
        return "there is no docker command"
    for argv in (["version"], ["image", "inspect", IMAGE]):
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode and argv == ["version"]:
            return f"no Docker engine answers: {done.stderr.strip()}"
    if done.returncode:
        done = subprocess.run(["docker", "pull", IMAGE], capture_output=True, text=True, timeout=900, check=False)
    return f"{IMAGE} can't be pulled: {done.stderr.strip()}" if done.returncode else ""


class Private:
    """An Elasticsearch of our own in Docker, with its data on a volume, which can be killed."""

    def __init__(self) -> None:
        self.name = f"occupancy-test-{secrets.token_hex(4)}"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.docker("volume", "create", self.name)
        self.docker(
            *("run", "--detach", "--name", self.name, "--publish", f"127.0.0.1:{port}:9200"),
            *("--volume", f"{self.name}:/usr/share/elasticsearch/data", "--memory", "1g"),
            *("--env", "discovery.type=single-node", "--env", "xpack.security.enabled=false"),
            *("--env", "ES_JAVA_OPTS=-Xms256m -Xmx256m", IMAGE),
        )
        self.client = Elasticsearch(self.url, request_timeout=30)
        self.wait()

    def docker(self, *argv: str) -> str:
        done = subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self) -> None:
        def answers() -> bool:
            try:
                return bool(self.client.cluster.health(wait_for_status="yellow", timeout="1s")["status"] != "red")
            except Exception:  # noqa: BLE001 (whatever it says while it starts)
                return False

        until(answers)

    def kill(self) -> None:
        self.docker("kill", self.name)

    def start(self) -> None:
        self.docker("start", self.name)

    def close(self) -> None:
        self.client.close()
        self.docker("rm", "--force", "--volumes", self.name)
        self.docker("volume", "rm", self.name)
