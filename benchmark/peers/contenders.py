"""The contenders: how each is started, what it is asked, and where its answer says the probability."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.peers.server import ROOT

OURS, UNIT, MLSERVER, LIMIT = "ours", "empty Flask handler", "MLServer", "bare socket"
PLAIN_FASTAPI, FAST_FASTAPI = "empty FastAPI handler, plain uvicorn", "empty FastAPI handler, uvicorn[standard]"
FASTAPI = "FastAPI with pydantic and inplace_predict, uvicorn[standard]"
Reading = dict[str, float]


@dataclass(frozen=True)
class Contender:
    """A server to compare with: `command`, run with `environment`, listens on 127.0.0.1 at `port`."""

    key: str
    name: str
    port: int
    command: Sequence[str | Path]
    environment: dict[str, str]
    path: str
    encode: Callable[[Reading], bytes]
    probability: Callable[[Any], float] | None = None


def missing() -> list[str]:
    """Name the environments that `make peers` has not made here."""
    return [name for name in ("fastapi", "mlserver") if not (_environment(name) / "ready").exists()]


def service(port: int, model: str) -> Contender:
    """Our own service, as a user starts it: everything on, nothing tuned."""
    return Contender(
        OURS,
        "ours: validation, model, prediction log, everything on",
        port,
        [sys.executable, "-m", "inference"],
        {"OCCUPANCY_PORT": str(port), "OCCUPANCY_MODEL": model},
        "/predict",
        _plain,
        _probability,
    )


def contenders(ports: Iterator[int], model: str, folder: Path) -> list[Contender]:
    """List those that can run here: the unit first, then ours, then the peers whose environments are there.

    `ports`: free ones, as many as it takes; `folder`: where a peer's configuration may be written.
    """
    absent = missing()
    found = [_empty_flask(next(ports)), service(next(ports), model), _bare_socket(next(ports))]
    if "fastapi" not in absent:
        found += _fastapi(ports, model)
    if "mlserver" not in absent:
        found.append(_mlserver(next(ports), next(ports), model, folder))
    return found


def _empty_flask(port: int) -> Contender:
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "inference" / "server" / "gunicorn.conf.py")]
    return Contender(
        UNIT,
        f"{UNIT}, gunicorn's gthread worker with the service's settings",
        port,
        [*gunicorn, "--worker-class", "gthread", "benchmark.peers.empty_flask:create()"],
        {"OCCUPANCY_PORT": str(port)},
        "/predict",
        _plain,
    )


def _bare_socket(port: int) -> Contender:
    command = [sys.executable, "-m", "benchmark.peers.bare_socket", str(port)]
    about = f"{LIMIT} in Python: one thread, nothing parsed, a constant answered"
    return Contender(LIMIT, about, port, command, {}, "/predict", _plain)


def _fastapi(ports: Iterator[int], model: str) -> list[Contender]:
    python = _environment("fastapi") / "bin" / "python"
    versions = f"FastAPI {_version(python, 'fastapi')}, uvicorn {_version(python, 'uvicorn')}"

    def app(key: str, about: str, *arguments: str) -> Contender:
        port = next(ports)
        command: list[str | Path] = [python, "-m", "benchmark.peers.fastapi_apps", str(port), *arguments]
        return Contender(
            key, f"{key} ({about})", port, command, {}, "/predict", _plain, _probability if model in arguments else None
        )

    return [
        app(PLAIN_FASTAPI, f"h11, asyncio; {versions}", "plain"),
        app(FAST_FASTAPI, "httptools, uvloop", "standard"),
        app(FASTAPI, "as a tutorial writes it", "standard", model),
    ]


def _mlserver(port: int, grpc_port: int, model: str, folder: Path) -> Contender:
    """MLServer in one process, without what costs time and ours has or does not need: access log, metrics, gzip."""
    home = _environment("mlserver") / "bin"
    server = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc_port,
        "parallel_workers": 0,
        "debug": False,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    runtime = {
        "name": "occupancy",
        "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": str(Path(model).absolute())},
    }
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(runtime))
    return Contender(
        MLSERVER,
        f"{MLSERVER} {_version(home / 'python', 'mlserver')}, XGBoost runtime, 1 process, no access log, no metrics",
        port,
        [home / "mlserver", "start", folder],
        {},
        "/v2/models/occupancy/infer",
        _open_inference,
        lambda answer: float(answer["outputs"][0]["data"][0]),
    )


def _probability(answer: Any) -> float:
    return float(answer["probability"])


def _plain(reading: Reading) -> bytes:
    return json.dumps(reading).encode()


def _open_inference(reading: Reading) -> bytes:
    values = list(reading.values())
    return json.dumps(
        {"inputs": [{"name": "readings", "shape": [1, len(values)], "datatype": "FP32", "data": values}]}
    ).encode()


def _environment(name: str) -> Path:
    return ROOT / f".venv-{name}"


def _version(python: Path, package: str) -> str:
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
