"""What a job is asked to do: its data, by path, URL or a range of the records, and some of training's settings."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import unquote, urlsplit

import msgspec
import requests
from msgspec import Meta

from occupancy.errors import InputError
from occupancy.preprocess import STEPS
from training import settings as training
from training.service.settings import PREFIX, Settings

CHOICE = ("seed", "candidates", "recent_share", "preprocessing", "band", "override_gate", "created")
"""The settings of training that a job may choose; the others name paths, or are the machine's."""
CHUNK, ANSWER_SECONDS, DOWNLOAD_SECONDS = 2**16, 30.0, 600.0
_HINTS = get_type_hints(training.Settings, include_extras=True)
Chosen = msgspec.defstruct(
    "Chosen",
    [(name, _HINTS[name] | msgspec.UnsetType, msgspec.UNSET) for name in CHOICE],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)
Settable: Any = msgspec.defstruct("Settable", [("settings", Chosen)])  # for an error to name the place
Name = Annotated[str, Meta(max_length=1000, description="a path below the service's data folder, or a URL it allows")]
Time = Annotated[
    str, Meta(pattern="^[0-9A-Za-z:+.-]{0,40}$", description="ISO 8601, or back from now such as 7d; empty: no bound")
]


class InvalidOrder(InputError):
    """No job can do this."""


class Range(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Recent readings that `monitoring collect` gathers from the records."""

    since: Time = ""
    until: Time = ""
    room: Annotated[str, Meta(max_length=64, description="of one room; empty: of all")] = ""


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is trained on; what is left out is training's own default."""

    training: Name = ""
    test: Name = ""
    recent: Name | Range = ""


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One job: `training` on data, or the `loop`, which collects, judges and deploys by itself."""

    kind: Literal["training", "loop"] = "training"
    data: Data = Data()
    settings: dict[str, Any] = {}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the watcher posts, so far as it matters here; it has other members, too."""

    state: str
    consequence: str


_decode = msgspec.json.Decoder(Order).decode


def parse(body: bytes, settings: Settings) -> Order:
    """Read an order and check all of it that can be checked now; raises InvalidOrder, and what msgspec does for no JSON."""
    try:
        order = _decode(body)
        chosen = msgspec.convert({"settings": order.settings}, Settable).settings
    except msgspec.ValidationError as error:
        raise InvalidOrder(str(error).replace("`", "")) from None
    if order.kind == "loop" and order != Order(kind="loop"):
        raise InvalidOrder("the loop collects its data and chooses its settings itself; send neither")
    if isinstance(order.data.recent, Range) and not order.data.recent.room.isprintable():
        raise InvalidOrder("room: expected a printable text")
    for name in (order.data.training, order.data.test, order.data.recent):
        if name and isinstance(name, str):
            locate(name, settings)
    given = msgspec.to_builtins(chosen)
    try:
        training.band(given.get("band", "0,1"))
        training.check_created(given.get("created", ""))
    except InputError as error:
        raise InvalidOrder(str(error)) from None
    if given.get("preprocessing", "identity") not in STEPS:
        raise InvalidOrder(f"preprocessing: expected one of {', '.join(STEPS)}")
    return order


def locate(name: str, settings: Settings) -> Path | None:
    """Give the file that a name leads to below the data folder, or None for a URL that is allowed; raises InvalidOrder."""
    if name.startswith(("http://", "https://")):
        steps = unquote(urlsplit(name).path).replace("\\", "/").split("/")
        if not name.isprintable() or ".." in steps or not name.startswith(tuple(settings.prefixes)):
            raise InvalidOrder(f"{name!r} is not below any of {PREFIX}URLS={settings.urls}")
        return None
    try:
        home = Path(settings.data).resolve()
        path = (home / name).resolve()  # where links lead
        if path.is_relative_to(home) and path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, a NUL
        pass
    raise InvalidOrder(f"{name!r} is not a file below the data folder, {PREFIX}DATA={settings.data}")


def fetch(url: str, target: Path, settings: Settings) -> None:
    """Download a file; raises InvalidOrder for what can't be had, is too large, or is elsewhere."""
    ends = time.monotonic() + DOWNLOAD_SECONDS
    try:
        with (
            requests.get(url, timeout=ANSWER_SECONDS, stream=True, allow_redirects=False) as answer,
            target.open("wb") as file,
        ):
            if answer.status_code != 200:  # a redirect could lead anywhere
                raise InvalidOrder(f"{url}: it answers {answer.status_code}, not 200")
            for chunk in answer.iter_content(CHUNK):
                if file.tell() + len(chunk) > settings.max_download:
                    raise InvalidOrder(f"{url}: more than {PREFIX}MAX_DOWNLOAD={settings.max_download} bytes")
                if time.monotonic() > ends:
                    raise InvalidOrder(f"{url}: not there after {DOWNLOAD_SECONDS:.0f} s")
                file.write(chunk)
    except requests.RequestException as error:
        raise InvalidOrder(f"{url}: no answer ({type(error).__name__})") from None


def flags(order: Order) -> list[str]:
    """Give the settings that were chosen as flags of `python -m training`."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in sorted(order.settings.items())]
