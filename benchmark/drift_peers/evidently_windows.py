"""Evidently's DataDriftPreset as it comes, on windows: `evidently_windows.py FILE [speed]`.

An alarm is a window in which it calls half of the columns drifted, its own default; or, as a second detector, any column.
"""

import json
import sys
import time

import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def main(path: str, speed: bool) -> None:
    """Write a line of JSON for each stretch: the rows that end a window with an alarm."""
    arrays = np.load(path)
    if speed:
        print(json.dumps(_speed(arrays)))
        return
    window, sensors = int(arrays["window"]), arrays["sensors"].tolist()
    for number, room in enumerate(arrays["room"]):
        past = _frame(arrays[f"past_{room}"], sensors)
        seen, begin = _frame(arrays[f"seen_{number}"], sensors), int(arrays["begin"][number])
        alarms: dict[str, list[int]] = {"Evidently, half of the columns": [], "Evidently, any column": []}
        for end in range(begin + window, len(seen) + 1, window):
            count, share = _drifted(seen[end - window : end], past)
            if share >= 0.5:
                alarms["Evidently, half of the columns"].append(end - 1)
            if count:
                alarms["Evidently, any column"].append(end - 1)
        print(json.dumps({"alarms": alarms}), flush=True)


def _speed(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Time the whole at once, and one window of the usual size (the median of five)."""
    window, sensors = int(arrays["window"]), arrays["sensors"].tolist()
    past, seen = _frame(arrays["past_0"], sensors), _frame(arrays["seen_0"], sensors)
    _drifted(seen[:window], past)  # what it loads at first use
    windows = []
    for begin in range(0, 5 * window, window):
        started = time.perf_counter()
        _drifted(seen[begin : begin + window], past)
        windows.append(time.perf_counter() - started)
    started = time.perf_counter()
    _drifted(seen, past)
    return {"whole": time.perf_counter() - started, "window": sorted(windows)[2]}


def _drifted(seen: pd.DataFrame, past: pd.DataFrame) -> tuple[int, float]:
    said = Report([DataDriftPreset()]).run(seen, past).dict()["metrics"][0]["value"]
    return int(said["count"]), float(said["share"])


def _frame(rows: np.ndarray, sensors: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows[:, : len(sensors) + 1], columns=[*sensors, "prediction"])


if __name__ == "__main__":
    main(sys.argv[1], "speed" in sys.argv[2:])
