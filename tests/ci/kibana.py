"""`python -m tests.ci.kibana URL FOLDER`: opens each of our dashboards in a real Kibana, and keeps a picture of it.

Exit status 1 if one is not drawn in time, or if a panel shows an error. What tells of both are the marks in the page that
Kibana's own tests and its reporting wait for.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import playwright.sync_api
from playwright.sync_api import Browser, Page

from monitoring.dashboards.kibana import objects
from tests.browsers import opened

SINCE = "now-21d"  # replayed readings end now
SECONDS = 180.0
DRAWN = """() => {
  const all = document.querySelector('[data-shared-items-count]')?.getAttribute('data-shared-items-count');
  return all > 0 && document.querySelectorAll('[data-render-complete="true"]').length >= all
    && !document.querySelector('[data-render-complete="false"]');
}"""
ERRORS = '[data-test-subj="embeddableError"], .vgaVis__message--err'
WARNINGS = ".vgaVis__message--warn"


def dashboards() -> dict[str, str]:
    """Give the title of each dashboard that setup imports, by its id."""
    return {each["id"]: each["attributes"]["title"] for each in objects() if each["type"] == "dashboard"}


def look(browser: Browser, url: str, name: str, picture: Path, seconds: float = SECONDS) -> Iterator[str]:
    """Open one dashboard, keep its picture, and say what is wrong with it."""
    page = browser.new_page(viewport={"width": 1600, "height": 2400})
    page.goto(f"{url}/app/dashboards#/view/{name}?_g=(time:(from:{SINCE},to:now))", timeout=1000 * seconds)
    try:
        page.wait_for_function(DRAWN, timeout=1000 * seconds)
    except playwright.sync_api.TimeoutError:
        yield f"not drawn within {seconds:g} s"
    page.screenshot(path=picture, full_page=True)
    yield from said(page, ERRORS)
    for warning in said(page, WARNINGS):
        print(f"{name}: a warning: {warning}")
    page.close()


def said(page: Page, selector: str) -> list[str]:
    """Give the texts of what a selector finds."""
    return [" ".join(text.split()) for text in page.locator(selector).all_inner_texts()]


def main(url: str, folder: Path, seconds: float = SECONDS) -> int:
    """Look at all of them; gives the exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with opened() as browser:
        for name, title in dashboards().items():
            picture = folder / f"{name}.png"
            complaints = list(look(browser, url.rstrip("/"), name, picture, seconds))
            print(f"{title}: {'; '.join(complaints) or 'drawn'} ({picture})")
            wrong += bool(complaints)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
