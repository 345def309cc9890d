import io

from docs import reference
from inference.app import create_app
from inference.prediction_log import PredictionLog
from inference.settings import Settings
from occupancy.model import MissingModel
from occupancy.reading import Reading


def test_the_page_is_what_the_tables_say() -> None:
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run `make docs`"


def test_the_page_names_every_endpoint_with_its_method() -> None:
    app = create_app(Settings(), MissingModel("none"), PredictionLog(io.StringIO()))
    for rule in app.url_map.iter_rules():
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert f"| {method} {rule.rule} |" in reference.page()


def test_the_page_names_every_field_of_a_reading() -> None:
    for name in Reading.__struct_fields__:
        assert f"| {name} |" in reference.page()
