"""`python -m training.service` serves training over HTTP: jobs are asked for, watched, cancelled, and their models fetched.

Settings are variables that begin with TRAINING_SERVICE_, or flags. Jobs that run when the service ends go on; started again,
it finds them. Exit status: 0 after SIGTERM or SIGINT; 2 a setting is wrong.
"""

import os
import socket
import struct
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask
from gunicorn.app.base import BaseApplication

from occupancy.errors import InputError
from occupancy.settings import InvalidSetting
from training.service.app import create_app
from training.service.queue import Queue
from training.service.runners import runner
from training.service.settings import PREFIX, Settings, read, token

STALLED_SECONDS = 10
LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn with one worker of some threads, and one thread more that looks after the jobs."""

    def __init__(self, settings: Settings) -> None:
        """Keep the settings."""
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn up."""
        options: dict[str, Any] = {
            "bind": self._settings.listen,
            "worker_class": "gthread",
            "threads": 8,
            "worker_connections": 200,
            "graceful_timeout": 10,
            "control_socket_disable": True,  # it would be opened under $HOME, which may be read-only
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,  # noqa: S108 -- not on a read-only disk
            "logconfig_dict": LOG,
            "when_ready": _bound_each_wait,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Make the application, in the worker."""
        queue = Queue(self._settings, runner(self._settings))
        threading.Thread(target=queue.serve, args=(threading.Event(),), name="queue", daemon=True).start()
        return create_app(self._settings, queue)


def _bound_each_wait(server: Any) -> None:
    """Bound how long a client may keep a thread waiting: accepted sockets inherit it."""
    for listener in server.LISTENERS:
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STALLED_SECONDS, 0))


def main(argv: list[str]) -> int:
    """Read the settings, find now what would stop the service later, and serve."""
    try:
        chosen = read(argv, os.environ, __doc__ or "")
        token(chosen.token_file)
        _try_to_listen(chosen.listen)
        runner(chosen)
        _try_to_write(Path(chosen.jobs))
    except InputError as error:
        print(f"training.service: {error}", file=sys.stderr)
        return 2
    # the jobs' processes read them there
    os.environ.update({f"{PREFIX}{name.upper()}": str(value) for name, value in msgspec.structs.asdict(chosen).items()})
    Server(chosen).run()
    return 0


def _try_to_listen(listen: str) -> None:
    host, _, port = listen.rpartition(":")
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        raise InvalidSetting(f"{PREFIX}LISTEN={listen}: can't listen there: {error}; name another host:port") from None


def _try_to_write(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidSetting(
            f"{PREFIX}JOBS={folder} can't be written: {error.strerror}; name a folder of your own"
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
