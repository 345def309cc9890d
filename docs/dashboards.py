"""`make docs`: writes the tables of docs/dashboards.md and the file that Kibana imports from the panels.

So that they can't differ: tests hold them together.
"""

from pathlib import Path

from docs.splice import filled
from monitoring.dashboards.kibana import ndjson, objects
from monitoring.dashboards.panels import GROUPS, panels
from monitoring.settings import SHIPPED_REFERENCE
from occupancy import reference

PAGE = Path(__file__).with_name("dashboards.md")
IMPORT = Path(__file__).parents[1] / "monitoring" / "dashboards" / "occupancy.ndjson"


def page(text: str) -> str:
    """Put the tables as they are now into the page, between its two marks."""
    return filled(text, tables())


def tables() -> str:
    """Write a table for each group of panels."""
    shipped = panels(reference.read(SHIPPED_REFERENCE))
    return "\n".join(
        f"| {title} | |\n|---|---|\n"
        + "".join(f"| {panel.title} | {panel.meaning} |\n" for panel in shipped if panel.group == group)
        for group, title in GROUPS.items()
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
    IMPORT.write_bytes(ndjson(objects("", reference.read(SHIPPED_REFERENCE))))
