from datetime import UTC, datetime, timedelta

import msgspec

from training.loop import limits
from training.loop.journal import Deployment, Run

START = datetime(2015, 2, 2, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def change(number: float, action: str = "deploy", run: str = "j-1") -> Deployment:
    return Deployment(at=day(number), action=action, version="b" * 12, previous="a" * 12, by="loop", why="so", run=run)


def trained(number: float, looks: int, outcome: str = "refused") -> Run:
    return Run(at=day(number), trigger="verdict", outcome=outcome, why="so", back_test=looks)


def test_a_model_taken_back_by_whomever_opens_the_breaker_until_a_reset() -> None:
    assert limits.breaker([]) == ""
    assert limits.breaker([change(0)]) == ""
    for action in ("undo", "found"):
        assert "open since 2015-02-03 00:00" in limits.breaker([change(0), change(1, action)])
        assert "reset --why" in limits.breaker([change(0), change(1, action), change(2)])
        assert limits.breaker([change(0), change(1, action), change(2, "reset")]) == ""
    at_first = msgspec.structs.replace(change(0, "found"), previous="")
    assert limits.breaker([at_first]) == ""


def test_a_deployed_model_is_given_time() -> None:
    assert limits.cooldown([], day(0), 24) == ""
    assert "until 2015-02-03 00:00" in limits.cooldown([change(0)], day(0.5), 24)
    assert limits.cooldown([change(0)], day(1), 24) == ""
    assert limits.cooldown([change(0), change(0.9, "undo")], day(0.95), 24) != ""
    assert limits.cooldown([msgspec.structs.replace(change(0), previous="")], day(0.5), 24) == ""  # the very first one


def test_what_the_loop_deploys_is_counted_against_its_budget() -> None:
    lately = [change(n) for n in range(4)]
    assert limits.budget(lately, day(5), 4, 30) == "4 deployments within 30 days are as many as may be"
    assert limits.budget(lately, day(31), 4, 30) == ""
    assert limits.budget([change(n, run="") for n in range(4)], day(5), 4, 30) == ""


def test_an_attempt_is_a_training_since_the_last_deployment() -> None:
    runs = [trained(0, 1), trained(1, 1, "waiting"), trained(2, 2, "failed")]
    assert limits.attempt(runs, [], day(3), 30) == 3
    assert limits.attempt(runs, [change(1)], day(3), 30) == 2
    assert limits.attempt(runs, [change(2, "reset")], day(3), 30) == 1
    assert limits.attempt(runs, [], day(31), 30) == 2
    assert limits.attempt([], [], day(3), 30) == 1


def test_each_look_at_the_back_test_file_is_counted() -> None:
    assert limits.back_tests([]) == 0
    assert limits.back_tests([trained(0, 1), trained(4, 5), trained(1, 2)]) == 5
