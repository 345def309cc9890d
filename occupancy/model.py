"""The model binary: one file, `model.ubj`, an XGBoost booster that carries everything needed to believe it.

A model is immutable and named by the sha256 of its bytes; its version is the first 12 hex digits. What training knows
about it (the card) travels inside as booster attributes named `occupancy.*`, so any XGBoost opens the file.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import xgboost
from msgspec import Meta

from occupancy.errors import InputError
from occupancy.preprocess import STEPS, Values
from occupancy.reading import contract

FILE = "model.ubj"
FORMAT = 1
THRESHOLD = 0.5
OCCUPIED, EMPTY, UNCERTAIN = ANSWERS = ("occupied", "empty", "uncertain")
GOLDEN_TOLERANCE = 1e-6
_PREFIX = "occupancy."
_SEAL = _PREFIX + "seal"
_UNSEALED = f"{0:012d}:{0:064d}"
_SEALED = re.compile(rb"(\d{12}):([0-9a-f]{64})")


class Golden(msgspec.Struct, frozen=True):
    """A reading, its values in the contract's order, and the probability the model must give for it."""

    values: tuple[float, ...]
    probability: float


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says about itself. Creation time and source revision are inputs, so equal inputs give equal bytes.

    A reader ignores fields it does not know: one that changes what a prediction means needs another FORMAT.
    """

    format: int = FORMAT
    contract: list[dict[str, Any]] = msgspec.field(default_factory=contract)
    preprocessing: str
    band: tuple[float, float]
    timezone: str
    simulated: bool
    seed: int
    hyperparameters: dict[str, int | float]
    search: dict[str, Any]
    data: dict[str, str]
    reference: str
    training_range: dict[str, tuple[float, float]]
    metrics: dict[str, float]
    gate: dict[str, Any]
    packages: dict[str, str]
    golden: Annotated[list[Golden], Meta(min_length=1)]
    created: str
    revision: str


@dataclass(frozen=True)
class Model:
    """A loaded model: what it says about itself, and the one thing it does."""

    booster: xgboost.Booster
    card: Card
    sha256: str

    @property
    def version(self) -> str:
        """The model's short name: the first 12 hex digits of its digest."""
        return self.sha256[:12]

    def probability(self, values: Values) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Compute the probability of `occupied` for sensor values of shape (rows, sensors) in the contract's order."""
        inputs = STEPS[self.card.preprocessing](np.asarray(values, np.float32))
        return np.asarray(self.booster.inplace_predict(inputs, validate_features=False), np.float32)

    def answer(self, probability: float) -> str:
        """Put a probability into words: `uncertain` inside the band, its ends included."""
        low, high = self.card.band
        return OCCUPIED if probability > high else EMPTY if probability < low else UNCERTAIN


def label(probability: float) -> int:
    """Decide, whatever the band: occupied (1) from `THRESHOLD` on, else empty (0)."""
    return int(probability >= THRESHOLD)


class UnusableModel(InputError):
    """A model file can't be used."""


class MissingModel(UnusableModel):
    """There is no file, or it can't be read."""


class WrongDigest(UnusableModel):
    """The file is not the model that was asked for."""


class ForeignModel(UnusableModel):
    """The file is not a model that this project's training wrote."""


class TruncatedModel(UnusableModel):
    """The end of the file is missing."""


class AlteredModel(UnusableModel):
    """The file's bytes are not those that training wrote, or it no longer gives the probabilities it was saved with."""


class OldModel(UnusableModel):
    """The file was written in another version of the format."""


class OtherContract(UnusableModel):
    """The model expects other sensors, units, ranges or preprocessing than this program knows."""


def dump(booster: xgboost.Booster, card: Card) -> bytes:
    """Turn a booster and its card into the bytes of a model file.

    Raises ValueError for a card that could not be read back: one with NaN in it, or without golden readings.
    """
    fields = {name: msgspec.json.encode(value).decode() for name, value in msgspec.structs.asdict(card).items()}
    _decode(fields)
    booster = booster.copy()
    booster.set_attr(**{_PREFIX + name: value for name, value in fields.items()}, **{_SEAL: _UNSEALED})
    raw = bytes(booster.save_raw("ubj"))
    assert raw.count(_UNSEALED.encode()) == 1  # noqa: S101 -- 77 zeros and a colon occur nowhere else
    return raw.replace(_UNSEALED.encode(), _seal(raw).encode())


def load(path: str | Path, expected: str = "") -> Model:
    """Load a model file, checking digest (sha256 or its first 12 or more digits), whole, format, contract and answers.

    Raises a subclass of UnusableModel that says which of these failed.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise MissingModel(f"{path}: {error.strerror}; train one with `make train`, or name one that exists") from None
    return parse(raw, str(path), expected)


def parse(raw: bytes, name: str, expected: str = "") -> Model:
    """Load a model from its bytes; `name` is what errors call it. Raises as `load` does."""
    sha256 = hashlib.sha256(raw).hexdigest()
    if expected:
        _check_digest(sha256, name, expected.lower())
    _check_seal(raw, name)
    try:
        booster = xgboost.Booster(model_file=bytearray(raw))
    except (xgboost.core.XGBoostError, UnicodeDecodeError) as error:  # its message may hold bytes of the file
        raise ForeignModel(
            f"{name}: XGBoost {xgboost.__version__} can't read it: {_first_line(error)}; "
            "use the XGBoost that trained it, or train it again"
        ) from None
    booster.set_param({"nthread": 1})
    card = _card(booster, name)
    _check_contract(card, name)
    model = Model(booster, card, sha256)
    _replay(model, name)
    return model


def _check_digest(sha256: str, name: str, expected: str) -> None:
    if not re.fullmatch("[0-9a-f]{12,64}", expected):
        raise WrongDigest(f"{name}: the digest to expect, {expected!r}, is not 12 to 64 hex digits; it has {sha256}")
    if not sha256.startswith(expected):
        raise WrongDigest(f"{name} has digest {sha256}, expected {expected}; put the right file there, or expect this")


def _seal(raw: bytes) -> str:
    return f"{len(raw):012d}:{hashlib.sha256(raw).hexdigest()}"


def _check_seal(raw: bytes, name: str) -> None:
    """Compare a file's length and checksum with those it carries, before any parser sees it."""
    if not raw:
        raise TruncatedModel(f"{name} is truncated: it is empty; copy it again")
    if not raw.startswith(b"{L"):
        raise ForeignModel(f"{name} is not an XGBoost model in UBJSON; training writes {FILE}")
    at = raw.find(_SEAL.encode())
    seal = _SEALED.search(raw, at) if at >= 0 else None
    if not seal:
        raise ForeignModel(
            f"{name} was not written by this project's training, or its beginning is damaged; "
            "copy it again, or train one with `make train`"
        )
    length = int(seal[1])
    if len(raw) < length:
        raise TruncatedModel(f"{name} is truncated: {len(raw)} bytes of {length}; copy it again")
    if seal[0].decode() != _seal(raw[: seal.start()] + _UNSEALED.encode() + raw[seal.end() :]):
        raise AlteredModel(f"{name} was altered after training wrote it (its checksum does not match); copy it again")


def _card(booster: xgboost.Booster, name: str) -> Card:
    attributes = {k: v or "" for k, v in booster.attributes().items()}
    fields = {k.removeprefix(_PREFIX): v for k, v in attributes.items() if k.startswith(_PREFIX) and k != _SEAL}
    written = fields.get("format", "0")
    if written != str(FORMAT):
        raise OldModel(f"{name} is in format {written}, this program reads format {FORMAT}; train it again")
    try:
        return _decode(fields)
    except msgspec.DecodeError as error:
        raise OldModel(f"{name}: its card can't be read: {error}; train it again") from None


def _decode(fields: Mapping[str, str]) -> Card:
    return msgspec.convert({name: msgspec.json.decode(value) for name, value in fields.items()}, Card)


def _check_contract(card: Card, name: str) -> None:
    for number, (theirs, ours) in enumerate(zip_longest(card.contract, contract()), 1):
        if theirs != ours:
            raise OtherContract(
                f"{name}: input {number} is {theirs or 'missing'} in the model, {ours or 'missing'} in this program; "
                "train it again, or use the program that trained it"
            )
    if card.preprocessing not in STEPS:
        raise OtherContract(
            f"{name} needs preprocessing {card.preprocessing!r}, this program knows {', '.join(STEPS)}; "
            "add it to occupancy/preprocess.py, or train it again"
        )


def _replay(model: Model, name: str) -> None:
    """Score the golden readings again: another XGBoost, machine or preprocessing would show here."""
    golden, advice = model.card.golden, "use the program and XGBoost that trained it, or train it again"
    try:
        given = model.probability(np.array([g.values for g in golden], np.float32)).tolist()
    except (ValueError, xgboost.core.XGBoostError) as error:
        raise OtherContract(f"{name}: its golden readings can't be scored: {_first_line(error)}; {advice}") from None
    if found := deviation(golden, given):
        raise AlteredModel(f"{name} {found}; {advice}")


def deviation(golden: Sequence[Golden], given: Sequence[float]) -> str:
    """Say which golden reading has been given another probability than it was saved with; empty where none has."""
    for reading, probability in zip(golden, given, strict=True):
        if not abs(reading.probability - probability) <= GOLDEN_TOLERANCE:
            return (
                f"gives {probability:.6f} for its golden reading {reading.values}, saved with {reading.probability:.6f}"
            )
    return ""


def _first_line(error: Exception) -> str:
    """Leave out the stack trace that XGBoost appends."""
    return str(error).partition("\n")[0]
