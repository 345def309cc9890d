"""All that is written for people: the pages of docs/, and those that lie where GitHub shows them."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md", "kubernetes/README.md")
PAGES = [*map(Path, OUTSIDE), *sorted(page.relative_to(ROOT) for page in (ROOT / "docs").rglob("*.md"))]
