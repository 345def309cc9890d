from pathlib import Path

import pytest

from occupancy.settings import InvalidSetting
from training.service.settings import InvalidToken, read, token


def test_what_kubernetes_sets_for_services_is_no_setting() -> None:
    links = {"TRAINING_SERVICE_PORT": "tcp://10.0.0.1:8090", "TRAINING_SERVICE_SERVICE_HOST": "10.0.0.1"}
    assert read([], links).listen == "127.0.0.1:8090"


@pytest.mark.parametrize(
    "prefix", ["https://data.example.com", "https://me@data.example.com/", "file:///etc/", "data/"]
)
def test_a_prefix_that_others_could_begin_like_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidSetting, match="with the last /"):
        read([f"--urls={prefix}"], {})


def test_several_prefixes() -> None:
    assert read(["--urls", "https://a/, http://b:8000/c/"], {}).prefixes == ["https://a/", "http://b:8000/c/"]


@pytest.mark.parametrize("content", [None, b" \n"])
def test_a_service_without_a_token_says_how_to_make_one(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidToken, match="openssl rand"):
        token(str(path))
    with pytest.raises(InvalidToken, match="openssl rand"):
        token("")
