"""gunicorn's settings: one process with threads; a container is scaled by replicas, not by workers."""

import os
import resource
import select
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from inference.settings import from_environment

STALLED_SECONDS = 5
_settings = from_environment(os.environ)

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
pidfile = _settings.pid_file or None
wsgi_app = "inference.server.wsgi:create()"
workers = 1
worker_class = "inference.server.worker.Worker" if hasattr(select, "epoll") else "gthread"  # macOS, to develop on
threads = _settings.server_threads  # at most: one is started when none is free
worker_connections = threads + 4000  # those beyond the threads wait for their next request
keepalive = 75  # seconds; longer than what proxies keep idle connections, so that they close first
graceful_timeout = 25  # less than the 30 s that Kubernetes waits by default before it kills
timeout = 60
control_socket_disable = True  # it would be opened under $HOME, which may be read-only
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- a heartbeat file, not on a read-only disk
# the service's own messages, one JSON line each on standard error, as the prediction log's are on standard output
_JSON = {
    "()": "pythonjsonlogger.msgspec.MsgspecFormatter",
    "fmt": ["levelname", "name", "process", "message"],
    "rename_fields": {
        "levelname": "log.level",
        "name": "log.logger",
        "process": "process.pid",
        "exc_info": "error.stack_trace",
    },
    "timestamp": "@timestamp",
}
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(name)s: %(message)s"} if sys.stderr.isatty() else _JSON},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}, "inference": {"level": "INFO"}},
}


def when_ready(server: Any) -> None:
    """Have a file descriptor for each connection, and bound each wait for a client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = worker_connections + 100
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    for listener in server.LISTENERS:  # accepted sockets inherit it
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            listener.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", STALLED_SECONDS, 0))
