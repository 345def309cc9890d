import os
import subprocess
import sys
from pathlib import Path

from occupancy.simulate import simulate, write


def test_the_shipped_model_is_never_rebuilt_from_simulated_data(tmp_path: Path) -> None:
    before = Path("inference/model/model.ubj").read_bytes()
    paths = {"TRAINING_DATA": tmp_path / "train.csv", "TEST_DATA": tmp_path / "test.csv"}
    for seed, (path, days) in enumerate(zip(paths.values(), (4, 2), strict=True)):
        write(path, simulate(days=days, seed=seed), seed)
    environment = {
        **os.environ,
        **{k: str(v) for k, v in paths.items()},
        "CANDIDATES": "2",
        "OVERRIDE_GATE": "true",
        "DATA_HOME": str(tmp_path),
    }
    environment["DATA_SOURCE"] = "http://127.0.0.1:9/nothing.zip"
    done = subprocess.run(
        ["inference/model/build", sys.executable, "abc"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "this data is SIMULATED; the shipped model is made from the real data only" in done.stderr
    assert Path("inference/model/model.ubj").read_bytes() == before
