"""The look at Kibana's dashboards, tried on pages that carry Kibana's marks: there is no Kibana here."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.browsers import needed
from tests.ci import kibana

pytestmark = pytest.mark.browser

# two panels, drawn a moment after the page; what they show is the test's
PAGE = """<div data-shared-items-count="2"><div data-test-subj="embeddablePanel" data-render-complete="false">one</div></div>
<script>setTimeout(() => {{ document.querySelector('[data-shared-items-count]').innerHTML = `{panels}` }}, 300)</script>"""
GOOD = '<div data-render-complete="true">a chart</div>'
Serve = Callable[[str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer every path with a page of these panels; gives the address."""
    servers = []

    def started(panels: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(PAGE.format(panels=panels).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    needed()
    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_dashboard_that_is_drawn_leaves_its_picture(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kibana.main(serve(GOOD + GOOD), tmp_path / "new") == 0
    pictures = {path.stem: path.read_bytes() for path in (tmp_path / "new").iterdir()}
    assert pictures.keys() == kibana.dashboards().keys()
    assert all(each.startswith(b"\x89PNG") for each in pictures.values())
    assert capsys.readouterr().out.count(": drawn (") == len(pictures)


@pytest.mark.parametrize(
    "panel",
    [
        '<div data-render-complete="true"><i data-test-subj="embeddableError">no such field</i></div>',
        '<div data-render-complete="true"><i class="vgaVis__message vgaVis__message--err">no such field</i></div>',
    ],
)
def test_a_panel_with_an_error_fails_and_is_told_and_seen(
    panel: str, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kibana.main(serve(GOOD + panel), tmp_path) == 1
    assert ": no such field (" in capsys.readouterr().out
    assert len(list(tmp_path.iterdir())) == len(kibana.dashboards())


def test_a_panel_that_is_never_drawn_fails(serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = '<div data-render-complete="false">loading</div>'
    assert kibana.main(serve(GOOD + still), tmp_path, seconds=2) == 1
    assert "not drawn within 2 s" in capsys.readouterr().out
