"""Fetch the UCI "Occupancy Detection" files, check them by data/SHA256SUMS, and put them where the project reads them.

Where the download fails, simulated files take their place, and a loud warning says so.
"""

import hashlib
import http.client
import io
import os
import sys
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta

from occupancy import settings
from occupancy.dataset import SIMULATED, SIMULATED_PREFIX, TEST, TRAINING
from occupancy.errors import InputError
from occupancy.simulate import simulate, write

SUMS = Path(__file__).with_name("SHA256SUMS")
OPTIONAL = "datatest2.txt"
STAND_INS = {  # name: days, seed, first day; a weekend in the first and none in the second, as in the real files
    SIMULATED_PREFIX + TRAINING: (6, 1, date(2015, 2, 4)),
    SIMULATED_PREFIX + TEST: (2, 2, date(2015, 2, 2)),
}
LARGEST = 32 * 2**20  # bytes of an archive or a file; the set has 1.5 MB
TIMEOUT_SECONDS = 20


class Settings(msgspec.Struct, frozen=True):
    """What `python -m data.fetch` can be told."""

    data_source: Annotated[
        str, Meta(min_length=1, description="URL of the zip, or a local zip, or a folder of the files")
    ] = "https://archive.ics.uci.edu/static/public/357/occupancy+detection.zip"
    data_home: Annotated[str, Meta(min_length=1, description="folder for the files")] = "data/original"


class SourceError(InputError):
    """The source can't be reached or read, lacks a file, or holds one with a wrong sum."""


def fetch(source: str, home: Path, sums: Mapping[str, str]) -> list[str]:
    """Bring the files of `sums` (name: sha256) from the source into `home`; gives lines that say what was done.

    A file reaches `home` only whole and with the right sum, and the necessary ones only together. Raises SourceError.
    """
    lacking = [name for name, expected in sums.items() if _sum(home / name) != expected]
    here = ", ".join(name for name in sums if name not in lacking)
    lines = [f"{home}: {here} already there, with the right sums"] if here else []
    necessary = [name for name in lacking if name != OPTIONAL]
    try:
        found = _contents(source, lacking) if lacking else {}
        for name in necessary:
            _verify(source, name, found, sums[name])
    except SourceError as error:
        if necessary:
            raise
        return [*lines, f"without {OPTIONAL}, which is optional: {error}"]
    for name in lacking:
        try:
            _verify(source, name, found, sums[name])
        except SourceError as error:  # the optional one; the others have passed
            lines.append(f"without {OPTIONAL}, which is optional: {error}")
        else:
            _put(home / name, found[name])
            lines.append(f"{home / name}: {len(found[name])} bytes, with the right sum")
    return lines


def load_sums(path: Path) -> dict[str, str]:
    """Read a file of `sha256sum`'s format into name: sum."""
    return {name: digest for digest, name in (line.split() for line in path.read_text("ascii").splitlines())}


def is_url(source: str) -> bool:
    """Tell whether a source is to be downloaded."""
    return source.startswith(("https://", "http://"))


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _verify(source: str, name: str, found: Mapping[str, bytes], expected: str) -> None:
    if name not in found:
        raise SourceError(f"{source}: {name} is not in it")
    if (digest := hashlib.sha256(found[name]).hexdigest()) != expected:
        raise SourceError(f"{source}: {name} has a wrong SHA-256 sum: expected {expected}, found {digest}")


def _contents(source: str, names: Collection[str]) -> dict[str, bytes]:
    try:
        if is_url(source):
            return _unpack(_download(source), names)
        if Path(source).is_dir():
            return {name: (Path(source) / name).read_bytes() for name in names if (Path(source) / name).is_file()}
        return _unpack(Path(source).read_bytes(), names)
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{source}: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{source}: not a zip that can be read: {error}") from None


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # is_url has seen the scheme
            content: bytes = response.read(LARGEST + 1)
            rest = response.length or 0  # of what was announced
    except urllib.error.HTTPError as error:
        error.close()
        raise
    if len(content) > LARGEST:
        raise SourceError(f"{url}: larger than {LARGEST} bytes; expected about 0.4 MB")
    if rest:
        raise SourceError(f"{url}: the download broke off after {len(content)} bytes, {rest} more were announced")
    return content


def _unpack(archive: bytes, names: Collection[str]) -> dict[str, bytes]:
    """Take the known files out of a zip, or of the zips in it; no name of the archive's ever becomes a path."""
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(archive)) as outer:
        for member in outer.infolist():
            name = PurePosixPath(member.filename).name
            if member.file_size > LARGEST or not (name in names or name.endswith(".zip")):
                continue
            if name in names:
                found[name] = outer.read(member)
                continue
            with zipfile.ZipFile(io.BytesIO(outer.read(member))) as inner:
                for nested in inner.infolist():
                    nested_name = PurePosixPath(nested.filename).name
                    if nested_name in names and nested.file_size <= LARGEST:
                        found.setdefault(nested_name, inner.read(nested))
    return found


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(path.name + ".part")
    whole.write_bytes(content)
    whole.replace(path)


def stand_in(home: Path, why: str) -> str:
    """Put simulated files into `home`, for want of the real ones; gives the warning to print."""
    for name, (days, seed, start) in STAND_INS.items():
        whole = home / (name + ".part")
        write(whole, simulate(days, seed, start), seed)
        whole.replace(home / name)
    train, test = (home / name for name in STAND_INS)
    bar = "!" * 100
    return f"""{bar}
!! WARNING: the real data could NOT be fetched. The data in {home} is SIMULATED.
!!   why: {why}
!! In its place stand two files of a computed room, {train.name} and {test.name}.
!! They show that everything runs. What a model scores on them says NOTHING about a real room.
!!   Training uses them as long as no real file is there.
!!   to get the real files:   `make data` again, with network
!!   or, from a local copy:   DATA_SOURCE=/path/to/folder make data   (a folder of the txt files, or the zip)
{bar}"""


def clear_stand_ins(home: Path) -> list[str]:
    """Remove the simulated files that `stand_in` put there; gives lines that say so."""
    ours = [home / name for name in STAND_INS if (home / name).is_file()]
    ours = [path for path in ours if path.read_bytes().startswith(SIMULATED.encode())]
    for path in ours:
        path.unlink()
    return [f"{path}: SIMULATED, removed, for the real files are here" for path in ours]


def main(argv: Sequence[str], environ: Mapping[str, str], sums: Path = SUMS) -> int:
    """Fetch, check and unpack the data, and say so; gives the exit status."""
    try:
        table = settings.read(Settings, prog="data.fetch", argv=argv, environ=environ, about=(__doc__ or ""))
        home = Path(table.data_home)
        try:
            print(*fetch(table.data_source, home, load_sums(sums)), *clear_stand_ins(home), sep="\n")
        except SourceError as error:
            if not is_url(table.data_source):
                raise
            print(stand_in(home, str(error)), file=sys.stderr)
    except (InputError, OSError) as error:
        print(f"data.fetch: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
