import numpy as np
import pytest

from benchmark import blocks


def test_short_blocks_of_a_few_days_miss_more_than_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert blocks.main(["--rooms=2", "--jobs=1"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    found = {(int(days), int(hours)): float(missed.strip(" %")) for days, hours, _, missed, *_ in rows}
    assert found.keys() == {(days, hours) for days in blocks.WINDOWS for hours in blocks.HOURS}
    assert (
        np.mean([found[days, 1] for days in blocks.WINDOWS]) > np.mean([found[days, 6] for days in blocks.WINDOWS]) > 5
    )
