from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occupancy.humidity import MOLAR, PRESSURE_PA, humidity_ratio


@given(st.floats(-40, 60), st.floats(0, 100))
def test_warmer_or_damper_air_holds_more(temperature: float, humidity: float) -> None:
    ratio = humidity_ratio(temperature, humidity)
    assert humidity_ratio(temperature + 1, humidity) >= ratio <= humidity_ratio(temperature, humidity + 1)


@pytest.mark.parametrize(
    ("temperature", "saturation"),
    [(-20, 103.24), (-0.01, 610.6), (0, 611.2), (20, 2338.8), (25, 3169.2), (60, 19943.9)],  # Pa; ASHRAE, table 3
)
def test_the_ratio_follows_ashrae(temperature: float, saturation: float) -> None:
    for humidity in (1, 50, 100):
        vapour = humidity / 100 * saturation
        assert humidity_ratio(temperature, humidity) == pytest.approx(MOLAR * vapour / (PRESSURE_PA - vapour), rel=2e-4)


@pytest.mark.real_data
def test_the_ratio_is_the_data_sets(training_path: Path, test_path: Path) -> None:
    for path in (training_path, test_path):
        data = pd.read_csv(path)
        computed = [humidity_ratio(t, h) for t, h in zip(data["Temperature"], data["Humidity"], strict=True)]
        assert (data["HumidityRatio"] / computed - 1).abs().max() < 2e-5
