import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmark import replicas
from benchmark.cluster import ClusterFailed
from benchmark.peers.server import free_ports
from benchmark.replicas import Burst, by_chance, by_replicas, each_burst, faults, judged, largest, save
from benchmark.traffic import Outcome


def a_burst(
    name: str = "plain Service",
    *,
    count: int = 3,
    seconds: float = 4.0,
    shares: tuple[int, ...] = (40, 30, 30),
    lost: int = 0,
    wrong: int = 0,
    cpu_share: float = 0.01,
) -> Burst:
    return Burst(name, count, 3.4, seconds, list(shares), lost, wrong, [0.1, 0.2, seconds], cpu_share)


def answer(id_: str, probability: float) -> bytes:
    return json.dumps({"id": id_, "probability": probability}).encode()


def test_answers_are_counted_by_pod_and_held_to_what_is_expected() -> None:
    outcome = Outcome(seconds=0.5, cpu_seconds=0.1, statuses=Counter({200: 3, 503: 1}), latencies=[0.4, 0.1, 0.2])
    outcome.answers = [
        (b"a", answer("boot1-1", 0.5)),
        (b"b", answer("boot2-1", 0.9)),
        (b"c", answer("boot2-2", 0.1000001)),
        (b"d", b'{"type": "urn:occupancy:problem:overloaded"}'),
        (b"e", b"<html>a balancer's own words</html>"),
    ]
    found = judged("x", 2, 0.2, outcome, readings=6, expected={b"a": 0.5, b"b": 0.2, b"c": 0.1, b"d": 0.1, b"e": 0.1})
    assert (found.shares, found.lost, found.wrong) == ([2, 1], 3, 1)
    assert (found.ratio, found.cpu_share) == (0.4, 0.2)


def test_a_good_burst_has_no_faults() -> None:
    assert faults(a_burst(), own=0.05) == []


@pytest.mark.parametrize(
    ("burst", "own", "fault"),
    [
        (a_burst(shares=(100,)), 0.05, "one pod took all"),
        (a_burst(lost=2), 0.05, "2 readings had no answer"),
        (a_burst(wrong=1), 0.05, "1 answers differ from the model's"),
        (a_burst(cpu_share=0.9), 0.05, "the client computed 90% of the time"),
        (a_burst(seconds=0.1), 0.06, "the client's own burst takes 0.060 s of 0.100"),
    ],
)
def test_a_burst_that_shows_nothing_says_why(burst: Burst, own: float, fault: str) -> None:
    (said,) = faults(burst, own)
    assert said.startswith(f"plain Service, 3 replicas: {fault}")


def test_one_replica_may_take_all() -> None:
    assert faults(a_burst(count=1, shares=(100,)), own=0.05) == []


def test_the_largest_share_by_chance_counted_by_hand() -> None:
    # four readings and two pods: 6 of 16 ways are 2 + 2, 8 are 3 + 1, 2 are 4 + 0
    assert largest(4, 2) == pytest.approx([0, 0, 6 / 16, 14 / 16, 1])
    assert by_chance(4, 2) == (2.75, 2, 4)


@pytest.mark.parametrize("pods", [2, 3, 8])
def test_the_largest_share_by_chance_as_simulated(pods: int) -> None:
    drawn = np.random.default_rng(0).multinomial(100, [1 / pods] * pods, size=20_000).max(axis=1)
    mean, low, high = by_chance(100, pods)
    assert drawn.mean() == pytest.approx(mean, abs=0.1)
    assert np.mean(drawn < low) <= 0.06
    assert np.mean(drawn > high) <= 0.06


def test_the_tables() -> None:
    bursts = [
        a_burst(seconds=4.0),
        a_burst(seconds=3.4, shares=(34, 33, 33)),
        a_burst(seconds=5.0, shares=(50, 30, 20)),
    ]
    assert each_burst(bursts).rows[0][:4] == (3, "4.000", "0.850", "40 / 30 / 30")
    assert by_replicas(bursts).rows == [
        (3, "3.4", "4.00 (3.40 to 5.00)", "0.850", "41.3 (34 to 50)", "38.3 (35 to 44)")
    ]


def test_configurations_are_drawn_together(tmp_path: Path) -> None:
    save(tmp_path, [a_burst("plain Service")])
    save(tmp_path, [a_burst("balancer", seconds=3.45)])
    save(tmp_path, [a_burst("balancer", seconds=3.46)])
    assert {path.name for path in tmp_path.iterdir()} == {"plain Service.json", "balancer.json", "replicas.png"}
    assert (tmp_path / "replicas.png").read_bytes().startswith(b"\x89PNG")


def test_a_service_that_answers_nothing_is_told() -> None:
    with pytest.raises(ClusterFailed, match="all readings in one body: ConnectionRefusedError"):
        replicas.at_once(("127.0.0.1", next(free_ports())), [])


def test_the_client_times_its_own_burst() -> None:
    assert 0 < replicas.own_seconds(20) < 10


def test_without_a_cluster_one_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(replicas, "own_seconds", lambda count: 0.01)
    monkeypatch.setenv("PATH", "")
    assert replicas.main([]) == 2
    assert "kubectl is not on the PATH" in capsys.readouterr().err
