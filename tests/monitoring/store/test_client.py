import base64
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import urlopen

import pytest

from monitoring.settings import Elasticsearch
from monitoring.store.client import BadConnection, NotAllowed, Refused, Unreachable, check, connect, explained
from tests.monitoring.conftest import Store

SECRET = "s3cret with spaces "


class Guard(ThreadingHTTPServer):
    """A door before an Elasticsearch that has none of its own: it asks for authorization."""

    wanted: str
    behind: str


class _Door(BaseHTTPRequestHandler):
    server: Guard

    def do_GET(self) -> None:
        if self.headers["Authorization"] != self.server.wanted:
            reason = b'{"error":{"root_cause":[{"reason":"missing authentication credentials"}]},"status":401}'
            return self._answer(401, "application/json", reason)
        with urlopen(self.server.behind + self.path) as answer:
            return self._answer(answer.status, answer.headers["Content-Type"], answer.read())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def guard(elasticsearch: Store) -> Iterator[Guard]:
    with Guard(("127.0.0.1", 0), _Door) as server:
        server.behind = elasticsearch.url
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    return folder / "cert.pem"


@pytest.fixture
def tls(guard: Guard, certificate: Path) -> Guard:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    # the handshake is the handler's, in its own thread: one that fails must not end the server
    guard.socket = context.wrap_socket(guard.socket, server_side=True, do_handshake_on_connect=False)
    guard.handle_error = lambda *_: None  # type: ignore[method-assign]
    return guard


def secret(folder: Path, text: str) -> str:
    (folder / "secret").write_text(text)
    return str(folder / "secret")


def version(**table: str) -> str:
    with connect(Elasticsearch(**table), timeout=5) as client:
        return check(client)


def test_the_version_of_the_server_is_told(elasticsearch: Store) -> None:
    assert int(version(elasticsearch_url=elasticsearch.url).partition(".")[0]) >= 8


def test_a_user_comes_in_with_the_password_from_a_file(guard: Guard, tmp_path: Path) -> None:
    guard.wanted = "Basic " + base64.b64encode(f"carrier:{SECRET}".encode()).decode()
    url = f"http://127.0.0.1:{guard.server_port}"
    password = secret(tmp_path, SECRET + "\n")  # an editor ends the line, what is before the end counts
    assert version(elasticsearch_url=url, elasticsearch_user="carrier", elasticsearch_password_file=password)
    with pytest.raises(
        NotAllowed, match="does not know us .missing authentication credentials.; set ELASTICSEARCH_API_"
    ):
        version(elasticsearch_url=url)


@pytest.mark.parametrize("text", ["id:key", base64.b64encode(b"id:key").decode()])
def test_an_api_key_may_be_written_both_ways(guard: Guard, tmp_path: Path, text: str) -> None:
    guard.wanted = "ApiKey " + base64.b64encode(b"id:key").decode()
    url = f"http://127.0.0.1:{guard.server_port}"
    assert version(elasticsearch_url=url, elasticsearch_api_key_file=secret(tmp_path, text))


def test_tls_is_trusted_by_its_certificate_only(tls: Guard, certificate: Path, tmp_path: Path) -> None:
    tls.wanted = "ApiKey " + base64.b64encode(b"id:key").decode()
    key = secret(tmp_path, "id:key")
    url, ca = f"https://localhost:{tls.server_port}", str(certificate)
    assert version(elasticsearch_url=url, elasticsearch_ca_file=ca, elasticsearch_api_key_file=key)
    with pytest.raises(Unreachable, match="is not trusted .*; give ELASTICSEARCH_CA_FILE the certificate"):
        version(elasticsearch_url=url, elasticsearch_api_key_file=key)
    address = f"https://127.0.0.1:{tls.server_port}"
    with pytest.raises(Unreachable, match="use a name that is in it"):
        version(elasticsearch_url=address, elasticsearch_ca_file=ca, elasticsearch_api_key_file=key)


def test_who_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match=f"no Elasticsearch answers at http://127.0.0.1:{port} .*refused.; is it run"):
        version(elasticsearch_url=f"http://127.0.0.1:{port}")


def test_what_speaks_no_tls_is_named(elasticsearch: Store) -> None:
    with pytest.raises(Unreachable, match="no TLS at https.* does it speak http:// instead?"):
        version(elasticsearch_url=elasticsearch.url.replace("http:", "https:"))


def test_another_server_is_not_taken_for_elasticsearch(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(door: _Door) -> None:
        door.send_response(200 if door.server.wanted == "found" else 404)
        door.send_header("Content-Type", "application/json")
        door.end_headers()
        door.wfile.write(b'{"version": {"number": "2.1"}}')

    monkeypatch.setattr(_Door, "do_GET", another)
    for guard.wanted in ("found", "missing"):
        with pytest.raises(Unreachable, match="what answers at .* is not Elasticsearch; is ELASTICSEARCH_URL right?"):
            version(elasticsearch_url=f"http://127.0.0.1:{guard.server_port}")


def test_an_answer_that_is_an_error_gives_its_reason(elasticsearch: Store) -> None:
    with (
        pytest.raises(Refused, match=f"answers 404: no such index .{elasticsearch.prefix}none"),
        explained(elasticsearch.client),
    ):
        elasticsearch.client.indices.get(index=elasticsearch.prefix + "none")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("localhost:9200", "expected scheme://host:port"),
        ("http://localhost", "expected scheme://host:port"),
        ("http://localhost:many", "expected scheme://host:port"),
        ("ftp://localhost:9200", "expected scheme://host:port"),
        ("http://me:hidden@localhost:9200", "http://localhost:9200.*a user goes to ELASTICSEARCH_USER"),
    ],
)
def test_a_wrong_address_is_refused_and_shows_no_secret(url: str, told: str) -> None:
    with pytest.raises(BadConnection, match=told) as refused:
        connect(Elasticsearch(elasticsearch_url=url))
    assert "hidden" not in str(refused.value)


def test_settings_that_contradict_are_refused(tmp_path: Path) -> None:
    one = secret(tmp_path, "x")
    for table, told in (
        ({"elasticsearch_user": "me", "elasticsearch_api_key_file": one}, "both an API key and a user are set"),
        ({"elasticsearch_user": "me"}, "go together; set both"),
        ({"elasticsearch_password_file": one}, "go together; set both"),
        ({"elasticsearch_ca_file": one}, "ELASTICSEARCH_CA_FILE is of no use with http://127.0.0.1:9200; write https"),
    ):
        with pytest.raises(BadConnection, match=told):
            connect(Elasticsearch(**table))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "expected one line with the secret; it is empty"),
        (b"\n", "it is empty"),
        (b"a\nb\n", "expected one line with the secret"),
        (b"\xff\xfe", "can't be read: it is not text"),
    ],
)
def test_a_file_without_a_secret_is_refused(content: bytes | None, told: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadConnection, match=f"ELASTICSEARCH_API_KEY_FILE='{path}'.*{told}"):
        connect(Elasticsearch(elasticsearch_api_key_file=str(path)))


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    for path, told in ((secret(tmp_path, "x"), "no certificate in PEM form"), (str(tmp_path / "no"), "No such file")):
        with pytest.raises(BadConnection, match=f"ELASTICSEARCH_CA_FILE='{path}' can't be used: {told}"):
            connect(Elasticsearch(elasticsearch_url="https://localhost:9200", elasticsearch_ca_file=path))
