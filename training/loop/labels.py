"""The labels of a run: read as `monitoring collect` wrote them, parted in time, and written again for training and the gate."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from occupancy.mapping import DATE, LABEL

LEAST_A_DATE = 10
"""Labels that say something of a date."""


class Labels(NamedTuple):
    """Rows of labelled readings, as text by column; `columns` in the file's order, `notice` what stands above them."""

    notice: str
    columns: list[str]
    rows: list[dict[str, str]]

    @property
    def dates(self) -> list[str]:
        """The dates (UTC) that there are labels of."""
        return sorted({row[DATE][:10] for row in self.rows})

    @property
    def occupied(self) -> int:
        """How many say that the room was occupied."""
        return sum(row[LABEL] == "1" for row in self.rows)

    @property
    def span(self) -> str:
        """How many there are, and of which dates."""
        return f"{len(self.rows)} labels of {self.dates[0]} to {self.dates[-1]}" if self.rows else "no labels"


def read(path: Path) -> Labels:
    """Read a file that `monitoring collect` wrote."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    above = [line for line in lines if line.startswith("#")]  # that the data is simulated
    reader = csv.DictReader(lines[len(above) :])
    rows = list(reader)
    return Labels("".join(above), list(reader.fieldnames or ()), rows)


def write(path: Path, labels: Labels) -> None:
    """Write labels in the form that they were read in."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(labels.notice)
        writer = csv.DictWriter(file, labels.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(labels.rows)


def part(labels: Labels, share: float, least_days: int) -> tuple[Labels, Labels]:
    """Part labels by whole dates: the earlier ones to learn from; the last ones, a share of the dates, to judge by."""
    dates = labels.dates
    late = min(len(dates), max(least_days, round(share * len(dates))))
    judging = set(dates[len(dates) - late :])
    learn, judge = ([row for row in labels.rows if (row[DATE][:10] in judging) is late] for late in (False, True))
    return labels._replace(rows=learn), labels._replace(rows=judge)


def lacks(labels: Labels, what_for: str, least: int, least_days: int) -> str:
    """Say what labels lack that need `least` of occupied, as many of empty, and so many dates; nothing where they are enough."""
    empty = len(labels.rows) - labels.occupied
    dates = Counter(row[DATE][:10] for row in labels.rows)
    wanted = {
        f"dates with {LEAST_A_DATE} labels": least_days - sum(count >= LEAST_A_DATE for count in dates.values()),
        "occupied": least - labels.occupied,
        "empty": least - empty,
    }
    lacking = [f"{count} {what}" for what, count in wanted.items() if count > 0]
    return f"{len(labels.rows)} are there to {what_for}, and it takes {', '.join(lacking)} more" if lacking else ""
