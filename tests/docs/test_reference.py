from docs import reference
from occupancy.model import MissingModel
from occupancy.reading import Reading
from tests.inference.conftest import serve_model


def test_the_page_is_what_the_tables_say() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run `make docs`"


def test_the_page_names_every_endpoint_with_its_method() -> None:
    app = serve_model(MissingModel("none")).client.application
    for rule in app.url_map.iter_rules():
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert f"| {method} {rule.rule} |" in reference.page()


def test_the_page_names_every_field_of_a_reading() -> None:
    for name in Reading.__struct_fields__:
        assert f"| {name} |" in reference.page()
