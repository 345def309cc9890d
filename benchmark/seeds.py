"""Trains with many seeds and prints a table: how much of the result is chance.

The back-test column is for the eye of the reader, not for choosing a seed: the shipped model has seed 0.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from occupancy import settings
from occupancy.progress import Progress


class Settings(msgspec.Struct, frozen=True):
    """This benchmark's settings; training's own (TRAINING_DATA, ...) are taken from the environment."""

    seeds: Annotated[int, Meta(ge=2, description="how many seeds, from 0")] = 10


def main(argv: list[str]) -> int:
    """Train with each seed and print the table."""
    chosen = settings.read(Settings, prog="benchmark seeds", argv=argv, environ={})
    rows = []
    with Progress("seeds", chosen.seeds, "runs") as progress:
        for seed in range(chosen.seeds):
            rows.append(_run(seed))
            progress.advance()
    print(table(rows))
    return 0


def _run(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SAVE_PATH": folder, "SEED": str(seed)}
        subprocess.run([sys.executable, "-m", "training"], env=environment, check=True, stdout=subprocess.DEVNULL)
        return dict(json.loads((Path(folder) / "report.json").read_text()))


def table(reports: list[dict[str, Any]]) -> str:
    """Write the table in Markdown: one row a seed, then mean and standard deviation."""
    lines = [
        "| seed | depth | trees | out-of-fold log loss | out-of-fold errors | back-test log loss | back-test accuracy | back-test errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    numbers = []
    for seed, report in enumerate(reports):
        winner, held_out, test = (
            report["winner"]["hyperparameters"],
            report["out_of_fold"]["model"],
            report["back_test"]["model"],
        )
        numbers.append((held_out["log_loss"], held_out["errors"], test["log_loss"], test["accuracy"], test["errors"]))
        loss, errors, test_loss, accuracy, test_errors = numbers[-1]
        lines.append(
            f"| {seed} | {winner['max_depth']} | {winner['n_estimators']} | {loss:.4f} | {errors} | {test_loss:.4f} | "
            f"{accuracy:.2%} | {test_errors} |"
        )
    for name, summarise in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
        loss, errors, test_loss, accuracy, test_errors = (summarise(column) for column in zip(*numbers, strict=True))
        lines.append(
            f"| {name} | | | {loss:.4f} | {errors:.0f} | {test_loss:.4f} | {accuracy:.2%} | {test_errors:.0f} |"
        )
    return "\n".join(lines)
