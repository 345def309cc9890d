"""What keeps the loop from deploying too much: cooldown, budget, attempts and the circuit breaker, all from the journal."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from training.loop.journal import Deployment, Run


def breaker(deployments: Sequence[Deployment]) -> str:
    """Say since when and why the circuit breaker is open; nothing where it is closed."""
    for entry in reversed(deployments):
        if entry.action == "reset":
            return ""
        if entry.action == "undo" or (entry.action == "found" and entry.previous):  # without: the journal's first look
            return (
                f"the circuit breaker is open since {entry.at:%Y-%m-%d %H:%M}: {entry.why}; look into it, then "
                "`python -m training.loop reset --why=...`"
            )
    return ""


def cooldown(deployments: Sequence[Deployment], at: datetime, hours: float) -> str:
    """Say until when the last deployment is given time to show how good it is; the very first one replaced nothing."""
    last = next((entry for entry in reversed(deployments) if entry.action == "deploy" and entry.previous), None)
    over = last.at + timedelta(hours=hours) if last else at
    return (
        f"the model of {last.at:%Y-%m-%d %H:%M} is given time until {over:%Y-%m-%d %H:%M} (LOOP_COOLDOWN_HOURS)"
        if last and at < over
        else ""
    )


def budget(deployments: Sequence[Deployment], at: datetime, most: int, days: float) -> str:
    """Say that the loop has deployed enough lately; what persons deploy is not counted."""
    since = at - timedelta(days=days)
    lately = [entry for entry in deployments if entry.action == "deploy" and entry.run and entry.at > since]
    return f"{len(lately)} deployments within {days:g} days are as many as may be" if len(lately) >= most else ""


def attempt(runs: Sequence[Run], deployments: Sequence[Deployment], at: datetime, days: float) -> int:
    """Number this attempt: 1, and one more for each training since the last deployment or reset, of the last days.

    Each training looks at the back-test file, so those looks count them, also where it failed or was killed.
    """
    since = max([at - timedelta(days=days), *(entry.at for entry in deployments)])
    return 1 + back_tests(runs) - back_tests([run for run in runs if run.at <= since])


def back_tests(runs: Sequence[Run]) -> int:
    """Count how often the back-test file has been looked at: once by each training that was begun."""
    return max((run.back_test for run in runs), default=0)
