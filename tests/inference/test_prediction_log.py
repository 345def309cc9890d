import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inference import prediction_log
from inference.prediction_log import ATOMIC_BYTES, PredictionLog
from occupancy.record import MAX_BYTES
from tests.inference.conftest import until


def loss(lost: int) -> dict[str, Any]:
    return {"lost": lost}


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        os.close(end)


def drain(reading: int, log: PredictionLog) -> bytes:
    """Read until all is written: a thread that still writes when its pipe is closed would write to the next test's."""
    read = b""
    while (log.queued and log._thread.is_alive()) or select.select([reading], [], [], 0.05)[0]:
        if select.select([reading], [], [], 0.01)[0]:
            read += os.read(reading, 65536)
    return read


def numbers(text: bytes) -> list[Any]:
    return [json.loads(line).get("n", "lost") for line in text.splitlines()]


def test_every_record_is_a_line_in_the_order_of_writing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = PredictionLog(file.fileno(), 10_000, loss)
        for n in range(5000):
            log.write({"n": n, "room": "é😀"})
        log.close()
    assert numbers((tmp_path / "log").read_bytes()) == list(range(5000))
    assert (log.written, log.dropped, log.queued) == (5000, 0, 0)


@pytest.mark.parametrize(
    ("before", "after"), [(b"", b""), (b"{", b"{\n"), (b'{"n":0}\n{"n"', b'{"n":0}\n{"n"\n'), (b"x\n", b"x\n")]
)
def test_a_line_that_another_writer_left_cut_is_ended_first(tmp_path: Path, before: bytes, after: bytes) -> None:
    (tmp_path / "log").write_bytes(before)
    with (tmp_path / "log").open("ab") as file:
        log = PredictionLog(file.fileno(), 10, loss)
        log.write({"n": 1})
        log.close()
    assert (tmp_path / "log").read_bytes() == after + b'{"n":1}\n'
    assert (log.written, log.queued) == (1, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe may take less")
def test_a_record_is_no_longer_than_what_a_pipe_takes_whole() -> None:
    assert MAX_BYTES <= ATOMIC_BYTES


def test_no_write_blocks_that_is_longer_than_a_pipe_takes_whole(
    monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)  # so that a write that would block is an error, or is cut
    writes, write = [], os.write

    def noted(descriptor: int, data: bytes) -> int:
        try:
            count = write(descriptor, data)
        except BlockingIOError:
            assert len(data) <= ATOMIC_BYTES
            time.sleep(0.001)
            raise
        assert count == len(data)
        writes.append(data)
        return count

    monkeypatch.setattr(os, "write", noted)
    monkeypatch.setattr(prediction_log, "RETRY_SECONDS", 0.0)
    log = PredictionLog(writing, 10_000, loss)
    for n in range(3000):
        log.write({"n": n, "text": "x" * (n * 7 % 1500)})
    assert numbers(drain(reading, log)) == list(range(3000))
    log.close()
    assert all(data.endswith(b"\n") for data in writes)
    assert len(writes) < 1500  # many records in one write


def test_a_reader_that_stops_costs_records_not_time_and_the_loss_is_admitted(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    log = PredictionLog(writing, 100, loss)
    count = 0
    while log.dropped < 50:
        log.write({"n": count, "text": "x" * 1000})
        count += 1
    assert log.queued >= 100  # all that there is place for waits
    kept = count - 50
    read = drain(reading, log)
    given = numbers(read)
    assert [n for n in given if n != "lost"] == list(range(kept))
    assert [json.loads(line)["lost"] for line in read.splitlines() if b"lost" in line] == [50]
    log.write({"n": "after"})
    assert numbers(drain(reading, log)) == ["after"]
    assert (log.written, log.dropped) == (kept + 2, 50)
    log.close()


def test_a_request_waits_once_for_all_its_records(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "PATIENCE_SECONDS", 0.3)
    reading, writing = pipe
    log = PredictionLog(writing, 10, loss)
    over = threading.Event()

    def trickle() -> None:
        while not over.wait(0.05):
            os.read(reading, 1)

    reader = threading.Thread(target=trickle, daemon=True)
    reader.start()
    until = log.patience()
    for n in range(2000):
        log.write({"n": n, "text": "x" * 1000}, until)
    assert log.dropped > 1000  # a wait for each would have kept them, for as long as the reader pleases
    over.set()
    reader.join()
    drain(reading, log)
    log.close()


def test_a_reader_that_is_slow_loses_nothing(pipe: tuple[int, int]) -> None:
    """A burst larger than queue and pipe together waits for the reader, as long as it gets on."""
    reading, writing = pipe
    log = PredictionLog(writing, 10, loss)
    read: list[bytes] = []

    def slowly() -> None:
        while b'"last"' not in b"".join(read[-2:]):
            time.sleep(0.002)
            read.append(os.read(reading, 8192))

    reader = threading.Thread(target=slowly, daemon=True)
    reader.start()
    for n in range(1000):
        log.write({"n": n, "text": "x" * 1000})
    log.write({"n": "last"})
    reader.join()
    assert numbers(b"".join(read)) == [*range(1000), "last"]
    assert log.dropped == 0
    log.close()


def test_only_the_first_waits_for_a_writer_that_is_stuck(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PredictionLog(pipe[1], 1, loss)
    while not log.dropped:
        log.write({"text": "x" * 4000})
    monkeypatch.setattr(prediction_log, "PATIENCE_SECONDS", 1e9)  # whoever waits now, waits for ever
    for _ in range(200):
        log.write({"text": "x"})
    assert log.dropped == 201
    drain(pipe[0], log)
    log.close()


def test_a_full_disk_leaves_whole_lines_in_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk takes a part of a line, then nothing for a while, then all of it."""
    full, write = threading.Event(), os.write
    full.set()

    def limited(descriptor: int, data: bytes) -> int:
        if not full.is_set():
            return write(descriptor, data)
        if os.fstat(descriptor).st_size < 50:
            return write(descriptor, data[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", limited)
    monkeypatch.setattr(prediction_log, "RETRY_SECONDS", 0.01)
    path = tmp_path / "log"
    with path.open("wb") as file:
        log = PredictionLog(file.fileno(), 10_000, loss)
        for n in range(100):
            log.write({"n": n})
        until(lambda: "No space left" in caplog.text)
        time.sleep(0.1)
        assert caplog.text.count("No space left") == 1  # not once a try
        assert 0 < log.written < 100
        full.clear()
        until(lambda: not log.queued)
        log.close()
    assert numbers(path.read_bytes()) == list(range(100))
    assert (log.written, log.dropped) == (100, 0)


def test_closing_writes_the_rest_and_tells_what_it_could_not(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    log = PredictionLog(pipe[1], 1000, loss)
    for n in range(300):
        log.write({"n": n, "text": "x" * 1000})
    log.close(0.2)  # nobody reads: a pipe holds 64 KiB
    assert f"{log.written} records written, 0 dropped, {log.queued} left unwritten" in caplog.text
    assert log.written + log.queued == 300
    drain(pipe[0], log)
    log.close()


def test_a_reader_that_is_gone_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = PredictionLog(writing, 10, loss)
    for n in range(50):
        log.write({"n": n})
    until(lambda: "Broken pipe" in caplog.text)
    assert log.dropped + log.queued == 50
    log.close(0.1)
    assert caplog.text.count("Broken pipe") == 1
    assert "0 records written" in caplog.text
