from docs import dashboards


def test_the_page_lists_the_panels_as_they_are() -> None:
    text = dashboards.PAGE.read_text("utf-8")
    assert dashboards.BEGIN in text
    assert dashboards.END in text
    assert dashboards.page(text) == text, "run `make docs`"


def test_what_stands_around_the_tables_is_left_alone() -> None:
    written = dashboards.page(f"before\n{dashboards.BEGIN}old\n{dashboards.END}after\n")
    assert written == f"before\n{dashboards.BEGIN}{dashboards.tables()}{dashboards.END}after\n"
