"""The model card's figures are those that the shipped model carries."""

import re
from pathlib import Path

import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import model
from occupancy.reading import FEATURES

PAGE = Path("docs/model-card.md").read_text("utf-8")
CARD = model.load(SHIPPED_MODEL).card


def row(name: str) -> list[str]:
    """Give the cells of the row of a table that begins with a name."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", PAGE, re.MULTILINE)
    return [str(cell) for cell in found.split(" | ")]


@pytest.mark.parametrize(
    ("name", "metric", "shown"),
    [
        ("minutes", "rows", "{:.0f}"),
        ("accuracy", "accuracy", "{:.1%}"),
        ("errors", "errors", "{:.0f}"),
        ("log loss", "log_loss", "{:.4f}"),
        ("Brier score", "brier", "{:.4f}"),
        ("ROC AUC", "roc_auc", "{:.3f}"),
        ("called uncertain", "uncertain", "{:.1%}"),
        ("errors among the others", "error_outside", "{:.1%}"),
    ],
)
def test_a_figure_is_the_shipped_model_s(name: str, metric: str, shown: str) -> None:
    figures = [CARD.metrics[f"{part}.{metric}"] for part in ("out_of_fold", "back_test")]
    assert row(name) == [shown.format(figure).replace("%", " %") for figure in figures]


@pytest.mark.parametrize("name", [name for name in CARD.training_range if name != "HumidityRatio"])
def test_what_it_has_seen_is_the_shipped_model_s(name: str) -> None:
    low, high = CARD.training_range[name]
    unit = next(feature.unit for feature in FEATURES if feature.name == name)
    assert row(name) == [f"{low:g} to {float(f'{high:.6g}'):.10g} {unit}"]


def test_version_revision_trees_band_and_gate_are_the_shipped_model_s() -> None:
    assert row("version")[0].startswith(f"`{model.load(SHIPPED_MODEL).version}`")
    assert f"seed {CARD.seed}, at revision `{CARD.revision}`" in row("made by")[0]
    trees, depth = (CARD.hyperparameters[name] for name in ("n_estimators", "max_depth"))
    assert row("kind")[0].startswith(f"{trees} boosted trees of depth {depth} ")
    low, high = CARD.band
    assert f"*occupied* above {high:g}, *empty* below {low:g}" in row("gives")[0]
    for name, rival, (mean, _, least, most), passed in CARD.gate["checks"]:
        assert passed
        assert rival in PAGE
        assert f"{name} {mean:+.4f} ({least:+.4f} to {most:+.4f})" in PAGE
