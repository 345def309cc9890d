import yaml

from docs import alerts


def test_the_page_is_what_the_rules_say() -> None:
    assert alerts.PAGE.read_text("utf-8") == alerts.page(), "run `make docs`"


def test_the_resource_for_kubernetes_holds_the_same_rules() -> None:
    assert alerts.RESOURCE.read_text("utf-8") == alerts.resource(), "run `make docs`"
    assert yaml.safe_load(alerts.resource())["spec"] == yaml.safe_load(alerts.RULES.read_text("utf-8"))
