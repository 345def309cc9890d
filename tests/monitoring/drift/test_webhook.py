from monitoring.drift import webhook
from monitoring.drift.verdict import OPENED, say

NOBODY = "http://127.0.0.1:9/"


def test_what_is_not_taken_waits_and_the_oldest_of_too_many_are_given_up() -> None:
    verdicts = [
        say("run", f"room {n}", "CO2", OPENED, at=600.0, since=0.0, value=10.0, limit=6.0)
        for n in range(webhook.HELD + 2)
    ]
    waiting, why = webhook.post(NOBODY, "", verdicts)
    assert waiting == verdicts[2:]
    assert "2 verdicts are given up" in why
    assert f"no answer (ConnectionError); {webhook.HELD} verdicts wait" in why


def test_nothing_is_said_where_there_is_nothing_to_post() -> None:
    assert webhook.post(NOBODY, "", []) == ([], "")
