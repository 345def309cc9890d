from pathlib import Path

import pytest

from occupancy.publish import put_beside


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / "model.ubj").write_bytes(b"trees")
    (folder / "reference.json").write_text("{}")
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_a_model_comes_with_its_companions_and_nothing_else_is_left(made: Path, models: Path) -> None:
    put = put_beside(made, models, "7")
    assert put == models / "0123456789ab"
    assert [path.name for path in models.iterdir()] == ["0123456789ab"]
    assert {path.name: path.read_bytes() for path in put.iterdir()} == {"model.ubj": b"trees", "reference.json": b"{}"}


def test_one_that_is_there_stays_as_it_is(made: Path, models: Path) -> None:
    put = put_beside(made, models, "7")
    (put / "report.html").write_text("of the first")
    assert put_beside(made, models, "8") == put
    assert (put / "report.html").read_text() == "of the first"
    assert [path.name for path in models.iterdir()] == ["0123456789ab"]


def test_a_copy_that_fails_leaves_nothing(made: Path, models: Path) -> None:
    (made / "reference.json").unlink()
    (made / "reference.json").symlink_to("nowhere")
    with pytest.raises(OSError, match="nowhere|No such file"):
        put_beside(made, models, "7")
    assert list(models.iterdir()) == []
