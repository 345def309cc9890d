import errno
import itertools
import os
from pathlib import Path

import pytest

from training import save

NAMES = ["model.ubj", "report.json"]


def files(text: str) -> dict[str, bytes]:
    return {name: f"{name} {text}".encode() for name in NAMES}


def newest(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES}


def test_a_set_is_reached_by_its_version_and_as_the_newest(tmp_path: Path) -> None:
    save.check(tmp_path, NAMES)
    assert save.save(tmp_path, "aaa", files("1")) == tmp_path / "aaa"
    save.save(tmp_path, "bbb", files("2"))
    assert newest(tmp_path) == files("2")
    assert {name: (tmp_path / "aaa" / name).read_bytes() for name in NAMES} == files("1")
    save.check(tmp_path, NAMES)  # our own links are no foreign files
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aaa", "bbb", "current", "model.ubj", "report.json"]
    assert not Path((tmp_path / "model.ubj").readlink()).is_absolute()  # so that a mounted folder can be moved


def test_what_stays_inside_a_set_has_no_link(tmp_path: Path) -> None:
    saved = save.save(tmp_path, "aaa", {**files("1"), "recent.csv": b"1"}, inside=["recent.csv"])
    assert (saved / "recent.csv").read_bytes() == b"1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["aaa", "current", "model.ubj", "report.json"]
    (saved / "recent.csv").unlink()  # damaged: mended by saving it again
    save.save(tmp_path, "aaa", {**files("1"), "recent.csv": b"1"}, inside=["recent.csv"])
    assert (saved / "recent.csv").read_bytes() == b"1"


def test_going_back_to_an_earlier_model_makes_it_the_newest_again(tmp_path: Path) -> None:
    save.save(tmp_path, "aaa", files("1"))
    save.save(tmp_path, "bbb", files("2"))
    save.save(tmp_path, "aaa", files("1"))
    assert newest(tmp_path) == files("1")


@pytest.mark.parametrize(("name", "damage"), [("report.json", None), ("report.json", ""), ("model.ubj", "x")])
def test_a_damaged_set_is_mended_by_saving_it_again(tmp_path: Path, name: str, damage: str | None) -> None:
    save.save(tmp_path, "aaa", files("1"))
    (tmp_path / "aaa" / name).unlink()
    if damage is not None:
        (tmp_path / "aaa" / name).write_text(damage)
    save.save(tmp_path, "aaa", files("1"))
    assert newest(tmp_path) == files("1")


def crashes(monkeypatch: pytest.MonkeyPatch, folder: Path, survived: int) -> bool:
    """Save a second set and crash after so many steps; tell whether the save was long enough to crash."""
    steps = 0
    with monkeypatch.context() as patch:
        for name in ("replace", "symlink_to", "mkdir", "open", "chmod"):
            original = getattr(Path, name)

            def watched(self: Path, *arguments: object, _original: object = original, **options: object) -> object:
                nonlocal steps
                steps += 1
                if steps > survived:
                    raise KeyboardInterrupt
                return _original(self, *arguments, **options)  # type: ignore[operator]

            patch.setattr(Path, name, watched)
        try:
            save.save(folder, "bbb", files("2"))
        except KeyboardInterrupt:
            return True
    return False


def test_a_crash_at_any_moment_leaves_a_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for survived in itertools.count():
        folder = tmp_path / str(survived)
        folder.mkdir()
        save.save(folder, "aaa", files("1"))
        crashed = crashes(monkeypatch, folder, survived)
        assert newest(folder) in ([files("1"), files("2")] if crashed else [files("2")])
        save.save(folder, "bbb", files("2"))
        assert newest(folder) == files("2")
        if not crashed:
            break
    assert survived >= 10  # as many crashes


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may write anywhere
    try:
        with pytest.raises(
            save.UnwritableSavePath, match=r"can't be written: Permission denied; name a folder of your own"
        ):
            save.check(tmp_path / "out", NAMES)
    finally:
        os.seteuid(user)


def test_a_save_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(save.UnwritableSavePath, match="out can't be written: File exists"):
        save.check(tmp_path / "out", NAMES)


def test_a_file_of_somebody_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "model.ubj").write_text("mine")
    with pytest.raises(save.UnwritableSavePath, match=r"model\.ubj exists and training did not write it; move it"):
        save.check(tmp_path, NAMES)
    assert (tmp_path / "model.ubj").read_text() == "mine"


def test_refused_files_stand_apart(tmp_path: Path) -> None:
    assert save.keep_refused(tmp_path, {"report.html": b"x"}) == tmp_path / "refused"
    assert not (tmp_path / "current").exists()


def test_a_full_disk_is_a_line_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save.save(tmp_path, "aaa", files("1"))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(save.UnwritableSavePath, match="can't be written: No space left on device"):
        save.save(tmp_path, "bbb", files("2"))
    assert newest(tmp_path) == files("1")
