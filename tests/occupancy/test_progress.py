import io
import os
import pty
import re
import termios
from concurrent.futures import ThreadPoolExecutor

import pytest

from occupancy.progress import Progress


def test_a_log_gets_plain_lines_now_and_then() -> None:
    log = io.StringIO()
    with Progress("search", 3, "fits", log, line_seconds=0) as progress:
        progress.advance()
        progress.advance(3)
    assert log.getvalue().splitlines() == [
        "search: 1 of about 3 fits",
        "search: 4 of about 4 fits",  # the guess was too low
        "search: 4 fits done",
    ]


def test_a_log_is_not_flooded() -> None:
    log = io.StringIO()
    with Progress("search", 9999, "fits", log, line_seconds=float("inf")) as progress:
        for _ in range(9999):
            progress.advance()
    assert log.getvalue() == "search: 9999 fits done\n"


def test_threads_lose_no_count() -> None:
    progress = Progress("search", 0, "fits", io.StringIO(), line_seconds=0)

    def work(steps: int) -> None:
        for _ in range(steps):
            progress.advance()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, [500] * 8))
    assert progress.done == 4000


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_stops_it_and_passes(error: type[BaseException]) -> None:
    log = io.StringIO()

    def work() -> None:
        with Progress("search", 3, "fits", log) as progress:
            progress.advance(2)
            raise error

    with pytest.raises(error):
        work()
    assert log.getvalue() == "search: stopped after 2 fits\n"


def test_a_terminal_gets_a_bar_which_goes_away_and_one_line() -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 80))
    with os.fdopen(its, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        with Progress("search", 2, "fits", terminal) as progress:
            progress.advance(5)
        shown = b""
        while not shown.endswith(b"done\r\n"):
            shown += screen.read(4096)
    bar, blank, line = re.split(rb"\r(?=  |search: 5)", shown.strip(b"\r\n"))
    assert b"search:   0%|" in bar
    assert b"| 0/2 [" in bar
    assert blank.strip() == b""
    assert line == b"search: 5 fits done"
    assert progress.total == 5  # a bar never shows more than all


def test_it_speaks_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("search", 1, "fits"):
        pass
    assert capsys.readouterr() == ("", "search: 0 fits done\n")
