import re
import sys
from email.message import Message

import pytest

from requirements import licences
from requirements.licences import BROUGHT, PAGE, Row, carried, complaints, filled, licence, permitted
from requirements.locks import IMAGES, pins

# elsewhere another XGBoost is installed than the images carry
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the images are Linux")


def about(*headers: tuple[str, str]) -> Message:
    message = Message()
    for name, value in headers:
        message[name] = value
    return message


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([("License-Expression", "MIT AND PSF-2.0"), ("License", "something else")], "MIT AND PSF-2.0"),
        ([("License", "Apache 2.0"), ("Classifier", "License :: OSI Approved :: MIT License")], "Apache-2.0"),
        ([("License", "GPL-3.0-only"), ("Classifier", "License :: OSI Approved :: MIT License")], "GPL-3.0-only"),
        ([("License", "Copyright\nwhole text"), ("Classifier", "License :: OSI Approved :: BSD License")], "BSD"),
        ([("Classifier", "License :: OSI Approved :: MIT License"), ("Classifier", "License :: X")], "MIT AND X"),
        ([("Classifier", "Programming Language :: Python")], "UNKNOWN"),
        ([("License", "")], "UNKNOWN"),
    ],
)
def test_a_licence_is_what_the_metadata_says_most_exactly(headers: list[tuple[str, str]], told: str) -> None:
    assert licence(about(*headers)) == told


@pytest.mark.parametrize(
    ("expression", "may"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only OR AGPL-3.0-only", False),
        ("MPL-2.0", True),
        ("GPL-3.0-or-later", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("(MIT)", False),  # not understood is not permitted
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_what_is_not_known_as_permitted_is_not(expression: str, may: bool) -> None:
    assert permitted(expression) is may


def test_a_licence_that_is_not_permitted_is_named_with_its_package() -> None:
    rows = [Row("good", "1", "MIT", ("libgomp",)), Row("bad", "2", "AGPL-3.0-only", ("libnobodyknows",))]
    assert list(complaints(rows)) == ["bad 2: bad: AGPL-3.0-only", "bad 2: libnobodyknows: UNKNOWN"]


@on_linux
@pytest.mark.parametrize("image", IMAGES)
def test_all_that_an_image_carries_is_permitted(image: str) -> None:
    rows = carried(image)
    assert [(row.package, row.version) for row in rows] == [pin[:2] for pin in pins(image) if pin.in_image]
    assert list(complaints(rows)) == []


@on_linux
def test_libraries_that_wheels_bring_along_are_seen() -> None:
    found = {name for image in IMAGES for row in carried(image) for name in row.brings}
    assert "libgomp" in found  # XGBoost's
    assert found <= BROUGHT.keys()


@on_linux
def test_a_lock_that_is_not_installed_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    other = [pin._replace(version="0.0.1") for pin in pins("inference")]
    monkeypatch.setattr(licences, "pins", lambda _image: other)
    with pytest.raises(licences.NotInstalled, match=r"blinker is locked as 0\.0\.1"):
        carried("inference")


@on_linux
def test_the_page_is_what_the_locks_say() -> None:
    page = PAGE.read_text("utf-8")
    assert page == filled(page), "run `make docs`"


@pytest.mark.parametrize("image", IMAGES)
def test_the_page_names_each_package_with_its_version(image: str) -> None:
    _, _, rest = PAGE.read_text("utf-8").partition(f"### occupancy_{image}\n")
    table = rest.partition("### ")[0]
    named = re.findall(r"^\| `([^`]+)` \| ([^ ]+) \|", table, re.MULTILINE)
    assert named == [pin[:2] for pin in pins(image) if pin.in_image], "run `make docs`"
