"""`make docs`: writes the tables of docs/dashboards.md from the panels, so that the two can't differ (a test holds them)."""

from pathlib import Path

from inference.settings import SHIPPED_MODEL
from monitoring.dashboards.panels import GROUPS, panels
from occupancy import reference

PAGE = Path(__file__).with_name("dashboards.md")
BEGIN, END = "<!-- written by make docs: begin -->\n", "<!-- written by make docs: end -->\n"


def page(text: str) -> str:
    """Put the tables as they are now into the page, between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{tables()}{END}{after}"


def tables() -> str:
    """Write a table for each group of panels."""
    shipped = panels(reference.read(Path(SHIPPED_MODEL).with_name(reference.FILE)))
    return "\n".join(
        f"| {title} | |\n|---|---|\n"
        + "".join(f"| {panel.title} | {panel.meaning} |\n" for panel in shipped if panel.group == group)
        for group, title in GROUPS.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
