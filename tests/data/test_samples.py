"""The samples of a user's own CSV, one to train on and one of the last days; `python -m tests.data.test_samples` makes it again."""

from pathlib import Path

import pandas as pd
import pytest

from occupancy import dataset
from occupancy.mapping import load_mapping
from occupancy.simulate import notice, simulate

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
SEED = 5
LAST = pd.Timestamp("2024-01-20", tz="America/New_York")


def rooms() -> dict[str, pd.DataFrame]:
    """Simulate 16 days of a room in New York at steps of ten minutes; the last four stand in a file of their own."""
    room = simulate(16, SEED, pd.Timestamp("2024-01-08", tz="America/New_York"), step_seconds=600)
    return {"own-room.csv": room[room.date < LAST], "own-room-last-days.csv": room[room.date >= LAST]}


def own_csv(frame: pd.DataFrame) -> str:
    """Write a frame as another building's system might export it."""
    theirs = pd.DataFrame(
        {
            "time": frame.date.dt.strftime("%Y-%m-%dT%H:%M:%S"),
            "temp_f": (frame.Temperature * 1.8 + 32).round(1),
            "rh": frame.Humidity.round(1),
            "lux": frame.Light.round().astype(int),
            "co2_ppm": frame.CO2.round().astype(int),
            "in_use": frame.Occupancy.map({0: "no", 1: "yes"}),
        }
    )
    return notice(SEED) + "\n" + theirs.to_csv(index=False, lineterminator="\n")


@pytest.mark.parametrize("name", ["own-room.csv", "own-room-last-days.csv"])
def test_a_sample_is_read_by_its_mapping(name: str) -> None:
    expected = rooms()[name].reset_index(drop=True)
    read = dataset.read(SAMPLES / name, load_mapping(str(SAMPLES / "own-room.yaml")))
    assert read.simulated
    assert read.quarantine == []
    assert read.timezone == "America/New_York"
    assert (read.frame.date == expected.date).all()
    assert (read.label == expected.Occupancy).all()
    assert (read.frame.Temperature - expected.Temperature).abs().max() < 0.03
    assert (read.frame.Humidity - expected.Humidity).abs().max() < 0.051
    assert (read.frame.HumidityRatio / expected.HumidityRatio - 1).abs().max() < 0.01
    assert (read.frame.CO2 - expected.CO2).abs().max() <= 0.5
    assert (read.frame.Light - expected.Light).abs().max() <= 0.5


if __name__ == "__main__":
    for name, frame in rooms().items():
        (SAMPLES / name).write_text(own_csv(frame), "utf-8")
