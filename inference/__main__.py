"""`python -m inference` serves the model at POST /predict; `python -m inference score FILE` scores a file of readings.

Both are set up by variables that begin with OCCUPANCY_; serving takes them as flags too.

Exit status: 0 after SIGTERM or SIGINT, or when all is scored; 1 readings were refused; 2 a setting is wrong.
"""

import os
import socket
import sys
from pathlib import Path

import msgspec
from gunicorn.app.wsgiapp import run

from inference.bearer import read_token
from inference.settings import PREFIX, Settings, read
from occupancy.errors import InputError
from occupancy.settings import InvalidSetting


def main(argv: list[str]) -> int:
    """Score, or check the settings and hand over to gunicorn with our configuration file."""
    if argv[:1] == ["score"]:
        from inference import score  # noqa: PLC0415 -- it loads XGBoost, which the process that starts workers does without

        return score.main(argv[1:], os.environ)
    try:
        chosen = read(argv, os.environ, __doc__ or "")
        _try(chosen)
    except InputError as error:
        print(f"inference: {error}", file=sys.stderr)
        return 2
    # gunicorn's configuration file and its worker read them there
    os.environ.update({f"{PREFIX}{name.upper()}": str(value) for name, value in msgspec.structs.asdict(chosen).items()})
    # one reading is no work for several threads; waking them costs 90 times it
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.argv = ["gunicorn", "--config", str(Path(__file__).parent / "server" / "gunicorn.conf.py")]
    run()
    return 0


def _try(chosen: Settings) -> None:
    """Find now what would stop the server later, where its message would name no setting."""
    if chosen.feedback_token_file:
        read_token(chosen.feedback_token_file)
    try:
        family, *_, address = socket.getaddrinfo(chosen.host, chosen.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise InvalidSetting(
            f"can't listen on {chosen.host} port {chosen.port}: {error.strerror}; "
            f"choose others with {PREFIX}HOST and {PREFIX}PORT"
        ) from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
