"""The mapping: how a user's own CSV says what the UCI files say, in names, units, time zone and labels."""

from collections import Counter
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml
from msgspec import Meta

from occupancy.errors import InputError
from occupancy.reading import NAMES

DATE = "date"
LABEL = "Occupancy"
COLUMNS = (DATE, *NAMES, LABEL)
ROOM = "room"  # which a file may have besides
ZONE = "Europe/Brussels"  # of the UCI files' dates


class InvalidMapping(InputError):
    """A mapping file has an unknown key, an ill-typed value or an unknown time zone."""


class ColumnMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a user's own CSV names and measures things; the defaults are the UCI file's own ways."""

    columns: Annotated[dict[str, str], Meta(description="our name: the file's column name")] = {}
    temperature_unit: Annotated[str, Meta(pattern="^(°C|°F|C|F)$", description="°C or °F")] = "°C"
    timezone: Annotated[str, Meta(description="IANA zone of dates without an offset")] = ZONE
    occupied: Annotated[tuple[str, ...], Meta(description="texts that mean occupied")] = ("1",)
    empty: Annotated[tuple[str, ...], Meta(description="texts that mean empty")] = ("0",)

    def column(self, name: str) -> str:
        """Give the file's name for one of our columns."""
        return self.columns.get(name, name)


def load_mapping(path: str) -> ColumnMapping:
    """Read a mapping file (YAML); an empty path gives the UCI files' own mapping."""
    if not path:
        return ColumnMapping()
    try:
        # BaseLoader leaves every value a text: to YAML, the labels yes and 1 would be a truth and a number
        values = yaml.load(Path(path).read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, no objects
        mapping = msgspec.convert(values or {}, ColumnMapping)
    except OSError as error:
        raise InvalidMapping(f"{path}: {error.strerror}; DATA_MAPPING names it") from None
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())  # PyYAML's errors have several lines
        raise InvalidMapping(f"{path}: {what}; see the mapping example in data/README.md") from None
    ours = (*COLUMNS, ROOM)
    unknown = set(mapping.columns) - set(ours)
    if unknown:
        raise InvalidMapping(
            f"{path}: columns names {', '.join(sorted(unknown))}, which is none of ours: {', '.join(ours)}"
        )
    theirs = Counter(mapping.column(name) for name in ours if name in COLUMNS or name in mapping.columns)
    if twice := [name for name, times in theirs.items() if times > 1]:
        raise InvalidMapping(f"{path}: columns takes {twice[0]!r} for two of ours; each needs a column of its own")
    if both := set(mapping.occupied) & set(mapping.empty):
        raise InvalidMapping(f"{path}: {', '.join(sorted(both))} stands both under occupied and under empty")
    zone(mapping.timezone, path)
    return mapping


def zone(name: str, where: str) -> ZoneInfo:
    """Find a time zone by its IANA name; raises InvalidMapping that says where the name was given."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidMapping(f"{where}: {name!r} is not a time zone: expected an IANA name such as {ZONE}") from None
