from docs import dashboards


def test_the_page_lists_the_panels_as_they_are() -> None:
    text = dashboards.PAGE.read_text("utf-8")
    assert dashboards.tables() in text
    assert dashboards.page(text) == text, "run `make docs`"
