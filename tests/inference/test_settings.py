import pytest

from inference.settings import PREFIX, SPARE_THREADS, Settings, from_environment, read
from occupancy.settings import InvalidSetting


def test_the_delay_and_the_limit_are_off_by_default() -> None:
    chosen = from_environment({"PATH": "/bin", "DELAY": "7"})
    assert chosen == Settings()
    assert (chosen.delay, chosen.concurrency) == (0, 0)


def test_flags_win_over_variables() -> None:
    assert read(["--port", "81"], {"OCCUPANCY_PORT": "82", "OCCUPANCY_ROOM": "B 12 é"}) == Settings(
        port=81, room="B 12 é"
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "abc", "Expected int"),
        ("PORT", "0", "Expected int >= 1"),
        ("DELAY", "-1", "Expected float >= 0.0"),
        ("DELAY", "nan", "Expected"),
        ("MAX_AGE", "1e20", "Expected float <= "),
        ("DELLAY", "1", "did you mean OCCUPANCY_DELAY?"),
        ("MODEL_DIGEST", "not hex", "Expected str matching regex"),
        ("MODEL_DIGEST", "7ecde398d49", "Expected str matching regex"),
        ("MODEL_DIGEST", "f8fbf10b52fd\n", "Expected"),
        ("TIMEZONE", "Mars/Olympus", "Expected an IANA time zone such as Europe/Brussels"),
        ("TIMEZONE", "../etc/passwd", "Expected an IANA time zone"),
        ("TIMEZONE", "Europe", "Expected an IANA time zone"),
        ("ROOM", "", "Expected str of length >= 1"),
        ("ROOM", "x" * 65, "Expected str of length <= 64"),
        ("ROOM", "a\nb", "Expected a printable text"),
        ("ROOM", "\udcff", "Expected a printable text"),  # how Python reads bytes that are not UTF-8
        ("MODEL", "/a\u2028b", "Expected a printable text"),
    ],
)
def test_a_bad_setting_is_one_line(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        from_environment({PREFIX + name: value})
    assert PREFIX + name in str(caught.value)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    str(caught.value).encode()


def test_those_who_wait_leave_threads_for_health_checks() -> None:
    assert Settings(concurrency=2, queue=30).server_threads == 32 + SPARE_THREADS


def test_a_service_without_a_place_is_no_service() -> None:
    with pytest.raises(InvalidSetting, match="leave no place"):
        from_environment({"OCCUPANCY_QUEUE": "0"})
    assert from_environment({"OCCUPANCY_QUEUE": "0", "OCCUPANCY_CONCURRENCY": "1"}).queue == 0
