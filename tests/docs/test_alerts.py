from docs import alerts


def test_the_page_is_what_the_rules_say() -> None:
    assert alerts.PAGE.read_text("utf-8") == alerts.page(), "run `make docs`"
