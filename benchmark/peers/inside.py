"""Run inside an image of the service, by its own Python: starts it and prints its start and memory as JSON.

Its argument is a reading, as JSON, that the service is asked about.

It imports nothing but the standard library, since it is sent to the container as text.
"""

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

STARTS, PORT = 5, 8080
GIVE_UP_SECONDS = 60


def start(body: bytes) -> dict[str, float]:
    """Start the service, wait for its first prediction, stop it; gives seconds, and MB of all its processes."""
    request = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "inference"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not answers(request):
        if process.poll() is not None or time.perf_counter() > begun + GIVE_UP_SECONDS:
            sys.exit("the service gave no answer")
        time.sleep(0.002)
    seconds = time.perf_counter() - begun
    processes = [process.pid, *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]
    found = {
        "seconds": seconds,
        "resident": sum(megabytes(pid, "status", "VmRSS") for pid in processes),
        "proportional": sum(megabytes(pid, "smaps_rollup", "Pss") for pid in processes),
    }
    process.terminate()
    process.wait()
    return found


def answers(request: bytes) -> bool:
    """Tell whether a prediction comes back."""
    try:
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def megabytes(pid: int, file: str, name: str) -> float:
    """Read a figure, in kB, from a process's /proc."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


if __name__ == "__main__":
    print(json.dumps([start(sys.argv[1].encode()) for _ in range(STARTS)]))
