"""`python -m inference.demo FOLDER`: starts the service with FOLDER/model.ubj, sends it readings, shows what comes back.

It is a client like any other: everything goes through HTTP and the log lines on the service's standard output.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.scenes import SCENES

START_SECONDS = 30
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # past any proxy that the environment names


def main(argv: list[str]) -> int:
    """Start, send, show, stop."""
    if len(argv) != 1:
        print("usage: python -m inference.demo FOLDER, one that holds model.ubj", file=sys.stderr)
        return 2
    folder = Path(argv[0])
    log = folder / "predictions.jsonl"
    with serving(folder / "model.ubj", log) as url:
        print(f"\nthe service is up at {url} while this runs\n")
        for scene, reading in SCENES.items():
            print(f"  {scene + ':':26} {_say(post(url, reading))}")
        print("\none of these requests, and its answer:\n")
        reading = SCENES["people at work"]
        print(f"  curl {url}/predict -d '{json.dumps(reading)}'\n  {json.dumps(post(url, reading))}")
    lines = log.read_text("utf-8").splitlines()
    print(f"\nthe service left {len(lines)} lines in {log}, one each; the second:\n\n  {lines[1]}\n")
    return 0


@contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """Run the service on a free port, its records going to a file; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "OCCUPANCY_MODEL": str(model),
        "OCCUPANCY_HOST": "127.0.0.1",
        "OCCUPANCY_PORT": str(port),
    }
    errors = log.with_name("service.log")
    with log.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen([sys.executable, "-m", "inference"], env=environment, stdout=out, stderr=err)
    try:
        _wait(process, f"http://127.0.0.1:{port}", errors)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def post(url: str, reading: dict[str, Any]) -> dict[str, Any]:
    """Send one reading; gives the answer, or the problem where the service refuses it."""
    request = urllib.request.Request(
        f"{url}/predict", json.dumps(reading).encode(), {"Content-Type": "application/json"}
    )
    try:
        with DIRECT.open(request, timeout=10) as response:
            return dict(json.load(response))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))


def _wait(process: "subprocess.Popen[bytes]", url: str, errors: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            DIRECT.open(f"{url}/readyz", timeout=1).close()
        except urllib.error.HTTPError:  # it is up and has no model; its log says why
            break
        except OSError:
            time.sleep(0.05)
        else:
            return
    sys.exit(f"demo: the service did not become ready:\n{errors.read_text('utf-8')}")


def _say(answer: dict[str, Any]) -> str:
    if "answer" not in answer:
        return f"refused ({answer['status']}): {answer['detail']}"
    simulated = "  (SIMULATED model)" if answer.get("simulated") else ""
    return f"{answer['answer']:9} probability {answer['probability']:.3f}{simulated}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
