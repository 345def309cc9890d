from datetime import UTC, datetime

import pytest

from occupancy.settings import InvalidSetting
from training.loop import settings
from training.loop.settings import Common


def test_a_variable_of_the_loop_or_a_flag_sets_it() -> None:
    table = settings.read(Common, "history", ["--models", "m"], {"LOOP_FOLDER": "f", "LOOP_TARGET": "cluster"}, "")
    assert (table.models, table.folder, table.target) == ("m", "f", "cluster")


def test_the_time_can_be_given() -> None:
    assert settings.moment("2026-01-31T12:00:00+01:00") == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert settings.moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert settings.moment("").tzinfo == UTC
    with pytest.raises(InvalidSetting, match="LOOP_NOW='noon'"):
        settings.moment("noon")
