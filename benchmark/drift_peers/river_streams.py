"""river's change detectors as they come, one a sensor, and ADWIN on the errors of asked labels: `river_streams.py FILE`."""

import json
import sys

import numpy as np
from river import drift

DETECTORS = {"ADWIN": drift.ADWIN, "Page-Hinkley": drift.PageHinkley, "KSWIN": drift.KSWIN}


def main(path: str) -> None:
    """Write a line of JSON for each stretch: the rows at which a detector spoke."""
    arrays = np.load(path)
    sensors = len(arrays["sensors"])
    for number in range(len(arrays["room"])):
        seen, error = arrays[f"seen_{number}"], arrays[f"error_{number}"]
        alarms = {
            f"river, {name} a sensor": sorted(
                {row for sensor in range(sensors) for row in _alarms(name, seen[:, sensor])}
            )
            for name in DETECTORS
        }
        labelled = np.flatnonzero(~np.isnan(error))
        alarms["river, ADWIN on errors"] = [int(labelled[at]) for at in _alarms("ADWIN", error[labelled])]
        print(json.dumps({"alarms": alarms}), flush=True)


def _alarms(name: str, values: np.ndarray) -> list[int]:
    detector = DETECTORS[name](seed=0) if name == "KSWIN" else DETECTORS[name]()
    found = []
    for row, value in enumerate(values.tolist()):
        detector.update(value)
        if detector.drift_detected:
            found.append(row)
    return found


if __name__ == "__main__":
    main(sys.argv[1])
