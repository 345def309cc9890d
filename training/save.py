"""Saving: a model and its companions appear in SAVE_PATH as a whole set or not at all.

Each set lives in a folder named by the model's version and never changes. `current` links to the newest, and
`model.ubj` and its companions in SAVE_PATH link through it, so one rename moves all of them at once:

    out/model.ubj -> current/model.ubj      out/current -> 1a2b3c4d5e6f      out/1a2b3c4d5e6f/model.ubj
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from occupancy import model, reference
from occupancy.errors import InputError

CURRENT = "current"


class UnwritableSavePath(InputError):
    """SAVE_PATH can't be written, or holds something there that training did not write."""


def check(folder: Path, names: Iterable[str]) -> None:
    """Try, before the work begins, everything that saving needs: a folder, a file, a link, a rename."""
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _scratch(folder) as scratch:
            (scratch / "file").write_bytes(b"x")
            (scratch / "link").symlink_to("file")
            (scratch / "link").replace(scratch / "renamed")
    for name in [*names, CURRENT]:
        if (folder / name).exists() and not (folder / name).is_symlink():
            raise UnwritableSavePath(
                f"{folder / name} exists and training did not write it; move it, or name another SAVE_PATH"
            )


def save(folder: Path, version: str, files: Mapping[str, bytes], inside: Collection[str] = ()) -> Path:
    """Write a set of files (name: content) under its version and make it current; gives the set's folder.

    The files named by `inside` are in the set alone: nothing in SAVE_PATH links to them.
    A crash at any moment leaves the earlier set whole and current.
    """
    target = folder / version
    with _explained(folder), _scratch(folder) as scratch:
        if not _whole(target, files):
            new = scratch / version
            new.mkdir()
            for name, content in files.items():
                _write(new / name, content)
            _sync(new)
            new.chmod(0o755)
            if target.exists():  # damaged, so there is nothing to keep whole
                target.replace(scratch / "damaged")
            new.replace(target)
        linked = {name: f"{CURRENT}/{name}" for name in files if name not in inside}
        for name, link in {CURRENT: version, **linked}.items():
            (scratch / name).symlink_to(link)
            (scratch / name).replace(folder / name)
        _sync(folder)
    return target


def keep_refused(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write what explains a refusal into SAVE_PATH/refused, beside the sets and none of them; gives that folder."""
    target = folder / "refused"
    with _explained(folder):
        target.mkdir(exist_ok=True)
        for name, content in files.items():
            _write(target / name, content)
    return target


def _whole(target: Path, files: Mapping[str, bytes]) -> bool:
    """Tell whether the same model was saved before and its set is undamaged; then there is nothing to write."""
    if not all((target / name).is_file() and (target / name).stat().st_size for name in files):
        return False
    follow = [
        name for name in files if name in (model.FILE, reference.FILE)
    ]  # the reports also tell of paths and times
    return all((target / name).read_bytes() == files[name] for name in follow)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses (permission, a full disk) into a line that says what to do."""
    try:
        yield
    except OSError as error:
        raise UnwritableSavePath(
            f"SAVE_PATH={folder} can't be written: {error.strerror}; name a folder of your own with room in it, or mend "
            f"its permissions (this runs as uid {os.getuid()})"
        ) from None


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
