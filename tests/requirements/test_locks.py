"""What pyproject.toml asks for is what is locked, and the same everywhere; `make lock` makes it so."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements.locks import FOLDER, IMAGES, Pin, locks, pins

PROJECT = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
# the extras that a lock holds, where they are not the one of its name
HOLDS = {"dev": [*IMAGES, "dev"], "mlflow": ["training", "mlflow"]}
SAYS_SO = re.compile(
    r"^([a-z0-9-]+)==(?:[^\n]* \\\n(?:    --hash\S+[ \\]*\n)+|[^\n]*\n)((?:    # .*\n)*)", re.MULTILINE
)


def asked(lock: str) -> list[Requirement]:
    """Give what pyproject.toml asks for in a lock, with extras that name extras of ours resolved."""
    waiting, found = [*HOLDS.get(lock, [lock])], []
    while waiting:
        for text in EXTRAS[waiting.pop()]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                waiting.extend(requirement.extras)
            else:
                found.append(requirement)
    return found


def locked(lock: str) -> dict[str, Pin]:
    return {pin.name: pin for pin in pins(lock)}


def test_every_extra_is_locked_and_every_lock_is_of_an_extra() -> None:
    assert set(locks()) == EXTRAS.keys()


@pytest.mark.parametrize("lock", locks())
def test_a_lock_is_not_older_than_what_is_asked_for(lock: str) -> None:
    here = locked(lock)
    for requirement in asked(lock):
        pin = here.get(canonicalize_name(requirement.name))
        assert pin, f"{lock}.txt lacks {requirement}: run `make lock`"
        assert requirement.specifier.contains(pin.version, prereleases=True), (
            f"{lock}.txt: {requirement}: run `make lock`"
        )
        assert str(pin.marker or "") == str(requirement.marker or ""), f"{lock}.txt: {requirement}: run `make lock`"


@pytest.mark.parametrize("lock", locks())
def test_a_lock_holds_nothing_that_is_not_asked_for_any_more(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text("utf-8")
    comments = dict(SAYS_SO.findall(text))
    assert comments.keys() == locked(lock).keys()
    direct = {name for name, said in comments.items() if "occupancy (pyproject.toml)" in said}
    assert direct <= {canonicalize_name(requirement.name) for requirement in asked(lock)}, "run `make lock`"


@pytest.mark.parametrize("image", IMAGES)
def test_a_package_has_one_version_in_the_images_and_in_development(image: str) -> None:
    dev, carried = locked("dev"), locked(image)
    assert {name: (pin.version, dev[name].version) for name, pin in carried.items() if dev[name][:2] != pin[:2]} == {}


@pytest.mark.parametrize("lock", locks())
def test_everything_locked_has_a_hash(lock: str) -> None:
    text = (FOLDER / f"{lock}.txt").read_text("utf-8")
    parts = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(parts) == len(pins(lock)) > 0
    assert [part.partition(" ")[0] for part in parts if "--hash=sha256:" not in part] == []


def test_an_image_carries_what_linux_needs() -> None:
    carried = {pin.name for pin in pins("inference") if pin.in_image}
    assert "xgboost-cpu" in carried
    assert "xgboost" not in carried  # of macOS
    assert "xgboost" in locked("inference")
