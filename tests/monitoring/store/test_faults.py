"""What may go wrong on the way of a record: in the end written = stored + quarantined + missing, and none is doubled.

`--outage SECONDS` lets Elasticsearch be away for longer.
"""

import gzip
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitoring.__main__ import main
from monitoring.store.setup import install
from tests.inference.conftest import GOOD, running
from tests.monitoring.conftest import Store
from tests.monitoring.store.faults import (
    Carrier,
    Private,
    Proxy,
    Writer,
    count,
    cri,
    ids,
    lines,
    offsets,
    proxied,
    quarantined,
    stored,
    unavailable,
    until,
)

START = Callable[..., Carrier]


@pytest.fixture
def store(elasticsearch: Store) -> Store:
    list(install(elasticsearch.client, elasticsearch.prefix, 0, "0-1"))
    return elasticsearch


@pytest.fixture
def proxy(store: Store) -> Iterator[Proxy]:
    with proxied(store.url) as proxy:
        yield proxy


@pytest.fixture
def start(store: Store, proxy: Proxy, tmp_path: Path) -> Iterator[START]:
    """Start a carrier that follows the folder `logs`, through the proxy."""
    (tmp_path / "logs").mkdir()
    started: list[Carrier] = []

    def start(**environ: str) -> Carrier:
        through = {**store.environ, "ELASTICSEARCH_URL": proxy.url, **environ}
        started.append(Carrier(tmp_path, through, "--follow", str(tmp_path / "logs")))
        return started[-1]

    yield start
    for carrier in started:
        carrier.kill()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "0.log"


def settle(store: Store, written: list[bytes], quarantine: int = 0) -> None:
    """Wait until all is stored, and hold that nothing is doubled."""
    wanted = set(ids(written))
    until(lambda: count(store.client, store.prefix) >= len(wanted) - quarantine)
    found = stored(store.client, store.prefix)
    assert set(found) <= wanted
    assert len(wanted) - len(found) == quarantine
    assert set(found.values()) == {1}


def some_stored(store: Store, more_than: int = 0) -> None:
    until(lambda: count(store.client, store.prefix) > more_than)


@pytest.mark.parametrize("fault", ["away", "busy", "answers lost", "read-only"])
def test_elasticsearch_takes_nothing_for_a_while(
    store: Store, start: START, log: Path, fault: str, request: pytest.FixtureRequest
) -> None:
    proxy: Proxy = request.getfixturevalue("proxy")
    outage = float(request.config.getoption("--outage")) / (1 if fault == "away" else 2)
    carrier, writer = start(), Writer(log, 200, cri)
    some_stored(store)
    if fault == "read-only":
        index = f"{store.prefix}occupancy-predictions-*"
        store.client.indices.put_settings(index=index, settings={"index.blocks.write": True})
    else:
        proxy.mode = {"away": "cut", "busy": "busy", "answers lost": "lost"}[fault]
    time.sleep(outage / 2)
    during = writer.rename(log.with_name("0.log.1"))  # and the log is rotated meanwhile
    time.sleep(outage / 2)
    during.unlink()
    if fault == "read-only":
        store.client.indices.put_settings(index=index, settings={"index.blocks.write": False})
    proxy.mode = "pass"
    writer.stop()
    settle(store, writer.written)
    assert carrier.stop() == 0
    assert "takes records again" in carrier.log.read_text()
    assert quarantined(carrier.state) == []


def test_lines_in_conflict_with_the_mapping_are_kept_apart(store: Store, start: START, log: Path) -> None:
    written = lines(1000)
    wrong = {n: {**json.loads(written[n]), "occupancy.probability": "high"} for n in range(0, 1000, 10)}
    for n, fields in wrong.items():
        written[n] = json.dumps(fields).encode() + b"\n"
    log.write_bytes(b"".join(written))
    carrier = start()
    settle(store, written, quarantine=100)
    assert carrier.stop() == 1
    kept = quarantined(carrier.state)
    assert {json.loads(entry["raw"])["event.id"] for entry in kept} == {fields["event.id"] for fields in wrong.values()}
    assert len(kept) == 100


def test_the_carrier_is_killed_at_any_moment(store: Store, start: START, log: Path) -> None:
    drawn = random.Random(5)
    carrier, writer = start(), Writer(log, 400, cri)
    noise = 0
    for _ in range(5):
        some_stored(store, count(store.client, store.prefix))
        writer.say(b"a message that is no record")
        noise += 1
        time.sleep(drawn.uniform(0.0, 1.5))
        carrier.kill()
        carrier.start()
    writer.stop()
    settle(store, writer.written)
    until(lambda: len(quarantined(carrier.state)) >= noise)
    assert carrier.stop() in (0, 1)
    assert len({entry["offset"] for entry in quarantined(carrier.state)}) == len(quarantined(carrier.state)) == noise


def test_the_log_is_rotated_in_every_way(store: Store, start: START, log: Path) -> None:
    carrier, writer = start(), Writer(log, 400)
    some_stored(store)
    first = writer.rename(log.with_name("0.log.1"))
    time.sleep(0.7)
    log.with_name("0.log.1.gz").write_bytes(gzip.compress(first.read_bytes()))  # compressed, as kubelet does
    first.unlink()
    some_stored(store, 200)
    writer.truncate(log.with_name("0.log.2"))  # logrotate's copytruncate
    carrier.kill()
    third = writer.rename(log.with_name("0.log.3"))
    log.with_name("0.log.3.gz").write_bytes(gzip.compress(third.read_bytes()))
    third.unlink()
    carrier.start()
    time.sleep(0.5)
    writer.truncate(log.with_name("0.log.4"))
    writer.stop()
    settle(store, writer.written)
    assert carrier.stop() == 0


def test_a_pod_is_deleted_while_elasticsearch_is_away(store: Store, proxy: Proxy, start: START, log: Path) -> None:
    carrier, writer = start(), Writer(log, 200, cri)
    some_stored(store)
    proxy.mode = "cut"
    until(lambda: proxy.requests and "trying again" in carrier.log.read_text())
    time.sleep(1)
    writer.remove()
    second = Writer(log.with_name("1.log"), 200, cri)  # one that comes and goes meanwhile
    time.sleep(2.5)
    second.remove()
    time.sleep(1)
    proxy.mode = "pass"
    settle(store, writer.written + second.written)
    assert carrier.stop() == 0


def test_what_was_deleted_while_nobody_held_it_is_counted_as_missing(
    store: Store, proxy: Proxy, start: START, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carrier, writer = start(), Writer(log, 200)
    some_stored(store)
    proxy.mode = "cut"
    carrier.kill()
    time.sleep(0.5)
    writer.rename(log.with_name("0.log.1")).unlink()
    time.sleep(0.5)
    carrier.start()
    proxy.mode = "pass"
    time.sleep(0.5)
    writer.stop()
    last = ids(writer.written)[-1]
    until(lambda: last in stored(store.client, store.prefix))
    found = stored(store.client, store.prefix)
    numbers = {int(name.rpartition("-")[2]) for name in found}
    assert main(["audit", "--grace", "0", "--json"], store.environ) == 1
    (boot,) = json.loads(capsys.readouterr().out)["boots"]
    assert boot["stored"] == len(found) == len(numbers)
    assert boot["missing"] == max(numbers) - len(numbers) > 0
    assert boot["stored"] + boot["missing"] == len(writer.written)


def test_the_service_does_not_wait_for_what_becomes_of_its_records(
    store: Store, proxy: Proxy, start: START, tmp_path: Path
) -> None:
    proxy.mode = "cut"
    with running(tmp_path / "logs", OCCUPANCY_ROOM="lab") as service:
        (tmp_path / "logs" / "stdout").rename(tmp_path / "logs" / "0.log")  # it writes to what it has open
        carrier = start()
        until(lambda: "trying again" in carrier.log.read_text())
        for _ in range(300):
            assert service.get("/predict", GOOD)[0] == 200
        assert service.stop() == 0
    written = (tmp_path / "logs" / "0.log").read_bytes().splitlines(keepends=True)
    assert len(written) == 300
    assert stored(store.client, store.prefix) == {}
    proxy.mode = "pass"
    settle(store, written)
    assert carrier.stop() == 0


# --- a real Elasticsearch that is really killed


@pytest.fixture(scope="module")
def private() -> Iterator[Private]:
    if why := unavailable():
        pytest.skip(why)
    private = Private()
    yield private
    private.close()


@pytest.fixture
def own(private: Private) -> Store:
    name = f"own{random.randrange(10**6)}-"
    list(install(private.client, name, 0, "0"))
    return Store(private.client, private.url, name)


@pytest.mark.docker
@pytest.mark.elasticsearch
@pytest.mark.parametrize("both", [False, True])
def test_elasticsearch_is_killed_in_the_middle_of_a_bulk(
    private: Private, own: Store, tmp_path: Path, both: bool
) -> None:
    (tmp_path / "logs").mkdir()
    written = lines(15_000)
    (tmp_path / "logs" / "a.jsonl").write_bytes(b"".join(written))
    carrier = Carrier(tmp_path, own.environ, "--follow", str(tmp_path / "logs"))
    try:
        until((carrier.state / "offsets.json").exists)  # the first of 30 bulks was answered
        killers = [threading.Thread(target=private.kill, daemon=True)]
        if both:
            killers.append(threading.Thread(target=carrier.kill, daemon=True))
        for killer in killers:
            killer.start()
        for killer in killers:
            killer.join()
        assert offsets(carrier.state)["a.jsonl"] < sum(map(len, written))
        writer = Writer(tmp_path / "logs" / "b.jsonl", 100)
        private.start()
        if both:
            carrier.start()
        private.wait()
        writer.stop()
        settle(own, written + writer.written)
        assert carrier.stop() == 0
        assert quarantined(carrier.state) == []
    finally:
        carrier.kill()
