"""`make licences`: what each image carries, under which licence; `make docs` writes it into docs/dependencies.md.

A package's licence is what its installed metadata says. Exit status: 0; 1 one is not known as permitted, see
PERMITTED; 2 a package is not installed here.
"""

import re
import sys
from collections.abc import Iterator
from email.message import Message
from importlib import metadata
from typing import NamedTuple, cast

from docs import splice
from requirements.locks import FOLDER, IMAGES, pins

ROOT = FOLDER.parent
PAGE = ROOT / "docs" / "dependencies.md"

PERMITTED = {
    # permissive: keep the notices, which stay in the images beside each package
    **dict.fromkeys(("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT"), ""),
    **dict.fromkeys(("PSF-2.0", "Unlicense", "Zlib"), ""),
    # weak copyleft, and why it may be there
    "MPL-2.0": "asks for the source of the files that it covers, if they are changed; we change none",
    "GPL-3.0-or-later WITH GCC-exception-3.1": "the exception frees what is linked with the compiler's runtime",
    "LGPL-2.1-or-later": "a shared library, unchanged, that anybody may exchange",
}
# what older metadata calls them; "BSD" alone is one of the two, both permissive
NAMES = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# shared libraries that wheels bring along, of which the metadata does not always speak; their own licence files do
BROUGHT = {
    "libgfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libgomp": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "libquadmath": "LGPL-2.1-or-later",
    "libscipy_openblas": "BSD-3-Clause",
    "libscipy_openblas64_": "BSD-3-Clause",
}
UNKNOWN = "UNKNOWN"


class NotInstalled(Exception):
    """What an image carries is not installed here, so that nobody can tell its licence."""


class Row(NamedTuple):
    """A package in an image; `brings`: shared libraries of others in its wheel."""

    package: str
    version: str
    licence: str
    brings: tuple[str, ...]


def licence(about: Message) -> str:
    """Give the licence that a package's metadata states: the expression, else the field, else the classifiers."""
    if expression := about.get("License-Expression"):
        return str(expression)
    field = str(about.get("License") or "").strip()
    if field and "\n" not in field:  # some put the whole text there
        return NAMES.get(field, field)
    last = [
        str(each).rpartition(" :: ")[2] for each in about.get_all("Classifier", []) if each.startswith("License ::")
    ]
    return " AND ".join(NAMES.get(each, each) for each in last) or UNKNOWN


def permitted(expression: str) -> bool:
    """Tell whether an SPDX expression without parentheses can be met by permitted licences alone."""
    return any(all(each in PERMITTED for each in choice.split(" AND ")) for choice in expression.split(" OR "))


def carried(image: str) -> list[Row]:
    """List what an image carries; raises NotInstalled."""
    rows = []
    for pin in pins(image):
        if pin.in_image:
            installed = next(iter(metadata.distributions(name=pin.name)), None)
            if installed is None or installed.version != pin.version:
                here = installed.version if installed else "missing"
                raise NotInstalled(
                    f"{pin.name} is locked as {pin.version}, and here it is {here}; ask on Linux, by make"
                )
            brings = {found[1] for file in installed.files or [] if (found := _brought(file.as_posix()))}
            told = licence(cast(Message, installed.metadata))
            rows.append(Row(pin.name, pin.version, told, tuple(sorted(brings))))
    return rows


def _brought(file: str) -> re.Match[str] | None:
    """Find the name of a library in a path such as numpy.libs/libgfortran-040039e1-0352e75f.so.5.0.0."""
    return re.match(r"[^/]+\.libs/([^/]+?)(?:-[0-9a-f]+)*\.so", file)


def complaints(rows: list[Row]) -> Iterator[str]:
    """Say of each licence that is not permitted whose it is."""
    for row in rows:
        for what, told in [(row.package, row.licence), *((each, BROUGHT.get(each, UNKNOWN)) for each in row.brings)]:
            if not permitted(told):
                yield f"{row.package} {row.version}: {what}: {told}"


def tables() -> str:
    """Write what is permitted, and a table for each image."""
    plain = ", ".join(name for name, why in PERMITTED.items() if not why)
    asking = "".join(f"| {name} | {why} |\n" for name, why in PERMITTED.items() if why)
    head = f"### What is permitted\n\n{plain}; and\n\n| licence | why it may be there |\n|---|---|\n"
    return "\n".join([f"{head}{asking}", *(_table(image) for image in IMAGES)])


def _table(image: str) -> str:
    lines = [f"| `{row.package}` | {row.version} | {row.licence} | {_libraries(row)} |\n" for row in carried(image)]
    head = "| package | version | licence | brings along |\n|---|---|---|---|\n"
    return f"### occupancy_{image}\n\n{head}| {base()} | | as in `/usr/share/doc/*/copyright` | |\n{''.join(lines)}"


def _libraries(row: Row) -> str:
    return ", ".join(f"{each} ({BROUGHT.get(each, UNKNOWN)})" for each in row.brings)


def base() -> str:
    """Name what all images are built on, as their Dockerfiles do."""
    (found,) = re.findall(r"^FROM (python:[^@\s]+)", (ROOT / "Dockerfile.inference").read_text("utf-8"), re.MULTILINE)
    return f"Debian with Python, `{found}`"


def filled(page: str) -> str:
    """Put the tables into the page."""
    return splice.filled(page, f"\n{tables()}\n")


def main() -> int:
    """Print the tables and what is not permitted; gives the exit status."""
    try:
        print(tables())
    except NotInstalled as error:
        print(f"licences: {error}", file=sys.stderr)
        return 2
    bad = sorted({line for image in IMAGES for line in complaints(carried(image))})
    print(*(f"licences: not permitted: {line}" for line in bad), sep="\n", end="\n" if bad else "", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["docs"]:
        PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
    else:
        sys.exit(main())
