"""Folders of models, VERSION/model.ubj with its companions, from which a program deploys."""

import shutil
from pathlib import Path


def put_beside(made: Path, models: Path, mark: str) -> Path:
    """Copy a model's folder VERSION into the folder of models, whole or not at all; gives where it is.

    One that is there already stays: it is the same, by its name. `mark` tells copies apart that are made at one time.
    Raises OSError.
    """
    new, target = models / f".new-{mark}", models / made.name
    try:
        shutil.copytree(made, new)
        new.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return target
