import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from occupancy import model
from occupancy.model import (
    AlteredModel,
    Card,
    ForeignModel,
    Golden,
    MissingModel,
    Model,
    OldModel,
    OtherContract,
    TruncatedModel,
    UnusableModel,
    WrongDigest,
)
from occupancy.preprocess import STEPS, Values
from occupancy.reading import FEATURES, contract

SHIPPED = Path(__file__).parents[2] / "inference/model/model.ubj"
LOW, HIGH = (18, 20, 0, 400, 0.003), (24, 40, 900, 2000, 0.007)
READINGS = np.random.default_rng(0).uniform(LOW, HIGH, (300, 5)).astype(np.float32)
BOOSTER = xgboost.train(
    {"objective": "binary:logistic", "max_depth": 2, "seed": 0, "nthread": 1},
    xgboost.DMatrix(READINGS, READINGS[:, 2] > 365),
    num_boost_round=5,
)
CARD = Card(
    preprocessing="identity",
    band=(0.3, 0.7),
    timezone="Europe/Brussels",
    simulated=True,
    seed=7,
    hyperparameters={"max_depth": 2, "eta": 0.3},
    search={"candidates": 1},
    data={"training": "0" * 64},
    reference="1" * 64,
    training_range={"Temperature": (18.0, 24.0)},
    metrics={"log_loss": 0.1},
    gate={"passed": True},
    packages={"xgboost": xgboost.__version__},
    golden=[Golden(tuple(map(float, x)), float(BOOSTER.inplace_predict(x[None])[0])) for x in READINGS[:4]],
    created="2015-02-10T00:00:00Z",
    revision='Zürich "4"\n',
)
RAW = model.dump(BOOSTER, CARD)
SEAL = RAW.index(b"occupancy.seal")
SEAL_END = RAW.index(b":", SEAL) + 65


def refusal(raw: bytes, expected: str = "") -> UnusableModel:
    """What the loader says to these bytes, which is one line, and begins with the file's name."""
    with pytest.raises(UnusableModel) as caught:
        model.parse(raw, "room.ubj", expected)
    assert str(caught.value).startswith("room.ubj")
    assert str(caught.value).isprintable()
    return caught.value


def changed(**fields: Any) -> bytes:
    return model.dump(BOOSTER, msgspec.structs.replace(CARD, **fields))


def with_attributes(**fields: str | None) -> bytes:
    """A whole file whose card no `dump` of ours would write."""
    booster = xgboost.Booster(model_file=bytearray(RAW))
    booster.set_attr(**{f"occupancy.{k}": v for k, v in fields.items()}, **{model._SEAL: model._UNSEALED})
    raw = bytes(booster.save_raw("ubj"))
    return raw.replace(model._UNSEALED.encode(), model._seal(raw).encode())


def other_contract(index: int, **changes: Any) -> list[dict[str, Any]]:
    return [feature | changes if i == index else feature for i, feature in enumerate(contract())]


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """XGBoost's own parser can be crashed by damaged bytes: it must not see any."""

    def parse(**_: object) -> None:
        raise AssertionError("parsed before the seal was verified")

    monkeypatch.setattr(xgboost, "Booster", parse)


# --- what is loaded


def test_a_model_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "model.ubj"
    path.write_bytes(RAW)
    loaded = model.load(path)
    assert loaded.card == CARD
    assert [type(value) for value in loaded.card.hyperparameters.values()] == [int, float]
    assert loaded.sha256 == hashlib.sha256(RAW).hexdigest()
    assert loaded.version == loaded.sha256[:12]
    assert loaded.probability(READINGS).tolist() == BOOSTER.inplace_predict(READINGS).tolist()
    assert model.dump(loaded.booster, loaded.card) == RAW


@pytest.mark.parametrize(("probability", "expected"), [(0.0, 0), (0.4999, 0), (0.5, 1), (1.0, 1)])
def test_a_label_is_occupied_from_the_threshold_on(probability: float, expected: int) -> None:
    assert model.label(probability) == expected


def test_the_shipped_model_loads() -> None:
    shipped = model.load(SHIPPED)
    assert not shipped.card.simulated
    assert len(shipped.card.golden) == 8
    assert shipped.card.reference == hashlib.sha256(SHIPPED.with_name("reference.json").read_bytes()).hexdigest()


def test_any_xgboost_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.ubj"
    path.write_bytes(RAW)
    booster = xgboost.Booster(model_file=path)
    given = booster.predict(xgboost.DMatrix(READINGS))
    assert given.tolist() == model.parse(RAW, "room.ubj").probability(READINGS).tolist()
    attributes = booster.attributes()
    assert {k.removeprefix("occupancy.") for k in attributes} == {*Card.__struct_fields__, "seal"}
    assert (attributes["occupancy.seed"], attributes["occupancy.timezone"]) == ("7", '"Europe/Brussels"')


def test_dump_leaves_the_booster_as_it_was() -> None:
    before = bytes(BOOSTER.save_raw("ubj"))
    assert model.dump(BOOSTER, CARD) == RAW
    assert bytes(BOOSTER.save_raw("ubj")) == before
    assert BOOSTER.attributes() == {}


@pytest.mark.parametrize("fields", [{"metrics": {"loss": float("nan")}}, {"golden": []}])
def test_a_card_that_could_not_be_read_back_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Expected `(float|array)"):
        changed(**fields)


@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_any_text_can_stand_in_a_card(text: str) -> None:
    assert model.parse(changed(revision=text), "room.ubj").card.revision == text


def test_a_field_of_a_newer_program_is_ignored() -> None:
    assert model.parse(with_attributes(novelty='{"is": "ignored"}'), "room.ubj").card == CARD


# --- what it does


def test_the_probability_is_the_same_one_by_one_in_a_batch_and_from_threads() -> None:
    loaded = model.parse(RAW, "room.ubj")
    batch = loaded.probability(READINGS)
    assert batch.dtype == np.float32
    assert batch.shape == (300,)
    assert [loaded.probability(reading[None])[0] for reading in READINGS] == batch.tolist()
    assert loaded.probability(READINGS[:0]).tolist() == []
    with ThreadPoolExecutor(4) as threads:
        assert all((p == batch).all() for p in threads.map(loaded.probability, [READINGS] * 400))


@pytest.mark.parametrize(
    ("probability", "answer"),
    [(0, "empty"), (0.2999, "empty"), (0.3, "uncertain"), (0.7, "uncertain"), (0.7001, "occupied"), (1, "occupied")],
)
def test_the_band_is_uncertain_and_its_ends_too(probability: float, answer: str) -> None:
    assert Model(BOOSTER, CARD, "").answer(probability) == answer


# --- the digest to expect


@pytest.mark.parametrize("digits", [64, 63, 12])
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_the_expected_digest_or_its_beginning_will_do(digits: int, spelling: Callable[[str], str]) -> None:
    sha256 = hashlib.sha256(RAW).hexdigest()
    assert model.parse(RAW, "room.ubj", spelling(sha256[:digits])).sha256 == sha256


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ("0" * 64, f"has digest {hashlib.sha256(RAW).hexdigest()}, expected {'0' * 64}; put the right file there"),
        ("0" * 12, f"expected {'0' * 12}"),
        (hashlib.sha256(RAW).hexdigest()[1:], "has digest"),
        (hashlib.sha256(RAW).hexdigest()[:11], "is not 12 to 64 hex digits"),
        (hashlib.sha256(RAW).hexdigest() + "0", "is not 12 to 64 hex digits"),
        (hashlib.sha256(RAW).hexdigest() + "\n", "is not 12 to 64 hex digits"),
        ("sha256:" + hashlib.sha256(RAW).hexdigest(), "is not 12 to 64 hex digits"),
        (" ", "is not 12 to 64 hex digits"),
    ],
)
def test_another_digest_is_refused_before_anything_else(no_parser: None, expected: str, message: str) -> None:
    for raw in (RAW, b"", b"any file"):
        error = refusal(raw, expected)
        assert type(error) is WrongDigest
    assert message in str(refusal(RAW, expected))


# --- damage


def test_a_file_cut_anywhere_is_refused(no_parser: None) -> None:
    for length in range(len(RAW)):
        sealed = length >= SEAL_END or length == 0
        assert type(refusal(RAW[:length])) is (TruncatedModel if sealed else ForeignModel), length


def test_a_file_with_any_byte_altered_is_refused(no_parser: None) -> None:
    flips = np.random.default_rng(0).integers(1, 256, len(RAW)).tolist()
    for at, flip in enumerate(flips):
        altered = bytearray(RAW)
        altered[at] ^= flip
        in_head = at < 2 or SEAL <= at < SEAL_END
        expected = AlteredModel | ForeignModel | TruncatedModel if in_head else AlteredModel
        assert isinstance(refusal(bytes(altered)), expected), at


@given(st.integers(0, len(RAW) - 1), st.integers(0, len(RAW)), st.binary(max_size=200))
def test_a_file_with_a_piece_replaced_is_refused(start: int, length: int, piece: bytes) -> None:
    altered = RAW[:start] + piece + RAW[start + length :]
    if altered != RAW:
        assert isinstance(refusal(altered), AlteredModel | ForeignModel | TruncatedModel)


@given(st.binary())
def test_random_bytes_are_refused(noise: bytes) -> None:
    assert isinstance(refusal(noise), ForeignModel if noise else TruncatedModel)
    assert isinstance(refusal(b"{L" + noise), ForeignModel)
    assert isinstance(refusal(b"{Loccupancy.seal" + noise), ForeignModel)
    assert isinstance(refusal(RAW + noise + b"\n"), AlteredModel)


# --- files that were never good, and programs that differ


@pytest.mark.parametrize(
    ("raw", "kind", "message"),
    [
        (b"", TruncatedModel, "is truncated: it is empty; copy it again"),
        (RAW[:-1], TruncatedModel, f"is truncated: {len(RAW) - 1} bytes of {len(RAW)}; copy it again"),
        (RAW[: SEAL + 20], ForeignModel, "or its beginning is damaged; copy it again"),
        (RAW + b"\0", AlteredModel, "was altered after training wrote it (its checksum does not match); copy it again"),
        (bytes(BOOSTER.save_raw("json")), ForeignModel, "is not an XGBoost model in UBJSON; training writes model.ubj"),
        (pickle.dumps(BOOSTER), ForeignModel, "is not an XGBoost model in UBJSON"),
        (bytes(BOOSTER.save_raw("ubj")), ForeignModel, "was not written by this project's training, or its beginning"),
        (changed(format=2), OldModel, "is in format 2, this program reads format 1; train it again"),
        (with_attributes(format=None), OldModel, "is in format 0, this program reads format 1"),
        (with_attributes(band=None), OldModel, "its card can't be read: Object missing required field `band`; train"),
        (with_attributes(band="[0.3]"), OldModel, "Expected `array` of length 2"),
        (with_attributes(band="NaN"), OldModel, "its card can't be read: JSON is malformed"),
        (with_attributes(golden="[]"), OldModel, "Expected `array` of length >= 1 - at `$.golden`"),
        (
            changed(contract=contract()[::-1]),
            OtherContract,
            "input 1 is {'name': 'HumidityRatio', 'unit': 'kg/kg', 'low': 0.0, 'high': 0.2} in the model, "
            "{'name': 'Temperature', 'unit': '°C', 'low': -40.0, 'high': 60.0} in this program; train it again",
        ),
        (
            changed(contract=other_contract(0, unit="°F")),
            OtherContract,
            "input 1 is {'name': 'Temperature', 'unit': '°F",
        ),
        (changed(contract=other_contract(3, high=2000.0)), OtherContract, "input 4 is {'name': 'CO2'"),
        (
            changed(contract=[*contract(), {"name": "Noise", "unit": "dB", "low": 0, "high": 140}]),
            OtherContract,
            "input 6 is {'name': 'Noise', 'unit': 'dB', 'low': 0, 'high': 140} in the model, missing in this program",
        ),
        (changed(contract=contract()[:4]), OtherContract, "input 5 is missing in the model, {'name': 'HumidityRatio'"),
        (changed(contract=[]), OtherContract, "input 1 is missing in the model"),
        (
            changed(preprocessing="whiten"),
            OtherContract,
            "needs preprocessing 'whiten', this program knows identity; add it to occupancy/preprocess.py",
        ),
        (
            changed(golden=[*CARD.golden, Golden(CARD.golden[0].values, 0.5)]),
            AlteredModel,
            "saved with 0.500000; use the program and XGBoost that trained it, or train it again",
        ),
        (changed(golden=[Golden((1, 2, 3, 4), 0.5)]), OtherContract, "its golden readings can't be scored: "),
        (changed(golden=[*CARD.golden, Golden((1,), 0.5)]), OtherContract, "its golden readings can't be scored: "),
    ],
)
def test_a_file_of_no_use_is_refused(raw: bytes, kind: type[UnusableModel], message: str) -> None:
    error = refusal(raw)
    assert type(error) is kind
    assert message in str(error)


def test_a_path_without_a_model_is_refused(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none.ubj", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(MissingModel) as caught:
            model.load(path)
        assert str(caught.value) == f"{path}: {why}; train one with `make train`, or name one that exists"


UNSEALED = RAW.replace(RAW[SEAL_END - 77 : SEAL_END], model._UNSEALED.encode())


@pytest.mark.parametrize(
    "raw",
    [
        RAW[:SEAL] + b"occupancy.seal" + model._UNSEALED.encode(),
        UNSEALED.replace(b"[$d#", b"[$d\x98"),  # XGBoost's message has the byte in it, and then is no UTF-8
    ],
)
def test_what_xgboost_can_not_read_is_refused(raw: bytes) -> None:
    """As a newer XGBoost's file would be: sealed by training, and unknown to this one's parser."""
    error = refusal(raw.replace(model._UNSEALED.encode(), model._seal(raw).encode()))
    assert type(error) is ForeignModel
    assert f"XGBoost {xgboost.__version__} can't read it: " in str(error)


@pytest.mark.parametrize(
    ("step", "kind", "message"),
    [
        (lambda x: x / 2, AlteredModel, "for its golden reading (2"),
        (lambda x: x * np.float32("nan"), AlteredModel, "for its golden reading (2"),
        (lambda x: x[:, :4], OtherContract, "Number of columns in data must equal to the trained model"),
    ],
)
def test_a_preprocessing_step_that_changed_its_mind_is_found_out(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[Values], Values], kind: type[UnusableModel], message: str
) -> None:
    monkeypatch.setitem(STEPS, "identity", step)
    error = refusal(RAW)
    assert type(error) is kind
    assert message in str(error)


def test_the_card_speaks_the_contract_by_itself() -> None:
    assert [feature["name"] for feature in CARD.contract] == [feature.name for feature in FEATURES]
