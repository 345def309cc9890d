"""The prediction log: one JSON line a record on standard output, by python-json-logger."""

import logging
import sys
from typing import Any, TextIO

from pythonjsonlogger.msgspec import MsgspecFormatter


class PredictionLog:
    """Writes records; a line is written in one piece, so that two never mix."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to a stream, by default standard output."""
        handler = logging.StreamHandler(stream or sys.stdout)
        handler.setFormatter(MsgspecFormatter([]))
        self._logger = logging.Logger("predictions", logging.INFO)
        self._logger.addHandler(handler)

    def write(self, record: dict[str, Any]) -> None:
        """Write one record as one line."""
        self._logger.info(record)
