"""Writes the file that a command was asked for with --save-path."""

from pathlib import Path

from occupancy.errors import InputError


class NotWritten(InputError):
    """The file can't be written where it should be."""


def save(path: str, data: bytes) -> None:
    """Write a file, its folder too where it is missing; raises NotWritten."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(data)
    except OSError as error:
        raise NotWritten(f"{Path(path)} can't be written: {error.strerror}; choose another with --save-path") from None
