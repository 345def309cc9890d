from pathlib import Path

import numpy as np
import pytest

from occupancy import simulate


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A simulated room's training and test file: small, seeded, and the same in every test."""
    folder = tmp_path_factory.mktemp("room")
    paths = folder / "simulated-datatraining.csv", folder / "simulated-datatest.csv"
    for path, days, seed in zip(paths, (5, 2), (1, 2), strict=True):
        simulate.write(path, simulate.simulate(days=days, seed=seed), seed=seed)
    return paths


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
