import json
import threading
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitoring.dashboards import importing, kibana
from monitoring.settings import Elasticsearch
from monitoring.store.client import BadConnection, NotAllowed, Refused, Unreachable

Json = dict[str, Any]


class Kibana(BaseHTTPRequestHandler):
    """Answers as Kibana's documentation says; keeps what came."""

    came: list[tuple[str, Any, bytes]] = []  # noqa: RUF012 -- of the class, for the test to read
    answer: tuple[int, Any] = (200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append((self.path, self.headers, body))
        status, said = self.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(said if isinstance(said, bytes) else json.dumps(said).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def listening() -> Iterator[str]:
    Kibana.came.clear()
    with HTTPServer(("127.0.0.1", 0), Kibana) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


TABLE = Elasticsearch(elasticsearch_prefix="test-")


def test_the_import_is_the_request_that_kibana_wants(listening: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pässword\n", "utf-8")
    table = Elasticsearch(
        elasticsearch_prefix="test-",
        elasticsearch_user="elastic",
        elasticsearch_password_file=str(tmp_path / "password"),
    )
    meta = {"title": "Occupancy: Operation", "icon": "dashboardApp"}
    results = [{"type": "dashboard", "id": "x", "meta": meta, "managed": False}]
    Kibana.answer = 200, {"success": True, "successCount": 1, "successResults": results}
    assert importing.install(f"{listening}/s/rooms/", table) == ["dashboard Occupancy: Operation"]
    ((path, headers, body),) = Kibana.came
    assert path == "/s/rooms/api/saved_objects/_import?overwrite=true"
    assert headers["kbn-xsrf"]
    assert headers["authorization"] == "Basic ZWxhc3RpYzpww6Rzc3dvcmQ="
    message = message_from_bytes(b"content-type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    _, part = message.walk()
    assert part.get_param("name", header="content-disposition") == "file"
    assert str(part.get_filename()).endswith(".ndjson")
    sent = part.get_payload(decode=True)
    assert sent == kibana.ndjson(kibana.objects("test-"))


def test_an_api_key_is_given_as_kibana_wants_it(listening: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("id:secret\n", "utf-8")
    Kibana.answer = 200, {"success": True, "successCount": 0}
    assert importing.install(listening, Elasticsearch(elasticsearch_api_key_file=str(tmp_path / "key"))) == []
    assert Kibana.came[0][1]["authorization"] == "ApiKey aWQ6c2VjcmV0"


@pytest.mark.parametrize(
    ("status", "said", "error", "text"),
    [
        (401, {"statusCode": 401, "error": "Unauthorized"}, NotAllowed, "does not let us .401.: ELASTICSEARCH_USER or"),
        (403, {"message": "no"}, NotAllowed, "Saved Objects Management"),
        (503, b"Kibana server is not ready yet", Unreachable, "not ready yet; wait"),
        (404, b"<html>nothing here", Refused, "answers 404: <html>nothing here; is it Kibana"),
        (302, b"", Refused, "answers 302"),
        (200, b"[]", Refused, "is it Kibana"),
        (400, {"message": "File extension .x is not supported"}, Refused, "answers 400: File extension"),
        (
            200,
            {"success": False, "errors": [{"type": "dashboard", "title": "A", "error": {"type": "unsupported_type"}}]},
            Refused,
            "did not take 1 objects: dashboard A: unsupported_type",
        ),
    ],
)  # fmt: skip
def test_what_kibana_refuses_is_told(listening: str, status: int, said: Any, error: type[Exception], text: str) -> None:
    Kibana.answer = status, said
    with pytest.raises(error, match=text):
        importing.install(listening, TABLE)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nobody.invalid:5601", "http://[:5601"])
def test_no_kibana_is_told(url: str) -> None:
    with pytest.raises(Unreachable, match="no Kibana answers at"):
        importing.install(url, TABLE)


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(BadConnection, match="expected scheme://host:port"):
        importing.install("127.0.0.1:5601", TABLE)
