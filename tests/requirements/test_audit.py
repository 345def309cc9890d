"""pip-audit itself is asked, about all locks; the service that it asks is one of our own, which knows what we tell it."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from requirements.audit import ACCEPTED, Accepted, Package, Vulnerability, accepted, complaints, locked
from requirements.locks import locks, pins

AUDIT = Path(".venv-audit")
TODAY = date(2026, 11, 21)
FLASK = Package("flask", "3.1.3")
FOUND = Vulnerability(FLASK, ("PYSEC-2026-1", "CVE-2026-1"), ("3.1.4",))
WHERE = {FLASK: ["dev", "inference"]}


def test_all_that_is_locked_is_asked_about_also_for_other_platforms() -> None:
    asked = locked()
    assert {(pin.name, pin.version) for lock in locks() for pin in pins(lock)} == asked.keys()
    assert {"xgboost", "xgboost-cpu"} <= {package.name for package in asked}
    assert all(where for where in asked.values())


def test_a_vulnerability_is_told_with_its_names_its_cure_and_where_it_is() -> None:
    (line,) = complaints([FOUND], [], WHERE, TODAY)
    assert line == "flask 3.1.3 (dev, inference): PYSEC-2026-1 = CVE-2026-1, fixed in 3.1.4"
    (line,) = complaints([FOUND._replace(fixed=())], [], WHERE, TODAY)
    assert line.endswith("not fixed in any version")


@pytest.mark.parametrize("name", FOUND.names)
def test_one_that_is_accepted_passes_under_any_of_its_names_until_its_day(name: str) -> None:
    passes = [Accepted(id=name, package="flask", why="never reached", until=TODAY)]
    assert complaints([FOUND], passes, WHERE, TODAY) == []


def test_an_acceptance_that_has_expired_fails() -> None:
    passes = [Accepted(id="CVE-2026-1", package="flask", why="never reached", until=TODAY - timedelta(days=1))]
    (line,) = complaints([FOUND], passes, WHERE, TODAY)
    assert line == "accepted.toml: CVE-2026-1 of flask was let pass until 2026-11-20: look at it again"


def test_an_acceptance_of_something_else_helps_nothing_and_is_to_be_deleted() -> None:
    passes = [Accepted(id="CVE-2026-1", package="werkzeug", why="never reached", until=TODAY)]
    found, useless = complaints([FOUND], passes, WHERE, TODAY)
    assert found.startswith("flask 3.1.3")
    assert useless == "accepted.toml: CVE-2026-1 of werkzeug is found no more: delete it"


def test_what_is_accepted_has_a_reason_and_a_day() -> None:
    for each in accepted(ACCEPTED.read_text("utf-8")):
        assert isinstance(each.until, date)
        assert len(each.why) > 20
        assert each.package in {package.name for package in locked()}


def test_the_file_s_own_example_can_be_read() -> None:
    example = "".join(
        line.removeprefix("# ") for line in ACCEPTED.read_text("utf-8").partition("#\n")[2].splitlines(True)
    )
    (each,) = accepted(example)
    assert (each.package, each.until) == ("mlserver", date(2027, 1, 31))


@pytest.mark.parametrize("text", ['[[accepted]]\nid = "CVE-1"\npackage = "flask"', '[[accepted]]\nreason = "none"'])
def test_an_acceptance_that_lacks_something_is_an_error(text: str) -> None:
    with pytest.raises(TypeError):
        accepted(text)


Answer = Callable[[str, str], tuple[int, object]]


@contextmanager
def knowing(answer: Answer) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve what OSV's query serves: give its URL, and the packages that it is asked about."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((query["package"]["name"], query["version"]))
            status, said = answer(*asked[-1])
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    command = [f"{AUDIT}/bin/python", "-m", "requirements.audit", "--vulnerability-service=osv", f"--osv-url={url}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


needs_audit = pytest.mark.skipif(
    not (AUDIT / "ready").exists(), reason="no pip-audit here; `make audit` installs it apart"
)


@pytest.mark.audit
@needs_audit
def test_every_locked_package_is_asked_about_and_nothing_known_is_no_error() -> None:
    with knowing(lambda *_: (200, {})) as (url, asked):
        ended = audit(url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(asked) == sorted(locked())
    assert f"{len(asked)} packages of {len(locks())} locks, 0 to look at" in ended.stdout


@pytest.mark.audit
@needs_audit
def test_a_known_vulnerability_fails_the_audit() -> None:
    (version,) = (pin.version for pin in pins("inference") if pin.name == "flask")
    affected = [
        {
            "package": {"name": "flask", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99"}]}],
        }
    ]
    known = {"vulns": [{"id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "details": "bad", "affected": affected}]}
    with knowing(lambda *package: (200, known if package == ("flask", version) else {})) as (url, _):
        ended = audit(url)
    assert ended.returncode == 1
    told = ended.stdout.splitlines()[0]
    assert told.startswith(f"flask {version} (dev, ")
    assert told.endswith("): PYSEC-2026-1 = CVE-2026-1, fixed in 99")


@pytest.mark.audit
@needs_audit
def test_a_service_that_does_not_answer_is_no_good_news() -> None:
    with knowing(lambda *_: (503, {})) as (url, asked):
        ended = audit(url)
    assert asked
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("audit: NOT AUDITED: ")
