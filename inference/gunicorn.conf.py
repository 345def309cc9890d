"""gunicorn's settings: one process with threads; a container is scaled by replicas, not by workers."""

import os
from pathlib import Path

from inference.settings import from_environment

_settings = from_environment(os.environ)

bind = f"{_settings.host}:{_settings.port}"
wsgi_app = "inference.wsgi:create()"
workers = 1
worker_class = "gthread"
threads = _settings.server_threads
keepalive = 75  # seconds; longer than what proxies keep idle connections, so that they close first
graceful_timeout = 30
timeout = 60
control_socket_disable = True  # it would be opened under $HOME, which may be read-only
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- a heartbeat file, not on a read-only disk
loglevel = "warning"
logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
        "inference": {"level": "INFO", "handlers": ["stderr"], "propagate": False},
    },
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
