import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from inference.settings import SHIPPED_MODEL
from occupancy import model
from training.loop.journal import Journal

Put = Callable[..., str]


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """Have the kernel take no byte beyond, as a full disk does: what begins before is written in part."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def put(models: Path) -> Put:
    """Save the shipped model under another seed, which gives it another version: trees alike, a card of its own."""
    shipped = model.load(SHIPPED_MODEL)

    def put(seed: int) -> str:
        raw = model.dump(shipped.booster, msgspec.structs.replace(shipped.card, seed=seed))
        version = model.parse(raw, "it").version
        (models / version).mkdir()
        (models / version / model.FILE).write_bytes(raw)
        return version

    return put


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "loop")
