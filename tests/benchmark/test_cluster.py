import itertools
from typing import Any

import pytest

from benchmark import cluster
from benchmark.cluster import BadUrl, ClusterFailed, address_of, are_named, awaited, kubectl


def pod(name: str, ready: bool = True, leaving: bool = False) -> Any:
    metadata = {"name": name, **({"deletionTimestamp": "2026-02-02T10:00:00Z"} if leaving else {})}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def endpoints(service: str, *names: str, ready: bool = True) -> Any:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"conditions": {"ready": ready}, "targetRef": {"name": name}} for name in names],
    }


BOTH = [pod("a"), pod("b")]
BALANCER = endpoints("inference", "balancer-1")


@pytest.mark.parametrize(
    ("pods", "slices", "so"),
    [
        (BOTH, [endpoints("inference", "a", "b")], True),
        (BOTH, [endpoints("inference", "a"), endpoints("inference", "b")], True),  # a Service may have several
        (BOTH, [BALANCER, endpoints("inference-replicas", "a", "b")], True),
        (BOTH, [BALANCER, endpoints("inference-replicas", "a")], False),
        (BOTH, [endpoints("inference", "a", "b"), endpoints("other", "a")], False),
        (BOTH, [endpoints("inference", "a", "b", "gone")], False),
        (BOTH, [endpoints("inference", "a"), endpoints("inference", "b", ready=False)], False),
        (BOTH, [BALANCER], False),
        (BOTH, [], False),
        (BOTH, [{"metadata": {"labels": {"kubernetes.io/service-name": "inference"}}, "endpoints": None}], False),
        ([pod("a"), pod("b", ready=False)], [endpoints("inference", "a")], False),
        ([*BOTH, pod("c", leaving=True)], [endpoints("inference", "a", "b")], False),
        ([*BOTH, pod("c")], [endpoints("inference", "a", "b", "c")], False),
    ],
)
def test_replicas_are_there_when_every_service_that_names_one_names_all(pods: Any, slices: Any, so: bool) -> None:
    assert are_named(pods, slices, 2) is so


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://192.168.49.2:30080", ("192.168.49.2", 30080)),
        ("http://inference/", ("inference", 80)),
        ("http://[::1]:8080", ("::1", 8080)),
    ],
)
def test_a_url_names_host_and_port(url: str, address: tuple[str, int]) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize("url", ["192.168.49.2:30080", "https://inference", "http://inference/predict", "http://"])
def test_what_can_not_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(BadUrl, match="Expected a URL such as"):
        address_of(url)


def test_what_never_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "READY_SECONDS", 0)
    monkeypatch.setattr(cluster, "ASK_AGAIN_SECONDS", 0)
    with pytest.raises(ClusterFailed, match="in vain for pigs that fly"):
        awaited("pigs that fly", lambda: False)


def test_one_asks_until_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ASK_AGAIN_SECONDS", 0)
    asked = itertools.count()
    awaited("the third time", lambda: next(asked) == 2)
    assert next(asked) == 3


def test_without_kubectl_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterFailed, match="kubectl is not on the PATH"):
        kubectl("get", "pods")
