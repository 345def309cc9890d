import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from training.service import orders
from training.service.orders import CHOICE, InvalidOrder, Order, fetch, flags, locate, parse
from training.service.settings import Settings
from training.settings import Settings as Training

URLS = "https://data.example.com/rooms/,http://other/"


def ordered(body: Any, settings: Settings) -> Order:
    return parse(json.dumps(body).encode(), settings)


def test_an_empty_order_trains_on_what_training_would(settings: Settings) -> None:
    assert ordered({}, settings) == Order(kind="training")


def test_what_may_be_chosen_are_settings_of_training_that_name_no_path() -> None:
    assert set(CHOICE) <= set(Training.__struct_fields__)
    assert not [name for name in CHOICE if name.endswith(("data", "path", "home", "mapping", "space"))]


def test_settings_become_flags(settings: Settings) -> None:
    given = {"seed": 3, "recent_share": 0.25, "override_gate": True, "created": "2026-01-31T12:00:00+00:00"}
    assert flags(ordered({"settings": given}, settings)) == [
        "--created=2026-01-31T12:00:00+00:00",
        "--override-gate=True",
        "--recent-share=0.25",
        "--seed=3",
    ]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"knd": "loop"}, "unknown field knd"),
        ({"kind": "deploy"}, "'deploy'"),
        ({"settings": {"seed": "7"}}, r"Expected int, got str - at \$.settings.seed"),
        ({"settings": {"seed": -1}}, ">= 0"),
        ({"settings": {"save_path": "/etc"}}, "unknown field save_path"),
        ({"settings": {"band": "0.7,0.3"}}, "BAND=0.7,0.3"),
        ({"settings": {"created": "yesterday"}}, "CREATED=yesterday"),
        ({"settings": {"preprocessing": "magic"}}, "expected one of identity"),
        ({"kind": "loop", "settings": {"seed": 1}}, "send neither"),
        ({"data": {"recent": {"since": "--help me"}}}, "matching regex"),
        ({"data": {"recent": {"room": "a\nb"}}}, "printable"),
        ({"data": {"training": "x" * 2000}}, "<= 1000"),
        ({"data": {"training": "x" * 900}}, "not a file below"),
        ([], "Expected object"),
    ],
)
def test_an_order_that_no_job_can_follow(body: Any, why: str, settings: Settings) -> None:
    with pytest.raises(InvalidOrder, match=why):
        ordered(body, settings)


def test_what_is_no_json(settings: Settings) -> None:
    with pytest.raises(msgspec.DecodeError):
        parse(b"{", settings)


def test_a_path_leads_to_a_file_below_the_data_folder(settings: Settings, room: tuple[Path, Path]) -> None:
    assert locate(room[0].name, settings) == room[0].resolve() == locate(str(room[0]), settings)


@pytest.mark.parametrize(
    "name", ["../secret.csv", "link.csv", "folder", "missing.csv", ".", "/etc/passwd", "a\0b", "loop"]
)
def test_a_path_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    home = tmp_path / "data"
    (home / "folder").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("date")
    (home / "link.csv").symlink_to(tmp_path / "secret.csv")
    (home / "loop").symlink_to(home / "loop")
    with pytest.raises(InvalidOrder, match="not a file below"):
        locate(name, Settings(data=str(home)))


def test_links_within_the_data_folder_are_followed(tmp_path: Path) -> None:  # as those of a mounted ConfigMap
    (tmp_path / "..version").mkdir()
    (tmp_path / "..version" / "a.csv").write_text("date")
    (tmp_path / "..data").symlink_to("..version")
    (tmp_path / "a.csv").symlink_to("..data/a.csv")
    assert locate("a.csv", Settings(data=str(tmp_path))) == (tmp_path / "..version" / "a.csv").resolve()


@pytest.mark.parametrize("name", ["https://data.example.com/rooms/4.12.csv", "http://other/a%20b.csv"])
def test_a_url_that_is_allowed(name: str) -> None:
    assert locate(name, Settings(urls=URLS)) is None


@pytest.mark.parametrize(
    "name",
    [
        "https://data.example.com/secret.csv",
        "https://data.example.com.evil.org/rooms/a.csv",
        "https://data.example.com/rooms/../secret.csv",
        "https://data.example.com/rooms/%2e%2E/secret.csv",
        "https://data.example.com/rooms/..\\secret.csv",
        "http://other@evil.org/",
        "http://other/a\nb",
        "http://169.254.169.254/latest",
    ],
)
def test_a_url_that_is_not_allowed(name: str) -> None:
    with pytest.raises(InvalidOrder, match="is not below any of"):
        locate(name, Settings(urls=URLS))
    with pytest.raises(InvalidOrder, match="is not below any of"):
        locate(name, Settings())


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """A server with /file (1,000 bytes), /away (a redirect to it), and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/file": 200, "/away": 302}.get(self.path, 404))
            self.send_header("Location", "/file")
            self.end_headers()
            self.wfile.write(b"x" * 1000)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_is_fetched(elsewhere: str, tmp_path: Path) -> None:
    fetch(f"{elsewhere}/file", tmp_path / "file", Settings(max_download=1000))
    assert (tmp_path / "file").read_bytes() == b"x" * 1000


@pytest.mark.parametrize(
    ("path", "limit", "why"),
    [("/file", 999, "more than .*=999 bytes"), ("/away", 1000, "302, not 200"), ("/nothing", 1000, "404, not 200")],
)
def test_a_file_is_too_large_or_elsewhere(path: str, limit: int, why: str, elsewhere: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOrder, match=why):
        fetch(elsewhere + path, tmp_path / "file", Settings(max_download=limit))


def test_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidOrder, match=r"no answer \(ConnectionError\)"):
        fetch("http://127.0.0.1:9/", tmp_path / "file", Settings())


def test_a_server_that_takes_too_long(elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "DOWNLOAD_SECONDS", -1.0)
    with pytest.raises(InvalidOrder, match="not there after"):
        fetch(f"{elsewhere}/file", tmp_path / "file", Settings())
