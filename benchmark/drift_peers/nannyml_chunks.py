"""NannyML's univariate drift and its estimate of performance (CBPE), with its own thresholds: `nannyml_chunks.py FILE`."""

import json
import sys
from typing import Any

import nannyml
import numpy as np
import pandas as pd

UNIVARIATE, CBPE = "NannyML, univariate (Jensen-Shannon)", "NannyML, CBPE (estimated accuracy)"


def main(path: str) -> None:
    """Write a line of JSON for each stretch: the rows that end a chunk with an alert."""
    arrays = np.load(path)
    size, sensors, fitted = int(arrays["window"]), arrays["sensors"].tolist(), {}
    for number, room in enumerate(arrays["room"].tolist()):
        if room not in fitted:
            fitted[room] = _fit(_frame(arrays[f"past_{room}"], sensors), size, sensors)
        univariate, cbpe = fitted[room]
        begin = int(arrays["begin"][number])
        seen = _frame(arrays[f"seen_{number}"][begin:], sensors)
        alarms: dict[str, list[int]] = {UNIVARIATE: [], CBPE: []}
        if len(seen) >= size:
            seen = seen[: len(seen) // size * size]
            drift = univariate.calculate(seen).filter(period="analysis").to_df()
            alert = np.any([drift[(name, "jensen_shannon", "alert")].to_numpy(bool) for name in sensors], axis=0)
            estimate = cbpe.estimate(seen).filter(period="analysis").to_df()
            alarms[UNIVARIATE] = _ends(drift["chunk"]["chunk"], begin, np.asarray(alert))
            alarms[CBPE] = _ends(estimate["chunk"], begin, estimate[("accuracy", "alert")].to_numpy(bool))
        print(json.dumps({"alarms": alarms}), flush=True)


def _ends(chunk: pd.DataFrame, begin: int, alert: np.ndarray) -> list[int]:
    """Give the last row of each chunk that has an alert."""
    return [begin + int(end) for end in chunk["end_index"].to_numpy()[alert]]


def _fit(past: pd.DataFrame, size: int, sensors: list[str]) -> tuple[Any, Any]:
    univariate = nannyml.UnivariateDriftCalculator(column_names=sensors, chunk_size=size)
    cbpe = nannyml.CBPE(
        problem_type="classification_binary",
        y_pred_proba="probability",
        y_pred="prediction",
        y_true="truth",
        metrics=["accuracy"],
        chunk_size=size,
    )
    return univariate.fit(past), cbpe.fit(past)


def _frame(rows: np.ndarray, sensors: list[str]) -> pd.DataFrame:
    count = len(sensors)
    frame = pd.DataFrame(rows[:, :count], columns=sensors)
    frame["probability"] = rows[:, count]
    frame["prediction"] = (rows[:, count] >= 0.5).astype(int)
    if rows.shape[1] > count + 1:
        frame["truth"] = rows[:, count + 1].astype(int)
    return frame


if __name__ == "__main__":
    main(sys.argv[1])
