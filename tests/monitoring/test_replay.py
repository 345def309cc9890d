import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.faults import InvalidFault
from monitoring.replay import NothingToSend, Replay, Row, main, move, prepare
from monitoring.service import NotTheService, ServiceAway
from occupancy import dataset, simulate
from occupancy.mapping import DATE
from occupancy.reading import NAMES
from occupancy.settings import InvalidSetting
from tests.inference.conftest import ROOT, Process, environment, running
from tests.ports import free_port

NOW = pd.Timestamp("2026-03-04T12:00Z")
TOKEN = "a token for feedback"


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of eight days with a reading every ten minutes: 1,152 rows."""
    path = tmp_path_factory.mktemp("room") / "room.csv"
    simulate.write(path, simulate.simulate(8, seed=5, step_seconds=600), seed=5)
    return str(path)


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("token") / "token"
    path.write_text(f"{TOKEN}\n")
    return str(path)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, token_file: str) -> Iterator[Process]:
    """A running service that asks for one label in three, and takes feedback with the token alone."""
    folder = tmp_path_factory.mktemp("service")
    with running(folder, OCCUPANCY_LABEL_ONE_IN="3", OCCUPANCY_FEEDBACK_TOKEN_FILE=token_file) as process:
        yield process


def rows(*files: str, now: pd.Timestamp = NOW, **settings: Any) -> list[Row]:
    return prepare(Replay(file=files, **settings), now).rows


def replay(service: Process, *argv: str) -> int:
    return main(["--url", f"http://127.0.0.1:{service.port}", *argv], {})


def left(service: Process, dataset: str, since: int, count: int) -> list[dict[str, Any]]:
    """Give the records of a kind after the first `since` of all, once there are so many."""
    for _ in range(400):
        found = [record for record in service.records[since:] if record["event.dataset"] == f"occupancy.{dataset}"]
        if len(found) >= count:
            break
        time.sleep(0.01)
    assert len(found) == count
    return found


def settled(service: Process) -> int:
    """Count the service's records once all are written: a record of our own comes last."""
    service.get("/predict", {"room": (mark := f"mark {time.monotonic_ns()}")})
    while not any(mark == record.get("occupancy.room") for record in service.records):
        time.sleep(0.01)
    return len(service.records)


# --- dates

ZONES = ["Europe/Brussels", "UTC", "America/New_York", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Kathmandu"]
TIMES = st.datetimes(pd.Timestamp(2000, 1, 1).to_pydatetime(), pd.Timestamp(2036, 1, 1).to_pydatetime())


@given(zone=st.sampled_from(ZONES), first=TIMES, now=TIMES, minutes=st.integers(1, 300))
def test_dates_move_by_whole_weeks_and_keep_weekday_and_time_of_day(
    zone: str, first: Any, now: Any, minutes: int
) -> None:
    start = pd.Timestamp(first, tz="UTC").tz_convert(zone)
    dates = pd.Series(pd.date_range(start, periods=200, freq=pd.Timedelta(minutes=minutes)))
    here = pd.Timestamp(now, tz="UTC")
    moved = move(dates, here)
    told = moved.notna()
    before, after = dates[told].dt.tz_localize(None), moved[told].dt.tz_localize(None)
    shift = (after - before).unique()
    assert len(shift) <= 1
    assert all(by % pd.Timedelta(days=7) == pd.Timedelta(0) for by in shift)
    assert moved[told].is_monotonic_increasing
    assert moved[told].is_unique
    assert (moved[told] <= here).all()
    week = pd.Timedelta(days=7)
    if told.iloc[-1]:
        assert moved.max() + week + pd.Timedelta(hours=1) > here  # a clock change is at most an hour here
    # what is left out is at most what clocks leave out or show twice in two nights
    assert (~told).sum() * minutes <= 2 * (60 + minutes)


def test_the_night_that_lacks_an_hour_leaves_its_readings_out() -> None:
    dates = pd.Series(pd.date_range("2026-03-22 01:30", periods=5, freq="30min", tz="Europe/Brussels"))
    moved = move(dates, pd.Timestamp("2026-03-29 20:00", tz="Europe/Brussels"))
    assert [None if pd.isna(date) else f"{date:%d %H:%M%z}" for date in moved] == [
        "29 01:30+0100",
        None,
        None,
        "29 03:00+0200",
        "29 03:30+0200",
    ]


def test_of_an_hour_that_came_twice_the_first_is_kept() -> None:
    dates = pd.Series(pd.date_range("2025-10-26T00:00Z", periods=5, freq="30min").tz_convert("Europe/Brussels"))
    moved = move(dates, pd.Timestamp("2025-11-03 00:00", tz="Europe/Brussels"))
    assert [None if pd.isna(date) else f"{date:%d %H:%M%z}" for date in moved] == [
        "02 02:00+0100",
        "02 02:30+0100",
        None,
        None,
        "02 03:00+0100",
    ]


def test_where_the_night_of_a_change_costs_rows_it_is_said(room: str) -> None:
    now = pd.Timestamp("2015-03-30T00:00Z")  # 29 March is moved to from 1 February, a Sunday
    prepared = prepare(Replay(file=(room,)), now + pd.Timedelta(days=7))
    assert "6 rows stand at a time that comes never or twice when clocks change; they are not sent" in prepared.notes
    assert len(prepared.rows) == 1152 - 6


def test_dates_stay_on_request(room: str) -> None:
    kept = rows(room, keep_time=True)
    assert kept[0].reading["date"] == "2015-02-02T00:00:00+01:00"
    assert rows(room)[-1].reading["date"] == "2026-03-02T23:50:00+01:00"  # a Monday, before a Wednesday
    assert len(rows(room)) == len(kept) == 1152


# --- what is sent


@pytest.mark.parametrize("now", [NOW, NOW + pd.Timedelta(days=100)])
def test_the_seed_decides_rows_faults_and_wrong_labels(room: str, now: pd.Timestamp) -> None:
    asked: dict[str, Any] = {"sample": 100, "fault": "noise:CO2:size=50", "feedback_wrong": 0.3}
    first, again, other = (rows(room, seed=seed, **asked) for seed in (7, 7, 8))
    later = rows(room, seed=7, now=now, **asked)
    assert first == again
    assert [row.reading["id"] for row in first] != [row.reading["id"] for row in other]
    drop = {"date"}
    assert [({k: v for k, v in r.reading.items() if k not in drop}, r.occupied, r.wrong) for r in later] == [
        ({k: v for k, v in r.reading.items() if k not in drop}, r.occupied, r.wrong) for r in first
    ]


def test_a_sample_is_of_different_rows_in_random_order(room: str) -> None:
    ids = [row.reading["id"] for row in rows(room, sample=100)]
    assert len(set(ids)) == 100
    assert ids != sorted(ids)
    assert len(rows(room, sample=5000)) == 1152


def test_a_reading_is_the_row_that_its_id_names(room: str) -> None:
    frame = dataset.read(room).frame
    for row in rows(room, sample=50, keep_time=True, room="4.12"):
        number = int(row.reading["id"].removeprefix("room.csv-"))
        expected = frame.iloc[number - 1]
        assert row.reading["room"] == "4.12"
        assert [row.reading[name] for name in NAMES] == list(expected[list(NAMES)])
        assert pd.Timestamp(row.reading["date"]) == expected[DATE]
        assert row.taken == expected[DATE].timestamp()
        assert row.occupied == (expected["Occupancy"] == 1)


def test_several_files_are_sent_as_one_in_the_order_of_their_dates(room: str, tmp_path: Path) -> None:
    earlier = str(tmp_path / "earlier.csv")
    start = pd.Timestamp("2015-01-30").date()
    simulate.write(earlier, simulate.simulate(3, seed=6, start=start, step_seconds=3600), seed=6)
    both = rows(room, earlier)
    assert [row.taken for row in both] == sorted(row.taken for row in both)
    assert both[0].reading["id"] == "earlier.csv-1"
    assert both[-1].reading["id"] == "room.csv-1152"


def test_a_wrong_clock_changes_dates_and_neither_their_order_nor_their_truth(room: str) -> None:
    sound, broken = rows(room), rows(room, fault="clock:size=90:start=1d:end=1d6h")
    wrong = [i for i, (a, b) in enumerate(zip(sound, broken, strict=True)) if a.reading["date"] != b.reading["date"]]
    assert wrong == list(range(144, 144 + 36))
    assert pd.Timestamp(broken[150].reading["date"]) - pd.Timestamp(sound[150].reading["date"]) == pd.Timedelta("90min")
    assert [row.taken for row in broken] == [row.taken for row in sound]


def test_as_many_labels_are_wrong_as_asked_for(room: str) -> None:
    sound, wrong = rows(room), rows(room, feedback_wrong=0.1)
    assert sum(row.wrong for row in wrong) == pytest.approx(115, abs=40)
    assert all((a.occupied != b.occupied) == b.wrong for a, b in zip(sound, wrong, strict=True))
    assert all(row.wrong for row in rows(room, feedback_wrong=1))


def test_rows_that_cannot_be_believed_are_left_out_and_told(room: str, tmp_path: Path) -> None:
    lines = Path(room).read_text().splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([*lines[:500], "nonsense", *lines[500:]]))
    prepared = prepare(Replay(file=(str(tmp_path / "bad.csv"),)), NOW)
    assert len(prepared.rows) == 1152
    assert any("1 rows can't be believed and are not sent" in note for note in prepared.notes)
    assert any("SIMULATED" in note for note in prepared.notes)


# --- what arrives


def test_a_hundred_at_once_are_all_recorded(service: Process, room: str, capsys: pytest.CaptureFixture[str]) -> None:
    since = settled(service)
    assert replay(service, "--sample", "100", "--room", "sample", room) == 0
    records = left(service, "prediction", since, 100)
    assert {record["occupancy.reading.id"] for record in records} == {
        row.reading["id"] for row in rows(room, sample=100)
    }
    assert {record["occupancy.room"] for record in records} == {"sample"}
    told = capsys.readouterr().out
    assert told.startswith("100 readings sent in ")
    answers = Counter(record["occupancy.answer"] for record in records)
    assert "100 answered (" in told
    assert all(f"{number} {answer}" in told for answer, number in answers.items())


def test_a_sample_meets_the_service_at_the_same_time(tmp_path: Path, room: str) -> None:
    serial = {"OCCUPANCY_CONCURRENCY": "1", "OCCUPANCY_QUEUE": "0", "OCCUPANCY_DELAY": "0.05"}
    with running(tmp_path, **serial) as process:
        assert replay(process, "--sample", "4", "--connections", "2", room) == 0
        process.stop()
        outcomes = Counter(record["event.outcome"] for record in process.records)
        reasons = {record.get("occupancy.refusal.reason") for record in process.records}
    assert outcomes["success"] == 4  # each in the end,
    assert outcomes["failure"] > 0  # though some were turned away and came again
    assert reasons == {None, "overloaded"}


@pytest.mark.parametrize("batch", ["1", "50"])
def test_rows_are_sent_in_order_and_faults_arrive_as_records(
    service: Process, room: str, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    since = settled(service)
    fault = "range:Temperature:start=1d:end=1d1h,missing:CO2:start=2d:end=2d30m,stuck:Light:start=3d:end=4d"
    assert replay(service, "--batch", batch, "--fault", fault, room) == 0
    records = left(service, "prediction", since, 1152)
    refused = [record for record in records if record["event.outcome"] == "failure"]
    assert Counter(record["occupancy.refusal.field"] for record in refused) == {"Temperature": 6, "CO2": 3}
    hot = [record for record in refused if record["occupancy.refusal.field"] == "Temperature"]
    assert {record["occupancy.reading.Temperature"] for record in hot} == {85.0}
    answered = [record for record in records if record["event.outcome"] == "success"]
    times = [record["occupancy.reading.time"] for record in answered]
    assert times == sorted(times)
    midnight = pd.Timestamp(times[0])
    day = [r for r in answered if 3 <= (pd.Timestamp(r["occupancy.reading.time"]) - midnight).days < 4]
    assert len(day) == 144
    assert {record["occupancy.reading.Light"] for record in day} == {0.0}
    told = capsys.readouterr().out
    assert re.match(r"1152 readings sent in .*; 1143 answered .*; 9 refused ", told)
    assert "6 Temperature out_of_range, 3 CO2 not_a_number" in told


def test_readings_go_no_faster_than_their_rate(service: Process, room: str, tmp_path: Path) -> None:
    simulate.write(tmp_path / "some.csv", dataset.read(room).frame.iloc[600:640], seed=5)
    began = time.monotonic()
    assert replay(service, "--rate", "200", str(tmp_path / "some.csv")) == 0
    assert time.monotonic() - began >= 39 / 200


def test_feedback_is_late_and_partly_wrong_as_asked(
    service: Process, room: str, token_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    since = settled(service)
    asked = ["--feedback", "all", "--feedback-delay", "120", "--feedback-wrong", "0.1", "--token-file", token_file]
    assert replay(service, *asked, room) == 0
    feedback = left(service, "feedback", since, 1152)
    predictions = {record["event.id"]: record for record in left(service, "prediction", since, 1152)}
    expected = {row.reading["id"]: row for row in rows(room, feedback_wrong=0.1)}
    latest = ""
    order = sorted([*feedback, *predictions.values()], key=lambda record: record["occupancy.sequence"])
    sent_at_the_end = 0
    for record in order:
        if record["event.dataset"] == "occupancy.prediction":
            latest = max(latest, record["occupancy.reading.time"])
            continue
        about = predictions[record["occupancy.feedback.prediction"]]
        assert record["occupancy.feedback.occupied"] == expected[about["occupancy.reading.id"]].occupied
        assert record["occupancy.feedback.authenticated"]
        late = pd.Timestamp(latest) - pd.Timestamp(about["occupancy.reading.time"])
        sent_at_the_end += late < pd.Timedelta(minutes=120)
        assert late <= pd.Timedelta(minutes=120)
    assert sent_at_the_end == 12  # the last two hours have no reading after them
    wrong = sum(row.wrong for row in expected.values())
    assert f"feedback on 1152, {wrong} of it wrong on purpose" in capsys.readouterr().out


@pytest.mark.parametrize("how", [["--sample", "90"], ["--batch", "100"]])
def test_only_labels_that_were_asked_for_are_told(service: Process, room: str, token_file: str, how: list[str]) -> None:
    since = settled(service)
    assert replay(service, "--feedback", "wanted", "--token-file", token_file, *how, room) == 0
    predictions = left(service, "prediction", since, 90 if "90" in how else 1152)
    wanted = {record["event.id"] for record in predictions if "occupancy.label_wanted" in record}
    feedback = left(service, "feedback", since, len(wanted))
    assert {record["occupancy.feedback.prediction"] for record in feedback} == wanted
    assert wanted


# --- when something is in the way


def test_it_waits_for_a_service_that_is_away_and_sends_every_row(
    room: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    logs = [tmp_path / "first", tmp_path / "second"]
    ended: list[int] = []
    argv = ["--url", f"http://127.0.0.1:{port}", "--rate", "300", room]
    thread = threading.Thread(target=lambda: ended.append(main(argv, {})), daemon=True)
    thread.start()
    with serving(port, logs[0]):
        while logs[0].stat().st_size < 20_000:
            time.sleep(0.01)
    with serving(port, logs[1]):
        thread.join(60)
    assert ended == [0]
    records = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    ids = Counter(record["occupancy.reading.id"] for record in records)
    assert len(ids) == 1152
    told = capsys.readouterr().out
    again = re.search(r"(\d+) requests sent again", told)
    assert ids.total() - len(ids) <= (int(again[1]) if again else 0)


@contextmanager
def serving(port: int, log: Path) -> Iterator[None]:
    variables = {"OCCUPANCY_HOST": "127.0.0.1", "OCCUPANCY_PORT": str(port)}
    with (
        log.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-m", "inference"],
            cwd=ROOT,
            env=environment(**variables),
            stdout=out,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("how", [["--sample", "50"], []])
def test_a_service_that_stays_away_is_an_error(room: str, how: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServiceAway, match=r"http://127.0.0.1:9: .* Is the service running there\?"):
        main(["--url", "http://127.0.0.1:9", "--patience", "0.3", *how, room], {})
    assert capsys.readouterr().out.startswith("0 readings sent")


@pytest.mark.parametrize(
    ("argv", "error", "why"),
    [
        ([], NothingToSend, "name a data file, such as data/original/datatraining.txt"),
        (["none.csv"], dataset.InvalidDataset, "none.csv: No such file"),
        (["ROOM", "--fault", "stuck:Lamp"], InvalidFault, "Lamp is not a sensor"),
        (["ROOM", "--feedback", "some"], InvalidSetting, "--feedback='some'"),
        (["ROOM", "--url", "localhost"], NotTheService, "localhost: expected the service as http://host:port"),
        (["ROOM", "--batch", "1001"], NotTheService, "at most 1000 in one request; send fewer in one request: --batch"),
        (["ROOM", "--feedback", "all"], NotTheService, "feedback needs the service's token; name its file"),
        (["ROOM", "--feedback", "all", "--token-file", "WRONG"], NotTheService, "the token is not the service's"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    service: Process, room: str, tmp_path: Path, *, argv: list[str], error: type[Exception], why: str
) -> None:
    (tmp_path / "token").write_text("another")
    files = {"ROOM": room, "WRONG": str(tmp_path / "token")}
    argv = [files.get(word, word) for word in argv]
    with pytest.raises(error, match=re.escape(why)):
        main(["--url", f"http://127.0.0.1:{service.port}", *argv], {})


@contextmanager
def begun(*argv: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "monitoring", "replay", *argv],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def interrupted(process: "subprocess.Popen[str]", number: int = signal.SIGINT) -> str:
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "monitoring replay: ended by a signal" in errors
    assert "Traceback" not in errors
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_what_was_done(service: Process, room: str, number: int) -> None:
    since = settled(service)
    with begun("--url", f"http://127.0.0.1:{service.port}", "--rate", "50", room) as process:
        while len(service.records) < since + 3:
            time.sleep(0.01)
        assert re.match(r"\d+ readings sent in .*; \d+ answered", interrupted(process, number))


def test_an_interrupt_ends_waiting_for_the_service(room: str) -> None:
    with begun("--url", "http://127.0.0.1:9", "--sample", "100", "--connections", "3", room) as process:
        assert process.stderr
        while "Connection refused; waiting for it" not in process.stderr.readline():
            assert process.poll() is None
        assert interrupted(process).startswith("0 readings sent")


def test_it_runs_as_a_command(service: Process, room: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitoring", "replay", room, "--sample", "5"],
        env={**os.environ, "MONITORING_URL": f"http://127.0.0.1:{service.port}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("5 readings sent")
    assert "replay: 5 readings done" in done.stderr
