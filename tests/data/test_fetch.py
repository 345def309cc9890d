import hashlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data.fetch import SUMS, load_sums, main
from occupancy import dataset

FILES = {"datatraining.txt": b"train\n" * 900, "datatest.txt": b"test\n" * 700, "datatest2.txt": b"more\n" * 800}
SIMULATED = ["simulated-datatest.txt", "simulated-datatraining.txt"]

Serve = Callable[[bytes], str]


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "SHA256SUMS"
    path.write_text("".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in FILES.items()))
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def fetch(home: Path, sums: Path) -> Callable[[str | Path], int]:
    return lambda source: main(["--data-source", str(source)], {"DATA_HOME": str(home)}, sums)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve one body at /data.zip, half of it at /half.zip, and nothing else."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    body = b""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in {"/data.zip", "/half.zip"}:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.path == "/data.zip" else body[: len(body) // 2])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    def put(content: bytes) -> str:
        nonlocal body
        body = content
        return f"http://127.0.0.1:{server.server_port}"

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield put
        server.shutdown()
        thread.join()


def names(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


@pytest.mark.parametrize(
    "archive",
    [
        zipped(FILES),
        zipped({"occupancy_data.zip": zipped(FILES), "readme.txt": b"?"}),
        zipped({f"../../occupancy_data/{name}": content for name, content in FILES.items()} | {"../evil.txt": b"!"}),
    ],
    ids=["flat", "nested", "other folders and names"],
)
def test_the_three_files_are_downloaded_and_nothing_else(
    archive: bytes, fetch: Callable[[str], int], serve: Serve, home: Path, tmp_path: Path
) -> None:
    assert fetch(serve(archive) + "/data.zip") == 0
    assert contents(home) == FILES
    assert names(tmp_path) == ["SHA256SUMS", "home"]


def test_what_is_there_is_not_fetched_again(
    fetch: Callable[[str], int], serve: Serve, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(zipped(FILES)) + "/data.zip"
    fetch(url)
    before = {path: path.stat().st_mtime_ns for path in home.iterdir()}
    capsys.readouterr()
    assert fetch(url.replace("data.zip", "gone.zip")) == 0
    assert capsys.readouterr().out == (
        f"{home}: datatraining.txt, datatest.txt, datatest2.txt already there, with the right sums\n"
    )
    assert {path: path.stat().st_mtime_ns for path in home.iterdir()} == before


def test_a_damaged_file_is_fetched_again(fetch: Callable[[str], int], serve: Serve, home: Path) -> None:
    home.mkdir()
    (home / "datatest.txt").write_bytes(b"edited")
    assert fetch(serve(zipped(FILES)) + "/data.zip") == 0
    assert contents(home) == FILES


@pytest.mark.parametrize(
    ("path", "archive", "why"),
    [
        ("/gone.zip", zipped(FILES), "404"),
        ("/half.zip", zipped(FILES), "broke off"),
        ("/data.zip", b"<html>maintenance</html>", "not a zip"),
        ("/data.zip", zipped({"datatraining.txt": FILES["datatraining.txt"]}), "datatest.txt is not in it"),
        (
            "/data.zip",
            zipped(FILES | {"datatest.txt": b"changed"}),
            f"datatest.txt has a wrong SHA-256 sum: expected {hashlib.sha256(FILES['datatest.txt']).hexdigest()}, "
            f"found {hashlib.sha256(b'changed').hexdigest()}",
        ),
    ],
)
def test_simulated_files_stand_in_for_a_failed_download(
    *,
    path: str,
    archive: bytes,
    why: str,
    fetch: Callable[[str], int],
    serve: Serve,
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fetch(serve(archive) + path) == 0
    warning = capsys.readouterr().err
    assert "SIMULATED" in warning
    assert why in warning
    assert "`make data` again" in warning
    assert "DATA_SOURCE=/path/to/folder" in warning
    assert names(home) == SIMULATED
    test, train = (dataset.read(home / name) for name in SIMULATED)
    assert train.simulated
    assert test.simulated
    assert train.quarantine == test.quarantine == []
    assert (len(train.frame), len(test.frame)) == (6 * 1440, 2 * 1440)
    assert test.frame.date.max() < train.frame.date.min()


def test_no_server_at_all(fetch: Callable[[str], int], serve: Serve, home: Path) -> None:
    assert serve(b"")
    assert fetch("http://127.0.0.1:1/data.zip") == 0
    assert names(home) == SIMULATED


def test_the_real_files_drive_out_the_simulated_ones(
    fetch: Callable[[str], int], serve: Serve, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(zipped(FILES))
    fetch(url + "/gone.zip")
    (home / "simulated-mine.txt").write_text("not ours")
    assert fetch(url + "/data.zip") == 0
    assert contents(home) == FILES | {"simulated-mine.txt": b"not ours"}
    assert capsys.readouterr().out.count("SIMULATED, removed") == 2


def test_a_folder_may_lack_the_optional_file(
    fetch: Callable[[str | Path], int],
    serve: Serve,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "copy").mkdir()
    for name in ("datatraining.txt", "datatest.txt"):
        (tmp_path / "copy" / name).write_bytes(FILES[name])
    assert fetch(tmp_path / "copy") == 0
    assert names(home) == ["datatest.txt", "datatraining.txt"]
    assert "without datatest2.txt, which is optional" in capsys.readouterr().out
    assert fetch(serve(b"") + "/gone.zip") == 0  # the optional file alone is no reason to simulate
    assert names(home) == ["datatest.txt", "datatraining.txt"]
    assert fetch(serve(zipped(FILES)) + "/data.zip") == 0
    assert contents(home) == FILES


def test_a_wrong_optional_file_is_left_out(
    fetch: Callable[[str], int], serve: Serve, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(serve(zipped(FILES | {"datatest2.txt": b"changed"})) + "/data.zip") == 0
    assert names(home) == ["datatest.txt", "datatraining.txt"]
    assert "datatest2.txt has a wrong SHA-256 sum" in capsys.readouterr().out


def test_a_local_zip(fetch: Callable[[Path], int], home: Path, tmp_path: Path) -> None:
    (tmp_path / "local.zip").write_bytes(zipped(FILES))
    assert fetch(tmp_path / "local.zip") == 0
    assert contents(home) == FILES


def test_a_wrong_local_source_is_an_error_and_simulates_nothing(
    fetch: Callable[[Path], int], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").mkdir()
    for name, content in FILES.items():
        (tmp_path / "copy" / name).write_bytes(content + b"x" * (name == "datatest.txt"))
    assert fetch(tmp_path / "copy") == 2
    assert fetch(tmp_path / "nowhere") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "datatest.txt has a wrong SHA-256 sum: expected" in first
    assert "nowhere" in second
    assert names(home) == []


def test_the_sums_name_the_three_files() -> None:
    assert list(load_sums(SUMS)) == list(FILES)
