import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from monitoring.drift.events import Open, Signal, follow
from monitoring.drift.verdict import still_open

QUIET = 300.0


def signal(bad: list[bool], begun: float = 0.0) -> Signal:
    time = begun + np.arange(len(bad)) * 60.0
    size = np.arange(1.0, len(bad) + 1)
    return Signal("run", "CO2", time, np.array(bad, bool), size, np.full(len(bad), 6.0), time)


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(0, 80))
def test_events_open_and_close_in_turn_however_time_is_cut(bad: list[bool], at: int) -> None:
    whole = signal(bad)
    after, verdicts = follow(None, whole, whole.time, QUIET, "A")
    states = [verdict.state for verdict in verdicts]
    assert states == ["opened", "closed"] * (len(states) // 2) + ["opened"] * (len(states) % 2)
    assert bool(after) == bool(still_open(verdicts))
    assert bool(states) == any(bad)

    first, rest = signal(bad[:at]), signal(bad[at:], 60.0 * min(at, len(bad)))
    between, early = follow(None, first, first.time, QUIET, "A")
    end, late = follow(between, rest, rest.time, QUIET, "A")
    told = [(verdict.state, verdict.at, verdict.since) for verdict in (*early, *late)]
    assert told == [(verdict.state, verdict.at, verdict.since) for verdict in verdicts]
    assert (end is None, end and (end.since, end.last)) == (after is None, after and (after.since, after.last))


def test_a_short_pause_is_no_end() -> None:
    bad = [True, False, False, False, True, False, False, False, False, False]
    one = signal(bad)
    after, (opened, closed) = follow(None, one, one.time, QUIET, "A")
    assert after is None
    assert (opened.at.timestamp(), closed.at.timestamp()) == (0, 4 * 60 + QUIET)
    assert closed.value == 5  # the farthest out


def test_an_open_event_is_remembered() -> None:
    before = Open(-900.0, -60.0, 10.0, 6.0)
    quiet = signal([False] * 3)
    assert follow(before, quiet, quiet.time, QUIET, "A") == (before, [])
